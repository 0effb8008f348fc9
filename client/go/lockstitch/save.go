package lockstitch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"lockstitch.dev/go/lockstitchpb"
)

// Outcome is what a save did.
type Outcome int

// What a save may do.
const (
	OutcomeUnknown   Outcome = iota // the server is newer than this package
	OutcomeCreated                  // the checkpoint is new
	OutcomeReplaced                 // a checkpoint with this id had other content, which is gone
	OutcomeUnchanged                // the checkpoint was there already with this content
)

func (o Outcome) String() string {
	switch o {
	case OutcomeCreated:
		return "CREATED"
	case OutcomeReplaced:
		return "REPLACED"
	case OutcomeUnchanged:
		return "UNCHANGED"
	}
	return "UNKNOWN"
}

// Saved is what a save answers: the checkpoint is durable.
type Saved struct {
	CheckpointID string
	// Revision is that of the session in which this content was written. It
	// grows with every change of the session.
	Revision uint64
	Outcome  Outcome
	// SavedAt is the server's time of the save that wrote this content.
	SavedAt time.Time
}

// SaveOption adds something to a save.
type SaveOption func(*lockstitchpb.SaveRequest)

// ExpectCheckpoint has the save fail with ExpectedLatestMismatch, and nothing
// written, unless the latest checkpoint has this id.
func ExpectCheckpoint(checkpointID string) SaveOption {
	return expect(&lockstitchpb.ExpectedLatest{
		Expected: &lockstitchpb.ExpectedLatest_CheckpointId{CheckpointId: checkpointID},
	})
}

// ExpectRevision is ExpectCheckpoint for one content of that checkpoint: the
// CheckpointRevision that was loaded with it, or Saved.Revision. A checkpoint that
// was rewound or replaced since does not fulfil it.
func ExpectRevision(checkpointID string, revision uint64) SaveOption {
	return expect(&lockstitchpb.ExpectedLatest{
		Expected: &lockstitchpb.ExpectedLatest_CheckpointId{CheckpointId: checkpointID}, Revision: revision,
	})
}

// ExpectStep is ExpectCheckpoint by the latest checkpoint's step.
func ExpectStep(step uint64) SaveOption {
	return expect(&lockstitchpb.ExpectedLatest{Expected: &lockstitchpb.ExpectedLatest_Step{Step: step}})
}

// ExpectNone has the save fail with ExpectedLatestMismatch if there is a
// checkpoint already.
func ExpectNone() SaveOption {
	return expect(&lockstitchpb.ExpectedLatest{Expected: &lockstitchpb.ExpectedLatest_None{None: true}})
}

// WithWrites stores pending writes of the checkpoint with it.
func WithWrites(writes ...*lockstitchpb.PendingWrite) SaveOption {
	return func(request *lockstitchpb.SaveRequest) { request.Writes = append(request.Writes, writes...) }
}

// WithTTL has the session end this long after its last save, 1 second or more.
func WithTTL(ttl time.Duration) SaveOption {
	return func(request *lockstitchpb.SaveRequest) { request.Ttl = durationpb.New(ttl) }
}

// WithMetadata adds metadata to the checkpoint: key to JSON text, for lists to
// filter by.
func WithMetadata(metadata map[string]string) SaveOption {
	return func(request *lockstitchpb.SaveRequest) {
		checkpoint := shallow(request.Checkpoint) // the caller's stays as it is
		checkpoint.Metadata = maps.Clone(checkpoint.Metadata)
		if checkpoint.Metadata == nil {
			checkpoint.Metadata = map[string]string{}
		}
		maps.Copy(checkpoint.Metadata, metadata)
		request.Checkpoint = checkpoint
	}
}

// WithLease saves under a lease, by its token.
func WithLease(token uint64) SaveOption {
	return func(request *lockstitchpb.SaveRequest) { request.LeaseToken = token }
}

func expect(expected *lockstitchpb.ExpectedLatest) SaveOption {
	return func(request *lockstitchpb.SaveRequest) { request.ExpectedLatest = expected }
}

// Save stores a checkpoint; when it returns without an error, the checkpoint is
// durable. Without a CheckpointId it is named by its step, as 20 digits. Saving
// the same again changes nothing.
//
// Where the client remembers the session's last save, it sends what changed
// since; what is stored is the same either way. The checkpoint is never changed;
// leave it as it is until Save has returned.
//
// Of two saves that goroutines make at the same time, either may be the first, of
// one session, too. Where the order matters, await each, use ExpectStep, or Begin
// them on a SaveStream.
func (c *Client) Save(ctx context.Context, checkpoint *lockstitchpb.Checkpoint, options ...SaveOption) (Saved, error) {
	return c.saveAs(ctx, c.saveIDs, checkpoint, options)
}

// saveAs is Save for a writer.
func (c *Client) saveAs(
	ctx context.Context, writer *saveIDs, checkpoint *lockstitchpb.Checkpoint, options []SaveOption,
) (Saved, error) {
	draft, err := c.draft(writer, checkpoint, options)
	if err != nil {
		return Saved{}, err
	}
	answer, err := c.sendDraft(ctx, draft)
	draft.settle(err)
	if err != nil {
		return Saved{}, err
	}
	draft.learn(answer)
	return savedOf(answer), nil
}

func (c *Client) sendDraft(ctx context.Context, draft *draft) (*lockstitchpb.SaveResponse, error) {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	request := draft.request()
	permit, err := c.limiter.enter(ctx, proto.Size(request))
	if err != nil {
		return nil, err
	}
	defer permit.release()
	answer, err := c.sendSave(ctx, request, permit)
	if draft.refused(err) {
		answer, err = c.sendSave(ctx, draft.full, permit)
	}
	return answer, err
}

func (c *Client) sendSave(
	ctx context.Context, request *lockstitchpb.SaveRequest, permit *permit,
) (*lockstitchpb.SaveResponse, error) {
	codec := grpc.ForceCodecV2(permitCodec{permit})
	return repeat(ctx, c, request, unary(c.checkpoints.Save, codec))
}

// A draft is a save on its way: whole, and as a delta where there is one.
type draft struct {
	writer        *saveIDs
	number        uint64 // that the writer gave for it
	memory        *memory
	key           sessionKey
	full, smaller *lockstitchpb.SaveRequest
	state         snapshot
	comparable    bool
}

func (c *Client) draft(
	writer *saveIDs, checkpoint *lockstitchpb.Checkpoint, options []SaveOption,
) (*draft, error) {
	if checkpoint == nil {
		return nil, errors.New("lockstitch: the checkpoint is nil")
	}
	made := &draft{
		writer: writer,
		memory: c.memory,
		key:    sessionKey{checkpoint.SessionId, checkpoint.Namespace},
		full:   &lockstitchpb.SaveRequest{Checkpoint: checkpoint},
	}
	for _, option := range options {
		option(made.full)
	}
	if err := checkTexts(made.full); err != nil {
		return nil, err
	}
	made.number = writer.identify(made.full)
	if c.memory == nil || checkpoint.State == nil {
		return made, nil
	}
	known, ok := c.memory.get(made.key)
	var begun starts
	made.state, begun, made.comparable = snapshotOf(checkpoint.State, known.state)
	if ok && made.comparable {
		made.smaller = deltaRequest(made.full, known, made.state, begun)
	}
	return made, nil
}

func (d *draft) request() *lockstitchpb.SaveRequest {
	if d.smaller != nil {
		return d.smaller
	}
	return d.full
}

// settle is called once, with how the save has ended.
func (d *draft) settle(err error) { d.writer.settle(d.full, d.number, err) }

// refused says whether the server would not take the delta.
func (d *draft) refused(err error) bool {
	var failure *Error
	return d.smaller != nil && errors.As(err, &failure) && failure.deltaRefused()
}

// learn remembers what the server has acknowledged.
func (d *draft) learn(answer *lockstitchpb.SaveResponse) {
	if d.comparable && answer.Revision != 0 { // without it nobody would notice that a base was replaced
		d.memory.put(d.key, base{answer.CheckpointId, answer.Revision, d.state})
	}
}

// deltaRequest is nil where there is no delta, or no gain in it.
func deltaRequest(
	full *lockstitchpb.SaveRequest, known base, taken snapshot, begun starts,
) *lockstitchpb.SaveRequest {
	checkpoint := full.Checkpoint
	if known.checkpointID == idOf(checkpoint) {
		return nil // it would replace what it starts from, and could not be repeated
	}
	delta, ok := diff(known.state, taken, begun, checkpoint.State)
	if !ok || proto.Size(delta) >= proto.Size(checkpoint.State) {
		return nil
	}
	smaller := shallow(full)
	smaller.Checkpoint = withoutState(checkpoint)
	smaller.Delta, smaller.BaseCheckpointId, smaller.BaseRevision = delta, known.checkpointID, known.revision
	return smaller
}

func idOf(checkpoint *lockstitchpb.Checkpoint) string {
	if checkpoint.CheckpointId != "" {
		return checkpoint.CheckpointId
	}
	return idOfStep(checkpoint.Step)
}

// idOfStep is the id that the server gives to a checkpoint without one.
func idOfStep(step uint64) string { return fmt.Sprintf("%020d", step) }

// withoutState is the same checkpoint, sharing all it has, but for its state.
func withoutState(checkpoint *lockstitchpb.Checkpoint) *lockstitchpb.Checkpoint {
	header := shallow(checkpoint)
	header.State = nil
	return header
}

// shallow copies a message's fields, those it does not know included, and
// shares what they hold.
func shallow[M proto.Message](message M) M {
	from := message.ProtoReflect()
	to := from.New()
	for field, value := range from.Range {
		to.Set(field, value)
	}
	to.SetUnknown(from.GetUnknown())
	return to.Interface().(M)
}

func savedOf(answer *lockstitchpb.SaveResponse) Saved {
	outcome := OutcomeUnknown
	switch answer.Outcome {
	case lockstitchpb.SaveOutcome_SAVE_OUTCOME_CREATED:
		outcome = OutcomeCreated
	case lockstitchpb.SaveOutcome_SAVE_OUTCOME_REPLACED:
		outcome = OutcomeReplaced
	case lockstitchpb.SaveOutcome_SAVE_OUTCOME_UNCHANGED:
		outcome = OutcomeUnchanged
	}
	return Saved{answer.CheckpointId, answer.Revision, outcome, timeOf(answer.SavedAt)}
}

// SavedWrites is what saving pending writes answers. Stored is how many were
// stored or replaced; the others were there already.
type SavedWrites struct {
	Revision uint64
	Stored   uint32
}

// SaveWrites stores pending writes of a checkpoint, all of them or none. The
// checkpoint, the one from which the writes' step started, need not exist yet.
// Under an index of 0 and above the first write stays; below 0, a later one
// replaces it. Of the options only WithLease is of use here.
func (c *Client) SaveWrites(
	ctx context.Context, at CheckpointRef, writes []*lockstitchpb.PendingWrite, options ...SaveOption,
) (SavedWrites, error) {
	lease := &lockstitchpb.SaveRequest{}
	for _, option := range options {
		option(lease)
	}
	answer, err := call(ctx, c, &lockstitchpb.SaveWritesRequest{
		SessionId: at.SessionID, Namespace: at.Namespace, CheckpointId: at.CheckpointID,
		Writes: writes, LeaseToken: lease.LeaseToken,
	}, unary(c.checkpoints.SaveWrites))
	if err != nil {
		return SavedWrites{}, err
	}
	return SavedWrites{answer.Revision, answer.Stored}, nil
}

// CheckpointRef names a checkpoint.
type CheckpointRef struct{ SessionID, Namespace, CheckpointID string }

// unary makes a stub's method one that `call` can repeat.
func unary[Request, Answer any](
	method func(context.Context, Request, ...grpc.CallOption) (Answer, error), options ...grpc.CallOption,
) func(context.Context, Request) (Answer, error) {
	return func(ctx context.Context, request Request) (Answer, error) { return method(ctx, request, options...) }
}
