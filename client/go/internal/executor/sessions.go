package main

import (
	"context"

	"lockstitch.dev/go/lockstitch"
	"lockstitch.dev/go/lockstitchpb"
)

func (e *executor) getSession(ctx context.Context, args arguments) (object, error) {
	return session(e.client.GetSession(ctx, args.SessionID))
}

func (e *executor) updateSession(ctx context.Context, args arguments) (object, error) {
	return session(e.client.UpdateSession(ctx, args.SessionID, lockstitch.SessionUpdate{
		SetLabels: args.SetLabels, RemoveLabels: args.RemoveLabels, TTL: milliseconds(args.TTLMS),
		ClearTTL: args.ClearTTL, Retention: args.Retention.policy(), ClearRetention: args.ClearRetention,
		LeaseToken: args.LeaseToken,
	}))
}

func session(found lockstitch.SessionDetails, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	return object{"session": encode(detailsMessage(found))}, nil
}

func (r *retention) policy() *lockstitch.Retention {
	if r == nil {
		return nil
	}
	return &lockstitch.Retention{KeepLast: r.KeepLast, MaxAge: milliseconds(&r.MaxAgeMS)}
}

func (r *reference) of(sessionID string) lockstitch.CheckpointRef {
	return lockstitch.CheckpointRef{SessionID: sessionID, Namespace: r.Namespace, CheckpointID: r.CheckpointID}
}

func (e *executor) deleteSessions(ctx context.Context, args arguments) (object, error) {
	tombstone := lockstitch.ServerDefault
	if args.TombstoneMS != nil {
		tombstone = milliseconds(args.TombstoneMS)
	}
	deleted, err := e.client.DeleteSessions(ctx, tombstone, args.SessionIDs...)
	return object{"deleted": deleted}, err
}

func (e *executor) deleteCheckpoints(ctx context.Context, args arguments) (object, error) {
	var answer lockstitch.Deletion
	var err error
	if args.After != nil {
		answer, err = e.client.Rewind(ctx, args.After.of(args.SessionID), args.LeaseToken)
	} else {
		answer, err = e.client.DeleteCheckpointsWith(ctx, args.SessionID, args.Metadata, args.LeaseToken)
	}
	return object{"deleted": decimal(answer.Deleted), "revision": decimal(answer.Revision)}, err
}

func (e *executor) copySession(ctx context.Context, args arguments) (object, error) {
	options := lockstitch.CopyOptions{Labels: args.Labels, TTL: milliseconds(args.TTLMS)}
	if args.At != nil {
		at := args.At.of(args.Source)
		options.At = &at
	}
	answer, err := e.client.CopySession(ctx, args.Source, args.Target, options)
	return object{"revision": decimal(answer.Revision), "checkpoint_count": decimal(answer.CheckpointCount)}, err
}

func (e *executor) pruneSessions(ctx context.Context, args arguments) (object, error) {
	answer, err := e.client.PruneSessions(ctx, lockstitch.PruneQuery{
		SessionIDs: args.SessionIDs, Retention: args.Retention.policy(), DryRun: args.DryRun,
		PageSize: args.PageSize,
	})
	return object{
		"checkpoints": decimal(answer.Checkpoints),
		"bytes":       decimal(answer.Bytes),
		"sessions":    decimal(answer.Sessions),
	}, err
}

func (e *executor) watchSession(ctx context.Context, args arguments) (object, error) {
	options := lockstitch.WatchOptions{ResumeToken: args.ResumeToken, Heartbeat: milliseconds(args.HeartbeatMS)}
	events, token := []string{}, args.ResumeToken
	for event, err := range e.client.WatchSession(ctx, args.SessionID, options) {
		if err != nil {
			return nil, err
		}
		token = event.ResumeToken
		if event.Kind != lockstitch.EventHeartbeat {
			events = append(events, encode(eventMessage(event)))
		}
		if len(events) >= args.Count {
			break
		}
	}
	return object{"events": events, "resume_token": token}, nil
}

func (e *executor) acquireLease(ctx context.Context, args arguments) (object, error) {
	var options []lockstitch.LeaseOption
	if args.AcquisitionID != nil {
		options = append(options, lockstitch.WithAcquisitionID(*args.AcquisitionID))
	}
	return lease(e.client.AcquireLease(ctx, args.SessionID, args.Holder, milliseconds(args.TTLMS), options...))
}

func (e *executor) renewLease(ctx context.Context, args arguments) (object, error) {
	held := lockstitch.Lease{SessionID: args.SessionID, Token: args.LeaseToken}
	return lease(e.client.RenewLease(ctx, held, milliseconds(args.TTLMS)))
}

func (e *executor) releaseLease(ctx context.Context, args arguments) (object, error) {
	held := lockstitch.Lease{SessionID: args.SessionID, Token: args.LeaseToken}
	released, err := e.client.ReleaseLease(ctx, held)
	return object{"released": released}, err
}

func (e *executor) breakLease(ctx context.Context, args arguments) (object, error) {
	broken, err := e.client.BreakLease(ctx, args.SessionID, when(args.AcquiredAt))
	return object{"broken": broken}, err
}

func lease(answer lockstitch.Lease, err error) (object, error) {
	return object{
		"token": decimal(answer.Token), "holder": answer.Holder, "ttl_ms": answer.TTL.Milliseconds(),
		"acquired_at": nanoseconds(answer.AcquiredAt), "expire_at": nanoseconds(answer.ExpireAt),
	}, err
}

func (e *executor) runnerStart(ctx context.Context, args arguments) (object, error) {
	runner, err := e.client.RunSession(ctx, args.SessionID, args.Holder, milliseconds(args.TTLMS))
	if err != nil {
		return nil, err
	}
	e.runner = runner
	result := object{"token": decimal(runner.Token())}
	if runner.Latest.Checkpoint != nil {
		result["checkpoint"] = encode(runner.Latest.Checkpoint)
	}
	return result, nil
}

func (e *executor) runnerSave(ctx context.Context, args arguments) (object, error) {
	checkpoint, err := decode(args.Checkpoint, &lockstitchpb.Checkpoint{})
	if err != nil {
		return nil, err
	}
	return saved(e.runner.Save(ctx, checkpoint))
}

func (e *executor) runnerStop(context.Context, arguments) (object, error) {
	released, err := e.runner.Close()
	return object{"released": released}, err
}
