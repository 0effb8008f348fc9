package lockstitch

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstitch.dev/go/lockstitchpb"
)

func TestFiltersOfSessions(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	var times []time.Time
	for _, name := range []string{"a", "b", "c"} {
		saved := mustSave(t, client, conversation(t.Name()+name, 0))
		times = append(times, saved.SavedAt)
	}
	update := SessionUpdate{SetLabels: map[string]string{t.Name(): "1"}}
	if _, err := client.UpdateSession(ctx, t.Name()+"b", update); err != nil {
		t.Fatal(err)
	}
	for expected, query := range map[string]SessionQuery{
		"abc": {IDPrefix: t.Name(), ByID: true, PageSize: 2},
		"bca": {IDPrefix: t.Name()}, // b has changed last
		"b":   {Labels: update.SetLabels},
		"a":   {IDPrefix: t.Name(), UpdatedBefore: times[1]},
		"bc":  {IDPrefix: t.Name(), UpdatedSince: times[1], ByID: true},
	} {
		found := ""
		for session, err := range client.ListSessions(ctx, query) {
			if err != nil {
				t.Fatal(err)
			}
			found += session.SessionID[len(t.Name()):]
		}
		if found != expected {
			t.Errorf("%s instead of %s", found, expected)
		}
	}
}

func TestFiltersOfCheckpoints(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	for step := range uint64(4) {
		checkpoint := conversation(t.Name(), step)
		checkpoint.RanNodes = []*lockstitchpb.NodeKind{Node(fmt.Sprint("ran", step%2))}
		checkpoint.SkippedNodes = []*lockstitchpb.NodeKind{Node(fmt.Sprint("skipped", step))}
		mustSave(t, client, checkpoint, WithMetadata(map[string]string{"even": fmt.Sprint(step%2 == 0)}))
	}
	inner := conversation(t.Name(), 9)
	inner.Namespace = "inner"
	mustSave(t, client, inner, WithWrites(&lockstitchpb.PendingWrite{TaskId: "t", Channel: "c"}))
	root, within, one, two := "", "inner", uint64(1), uint64(2)
	for name, test := range map[string]struct {
		query    CheckpointQuery
		expected []uint64
	}{
		"all":       {CheckpointQuery{PageSize: 2, Namespace: &root}, []uint64{3, 2, 1, 0}},
		"namespace": {CheckpointQuery{Namespace: &within, IncludeWrites: true}, []uint64{9}},
		"steps":     {CheckpointQuery{MinStep: &one, MaxStep: &two}, []uint64{2, 1}},
		"ran":       {CheckpointQuery{RanNode: Node("ran1")}, []uint64{3, 1}},
		"skipped":   {CheckpointQuery{SkippedNode: Node("skipped2")}, []uint64{2}},
		"before":    {CheckpointQuery{Namespace: &root, BeforeCheckpointID: idOfStep(2), View: Header}, []uint64{1, 0}},
		"metadata":  {CheckpointQuery{Metadata: map[string]string{"even": "true"}}, []uint64{2, 0}},
	} {
		test.query.SessionID = t.Name()
		var steps []uint64
		for listed, err := range client.ListCheckpoints(ctx, test.query) {
			if err != nil {
				t.Fatal(name, err)
			}
			if (listed.Checkpoint.State == nil) != (test.query.View == Header) || listed.SavedAt.IsZero() {
				t.Error(name, listed)
			}
			if (len(listed.PendingWrites) == 1) != test.query.IncludeWrites {
				t.Error(name, listed.PendingWrites)
			}
			steps = append(steps, listed.Checkpoint.Step)
		}
		if !slices.Equal(steps, test.expected) {
			t.Error(name, steps)
		}
	}
	page, err := client.ListCheckpointsPage(ctx, CheckpointQuery{SessionID: t.Name(), PageSize: 1, IncludeTotal: true})
	if err != nil || page.Total != 5 || len(page.Checkpoints) != 1 || page.Next == "" {
		t.Fatal(page, err)
	}
}
