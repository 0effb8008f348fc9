package lockstitch

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstitch.dev/go/lockstitchpb"
)

func TestAThreadSavesAndResumes(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	thread := NewThread[order](client, t.Name())
	state, err := thread.Load(ctx)
	if err != nil || thread.Step() != 0 {
		t.Fatal(err)
	}
	state.Messages, state.Cart = append(state.Messages, said{"user", "hello"}), cart{[]string{}, "XL"}
	if _, err := thread.Save(ctx, state, WithMetadata(map[string]string{"by": `"go"`})); err != nil {
		t.Fatal(err)
	}
	if _, err := thread.Append(ctx, "messages", said{"assistant", "hi"}); err != nil {
		t.Fatal(err)
	}
	resumed := NewThread[order](newClient(t, client.connection.Target()), t.Name())
	state.Messages = append(state.Messages, said{"assistant", "hi"})
	if back, err := resumed.Load(ctx); err != nil || !reflect.DeepEqual(back, state) || resumed.Step() != 2 {
		t.Fatal(back, err)
	}
	var steps []uint64
	for version, err := range thread.History(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, version.Step)
		if version.Step == 1 && version.Metadata["by"] != `"go"` {
			t.Fatal(version)
		}
	}
	if !reflect.DeepEqual(steps, []uint64{2, 1}) {
		t.Fatal(steps)
	}
}

func TestNobodyOverwritesWhatAnotherHasSaved(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	one, other := client.Thread(t.Name()), client.Thread(t.Name())
	save := func(thread *Thread[map[string]any], turn string) error {
		_, err := thread.Save(ctx, map[string]any{"turn": turn})
		return err
	}
	if err := save(one, "1"); err != nil {
		t.Fatal(err)
	}
	if err := save(other, "never loaded"); !errors.Is(err, ExpectedLatestMismatch) {
		t.Fatal(err)
	}
	if err := save(other, "1"); !errors.Is(err, ExpectedLatestMismatch) { // equal, but not the same save
		t.Fatal(err)
	}
	if _, err := other.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if err := save(other, "2"); err != nil {
		t.Fatal(err)
	}
	if err := save(one, "late"); !errors.Is(err, ExpectedLatestMismatch) {
		t.Fatal(err)
	}
	if state, err := one.Load(ctx); err != nil || state["turn"] != "2" {
		t.Fatal(state, err)
	}
}

func TestTwoThatAppendLoseNothing(t *testing.T) {
	target, ctx := sharedServer(t).target, context.Background()
	var workers sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		client := newClient(t, target)
		workers.Go(func() {
			thread := client.Thread(t.Name())
			for number := 0; number < 20; {
				_, err := thread.Append(ctx, "log", []any{name, number})
				if errors.Is(err, ExpectedLatestMismatch) {
					_, err = thread.Load(ctx)
				} else {
					number++
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	state, err := NewThread[struct {
		Log [][2]any `json:"log"`
	}](newClient(t, target), t.Name()).Load(ctx)
	if err != nil || len(state.Log) != 40 {
		t.Fatal(state, err)
	}
}

func TestForksAndEarlierSteps(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	thread := NewThread[map[string]int](client, t.Name())
	for turn := 1; turn <= 3; turn++ {
		if _, err := thread.Save(ctx, map[string]int{"turn": turn}); err != nil {
			t.Fatal(err)
		}
	}
	fork, err := thread.ForkAt(ctx, t.Name()+"-fork", 2)
	if err != nil || fork.Step() != 2 {
		t.Fatal(err)
	}
	if _, err := fork.Save(ctx, map[string]int{"turn": 7}); err != nil {
		t.Fatal(err)
	}
	if latest, err := thread.Fork(ctx, t.Name()+"-latest"); err != nil || latest.Step() != 3 {
		t.Fatal(err)
	}
	if _, err := thread.Fork(ctx, t.Name()+"-fork"); !errors.Is(err, SessionAlreadyExists) {
		t.Fatal(err)
	}
	if state, err := thread.At(ctx, 2); err != nil || state["turn"] != 2 {
		t.Fatal(state, err)
	}
	if _, err := thread.At(ctx, 9); !errors.Is(err, CheckpointNotFound) {
		t.Fatal(err)
	}
	if state, err := thread.Rewind(ctx, 1); err != nil || state["turn"] != 1 || thread.Step() != 1 {
		t.Fatal(state, err)
	}
}

func TestALeaseKeepsOthersOut(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	thread, other := client.Thread(t.Name()), client.Thread(t.Name())
	lease, err := thread.Lease(ctx, time.Minute, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range []any{1, 2} {
		if _, err := thread.Append(lease.Context(), "log", item); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := thread.Rewind(lease.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Append(ctx, "log", "late"); !errors.Is(err, LeaseLost) {
		t.Fatal(err)
	}
	if _, err := other.Lease(ctx, time.Minute, 0); !errors.Is(err, LeaseHeld) {
		t.Fatal(err)
	}
	acquired := make(chan error)
	go func() {
		next, err := other.Lease(ctx, time.Minute, wait)
		if err == nil {
			_, err = next.Close()
		}
		acquired <- err
	}()
	if released, err := lease.Close(); err != nil || !released {
		t.Fatal(released, err)
	}
	if err := <-acquired; err != nil {
		t.Fatal(err)
	}
	if _, err := thread.Append(ctx, "log", "without a lease"); err != nil {
		t.Fatal(err)
	}
}

func TestAppendingStoresAndSendsWhatIsAppended(t *testing.T) {
	target, ctx := sharedServer(t).target, context.Background()
	entry := strings.Repeat("x", 200)
	threads := []*Thread[map[string]any]{newClient(t, target).Thread(t.Name()), newClient(t, target).Thread(t.Name())}
	for number := range 100 {
		thread := threads[number%2]
		if _, err := thread.Load(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := thread.Append(ctx, "log", entry); err != nil {
			t.Fatal(err)
		}
	}
	session, err := newClient(t, target).GetSession(ctx, t.Name())
	if stored := session.StoredBytes; err != nil || stored > 100*(1.5*200+400) {
		t.Fatal(stored, err)
	}
}

func TestAThreadLoadsNoOtherCheckpoints(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	mustSave(t, client, &lockstitchpb.Checkpoint{SessionId: t.Name(), Step: 1})
	var refused *StateError
	if _, err := client.Thread(t.Name()).Load(ctx); !errors.As(err, &refused) {
		t.Fatal(err)
	}
}
