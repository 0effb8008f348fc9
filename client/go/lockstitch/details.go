package lockstitch

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"lockstitch.dev/go/lockstitchpb"
)

// SessionSummary is a session as a list shows it.
type SessionSummary struct {
	SessionID string
	// LatestCheckpointID is that of the root namespace; "" if only subgraphs have
	// saved.
	LatestCheckpointID string
	// LatestStep is the step of that checkpoint.
	LatestStep uint64
	// CheckpointCount counts those of all namespaces.
	CheckpointCount uint64
	// StoredBytes is the session's size in the store, without the database's overhead.
	StoredBytes uint64
	// CreatedAt is the time of the first save, UpdatedAt that of the last change.
	CreatedAt, UpdatedAt time.Time
	// ExpireAt is when the session expires unless it is saved again; zero: never.
	ExpireAt time.Time
	Labels   map[string]string
	// LeaseHolder is who holds the session's lease; "" if nobody does.
	LeaseHolder string
	// Revision grows with every change.
	Revision uint64
	// Err says that the session is damaged in the store (DataLoss). Then no other
	// field can be trusted.
	Err error
}

func summaryOf(from *lockstitchpb.SessionSummary) SessionSummary {
	summary := SessionSummary{
		SessionID:          from.GetSessionId(),
		LatestCheckpointID: from.GetLatestCheckpointId(),
		LatestStep:         from.GetLatestStep(),
		CheckpointCount:    from.GetCheckpointCount(),
		StoredBytes:        from.GetStoredBytes(),
		CreatedAt:          timeOf(from.GetCreatedAt()),
		UpdatedAt:          timeOf(from.GetUpdatedAt()),
		ExpireAt:           timeOf(from.GetExpireAt()),
		Labels:             from.GetLabels(),
		LeaseHolder:        from.GetLeaseHolder(),
		Revision:           from.GetRevision(),
	}
	if from.GetError() != nil {
		summary.Err = fromAnswer(from.Error)
	}
	return summary
}

// SessionDetails is a session with its settings.
type SessionDetails struct {
	SessionSummary
	// TTL is how long the session lasts after its last save; 0: it does not expire.
	TTL time.Duration
	// Retention is the session's own; nil: the server's applies.
	Retention *Retention
	// Lease is the live one, without its token; nil: there is none.
	Lease *Lease
}

func detailsOf(from *lockstitchpb.GetSessionResponse) SessionDetails {
	details := SessionDetails{SessionSummary: summaryOf(from.GetSession()), TTL: from.GetTtl().AsDuration()}
	if own := from.GetRetention(); own != nil {
		details.Retention = &Retention{KeepLast: own.KeepLast, MaxAge: own.MaxAge.AsDuration()}
	}
	details.Lease = leaseOf(details.SessionID, from.GetLease())
	return details
}

// leaseOf is a lease of a response; nil: there is none.
func leaseOf(sessionID string, from *lockstitchpb.Lease) *Lease {
	if from == nil {
		return nil
	}
	return &Lease{
		SessionID: sessionID, Token: from.Token, Holder: from.Holder,
		AcquiredAt: timeOf(from.AcquiredAt), ExpireAt: timeOf(from.ExpireAt),
	}
}

// EventKind is the kind of an Event.
type EventKind int

// What happens to sessions.
const (
	EventUnknown            EventKind = iota // the server is newer than this package
	EventHeartbeat                           // nothing has happened; the watch is alive
	EventSaved                               // a checkpoint was saved: Event.Saved
	EventCheckpointsDeleted                  // by a rewind, by metadata or by retention
	EventSessionDeleted                      // or expired
	EventLeaseChanged                        // acquired, released or expired: Event.Lease
)

func (k EventKind) String() string {
	switch k {
	case EventHeartbeat:
		return "HEARTBEAT"
	case EventSaved:
		return "SAVED"
	case EventCheckpointsDeleted:
		return "CHECKPOINTS_DELETED"
	case EventSessionDeleted:
		return "SESSION_DELETED"
	case EventLeaseChanged:
		return "LEASE_CHANGED"
	}
	return "UNKNOWN"
}

// Event is what has happened to a session.
type Event struct {
	Kind EventKind
	// ResumeToken has another watch go on after this event: WatchOptions.ResumeToken.
	ResumeToken string
	// Revision is the session's of this event, and the last known one in a heartbeat.
	Revision uint64
	// Saved is the checkpoint of an EventSaved, else nil.
	Saved *SavedCheckpoint
	// Lease is the live one of an EventLeaseChanged, without its token; nil: there is
	// none now.
	Lease *Lease
}

// SavedCheckpoint names a checkpoint that was saved: a new one, or a replacement.
type SavedCheckpoint struct {
	CheckpointRef
	ParentID string
	Step     uint64
	// SavedAt is the database's time of the save.
	SavedAt time.Time
}

func eventOf(sessionID string, from *lockstitchpb.WatchSessionResponse) Event {
	event := Event{ResumeToken: from.ResumeToken, Revision: from.Revision}
	switch told := from.Event.(type) {
	case *lockstitchpb.WatchSessionResponse_Heartbeat:
		event.Kind = EventHeartbeat
	case *lockstitchpb.WatchSessionResponse_Saved:
		event.Kind = EventSaved
		event.Saved = &SavedCheckpoint{
			CheckpointRef: CheckpointRef{sessionID, told.Saved.Namespace, told.Saved.CheckpointId},
			ParentID:      told.Saved.ParentId, Step: told.Saved.Step, SavedAt: timeOf(told.Saved.SavedAt),
		}
	case *lockstitchpb.WatchSessionResponse_CheckpointsDeleted:
		event.Kind = EventCheckpointsDeleted
	case *lockstitchpb.WatchSessionResponse_SessionDeleted:
		event.Kind = EventSessionDeleted
	case *lockstitchpb.WatchSessionResponse_LeaseChanged:
		event.Kind, event.Lease = EventLeaseChanged, leaseOf(sessionID, told.LeaseChanged.Lease)
	}
	return event
}

// timeOf is zero where there is no time.
func timeOf(when *timestamppb.Timestamp) time.Time {
	if when == nil {
		return time.Time{}
	}
	return when.AsTime()
}
