package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/types/known/timestamppb"

	"lockstitch.dev/go/lockstitch"
	"lockstitch.dev/go/lockstitchotel"
	"lockstitch.dev/go/lockstitchpb"
)

func (e *executor) connect(_ context.Context, args arguments) (object, error) {
	if e.client != nil {
		if err := e.client.Close(); err != nil {
			return nil, err
		}
	}
	options := []lockstitch.Option{lockstitchotel.WithPropagation(nil)}
	if args.TimeoutMS != nil {
		options = append(options, lockstitch.WithTimeout(milliseconds(args.TimeoutMS)))
	}
	if args.ConnectTimeoutMS != nil {
		options = append(options, lockstitch.WithConnectTimeout(milliseconds(args.ConnectTimeoutMS)))
	}
	if args.APIKey != nil {
		options = append(options, lockstitch.WithAPIKey(*args.APIKey))
	}
	if args.TLS != nil {
		config, err := args.TLS.config()
		if err != nil {
			return nil, err
		}
		options = append(options, lockstitch.WithTLS(config))
	}
	if args.Delta != nil && !*args.Delta {
		options = append(options, lockstitch.WithoutDelta())
	}
	if args.Retry != nil && !*args.Retry {
		options = append(options, lockstitch.WithoutRetry())
	}
	client, err := lockstitch.New(args.Target, options...)
	e.client, e.runner, e.threads = client, nil, map[string]*thread{}
	return object{}, err
}

// scope is the context of a call, with its own deadline and trace.
func scope(ctx context.Context, args arguments) (context.Context, context.CancelFunc) {
	if args.Traceparent != "" {
		carrier := propagation.MapCarrier{"traceparent": args.Traceparent}
		ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	}
	if args.TimeoutMS != nil {
		return context.WithTimeout(ctx, milliseconds(args.TimeoutMS))
	}
	return ctx, func() {}
}

func (e *executor) save(ctx context.Context, args arguments) (object, error) {
	ctx, cancel := scope(ctx, args)
	defer cancel()
	checkpoint, err := decode(args.Checkpoint, &lockstitchpb.Checkpoint{})
	if err != nil {
		return nil, err
	}
	options, err := args.saveOptions()
	if err != nil {
		return nil, err
	}
	return saved(e.client.Save(ctx, checkpoint, options...))
}

func (e *executor) saveMany(ctx context.Context, args arguments) (object, error) {
	stream := e.client.SaveStream()
	defer stream.Close()
	pending := make([]*lockstitch.PendingSave, len(args.Saves))
	for index, one := range args.Saves {
		checkpoint, err := decode(one.Checkpoint, &lockstitchpb.Checkpoint{})
		if err != nil {
			return nil, err
		}
		options, err := one.saveOptions()
		if err != nil {
			return nil, err
		}
		ctx, cancel := scope(ctx, one)
		defer cancel()
		pending[index] = stream.Begin(ctx, checkpoint, options...)
	}
	results := make([]object, len(pending))
	for index, one := range pending {
		results[index] = outcome(saved(one.Wait()))
	}
	return object{"results": results}, nil
}

func (e *executor) saveConcurrently(ctx context.Context, args arguments) (object, error) {
	results := make([]object, len(args.Saves))
	var group sync.WaitGroup
	for index, one := range args.Saves {
		group.Go(func() { results[index] = outcome(e.save(ctx, one)) })
	}
	group.Wait()
	return object{"results": results}, nil
}

func saved(answer lockstitch.Saved, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	return object{
		"checkpoint_id": answer.CheckpointID,
		"revision":      decimal(answer.Revision),
		"outcome":       answer.Outcome.String(),
		"saved_at":      nanoseconds(answer.SavedAt),
	}, nil
}

func (e *executor) saveWrites(ctx context.Context, args arguments) (object, error) {
	writes, err := decodeWrites(args.Writes)
	if err != nil {
		return nil, err
	}
	at := lockstitch.CheckpointRef{
		SessionID: args.SessionID, Namespace: args.namespace(), CheckpointID: value(args.CheckpointID),
	}
	answer, err := e.client.SaveWrites(ctx, at, writes, lockstitch.WithLease(args.LeaseToken))
	return object{"revision": decimal(answer.Revision), "stored": answer.Stored}, err
}

func (e *executor) loadLatest(ctx context.Context, args arguments) (object, error) {
	ctx, cancel := scope(ctx, args)
	defer cancel()
	return loaded(e.client.LoadLatest(ctx, args.SessionID, args.loadOptions()...))
}

func (e *executor) load(ctx context.Context, args arguments) (object, error) {
	if args.Step != nil {
		return loaded(e.client.LoadStep(ctx, args.SessionID, *args.Step, args.loadOptions()...))
	}
	return loaded(e.client.Load(ctx, args.SessionID, value(args.CheckpointID), args.loadOptions()...))
}

func loaded(answer lockstitch.Loaded, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	result := object{
		"pending_writes":      encodeAll(answer.PendingWrites),
		"revision":            decimal(answer.Revision),
		"checkpoint_revision": decimal(answer.CheckpointRevision),
		"trace_id":            answer.TraceID,
	}
	if answer.Checkpoint != nil {
		result["checkpoint"] = encode(answer.Checkpoint)
	}
	return result, nil
}

func (e *executor) loadLatestMany(ctx context.Context, args arguments) (object, error) {
	var sessions []lockstitch.SessionRef
	for _, session := range args.Sessions {
		sessions = append(sessions, lockstitch.SessionRef{SessionID: session.SessionID, Namespace: session.namespace()})
	}
	answers := []object{}
	for answer, err := range e.client.LoadLatestMany(ctx, sessions, args.loadOptions()...) {
		if err != nil {
			return nil, err
		}
		result := outcome(loaded(answer.Loaded, answer.Err))
		result["session_id"], result["namespace"] = answer.SessionID, answer.Namespace
		answers = append(answers, result)
	}
	return object{"answers": answers}, nil
}

func (e *executor) listSessions(ctx context.Context, args arguments) (object, error) {
	query := lockstitch.SessionQuery{
		IDPrefix: args.SessionIDPrefix, Labels: args.Labels, ByID: args.OrderBy == "SESSION_ID",
		UpdatedSince: when(args.UpdatedSince), UpdatedBefore: when(args.UpdatedBefore),
		PageSize: args.PageSize, PageToken: args.PageToken,
	}
	sessions := []string{}
	for session, err := range e.client.ListSessions(ctx, query) {
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, encode(summaryMessage(session)))
		if args.enough(len(sessions)) {
			break
		}
	}
	return object{"sessions": sessions}, nil
}

func (e *executor) listCheckpoints(ctx context.Context, args arguments) (object, error) {
	checkpoints := []object{}
	for listed, err := range e.client.ListCheckpoints(ctx, args.checkpointQuery()) {
		if err != nil {
			return nil, err
		}
		checkpoints = append(checkpoints, object{
			"checkpoint":     encode(listed.Checkpoint),
			"pending_writes": encodeAll(listed.PendingWrites),
			"revision":       decimal(listed.Revision),
			"state_bytes":    decimal(listed.StateBytes),
		})
		if args.enough(len(checkpoints)) {
			break
		}
	}
	return object{"checkpoints": checkpoints}, nil
}

func (e *executor) listCheckpointsPage(ctx context.Context, args arguments) (object, error) {
	page, err := e.client.ListCheckpointsPage(ctx, args.checkpointQuery())
	checkpoints, damaged := []object{}, []object{}
	for _, listed := range page.Checkpoints {
		checkpoints = append(checkpoints, object{
			"checkpoint": encode(listed.Checkpoint), "details": encode(detailsOfListed(listed)),
		})
	}
	for _, one := range page.Damaged {
		damaged = append(damaged, object{
			"checkpoint_id": one.CheckpointID, "session_id": one.SessionID, "namespace": one.Namespace,
			"error": outcome(nil, one.Err)["error"],
		})
	}
	return object{
		"checkpoints": checkpoints, "damaged": damaged, "total_size": decimal(page.Total), "next_page_token": page.Next,
	}, err
}

func detailsOfListed(listed lockstitch.ListedCheckpoint) *lockstitchpb.CheckpointDetails {
	details := &lockstitchpb.CheckpointDetails{
		Revision: listed.Revision, SavedAt: timestamppb.New(listed.SavedAt), StateBytes: listed.StateBytes,
		PendingWrites: listed.PendingWrites, TraceId: listed.TraceID,
	}
	for _, size := range listed.Channels {
		details.Channels = append(details.Channels, &lockstitchpb.ChannelSize{
			Channel: size.Channel, Bytes: size.Bytes, Fingerprint: size.Fingerprint,
		})
	}
	return details
}

func (a arguments) checkpointQuery() lockstitch.CheckpointQuery {
	return lockstitch.CheckpointQuery{
		SessionID: a.SessionID, Namespace: a.Namespace, MinStep: a.MinStep, MaxStep: a.MaxStep,
		RanNode: nodeOf(a.RanNode), SkippedNode: nodeOf(a.SkippedNode), BeforeCheckpointID: a.BeforeID,
		Metadata: a.Metadata, IncludeWrites: a.IncludeWrites, WriteChannels: a.WriteChannels,
		IncludeTotal: a.IncludeTotal, IncludeChannelSizes: a.IncludeChannelSizes, SkipDamaged: a.SkipDamaged,
		View: a.view(), Channels: a.Channels, PageSize: a.PageSize, PageToken: a.PageToken,
	}
}

func (a arguments) enough(count int) bool { return a.MaxItems != nil && count >= *a.MaxItems }

func (e *executor) walkAncestors(ctx context.Context, args arguments) (object, error) {
	query := lockstitch.AncestorQuery{
		SessionID: args.SessionID, Namespace: args.namespace(), CheckpointID: value(args.CheckpointID),
		View: args.view(), Channels: args.Channels, IncludeWrites: args.IncludeWrites,
		WriteChannels: args.WriteChannels, Limit: args.Limit,
	}
	ancestors := []object{}
	for ancestor, err := range e.client.WalkAncestors(ctx, query) {
		if err != nil {
			return nil, err
		}
		ancestors = append(ancestors, object{
			"checkpoint":     encode(ancestor.Checkpoint),
			"pending_writes": encodeAll(ancestor.PendingWrites),
			"revision":       decimal(ancestor.Revision),
		})
	}
	return object{"ancestors": ancestors}, nil
}

func (e *executor) latest(ctx context.Context, args arguments) (*lockstitchpb.Checkpoint, error) {
	answer, err := e.client.LoadLatest(ctx, args.SessionID, lockstitch.InNamespace(args.namespace()))
	if err == nil && answer.Checkpoint == nil {
		err = errors.New("there is no checkpoint")
	}
	return answer.Checkpoint, err
}

func nodeOf(name *string) *lockstitchpb.NodeKind {
	if name == nil {
		return nil
	}
	return lockstitch.Node(*name)
}

func decimal(number uint64) string { return strconv.FormatUint(number, 10) }

func nanoseconds(when time.Time) string { return strconv.FormatInt(when.UnixNano(), 10) }
