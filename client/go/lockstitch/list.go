package lockstitch

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"lockstitch.dev/go/lockstitchpb"
)

// SessionQuery says which sessions to list; what is given must all match.
type SessionQuery struct {
	// IDPrefix is how their ids begin.
	IDPrefix string
	// Labels that they have.
	Labels map[string]string
	// UpdatedSince and UpdatedBefore are when they changed last: then or later,
	// and before then. Zero: whenever.
	UpdatedSince, UpdatedBefore time.Time
	// ByID sorts by id, and misses nothing that stays. Else those come first that
	// changed last; one that changes meanwhile may come twice or not at all.
	ByID bool
	// PageSize is how many to fetch at a time, up to 1000; 0 means 50.
	PageSize int32
	// PageToken is where to go on; see ListSessionsPage.
	PageToken string
}

func (q SessionQuery) request() *lockstitchpb.ListSessionsRequest {
	request := &lockstitchpb.ListSessionsRequest{
		PageSize: q.PageSize, PageToken: q.PageToken, SessionIdPrefix: q.IDPrefix, Labels: q.Labels,
		UpdatedSince: timestamp(q.UpdatedSince), UpdatedBefore: timestamp(q.UpdatedBefore),
		OrderBy: lockstitchpb.SessionOrder_SESSION_ORDER_UPDATED_AT,
	}
	if q.ByID {
		request.OrderBy = lockstitchpb.SessionOrder_SESSION_ORDER_SESSION_ID
	}
	return request
}

// ListSessions lists sessions that have at least one checkpoint, and fetches the
// pages as you go. An error ends the list.
func (c *Client) ListSessions(
	ctx context.Context, query SessionQuery,
) iter.Seq2[SessionSummary, error] {
	return pages(query.PageToken, func(token string) ([]SessionSummary, string, error) {
		query.PageToken = token
		return c.ListSessionsPage(ctx, query)
	})
}

// ListSessionsPage gives one page, and the token of the next; "" says that the
// list is at its end.
func (c *Client) ListSessionsPage(
	ctx context.Context, query SessionQuery,
) (sessions []SessionSummary, next string, err error) {
	answer, err := call(ctx, c, query.request(), unary(c.checkpoints.ListSessions))
	if err != nil {
		return nil, "", err
	}
	for _, session := range answer.Sessions {
		sessions = append(sessions, summaryOf(session))
	}
	return sessions, answer.NextPageToken, nil
}

// CheckpointQuery says which checkpoints to list; what is given must all match.
type CheckpointQuery struct {
	// SessionID: only this session's; "" means those of all sessions.
	SessionID string
	// Namespace: only this one's. Nil means all, and "" the root.
	Namespace *string
	// MinStep and MaxStep are both included. Nil: no bound.
	MinStep, MaxStep *uint64
	// RanNode and SkippedNode are nodes that ran or were skipped.
	RanNode, SkippedNode *lockstitchpb.NodeKind
	// BeforeCheckpointID: only ids below this one; needs SessionID.
	BeforeCheckpointID string
	// Metadata entries that they have: key to JSON text, compared as JSON values.
	Metadata map[string]string
	// IncludeWrites: give pending writes, those of WriteChannels; none means all.
	IncludeWrites bool
	WriteChannels []string
	// IncludeTotal: count all that match (CheckpointPage.Total).
	IncludeTotal bool
	// IncludeChannelSizes: give the size of each channel (ListedCheckpoint.Channels),
	// which is known without reading the state.
	IncludeChannelSizes bool
	// SkipDamaged: leave out checkpoints that are damaged in the store, and name them
	// in CheckpointPage.Damaged. Else a page with one fails with DataLoss.
	SkipDamaged bool
	// View says how much of each to give.
	View View
	// Channels are the parts of the state to give, as in AncestorQuery; none means
	// all.
	Channels []string
	// PageSize is how many to fetch at a time, up to 1000; 0 means 50.
	PageSize int32
	// PageToken is where to go on; see ListCheckpointsPage.
	PageToken string
}

func (q CheckpointQuery) request() *lockstitchpb.ListCheckpointsRequest {
	return &lockstitchpb.ListCheckpointsRequest{
		PageSize: q.PageSize, PageToken: q.PageToken, SessionId: q.SessionID, Namespace: q.Namespace,
		MinStep: q.MinStep, MaxStep: q.MaxStep, RanNode: q.RanNode, SkippedNode: q.SkippedNode,
		BeforeCheckpointId: q.BeforeCheckpointID, Metadata: q.Metadata, IncludeTotal: q.IncludeTotal,
		View: q.View.message(), Channels: q.Channels, IncludeChannelSizes: q.IncludeChannelSizes,
		IncludeWrites: q.IncludeWrites, WriteChannels: q.WriteChannels, SkipDamaged: q.SkipDamaged,
	}
}

// ListedCheckpoint is a checkpoint as a list shows it.
type ListedCheckpoint struct {
	Checkpoint *lockstitchpb.Checkpoint
	// PendingWrites are given if asked for.
	PendingWrites []*lockstitchpb.PendingWrite
	// Revision is that of the session in which this content was written.
	Revision uint64
	// SavedAt is the server's time of that save.
	SavedAt time.Time
	// StateBytes is the size of the state, before compression.
	StateBytes uint64
	// TraceID is the trace of the call that wrote this content, as 32 hexadecimal
	// digits; "" where it was not traced.
	TraceID string
	// Channels are the sizes of the state's channels, if asked for.
	Channels []ChannelSize
}

func listedOf(checkpoint *lockstitchpb.Checkpoint, details *lockstitchpb.CheckpointDetails) ListedCheckpoint {
	listed := ListedCheckpoint{
		Checkpoint: checkpoint, PendingWrites: details.GetPendingWrites(), Revision: details.GetRevision(),
		SavedAt: timeOf(details.GetSavedAt()), StateBytes: details.GetStateBytes(), TraceID: details.GetTraceId(),
	}
	for _, size := range details.GetChannels() {
		listed.Channels = append(listed.Channels, ChannelSize{size.Channel, size.Bytes, size.Fingerprint})
	}
	return listed
}

// ChannelSize is the size of one channel of a state.
type ChannelSize struct {
	// Channel is "messages", "errors", "extra/<key>" or "custom/<name>".
	Channel string
	// Bytes is the size of its content, before compression.
	Bytes uint64
	// Fingerprint: equal ones of two checkpoints of a session mean equal content.
	Fingerprint []byte
}

// DamagedCheckpoint is a checkpoint that is damaged in the store.
type DamagedCheckpoint struct {
	CheckpointRef
	// Err is the error with which it fails to load: DataLoss.
	Err error
}

// CheckpointPage is one page; it may be short or empty with more to come.
type CheckpointPage struct {
	Checkpoints []ListedCheckpoint
	// Next is the token of the next page; "" says that the list is at its end.
	Next string
	// Total is how many match in all, if asked for.
	Total uint64
	// Damaged are the checkpoints that SkipDamaged left out of this page.
	Damaged []DamagedCheckpoint
}

// ListCheckpoints lists checkpoints, newest first, and fetches the pages as you
// go. An error ends the list. With SkipDamaged it leaves out damaged checkpoints;
// ListCheckpointsPage names them.
func (c *Client) ListCheckpoints(ctx context.Context, query CheckpointQuery) iter.Seq2[ListedCheckpoint, error] {
	return pages(query.PageToken, func(token string) ([]ListedCheckpoint, string, error) {
		query.PageToken = token
		page, err := c.ListCheckpointsPage(ctx, query)
		return page.Checkpoints, page.Next, err
	})
}

// ListCheckpointsPage gives one page.
func (c *Client) ListCheckpointsPage(ctx context.Context, query CheckpointQuery) (CheckpointPage, error) {
	answer, err := call(ctx, c, query.request(), unary(c.checkpoints.ListCheckpoints))
	if err != nil {
		return CheckpointPage{}, err
	}
	page := CheckpointPage{Next: answer.NextPageToken, Total: answer.GetTotalSize()}
	for index, checkpoint := range answer.Checkpoints {
		var details *lockstitchpb.CheckpointDetails
		if index < len(answer.Details) {
			details = answer.Details[index]
		}
		page.Checkpoints = append(page.Checkpoints, listedOf(checkpoint, details))
	}
	for _, damaged := range answer.Damaged {
		ref := CheckpointRef{damaged.SessionId, damaged.Namespace, damaged.CheckpointId}
		page.Damaged = append(page.Damaged, DamagedCheckpoint{ref, fromAnswer(damaged.Error)})
	}
	return page, nil
}

// pages gives the items of one page after the other.
func pages[Item any](first string, fetch func(token string) ([]Item, string, error)) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for token := first; ; {
			items, next, err := fetch(token)
			if err != nil {
				var none Item
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

// AncestorQuery says where to start, and what to give of each ancestor.
type AncestorQuery struct {
	SessionID, Namespace string
	// CheckpointID is where to start; "" is the latest.
	CheckpointID string
	View         View
	// Channels are the parts of the state to give: "messages", "errors", "extra",
	// "extra/<key>", "custom", "custom/<name>"; none means all.
	Channels []string
	// IncludeWrites: give pending writes, those of WriteChannels; none means all.
	IncludeWrites bool
	WriteChannels []string
	// Limit is how many to give at most; 0 means all.
	Limit uint32
}

// Ancestor is a checkpoint on the way back along ParentId.
type Ancestor struct {
	Checkpoint *lockstitchpb.Checkpoint
	// PendingWrites are given if asked for.
	PendingWrites []*lockstitchpb.PendingWrite
	// Revision is that of the session in which this content was written.
	Revision uint64
}

// WalkAncestors goes back along ParentId, nearest ancestor first, without the
// checkpoint itself. A stream that breaks off is continued. An error ends it.
func (c *Client) WalkAncestors(ctx context.Context, query AncestorQuery) iter.Seq2[Ancestor, error] {
	return func(yield func(Ancestor, error) bool) {
		request := &lockstitchpb.WalkAncestorsRequest{
			SessionId: query.SessionID, Namespace: query.Namespace, CheckpointId: query.CheckpointID,
			View: query.View.message(), Channels: query.Channels, IncludeWrites: query.IncludeWrites,
			WriteChannels: query.WriteChannels, Limit: query.Limit,
		}
		given := map[string]bool{}
		stream := resumption[*lockstitchpb.WalkAncestorsRequest, lockstitchpb.WalkAncestorsResponse]{
			client: c, patience: c.patience(ctx),
			open: serverStream(c.checkpoints.WalkAncestors),
			request: func() (*lockstitchpb.WalkAncestorsRequest, bool) {
				return request, query.Limit == 0 || request.Limit > 0
			},
		}
		for answer, err := range stream.answers(ctx) {
			if err != nil {
				yield(Ancestor{}, err)
				return
			}
			id := answer.GetCheckpoint().GetCheckpointId()
			if given[id] { // a circle, which a server that was asked anew cannot know of
				return
			}
			given[id], request.CheckpointId = true, id
			if query.Limit > 0 {
				request.Limit--
			}
			if !yield(Ancestor{answer.Checkpoint, answer.PendingWrites, answer.Revision}, nil) {
				return
			}
		}
	}
}

func timestamp(when time.Time) *timestamppb.Timestamp {
	if when.IsZero() {
		return nil
	}
	return timestamppb.New(when)
}
