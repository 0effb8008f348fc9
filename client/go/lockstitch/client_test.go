package lockstitch

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"lockstitch.dev/go/lockstitchpb"
)

func TestSavesAndResumes(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	first := mustSave(t, client, conversation(t.Name(), 0), ExpectNone())
	if first.Outcome != OutcomeCreated || first.CheckpointID != "00000000000000000000" || first.SavedAt.IsZero() {
		t.Fatal(first)
	}
	again := mustSave(t, client, conversation(t.Name(), 0))
	if again.Outcome != OutcomeUnchanged || again.Revision != first.Revision {
		t.Fatal(again)
	}
	mustSave(t, client, conversation(t.Name(), 1), ExpectStep(0))
	assertLatest(t, client, conversation(t.Name(), 1))
}

func TestThereIsNoSession(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	latest, err := client.LoadLatest(context.Background(), "nobody")
	if err != nil || latest.Checkpoint != nil || latest.Revision != 0 {
		t.Fatal(latest, err)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	mustSave(t, client, conversation(t.Name(), 3))
	_, err := client.Save(context.Background(), conversation(t.Name(), 4), ExpectStep(2))
	var failure *Error
	if !errors.Is(err, ExpectedLatestMismatch) || errors.Is(err, NotJSON) || !errors.As(err, &failure) {
		t.Fatal(err)
	}
	id, step, ok := failure.Latest()
	if failure.Code != codes.Aborted || id != "00000000000000000003" || step != 3 || !ok {
		t.Fatal(failure)
	}
	if status.Code(err) != codes.Aborted {
		t.Fatal(status.Code(err))
	}
	_, err = client.Save(context.Background(), &lockstitchpb.Checkpoint{})
	if !errors.Is(err, InvalidField) || !errors.As(err, &failure) || failure.Field() != "checkpoint.session_id" {
		t.Fatal(err)
	}
	if _, err = client.Save(context.Background(), nil); err == nil {
		t.Fatal("nil was saved")
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	client := newClient(t, freeAddress(t)) // nobody is there
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := client.LoadLatest(ctx, t.Name()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	if _, err := client.LoadLatest(ctx, t.Name()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestACallEndsByItself(t *testing.T) {
	client := newClient(t, freeAddress(t), WithTimeout(300*time.Millisecond))
	if _, err := client.LoadLatest(context.Background(), t.Name()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	for _, err := range client.WalkAncestors(context.Background(), AncestorQuery{SessionID: t.Name()}) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

func TestWithoutRetriesItFailsAtOnce(t *testing.T) {
	client := newClient(t, freeAddress(t), WithoutRetry())
	if _, err := client.LoadLatest(context.Background(), t.Name()); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
}

func TestIntegersAtTheirExtremes(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	checkpoint := conversation(t.Name(), 0)
	checkpoint.Step, checkpoint.CheckpointId = math.MaxInt64, "09223372036854775807"
	checkpoint.ConcurrencyLimit = math.MaxUint64
	checkpoint.VersionsSeen = map[string]*lockstitchpb.ChannelVersions{"a": {Versions: map[string]uint64{"b": math.MaxUint64}}}
	mustSave(t, client, checkpoint)
	assertLatest(t, client, checkpoint)
}

func TestNilAndEmpty(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	checkpoint := conversation(t.Name(), 0)
	checkpoint.State = &lockstitchpb.VersionedState{
		Messages: &lockstitchpb.MessagesChannel{Items: []*lockstitchpb.Message{}},
		Custom:   map[string]*lockstitchpb.CustomChannel{"": {}},
	}
	mustSave(t, client, checkpoint)
	latest, err := client.LoadLatest(context.Background(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	state := latest.Checkpoint.State
	if state.Messages == nil || state.Extra != nil || state.Messages.Items != nil || state.Custom[""] == nil {
		t.Fatal("an empty message is there, a nil one is not; empty lists come back as nil: ", state)
	}
	checkpoint = conversation(t.Name(), 1)
	checkpoint.State = nil
	mustSave(t, client, checkpoint)
	assertLatest(t, client, checkpoint)
}

func TestListsGoOverTheirPages(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	for step := range uint64(5) {
		mustSave(t, client, conversation(t.Name(), step))
	}
	var steps []uint64
	for listed, err := range client.ListCheckpoints(context.Background(), CheckpointQuery{SessionID: t.Name(), PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, listed.Checkpoint.Step)
	}
	if len(steps) != 5 || steps[0] != 4 || steps[4] != 0 {
		t.Fatal(steps)
	}
	page, err := client.ListCheckpointsPage(
		context.Background(), CheckpointQuery{SessionID: t.Name(), PageSize: 2, IncludeTotal: true, View: Header})
	if err != nil || page.Total != 5 || len(page.Checkpoints) != 2 || page.Checkpoints[0].Checkpoint.State != nil {
		t.Fatal(page, err)
	}
	for _, err := range client.ListSessions(context.Background(), SessionQuery{PageToken: "forged"}) {
		if !errors.Is(err, InvalidPageToken) {
			t.Fatal(err)
		}
	}
}

func TestARunnersSession(t *testing.T) {
	checkpoint := conversation(t.Name(), 2)
	checkpoint.ConcurrencyLimit = 7
	session, err := RestoreSession(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	again := CheckpointFromSession(t.Name(), session)
	again.CreatedAt, again.CheckpointId = checkpoint.CreatedAt, checkpoint.CheckpointId
	if !proto.Equal(again, checkpoint) {
		t.Fatal(again)
	}
	session.State.Messages.Items[0].Content = "changed"
	if checkpoint.State.Messages.Items[0].Content == "changed" {
		t.Fatal("they share their state")
	}
	checkpoint.State = nil
	if _, err := RestoreSession(checkpoint); err == nil || !strings.Contains(err.Error(), "or saved without a state") {
		t.Fatal("a header was taken for a session, or is not explained: ", err)
	}
}

func TestJSON(t *testing.T) {
	text, err := JSONText(map[string]any{"a": "<é>", "b": uint64(math.MaxUint64)})
	if err != nil || text != `{"a":"<é>","b":18446744073709551615}` {
		t.Fatal(text, err)
	}
	var value any
	if err := JSONValue("9007199254740993", &value); err != nil {
		t.Fatal(err)
	}
	if again, _ := JSONText(value); again != "9007199254740993" {
		t.Fatal(again)
	}
	if _, err := JSONText(math.NaN()); err == nil {
		t.Fatal("NaN is no JSON")
	}
	zero := math.Copysign(0, -1)
	for _, pair := range []struct {
		value    any
		expected string
	}{
		{zero, "-0.0"},
		{[]any{zero, -0.5, 1e-7, 0.0, zero}, "[-0.0,-0.5,1e-7,0,-0.0]"},
		{map[string]any{"-0,\"-0": "\\-0", "z": zero}, `{"-0,\"-0":"\\-0","z":-0.0}`},
	} {
		if text, err := JSONText(pair.value); err != nil || text != pair.expected {
			t.Error(text, err)
		}
	}
}

func TestAKeyDoesNotTravelInTheClear(t *testing.T) {
	key := WithAPIKey("key")
	for _, target := range []string{"127.0.0.1:1", "localhost:1", "[::1]:1", "dns:///localhost:1", "unix:/tmp/socket", "unix-abstract:x"} {
		newClient(t, target, key)
	}
	for _, target := range []string{"10.0.0.1:1", "lockstitch.example:1", "dns:///lockstitch.example:1", "dns://127.0.0.1/x:1"} {
		if _, err := New(target, key); err == nil {
			t.Errorf("the key goes to %s", target)
		}
		newClient(t, target, key, WithInsecure())
		newClient(t, target, key, WithTLS(&tls.Config{}))
		newClient(t, target)
	}
}
