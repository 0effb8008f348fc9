package lockstitch

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"lockstitch.dev/go/lockstitchpb"
)

func TestARunnerHoldsASession(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	mustSave(t, client, conversation(t.Name(), 0))
	runner, err := client.RunSession(context.Background(), t.Name(), "a", time.Minute)
	if err != nil || runner.Latest.Checkpoint.GetStep() != 0 || runner.Err() != nil {
		t.Fatal(runner, err)
	}
	if _, err := client.Save(context.Background(), conversation(t.Name(), 1)); !errors.Is(err, LeaseLost) {
		t.Fatal(err)
	}
	if _, err := runner.Save(context.Background(), conversation(t.Name(), 1)); err != nil {
		t.Fatal(err)
	}
	var failure *Error
	_, err = client.AcquireLease(context.Background(), t.Name(), "b", time.Minute)
	if !errors.Is(err, LeaseHeld) || !errors.As(err, &failure) || failure.Holder() != "a" {
		t.Fatal(err)
	}
	if released, err := runner.Close(); err != nil || !released {
		t.Fatal(released, err)
	}
	if released, err := runner.Close(); err != nil || released {
		t.Fatal(released, err)
	}
	if _, err := runner.Save(context.Background(), conversation(t.Name(), 2)); err == nil {
		t.Fatal("a closed runner saves")
	}
}

func TestARunnerThatLosesItsLeaseIsStopped(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	runner, err := client.RunSession(context.Background(), t.Name(), "a", 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	lease := Lease{SessionID: t.Name(), Token: runner.Token()}
	if _, err := client.ReleaseLease(context.Background(), lease); err != nil {
		t.Fatal(err)
	}
	select {
	case <-runner.Context().Done():
	case <-time.After(wait):
		t.Fatal("nobody has told it")
	}
	if !errors.Is(runner.Err(), LeaseLost) || !errors.Is(context.Cause(runner.Context()), LeaseLost) {
		t.Fatal(runner.Err())
	}
	if _, err := runner.Save(context.Background(), conversation(t.Name(), 1)); !errors.Is(err, LeaseLost) {
		t.Fatal(err)
	}
	_, _ = runner.Close()
}

func TestARunnerWaitsAndSavesWrites(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	mustSave(t, client, conversation(t.Name(), 0))
	first, err := client.RunSession(ctx, t.Name(), "", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.RunSession(ctx, t.Name(), "", time.Minute); !errors.Is(err, LeaseHeld) {
		t.Fatal(err)
	}
	acquired := make(chan *Runner, 1)
	go func() {
		second, err := client.RunSession(ctx, t.Name(), "", time.Minute, WaitForLease(wait), WithView(Header))
		if err != nil {
			t.Error(err)
		}
		acquired <- second
	}()
	at := CheckpointRef{CheckpointID: first.Latest.Checkpoint.CheckpointId}
	writes := []*lockstitchpb.PendingWrite{{TaskId: "t", Channel: "answer"}}
	if saved, err := first.SaveWrites(ctx, at, writes); err != nil || saved.Stored != 1 {
		t.Fatal(saved, err)
	}
	if _, err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := <-acquired
	if second == nil {
		return
	}
	if len(second.Latest.PendingWrites) != 1 || second.Latest.Checkpoint.State != nil {
		t.Fatal(second.Latest)
	}
	lease := Lease{SessionID: t.Name(), Token: second.Token()}
	if _, err := client.ReleaseLease(ctx, lease); err != nil {
		t.Fatal(err)
	}
	writes[0].TaskId = "other"
	if _, err := second.SaveWrites(ctx, at, writes); !errors.Is(err, LeaseLost) || second.Err() == nil {
		t.Fatal(err)
	}
	if released, err := second.Close(); err != nil || released {
		t.Fatal(released, err)
	}
}

// TestAWatchOfAnIdleSessionOutlivesTheTimeoutOfCalls waits for the first sign of
// life, which comes after DefaultHeartbeat.
func TestAWatchOfAnIdleSessionOutlivesTheTimeoutOfCalls(t *testing.T) {
	t.Parallel()
	client := newClient(t, sharedServer(t).target, WithTimeout(time.Second))
	for event, err := range client.WatchSession(context.Background(), t.Name(), WatchOptions{}) {
		if err != nil || event.Kind != EventHeartbeat {
			t.Fatal(event, err)
		}
		break
	}
}

func TestAWatchOnASilentConnectionGoesOnOverAnother(t *testing.T) {
	t.Parallel()
	proxy := startSwallowingProxy(t, sharedServer(t).target)
	client := newClient(t, proxy.target, WithTimeout(time.Second))
	options := WatchOptions{Heartbeat: time.Second}
	ctx, cancel := context.WithTimeout(context.Background(), wait) // a deadline does not hide the silence
	defer cancel()
	swallowed := false
	for event, err := range client.WatchSession(ctx, t.Name(), options) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Kind == EventSaved {
			return
		}
		if !swallowed {
			proxy.swallow()
			swallowed = true
			mustSave(t, newClient(t, sharedServer(t).target), conversation(t.Name(), 1))
		}
	}
	t.Fatal("the watch ended")
}

func TestAWatchGoesOnOverARestart(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	client := newClient(t, s.target, WithTimeout(wait))
	events := make(chan *SavedCheckpoint, 10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begun := make(chan struct{})
	watching := begun
	go func() {
		defer close(events)
		for event, err := range client.WatchSession(ctx, t.Name(), WatchOptions{Heartbeat: time.Second}) {
			if err != nil {
				return
			}
			if saved := event.Saved; saved != nil {
				events <- saved
			} else if watching != nil {
				close(watching)
				watching = nil
			}
		}
	}()
	<-begun
	for step := range uint64(2) {
		mustSave(t, client, conversation(t.Name(), step))
		if saved := <-events; saved == nil || saved.Step != step {
			t.Fatal(saved)
		}
		if step == 0 {
			s.kill()
			s.start()
		}
	}
}

// TestWhatASessionIsToldOf compares all fields of a session, and its events.
func TestWhatASessionIsToldOf(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	begun := time.Now().Add(-time.Hour) // the server's clock is that of this machine
	saved := mustSave(t, client, conversation(t.Name(), 7), WithTTL(time.Hour))
	update := SessionUpdate{
		SetLabels: map[string]string{"team": "parcels"}, Retention: &Retention{KeepLast: 3, MaxAge: time.Minute},
	}
	if _, err := client.UpdateSession(ctx, t.Name(), update); err != nil {
		t.Fatal(err)
	}
	lease, err := client.AcquireLease(ctx, t.Name(), "a", time.Minute)
	if err != nil || lease.Token == 0 || lease.ExpireAt.Sub(lease.AcquiredAt) != time.Minute {
		t.Fatal(lease, err)
	}
	found, err := client.GetSession(ctx, t.Name())
	if err != nil || found.TTL != time.Hour || *found.Retention != *update.Retention {
		t.Fatal(found, err)
	}
	if told := found.Lease; told.Holder != "a" || told.Token != 0 || !told.ExpireAt.Equal(lease.ExpireAt) {
		t.Fatal(told)
	}
	expected := SessionSummary{
		SessionID: t.Name(), LatestCheckpointID: idOfStep(7), LatestStep: 7, CheckpointCount: 1,
		StoredBytes: found.StoredBytes, CreatedAt: saved.SavedAt, UpdatedAt: found.UpdatedAt, ExpireAt: found.ExpireAt,
		Labels: update.SetLabels, LeaseHolder: "a", Revision: found.Revision,
	}
	if !reflect.DeepEqual(found.SessionSummary, expected) || found.StoredBytes == 0 || found.Revision <= saved.Revision {
		t.Fatal(found.SessionSummary, expected)
	}
	if found.UpdatedAt.Before(found.CreatedAt) || found.ExpireAt.Before(begun.Add(time.Hour)) {
		t.Fatal(found)
	}
	for summary, err := range client.ListSessions(ctx, SessionQuery{IDPrefix: t.Name()}) {
		if err != nil || !reflect.DeepEqual(summary, expected) {
			t.Fatal(summary, err)
		}
	}
}

func TestTheEventsOfASession(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	var kinds []EventKind
	for event, err := range client.WatchSession(ctx, t.Name(), WatchOptions{}) {
		if err != nil || event.ResumeToken == "" {
			t.Fatal(event, err)
		}
		kinds = append(kinds, event.Kind)
		switch {
		case event.Kind == EventHeartbeat:
			mustSave(t, client, conversation(t.Name(), 1))
		case event.Kind == EventSaved && event.Saved.Step == 1:
			if at := event.Saved.CheckpointRef; at != (CheckpointRef{t.Name(), "", idOfStep(1)}) || event.Saved.SavedAt.IsZero() {
				t.Fatal(event.Saved)
			}
			next := conversation(t.Name(), 2)
			next.ParentId = idOfStep(1)
			mustSave(t, client, next)
		case event.Kind == EventSaved:
			if event.Saved.ParentID != idOfStep(1) {
				t.Fatal(event.Saved)
			}
			_, err = client.Rewind(ctx, CheckpointRef{SessionID: t.Name(), CheckpointID: idOfStep(1)}, 0)
		case event.Kind == EventCheckpointsDeleted:
			_, err = client.AcquireLease(ctx, t.Name(), "a", time.Minute)
		case event.Kind == EventLeaseChanged:
			if event.Lease == nil || event.Lease.Holder != "a" || event.Lease.ExpireAt.IsZero() {
				t.Fatal(event.Lease)
			}
			_, err = client.DeleteSessions(ctx, 0, t.Name())
		}
		if err != nil {
			t.Fatal(err)
		}
		if event.Kind == EventSessionDeleted {
			break
		}
	}
	expected := "[HEARTBEAT SAVED SAVED CHECKPOINTS_DELETED LEASE_CHANGED SESSION_DELETED]"
	if fmt.Sprint(kinds) != expected {
		t.Fatal(kinds)
	}
}
