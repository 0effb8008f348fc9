package lockstitch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"lockstitch.dev/go/lockstitchpb"
)

func TestManyGoroutinesShareAStream(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	stream := client.SaveStream()
	defer stream.Close()
	saveConcurrently(t, stream, 50, 10, nil)
	assertAll(t, client, 50, 10)
}

func TestNothingIsLostWhenTheServerIsKilled(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	client := newClient(t, s.target, WithTimeout(wait))
	stream := client.SaveStream()
	defer stream.Close()
	saveConcurrently(t, stream, 20, 40, func() {
		time.Sleep(200 * time.Millisecond)
		s.kill()
		s.start()
	})
	assertAll(t, client, 20, 40)
}

// saveConcurrently has each session save one step after the other, each on the
// condition that nothing came between.
func saveConcurrently(t *testing.T, stream *SaveStream, sessions, steps int, meanwhile func()) {
	t.Helper()
	var group sync.WaitGroup
	for session := range sessions {
		group.Go(func() {
			name := fmt.Sprintf("s%03d", session)
			condition := ExpectNone()
			for step := range uint64(steps) {
				if _, err := stream.Save(context.Background(), conversation(name, step), condition); err != nil {
					t.Errorf("%s, step %d: %v", name, step, err)
					return
				}
				condition = ExpectStep(step)
			}
		})
	}
	if meanwhile != nil {
		meanwhile()
	}
	group.Wait()
}

func assertAll(t *testing.T, client *Client, sessions, steps int) {
	t.Helper()
	refs := make([]SessionRef, sessions)
	for session := range sessions {
		refs[session].SessionID = fmt.Sprintf("s%03d", session)
	}
	count := 0
	for answer, err := range client.LoadLatestMany(context.Background(), refs) {
		if err != nil || answer.Err != nil {
			t.Fatal(err, answer.Err)
		}
		if answer.Checkpoint.GetStep() != uint64(steps-1) || len(answer.Checkpoint.State.Messages.Items) != steps {
			t.Errorf("%s: %v", answer.SessionID, answer.Checkpoint.GetStep())
		}
		count++
	}
	if count != sessions {
		t.Fatal(count)
	}
}

func TestSavesOfASessionAreAppliedInOrder(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	stream := client.SaveStream()
	defer stream.Close()
	var pending []*PendingSave
	for step := range uint64(100) {
		condition := ExpectNone()
		if step > 0 {
			condition = ExpectStep(step - 1)
		}
		pending = append(pending, stream.Begin(context.Background(), conversation(t.Name(), step), condition))
	}
	for step, one := range pending {
		if saved, err := one.Wait(); err != nil || saved.Outcome != OutcomeCreated {
			t.Fatal(step, saved, err)
		}
	}
}

// sentMessages counts the messages that calls of SaveStream send.
type sentMessages struct{ count atomic.Int64 }

type isSaveStream struct{}

func (s *sentMessages) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, isSaveStream{}, strings.HasSuffix(info.FullMethodName, "/SaveStream"))
}

func (s *sentMessages) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.OutPayload); ok && ctx.Value(isSaveStream{}) == true {
		s.count.Add(1)
	}
}

func (s *sentMessages) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (s *sentMessages) HandleConn(context.Context, stats.ConnStats) {}

// TestManySavesGoInOneMessage has 4 MB wait: more than the server lets a client send
// at once.
func TestManySavesGoInOneMessage(t *testing.T) {
	sent := &sentMessages{}
	client := newClient(t, sharedServer(t).target, WithDialOptions(grpc.WithStatsHandler(sent)))
	stream := client.SaveStream()
	defer stream.Close()
	if _, err := stream.Save(context.Background(), conversation(t.Name(), 0)); err != nil {
		t.Fatal(err) // the server has said that it takes batches
	}
	var pending []*PendingSave
	for number := range 1000 {
		pending = append(pending, stream.Begin(context.Background(), conversation(fmt.Sprint(t.Name(), number), 19)))
	}
	for number, one := range pending {
		if saved, err := one.Wait(); err != nil || saved.Outcome != OutcomeCreated {
			t.Fatal(number, saved, err)
		}
	}
	if messages := sent.count.Load(); messages > 500 {
		t.Fatal(messages, "messages")
	}
}

func TestOneThatFailsOnAStreamLeavesTheOthersAlone(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	stream := client.SaveStream()
	defer stream.Close()
	bad := stream.Begin(context.Background(), &lockstitchpb.Checkpoint{SessionId: "a\x01"})
	late, cancel := context.WithCancel(context.Background())
	cancel()
	gone := stream.Begin(late, conversation("gone", 1))
	good := stream.Begin(context.Background(), conversation(t.Name(), 1))
	if _, err := good.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Wait(); !errors.Is(err, InvalidField) {
		t.Fatal(err)
	}
	if _, err := gone.Wait(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestTextThatIsNotUTF8IsRefusedAtOnce(t *testing.T) {
	client, ctx := newClient(t, sharedServer(t).target), context.Background()
	stream := client.SaveStream()
	defer stream.Close()
	for field, change := range map[string]func(*lockstitchpb.Checkpoint){
		"checkpoint.session_id":                      func(c *lockstitchpb.Checkpoint) { c.SessionId = "\xff" },
		"checkpoint.state.messages.items[1].content": func(c *lockstitchpb.Checkpoint) { c.State.Messages.Items[1].Content = "\xff" },
		`checkpoint.metadata["a\xff"]`:               func(c *lockstitchpb.Checkpoint) { c.Metadata = map[string]string{"a\xff": "1"} },
		`checkpoint.metadata["a"]`:                   func(c *lockstitchpb.Checkpoint) { c.Metadata = map[string]string{"a": "\xff"} },
		"checkpoint.updated_channels[0]":             func(c *lockstitchpb.Checkpoint) { c.UpdatedChannels = []string{"\xff"} },
		"checkpoint.frontier[0].custom":              func(c *lockstitchpb.Checkpoint) { c.Frontier = append(c.Frontier, Node("\xff")) },
	} {
		before := stream.Begin(ctx, conversation(t.Name()+"-before", 1))
		bad := conversation(t.Name(), 1)
		change(bad)
		_, streamed := stream.Save(ctx, bad)
		_, alone := client.Save(ctx, bad)
		for _, err := range []error{streamed, alone} {
			var failure *Error
			if !errors.Is(err, InvalidField) || !errors.As(err, &failure) || failure.Field() != field {
				t.Errorf("%v does not name %s", err, field)
			}
		}
		if _, err := before.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnIdleStreamEndsItsCall(t *testing.T) {
	t.Parallel()
	script, client := startScripted(t)
	stream := client.SaveStream()
	defer stream.Close()
	for step := range uint64(2) {
		if _, err := stream.Save(context.Background(), conversation("s", step)); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return script.ended.Load() == int32(step+1) })
	}
}

func TestAClosedStreamSavesNothing(t *testing.T) {
	client := newClient(t, freeAddress(t))
	stream := client.SaveStream()
	waiting := stream.Begin(context.Background(), conversation(t.Name(), 1))
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	for _, pending := range []*PendingSave{waiting, stream.Begin(context.Background(), conversation(t.Name(), 2))} {
		if _, err := pending.Wait(); status.Code(err) != codes.Canceled {
			t.Fatal(err)
		}
	}
	_ = stream.Close()
}

func TestAStreamWithoutAServerEndsInTime(t *testing.T) {
	client := newClient(t, freeAddress(t), WithTimeout(300*time.Millisecond))
	stream := client.SaveStream()
	defer stream.Close()
	if _, err := stream.Save(context.Background(), conversation(t.Name(), 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestTheOutboxKeepsTheOrderOfASession(t *testing.T) {
	outbox := newOutbox()
	a1, b1, a2, a3 := &item{session: "a"}, &item{session: "b"}, &item{session: "a"}, &item{session: "a"}
	for _, each := range []*item{a1, b1, a2, a3} {
		each.request = &lockstitchpb.SaveRequest{}
		outbox.add(each)
	}
	expect := func(expected ...*item) {
		t.Helper()
		if taken := outbox.take(10, 1000); !slices.Equal(taken, expected) {
			t.Fatal(taken, expected)
		}
	}
	if first := outbox.take(1, 1000); !slices.Equal(first, []*item{a1}) {
		t.Fatal(first)
	}
	if !outbox.hold(a1) {
		t.Fatal("its session was not held")
	}
	expect(b1)
	outbox.release("a")
	expect(a1, a2, a3)
	delete(outbox.waiting, a2.number)
	outbox.restart()
	expect(a1, b1, a3)
}
