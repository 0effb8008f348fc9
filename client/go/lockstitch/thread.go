package lockstitch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"strings"
	"time"

	"lockstitch.dev/go/lockstitchpb"
)

// A Thread is a session that holds one plain state: a struct or a map that
// encoding/json can write.
//
//	thread := lockstitch.NewThread[Order](client, "order-42")
//	order, err := thread.Load(ctx)
//	...
//	order.Messages = append(order.Messages, Message{"user", "hello"})
//	saved, err := thread.Save(ctx, order)
//
// Every save adds a version. It succeeds only if nobody else has saved since this
// object loaded or saved last; else it fails with ExpectedLatestMismatch. Slices
// are stored item by item, and maps and structs key by key, so a save stores what
// changed. Programs in all languages share threads.
//
// Data that would be lost or changed, such as NaN, text that is not UTF-8 or a
// stored key that T does not have, is refused with a *StateError. One goroutine at
// a time may use a Thread.
type Thread[T any] struct {
	client *Client
	id     string
	step   uint64
	latest string // id of the checkpoint that was loaded or saved last; "": none
	// revision is that of the session in which its content was written.
	revision uint64
	writer   *saveIDs
	state    *lockstitchpb.VersionedState
	loaded   bool
	lease    *Runner
}

// NewThread is the thread of plain state in a session, whether it has any or not.
// It makes no call.
func NewThread[T any](client *Client, sessionID string) *Thread[T] {
	return &Thread[T]{client: client, id: sessionID, writer: newSaveIDs()}
}

// Thread is NewThread for maps. Load returns the numbers in them as json.Number,
// with all digits.
func (c *Client) Thread(sessionID string) *Thread[map[string]any] {
	return NewThread[map[string]any](c, sessionID)
}

// ID is that of the session.
func (t *Thread[T]) ID() string { return t.id }

// Step is that of the state which this object loaded or saved last; 0: none.
func (t *Thread[T]) Step() uint64 { return t.step }

// Load returns the latest state. Without one it returns an empty T, and Step is 0.
func (t *Thread[T]) Load(ctx context.Context) (T, error) {
	found, err := t.client.LoadLatest(ctx, t.id)
	if err != nil {
		var none T
		return none, err
	}
	if found.Checkpoint == nil {
		t.step, t.latest, t.revision, t.state, t.loaded = 0, "", 0, nil, true
		return emptyState[T](), nil
	}
	state, err := decodeState[T](found.Checkpoint)
	if err != nil {
		return state, err
	}
	t.client.remember(found)
	t.step, t.latest, t.state = found.Checkpoint.Step, found.Checkpoint.CheckpointId, found.Checkpoint.State
	t.revision, t.loaded = found.CheckpointRevision, true
	return state, nil
}

// Save stores a state as the next version. When it returns without an error, the
// state is durable. WithTTL and WithMetadata may be given.
//
// After an error that leaves open whether the state was stored, such as
// context.DeadlineExceeded, save the same state again.
func (t *Thread[T]) Save(ctx context.Context, state T, options ...SaveOption) (Saved, error) {
	written, err := writeState(state, t.state)
	if err != nil {
		return Saved{}, err
	}
	return t.put(ctx, written, options)
}

// Append adds items to a list of the latest state, by its key in JSON, and saves
// that as the next version. It loads the state first if this object has not. A key
// that is not there begins with no items; a *StateError says that it holds no list.
//
//	saved, err := thread.Append(ctx, "messages", Message{"user", "hello"})
func (t *Thread[T]) Append(ctx context.Context, key string, items ...any) (Saved, error) {
	// Once: an append that is repeated must not find what it has stored.
	if t.step == 0 && !t.loaded {
		if _, err := t.Load(ctx); err != nil {
			return Saved{}, err
		}
	}
	grown, err := appendToState(t.state, key, items)
	if err != nil {
		return Saved{}, err
	}
	return t.put(ctx, grown, nil)
}

// At returns the state of an earlier step. An error with the reason
// CheckpointNotFound: there is none.
func (t *Thread[T]) At(ctx context.Context, step uint64) (T, error) {
	found, err := t.client.LoadStep(ctx, t.id, step)
	if err != nil {
		var none T
		return none, err
	}
	return decodeState[T](found.Checkpoint)
}

// Version is one saved state of a thread. Thread.At loads it.
type Version struct {
	// Step is 1 for the first save, and 1 more for each that follows.
	Step uint64
	// SavedAt is the server's time of the save.
	SavedAt time.Time
	// StateBytes is the size of the state.
	StateBytes uint64
	Metadata   map[string]string
}

// History lists the versions, newest first, without their states. An error ends
// it.
func (t *Thread[T]) History(ctx context.Context) iter.Seq2[Version, error] {
	root := ""
	query := CheckpointQuery{SessionID: t.id, Namespace: &root, View: Header}
	return func(yield func(Version, error) bool) {
		for listed, err := range t.client.ListCheckpoints(ctx, query) {
			found := listed.Checkpoint
			version := Version{found.GetStep(), listed.SavedAt, listed.StateBytes, found.GetMetadata()}
			if !yield(version, err) {
				return
			}
		}
	}
}

// Fork copies the thread into a new one, and loads that. An error with the reason
// SessionAlreadyExists: there is such a session.
func (t *Thread[T]) Fork(ctx context.Context, sessionID string) (*Thread[T], error) {
	return t.fork(ctx, sessionID, CopyOptions{})
}

// ForkAt is Fork, up to a step.
func (t *Thread[T]) ForkAt(ctx context.Context, sessionID string, step uint64) (*Thread[T], error) {
	return t.fork(ctx, sessionID, CopyOptions{At: &CheckpointRef{CheckpointID: idOfStep(step)}})
}

func (t *Thread[T]) fork(ctx context.Context, sessionID string, options CopyOptions) (*Thread[T], error) {
	if _, err := t.client.CopySession(ctx, t.id, sessionID, options); err != nil {
		return nil, err
	}
	other := NewThread[T](t.client, sessionID)
	_, err := other.Load(ctx)
	return other, err
}

// Rewind deletes all that came after a step, and loads that.
func (t *Thread[T]) Rewind(ctx context.Context, step uint64) (T, error) {
	var token uint64
	if t.held() {
		token = t.lease.Token()
	}
	to := CheckpointRef{SessionID: t.id, CheckpointID: idOfStep(step)}
	if _, err := t.client.Rewind(ctx, to, token); err != nil {
		var none T
		return none, err
	}
	return t.Load(ctx)
}

// Lease acquires the lease of the session: until it is closed, saves of others
// fail, and this object saves under it. It is renewed in the background. Load after
// it, under its Context, which ends when the lease is lost. ttl is how long the
// lease outlives this process; wait is how long to wait while another holds it, and
// an error with the reason LeaseHeld says that it still did.
//
//	lease, err := thread.Lease(ctx, 30*time.Second, 10*time.Second)
//	...
//	defer lease.Close()
func (t *Thread[T]) Lease(ctx context.Context, ttl, wait time.Duration) (*Runner, error) {
	runner, err := t.client.waitAndHold(ctx, t.id, "", ttl, wait)
	if err == nil {
		t.lease = runner
	}
	return runner, err
}

func (t *Thread[T]) held() bool { return t.lease != nil && !t.lease.closed.Load() }

func (t *Thread[T]) put(
	ctx context.Context, state *lockstitchpb.VersionedState, options []SaveOption,
) (Saved, error) {
	checkpoint := &lockstitchpb.Checkpoint{
		SessionId: t.id, Step: t.step + 1, State: state, Header: plainHeader(),
	}
	expected := ExpectNone()
	if t.step > 0 {
		checkpoint.ParentId = t.latest
		expected = ExpectRevision(t.latest, t.revision)
	}
	save := t.client.saveAs
	if t.held() {
		save = t.lease.saveAs
	}
	saved, err := save(ctx, t.writer, checkpoint, append(options[:len(options):len(options)], expected))
	if err != nil {
		return Saved{}, err
	}
	t.step, t.latest, t.revision, t.state = checkpoint.Step, saved.CheckpointID, saved.Revision, state
	return saved, nil
}

func decodeState[T any](checkpoint *lockstitchpb.Checkpoint) (T, error) {
	state := emptyState[T]()
	values, raw, err := readState(checkpoint)
	if err != nil {
		return state, err
	}
	if free, ok := any(&state).(*map[string]any); ok {
		*free = values
		return state, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&state); err != nil {
		return state, misfit(err)
	}
	text, err := JSONText(state)
	if err != nil {
		return state, misfit(err)
	}
	again, err := parseJSON([]byte(text), nil)
	if err != nil {
		return state, err
	}
	return state, keptChecker{reflect.TypeFor[T]()}.check(values, again, nil)
}

// misfit says where a state does not fit its type.
func misfit(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		at := statePath{}
		for _, key := range strings.Split(wrong.Field, ".") {
			at = at.in(key)
		}
		return at.refuse("is stored as %s, which %v cannot hold", wrong.Value, wrong.Type)
	}
	return statePath(nil).refuse("does not fit its type: %v", err)
}

// emptyState is a zero T, or a map that can be written to.
func emptyState[T any]() T {
	var state T
	if kind := reflect.TypeFor[T](); kind.Kind() == reflect.Map {
		reflect.ValueOf(&state).Elem().Set(reflect.MakeMap(kind))
	}
	return state
}

// remember has the next save of a session send what changed since a checkpoint that
// was loaded.
func (c *Client) remember(loaded Loaded) {
	found := loaded.Checkpoint
	if c.memory == nil || loaded.CheckpointRevision == 0 || found.GetState() == nil {
		return
	}
	if taken, _, ok := snapshotOf(found.State, snapshot{}); ok {
		key := sessionKey{found.SessionId, found.Namespace}
		c.memory.put(key, base{found.CheckpointId, loaded.CheckpointRevision, taken})
	}
}
