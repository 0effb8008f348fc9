package main

import (
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"lockstitch.dev/go/lockstitch"
	"lockstitch.dev/go/lockstitchpb"
)

// The messages that hold what the client's own types do, for tests that compare it
// with that of other languages.

func summaryMessage(session lockstitch.SessionSummary) *lockstitchpb.SessionSummary {
	message := &lockstitchpb.SessionSummary{
		SessionId: session.SessionID, LatestCheckpointId: session.LatestCheckpointID, LatestStep: session.LatestStep,
		CheckpointCount: session.CheckpointCount, StoredBytes: session.StoredBytes,
		CreatedAt: timestamp(session.CreatedAt), UpdatedAt: timestamp(session.UpdatedAt),
		ExpireAt: timestamp(session.ExpireAt), Labels: session.Labels, LeaseHolder: session.LeaseHolder,
		Revision: session.Revision,
	}
	if session.Err != nil {
		told := status.Convert(session.Err)
		message.Error = &lockstitchpb.Status{Code: int32(told.Code()), Message: told.Message()}
	}
	return message
}

func detailsMessage(session lockstitch.SessionDetails) *lockstitchpb.GetSessionResponse {
	message := &lockstitchpb.GetSessionResponse{
		Session: summaryMessage(session.SessionSummary), Ttl: duration(session.TTL), Lease: leaseMessage(session.Lease),
	}
	if own := session.Retention; own != nil {
		message.Retention = &lockstitchpb.RetentionPolicy{KeepLast: own.KeepLast, MaxAge: duration(own.MaxAge)}
	}
	return message
}

func leaseMessage(lease *lockstitch.Lease) *lockstitchpb.Lease {
	if lease == nil {
		return nil
	}
	return &lockstitchpb.Lease{
		Token: lease.Token, Holder: lease.Holder,
		AcquiredAt: timestamp(lease.AcquiredAt), ExpireAt: timestamp(lease.ExpireAt),
	}
}

func eventMessage(event lockstitch.Event) *lockstitchpb.WatchSessionResponse {
	message := &lockstitchpb.WatchSessionResponse{ResumeToken: event.ResumeToken, Revision: event.Revision}
	switch event.Kind {
	case lockstitch.EventSaved:
		message.Event = &lockstitchpb.WatchSessionResponse_Saved{Saved: &lockstitchpb.CheckpointSaved{
			Namespace: event.Saved.Namespace, CheckpointId: event.Saved.CheckpointID, ParentId: event.Saved.ParentID,
			Step: event.Saved.Step, SavedAt: timestamp(event.Saved.SavedAt),
		}}
	case lockstitch.EventCheckpointsDeleted:
		message.Event = &lockstitchpb.WatchSessionResponse_CheckpointsDeleted{
			CheckpointsDeleted: &lockstitchpb.CheckpointsDeleted{},
		}
	case lockstitch.EventSessionDeleted:
		message.Event = &lockstitchpb.WatchSessionResponse_SessionDeleted{SessionDeleted: &lockstitchpb.SessionDeleted{}}
	case lockstitch.EventLeaseChanged:
		message.Event = &lockstitchpb.WatchSessionResponse_LeaseChanged{
			LeaseChanged: &lockstitchpb.LeaseChanged{Lease: leaseMessage(event.Lease)},
		}
	}
	return message
}

func timestamp(when time.Time) *timestamppb.Timestamp {
	if when.IsZero() {
		return nil
	}
	return timestamppb.New(when)
}

func duration(of time.Duration) *durationpb.Duration {
	if of == 0 {
		return nil
	}
	return durationpb.New(of)
}
