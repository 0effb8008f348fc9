package lockstitch

import (
	"context"
	"iter"

	"lockstitch.dev/go/lockstitchpb"
)

// View says how much of a checkpoint to give.
type View int

// What one may ask for.
const (
	Full   View = iota // everything
	Header             // everything but the state
)

func (v View) message() lockstitchpb.CheckpointView {
	if v == Header {
		return lockstitchpb.CheckpointView_CHECKPOINT_VIEW_HEADER
	}
	return lockstitchpb.CheckpointView_CHECKPOINT_VIEW_FULL
}

// Loaded is a checkpoint with its pending writes.
type Loaded struct {
	// Checkpoint is nil where LoadLatest found none.
	Checkpoint *lockstitchpb.Checkpoint
	// PendingWrites are by task path, task id and index.
	PendingWrites []*lockstitchpb.PendingWrite
	// Revision is the session's; 0 where there is no such session.
	Revision uint64
	// CheckpointRevision is that in which the checkpoint's content was written.
	CheckpointRevision uint64
	// TraceID is the trace of the call that wrote this content, as 32 hexadecimal
	// digits; "" where it was not traced.
	TraceID string
}

// LoadOption says which checkpoint to load, and how much of it.
type LoadOption func(*loadSettings)

type loadSettings struct {
	namespace string
	view      View
	channels  []string
}

// InNamespace chooses a subgraph's checkpoints; "" is the root.
func InNamespace(namespace string) LoadOption {
	return func(s *loadSettings) { s.namespace = namespace }
}

// WithView says how much of the checkpoint to give.
func WithView(view View) LoadOption {
	return func(s *loadSettings) { s.view = view }
}

// WithChannels gives only these parts of the state: "messages", "errors", "extra",
// "extra/<key>", "custom", "custom/<name>".
//
//	latest, err := client.LoadLatest(ctx, "order-4711", lockstitch.WithChannels("errors"))
func WithChannels(channels ...string) LoadOption {
	return func(s *loadSettings) { s.channels = channels }
}

func loadSettingsOf(options []LoadOption) loadSettings {
	var chosen loadSettings
	for _, option := range options {
		option(&chosen)
	}
	return chosen
}

// LoadLatest gives the latest checkpoint, the one with the greatest id. That
// there is none is no error: then Checkpoint is nil.
func (c *Client) LoadLatest(ctx context.Context, sessionID string, options ...LoadOption) (Loaded, error) {
	chosen := loadSettingsOf(options)
	request := SessionRef{sessionID, chosen.namespace}.request(chosen)
	answer, err := call(ctx, c, request, unary(c.checkpoints.LoadLatest))
	if err != nil {
		return Loaded{}, err
	}
	return latestOf(answer), nil
}

// Load gives one checkpoint by its id. An error with the reason
// CheckpointNotFound: there is none.
func (c *Client) Load(ctx context.Context, sessionID, checkpointID string, options ...LoadOption) (Loaded, error) {
	request := &lockstitchpb.LoadRequest{Selector: &lockstitchpb.LoadRequest_CheckpointId{CheckpointId: checkpointID}}
	return c.load(ctx, sessionID, request, options)
}

// LoadStep gives one checkpoint by its step; where several have it, the one with
// the greatest id.
func (c *Client) LoadStep(ctx context.Context, sessionID string, step uint64, options ...LoadOption) (Loaded, error) {
	request := &lockstitchpb.LoadRequest{Selector: &lockstitchpb.LoadRequest_Step{Step: step}}
	return c.load(ctx, sessionID, request, options)
}

func (c *Client) load(
	ctx context.Context, sessionID string, request *lockstitchpb.LoadRequest, options []LoadOption,
) (Loaded, error) {
	chosen := loadSettingsOf(options)
	request.SessionId, request.Namespace = sessionID, chosen.namespace
	request.View, request.Channels = chosen.view.message(), chosen.channels
	answer, err := call(ctx, c, request, unary(c.checkpoints.Load))
	if err != nil {
		return Loaded{}, err
	}
	return Loaded{
		answer.Checkpoint, answer.PendingWrites, answer.Revision, answer.CheckpointRevision, answer.TraceId,
	}, nil
}

func latestOf(answer *lockstitchpb.LoadLatestResponse) Loaded {
	return Loaded{
		answer.Checkpoint, answer.PendingWrites, answer.Revision, answer.CheckpointRevision, answer.TraceId,
	}
}

// SessionRef names a session and a namespace in it.
type SessionRef struct{ SessionID, Namespace string }

// LatestOf is the latest checkpoint of one session of many, or why it could not
// be loaded.
type LatestOf struct {
	SessionRef
	Loaded
	Err error
}

// sessionsPerCall is how many sessions LoadLatestMany asks for at a time.
const sessionsPerCall = 1000

// LoadLatestMany loads the latest checkpoints of many sessions, one answer each,
// in any order: for a fleet that restarts. What is wrong with one session is
// told in its answer. A stream that breaks off is continued. WithView and
// WithChannels may be given; the namespaces are those of sessions.
func (c *Client) LoadLatestMany(
	ctx context.Context, sessions []SessionRef, options ...LoadOption,
) iter.Seq2[LatestOf, error] {
	chosen := loadSettingsOf(options)
	return func(yield func(LatestOf, error) bool) {
		for len(sessions) > 0 {
			count := min(len(sessions), sessionsPerCall)
			if !c.loadSome(ctx, sessions[:count], chosen, yield) {
				return
			}
			sessions = sessions[count:]
		}
	}
}

// loadSome gives false when there is to be no more.
func (c *Client) loadSome(
	ctx context.Context, sessions []SessionRef, chosen loadSettings, yield func(LatestOf, error) bool,
) bool {
	var waiting []SessionRef
	for _, session := range sessions {
		if err := checkTexts(session.request(chosen)); err == nil {
			waiting = append(waiting, session)
		} else if !yield(LatestOf{SessionRef: session, Err: err}, nil) {
			return false
		}
	}
	answered := map[uint32]bool{}
	stream := resumption[*lockstitchpb.LoadLatestStreamRequest, lockstitchpb.LoadLatestStreamResponse]{
		client: c, patience: c.patience(ctx),
		open: serverStream(c.checkpoints.LoadLatestStream),
		request: func() (*lockstitchpb.LoadLatestStreamRequest, bool) {
			waiting = without(waiting, answered)
			answered = map[uint32]bool{}
			request := &lockstitchpb.LoadLatestStreamRequest{}
			for _, session := range waiting {
				request.Requests = append(request.Requests, session.request(chosen))
			}
			return request, len(waiting) > 0
		},
	}
	for answer, err := range stream.answers(ctx) {
		if err != nil {
			yield(LatestOf{}, err)
			return false
		}
		if int(answer.Index) >= len(waiting) || answered[answer.Index] {
			continue
		}
		answered[answer.Index] = true
		if !yield(latestAnswer(waiting[answer.Index], answer), nil) {
			return false
		}
	}
	return true
}

func (s SessionRef) request(chosen loadSettings) *lockstitchpb.LoadLatestRequest {
	return &lockstitchpb.LoadLatestRequest{
		SessionId: s.SessionID, Namespace: s.Namespace, View: chosen.view.message(), Channels: chosen.channels,
	}
}

func without(sessions []SessionRef, answered map[uint32]bool) (left []SessionRef) {
	for index, session := range sessions {
		if !answered[uint32(index)] {
			left = append(left, session)
		}
	}
	return left
}

func latestAnswer(session SessionRef, answer *lockstitchpb.LoadLatestStreamResponse) LatestOf {
	result := LatestOf{SessionRef: session}
	switch told := answer.Result.(type) {
	case *lockstitchpb.LoadLatestStreamResponse_Loaded:
		result.Loaded = latestOf(told.Loaded)
	case *lockstitchpb.LoadLatestStreamResponse_Error:
		result.Err = fromAnswer(told.Error)
	default:
		result.Err = noResult()
	}
	return result
}
