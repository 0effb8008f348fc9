package lockstitch

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"lockstitch.dev/go/lockstitchpb"
)

// GetSession gives a session with its settings. An error with the reason
// SessionNotFound: there is none.
func (c *Client) GetSession(ctx context.Context, sessionID string) (SessionDetails, error) {
	request := &lockstitchpb.GetSessionRequest{SessionId: sessionID}
	answer, err := call(ctx, c, request, unary(c.sessions.GetSession))
	if err != nil {
		return SessionDetails{}, err
	}
	return detailsOf(answer), nil
}

// SessionUpdate says what to change; what it does not name stays.
type SessionUpdate struct {
	SetLabels    map[string]string
	RemoveLabels []string
	// TTL has the session end this long after its last save; ClearTTL has it stay.
	TTL      time.Duration
	ClearTTL bool
	// Retention replaces the server's; ClearRetention goes back to that.
	Retention      *Retention
	ClearRetention bool
	LeaseToken     uint64
}

// Retention says which checkpoints stay. The latest of every namespace always
// does. 0 and less: no such rule.
type Retention struct {
	// KeepLast checkpoints of every namespace stay.
	KeepLast uint32
	// MaxAge is how old a checkpoint may get.
	MaxAge time.Duration
}

func (r *Retention) message() *lockstitchpb.RetentionPolicy {
	if r == nil {
		return nil
	}
	return &lockstitchpb.RetentionPolicy{KeepLast: r.KeepLast, MaxAge: duration(r.MaxAge)}
}

// UpdateSession changes labels, expiry or retention, and gives the session as it
// is then.
func (c *Client) UpdateSession(
	ctx context.Context, sessionID string, update SessionUpdate,
) (SessionDetails, error) {
	answer, err := call(ctx, c, &lockstitchpb.UpdateSessionRequest{
		SessionId: sessionID, SetLabels: update.SetLabels, RemoveLabels: update.RemoveLabels,
		Ttl: duration(update.TTL), ClearTtl: update.ClearTTL, Retention: update.Retention.message(),
		ClearRetention: update.ClearRetention, LeaseToken: update.LeaseToken,
	}, unary(c.sessions.UpdateSession))
	if err != nil {
		return SessionDetails{}, err
	}
	return detailsOf(answer.GetSession()), nil
}

// ServerDefault has the server decide how long something lasts.
const ServerDefault time.Duration = -1

// DeleteSessions deletes sessions with all they have, and says how many there
// were. For the time of tombstone (ServerDefault: 1 hour) they cannot be begun
// anew.
func (c *Client) DeleteSessions(
	ctx context.Context, tombstone time.Duration, sessionIDs ...string,
) (deleted uint32, err error) {
	request := &lockstitchpb.DeleteSessionsRequest{SessionIds: sessionIDs}
	if tombstone >= 0 {
		request.Tombstone = durationpb.New(tombstone)
	}
	answer, err := call(ctx, c, request, unary(c.sessions.DeleteSessions))
	return answer.GetDeleted(), err
}

// Deletion is what a deletion of checkpoints did. Revision is the session's
// since then.
type Deletion struct{ Deleted, Revision uint64 }

// Rewind deletes all that came after a checkpoint. leaseToken: 0 for none.
func (c *Client) Rewind(ctx context.Context, to CheckpointRef, leaseToken uint64) (Deletion, error) {
	return c.deleteCheckpoints(ctx, &lockstitchpb.DeleteCheckpointsRequest{
		SessionId: to.SessionID,
		Which:     &lockstitchpb.DeleteCheckpointsRequest_After{After: to.message()},

		LeaseToken: leaseToken,
	})
}

// DeleteCheckpointsWith deletes the checkpoints that have all these metadata
// entries: key to JSON text. An empty sessionID means all sessions.
func (c *Client) DeleteCheckpointsWith(
	ctx context.Context, sessionID string, metadata map[string]string, leaseToken uint64,
) (Deletion, error) {
	filter := &lockstitchpb.MetadataFilter{Entries: metadata}
	return c.deleteCheckpoints(ctx, &lockstitchpb.DeleteCheckpointsRequest{
		SessionId:  sessionID,
		Which:      &lockstitchpb.DeleteCheckpointsRequest_Metadata{Metadata: filter},
		LeaseToken: leaseToken,
	})
}

func (c *Client) deleteCheckpoints(
	ctx context.Context, request *lockstitchpb.DeleteCheckpointsRequest,
) (Deletion, error) {
	answer, err := call(ctx, c, request, unary(c.sessions.DeleteCheckpoints))
	return Deletion{answer.GetDeleted(), answer.GetRevision()}, err
}

func (r CheckpointRef) message() *lockstitchpb.CheckpointRef {
	return &lockstitchpb.CheckpointRef{Namespace: r.Namespace, CheckpointId: r.CheckpointID}
}

// CopyOptions say what of a session to copy, and what the copy has of its own.
type CopyOptions struct {
	// At: up to this checkpoint of the source. Nil: everything.
	At     *CheckpointRef
	Labels map[string]string
	// TTL as in WithTTL; 0: the copy stays.
	TTL time.Duration
}

// Copy is what was copied.
type Copy struct{ Revision, CheckpointCount uint64 }

// CopySession copies a session, or its beginning, into a new one. No payload
// leaves the database.
func (c *Client) CopySession(ctx context.Context, source, target string, options CopyOptions) (Copy, error) {
	request := &lockstitchpb.CopySessionRequest{
		SourceSessionId: source, TargetSessionId: target, Labels: options.Labels, Ttl: duration(options.TTL),
	}
	if options.At != nil {
		request.At = options.At.message()
	}
	answer, err := call(ctx, c, request, unary(c.sessions.CopySession))
	return Copy{answer.GetRevision(), answer.GetCheckpointCount()}, err
}

// PruneQuery says which checkpoints to delete.
type PruneQuery struct {
	// SessionIDs: only these. None means all.
	SessionIDs []string
	// Retention says what stays. Nil: what each session's own says, else the
	// server's.
	Retention *Retention
	// DryRun: only tell what would go.
	DryRun bool
	// PageSize is how many sessions to visit in a call, up to 1000, if none are
	// named; 0 means 50.
	PageSize int32
}

// Pruned is what is gone, or would be.
type Pruned struct{ Checkpoints, Bytes, Sessions uint64 }

// PruneSessions deletes old checkpoints, page after page.
func (c *Client) PruneSessions(ctx context.Context, query PruneQuery) (Pruned, error) {
	var sum Pruned
	request := &lockstitchpb.PruneSessionsRequest{
		SessionIds: query.SessionIDs, Retention: query.Retention.message(), DryRun: query.DryRun,
		PageSize: query.PageSize,
	}
	for {
		answer, err := call(ctx, c, request, unary(c.sessions.PruneSessions))
		if err != nil {
			return sum, err
		}
		sum.Checkpoints += answer.Checkpoints
		sum.Bytes += answer.Bytes
		sum.Sessions += answer.Sessions
		if request.PageToken = answer.NextPageToken; request.PageToken == "" {
			return sum, nil
		}
	}
}

// WatchOptions say where to begin.
type WatchOptions struct {
	// ResumeToken is the last one that was given; "": only what happens from now on.
	ResumeToken string
	// Heartbeat is how often the server says that nothing has happened; 0 means
	// DefaultHeartbeat.
	Heartbeat time.Duration
}

// DefaultHeartbeat is how often the server of a watch says that nothing has
// happened.
const DefaultHeartbeat = 10 * time.Second

// WatchSession follows a session until the context ends: each event once, in
// order, heartbeats included. Where a stream breaks off, or brings nothing for
// three heartbeats and for the client's timeout, another goes on after the last
// event; a watch fails if that brings nothing either. With the reason ResumeTooOld,
// load the session again and watch without a token.
//
//	for event, err := range client.WatchSession(ctx, "order-4711", lockstitch.WatchOptions{}) {
//		if err != nil {
//			return err
//		}
//		if event.Kind == lockstitch.EventSaved {
//			fmt.Println("step", event.Saved.Step, "at", event.Saved.SavedAt)
//		}
//	}
func (c *Client) WatchSession(
	ctx context.Context, sessionID string, options WatchOptions,
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		heartbeat := options.Heartbeat
		if heartbeat <= 0 {
			heartbeat = DefaultHeartbeat
		}
		request := &lockstitchpb.WatchSessionRequest{
			SessionId: sessionID, ResumeToken: options.ResumeToken, Heartbeat: duration(heartbeat),
		}
		stream := resumption[*lockstitchpb.WatchSessionRequest, lockstitchpb.WatchSessionResponse]{
			client: c, patience: max(c.settings.timeout, 3*heartbeat), endless: true,
			open:    serverStream(c.sessions.WatchSession),
			request: func() (*lockstitchpb.WatchSessionRequest, bool) { return request, true },
		}
		for answer, err := range stream.answers(ctx) {
			if err != nil {
				yield(Event{}, err)
				return
			}
			request.ResumeToken = answer.ResumeToken
			if !yield(eventOf(sessionID, answer), nil) {
				return
			}
		}
	}
}

func duration(of time.Duration) *durationpb.Duration {
	if of <= 0 {
		return nil
	}
	return durationpb.New(of)
}
