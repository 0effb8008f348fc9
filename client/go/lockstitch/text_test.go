package lockstitch

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"

	"lockstitch.dev/go/lockstitchpb"
)

const illFormedText = "a\xff"

// TestEveryCallRefusesTextThatIsNotUTF8 needs no server: nothing is sent.
func TestEveryCallRefusesTextThatIsNotUTF8(t *testing.T) {
	client, ctx := newClient(t, freeAddress(t), WithTimeout(never)), context.Background()
	lease := Lease{SessionID: illFormedText}
	write := []*lockstitchpb.PendingWrite{{TaskId: "t"}, {TaskId: "t", Channel: illFormedText}}
	for field, call := range map[string]func() error{
		"writes[1].channel": func() error { _, err := client.SaveWrites(ctx, CheckpointRef{SessionID: "s"}, write); return err },
		"checkpoint_id": func() error {
			_, err := client.SaveWrites(ctx, CheckpointRef{SessionID: "s", CheckpointID: illFormedText}, write[:1])
			return err
		},
		"session_id":        func() error { _, err := client.LoadLatest(ctx, illFormedText); return err },
		"namespace":         func() error { _, err := client.LoadLatest(ctx, "s", InNamespace(illFormedText)); return err },
		"session_id_prefix": func() error { return firstError(client.ListSessions(ctx, SessionQuery{IDPrefix: illFormedText})) },
		`metadata["a\xff"]`: func() error { return listError(client, map[string]string{illFormedText: "1"}) },
		"channels[0]":       func() error { return walkError(client) },
		"session_ids[0]":    func() error { _, err := client.DeleteSessions(ctx, ServerDefault, illFormedText); return err },
		"target_session_id": func() error { _, err := client.CopySession(ctx, "s", illFormedText, CopyOptions{}); return err },
		"holder":            func() error { _, err := client.AcquireLease(ctx, "s", illFormedText, 0); return err },
		"resume_token":      func() error { return watchError(client) },
		`set_labels["a"]`:   func() error { return labelError(client) },
		"after.checkpoint_id": func() error {
			_, err := client.Rewind(ctx, CheckpointRef{SessionID: "s", CheckpointID: illFormedText}, 0)
			return err
		},
	} {
		assertField(t, call(), field)
	}
	for _, call := range []func() error{
		func() error { _, err := client.GetSession(ctx, illFormedText); return err },
		func() error { _, err := client.Load(ctx, illFormedText, "c"); return err },
		func() error { _, err := client.RenewLease(ctx, lease, 0); return err },
		func() error { _, err := client.ReleaseLease(ctx, lease); return err },
		func() error { _, err := client.RunSession(ctx, illFormedText, "h", 0); return err },
	} {
		assertField(t, call(), "session_id")
	}
}

func assertField(t *testing.T, err error, field string) {
	t.Helper()
	var failure *Error
	if !errors.Is(err, InvalidField) || !errors.As(err, &failure) ||
		failure.Code != codes.InvalidArgument || failure.Field() != field {
		t.Errorf("%v does not name %s", err, field)
	}
}

func firstError[Item any](items func(func(Item, error) bool)) error {
	for _, err := range items {
		return err
	}
	return nil
}

func listError(client *Client, metadata map[string]string) error {
	return firstError(client.ListCheckpoints(context.Background(), CheckpointQuery{Metadata: metadata}))
}

func walkError(client *Client) error {
	query := AncestorQuery{SessionID: "s", Channels: []string{illFormedText}}
	return firstError(client.WalkAncestors(context.Background(), query))
}

func watchError(client *Client) error {
	return firstError(client.WatchSession(context.Background(), "s", WatchOptions{ResumeToken: illFormedText}))
}

func labelError(client *Client) error {
	update := SessionUpdate{SetLabels: map[string]string{"a": illFormedText}}
	_, err := client.UpdateSession(context.Background(), "s", update)
	return err
}

func TestOneSessionOfManyIsRefusedAlone(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	mustSave(t, client, conversation(t.Name(), 1))
	sessions := []SessionRef{{SessionID: illFormedText}, {SessionID: t.Name()}}
	answers := map[string]LatestOf{}
	for answer, err := range client.LoadLatestMany(context.Background(), sessions) {
		if err != nil {
			t.Fatal(err)
		}
		answers[answer.SessionID] = answer
	}
	assertField(t, answers[illFormedText].Err, "session_id")
	if answers[t.Name()].Checkpoint.GetStep() != 1 {
		t.Fatal(answers)
	}
}
