package lockstitch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"lockstitch.dev/go/lockstitchpb"
)

// numbers are those of the saves that the server has got, by one writer.
func (s *scripted) numbers(t *testing.T) (numbers []uint64) {
	t.Helper()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, save := range s.saves {
		if save.SaveId.GetWriter() == 0 || save.SaveId.Writer != s.saves[0].SaveId.Writer {
			t.Error("another writer", save.SaveId)
		}
		numbers = append(numbers, save.SaveId.GetNumber())
	}
	return numbers
}

func TestAllAttemptsOfASaveAreTheSameSave(t *testing.T) {
	away := status.Error(codes.Unavailable, "away")
	for name := range savers(t, newClient(t, freeAddress(t))) {
		t.Run(name, func(t *testing.T) {
			script, client := startScripted(t, away, away, nil, away)
			save := savers(t, client)[name]
			for step := range uint64(2) {
				if err := save(context.Background(), "s", step); err != nil {
					t.Fatal(err)
				}
			}
			if numbers := script.numbers(t); !slices.Equal(numbers, []uint64{1, 1, 1, 2, 2}) {
				t.Fatal(numbers)
			}
		})
	}
}

func TestTheFullStateAfterADeltaIsTheSameSave(t *testing.T) {
	refused := fromReason(t, codes.FailedPrecondition, UnknownBase)
	script, client := startScripted(t, nil, refused)
	mustSave(t, client, conversation("s", 0))
	mustSave(t, client, conversation("s", 1))
	if numbers := script.numbers(t); !slices.Equal(numbers, []uint64{1, 2, 2}) || script.saves[1].Delta == nil {
		t.Fatal(numbers)
	}
}

func TestASaveOfUnknownOutcomeThatIsMadeAgainIsTheSameSave(t *testing.T) {
	lost := status.Error(codes.Internal, "the response was lost")
	for name := range savers(t, newClient(t, freeAddress(t))) {
		t.Run(name, func(t *testing.T) {
			script, client := startScripted(t, lost, nil, nil, lost, nil, nil)
			if name == "stream" { // what ends a stream is saved alone
				script.failures = []error{lost, lost, nil, nil, lost, lost, nil, nil}
			}
			save := savers(t, client)[name]
			var failures []int
			for number, step := range []uint64{0, 0, 0, 1, 2, 1} {
				if err := save(context.Background(), "s", step); err != nil {
					failures = append(failures, number)
				}
			}
			if !slices.Equal(failures, []int{0, 3}) {
				t.Fatal(failures)
			}
			numbers := slices.Compact(script.numbers(t))
			// The second 0 is the first; the third is new. So are 1, 2, and 1 again is the first 1.
			if !slices.Equal(numbers, []uint64{1, 3, 4, 5, 4}) {
				t.Fatal(numbers)
			}
		})
	}
}

func TestOtherContentIsAnotherSave(t *testing.T) {
	lost := status.Error(codes.DeadlineExceeded, "too late")
	script, client := startScripted(t, lost, nil, nil)
	first, other := conversation("s", 1), conversation("s", 1)
	other.State.Messages.Items[0].Content = "other"
	if _, err := client.Save(context.Background(), first); err == nil {
		t.Fatal("the script says otherwise")
	}
	mustSave(t, client, other)
	mustSave(t, client, first)
	if numbers := script.numbers(t); !slices.Equal(numbers, []uint64{1, 2, 3}) {
		t.Fatal(numbers)
	}
}

func TestAThreadMakesASaveOfUnknownOutcomeAgain(t *testing.T) {
	lost := status.Error(codes.Unknown, "the response was lost")
	script, client := startScripted(t, lost, lost, nil)
	thread := client.Thread("s")
	for _, state := range []map[string]any{{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 3}} {
		_, _ = thread.Save(context.Background(), state)
	}
	if numbers := script.numbers(t); !slices.Equal(numbers, []uint64{1, 1, 3}) || thread.Step() != 1 {
		t.Fatal(numbers)
	}
}

func TestOnlySoManySavesAreRemembered(t *testing.T) {
	ids := newSaveIDs()
	save := func(step uint64) *lockstitchpb.SaveRequest {
		return &lockstitchpb.SaveRequest{Checkpoint: &lockstitchpb.Checkpoint{SessionId: "s", Step: step}}
	}
	for step := range uint64(maxUnsettled + 1) {
		made := save(step)
		ids.settle(made, ids.identify(made), &Error{Code: codes.Unavailable})
	}
	if len(ids.unsettled) != maxUnsettled || ids.order.Len() != maxUnsettled || len(ids.underWay) != 0 {
		t.Fatal(len(ids.unsettled), ids.order.Len(), len(ids.underWay))
	}
	oldest, second := save(0), save(1)
	ids.identify(oldest)
	ids.identify(second)
	if oldest.SaveId.Number != maxUnsettled+2 || second.SaveId.Number != 2 {
		t.Fatal(len(ids.unsettled), oldest.SaveId, second.SaveId)
	}
	own := save(2)
	own.SaveId = &lockstitchpb.SaveId{Writer: 1, Number: 1}
	if ids.identify(own); own.SaveId.Writer != 1 {
		t.Fatal("the caller's own id was changed")
	}
}

// TestARefusedAttemptSaysNothingAboutTheOneBefore has the answer to the first attempt
// of a save lost, and the second refused.
func TestARefusedAttemptSaysNothingAboutTheOneBefore(t *testing.T) {
	lost := status.Error(codes.Unavailable, "the response was lost")
	for _, code := range []codes.Code{codes.Unauthenticated, codes.PermissionDenied, codes.ResourceExhausted} {
		for name := range savers(t, newClient(t, freeAddress(t))) {
			t.Run(fmt.Sprint(code, " ", name), func(t *testing.T) {
				refused := status.Error(code, "no")
				script, client := startScripted(t, lost, refused, refused, nil, nil)
				if name == "stream" && code == codes.ResourceExhausted { // what ends a stream is saved alone
					script.failures = []error{lost, refused, refused, refused, refused, nil, nil}
				}
				save := savers(t, client)[name]
				for attempt, expected := range []codes.Code{code, code, codes.OK, codes.OK} {
					if err := save(context.Background(), "s", 0); status.Code(err) != expected {
						t.Fatal(attempt, err)
					}
				}
				if numbers := slices.Compact(script.numbers(t)); !slices.Equal(numbers, []uint64{1, 4}) {
					t.Fatal(numbers) // the last one is another save
				}
			})
		}
	}
}

// losing loses the answers to the first calls of a method, which are carried out.
// Then it refuses some calls, and lets all others pass.
func losing(t *testing.T, method string, lost, refused int, options ...Option) (*Client, *int) {
	t.Helper()
	calls := 0
	intercept := func(
		ctx context.Context, name string, request, answer any, connection *grpc.ClientConn,
		invoke grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		if !strings.HasSuffix(name, "/"+method) {
			return invoke(ctx, name, request, answer, connection, options...)
		}
		calls++
		if lost < calls && calls <= lost+refused {
			return status.Error(codes.Unauthenticated, "no")
		}
		err := invoke(ctx, name, request, answer, connection, options...)
		if err == nil && calls <= lost {
			err = status.Error(codes.Unavailable, "the response was lost")
		}
		return err
	}
	options = append(options, WithDialOptions(grpc.WithUnaryInterceptor(intercept)))
	return newClient(t, sharedServer(t).target, options...), &calls
}

func TestASaveThatIsStoredIsARetryAfterAnAttemptThatWasRefused(t *testing.T) {
	client, calls := losing(t, "Save", 1, 2)
	for attempt, expected := range []codes.Code{codes.Unauthenticated, codes.Unauthenticated, codes.OK} {
		saved, err := client.Save(context.Background(), conversation(t.Name(), 1), ExpectNone())
		if status.Code(err) != expected || (err == nil && saved.Outcome != OutcomeUnchanged) {
			t.Fatal(attempt, saved, err)
		}
	}
	if *calls != 4 {
		t.Fatal(*calls)
	}
	if _, err := client.Save(context.Background(), conversation(t.Name(), 1), ExpectNone()); !errors.Is(err, ExpectedLatestMismatch) {
		t.Fatal(err)
	}
}

func TestAFirstAppendThatIsMadeAgainIsStoredOnce(t *testing.T) {
	client, _ := losing(t, "Save", 1, 0, WithoutRetry())
	ctx, thread := context.Background(), client.Thread(t.Name())
	if _, err := thread.Append(ctx, "log", 1); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	if saved, err := thread.Append(ctx, "log", 1); err != nil || saved.Outcome != OutcomeUnchanged || thread.Step() != 1 {
		t.Fatal(saved, err)
	}
	if _, err := thread.Append(ctx, "log", 1); err != nil {
		t.Fatal(err)
	}
	state, err := client.Thread(t.Name()).Load(ctx)
	if expected := "map[log:[1 1]]"; err != nil || fmt.Sprint(state) != expected {
		t.Fatal(state, err)
	}
}

func TestASaveUnderAnotherLeaseIsTheSameSave(t *testing.T) {
	lost := status.Error(codes.Unknown, "the response was lost")
	script, client := startScripted(t, lost)
	for token := range uint64(2) {
		_, _ = client.Save(context.Background(), conversation("s", 1), WithLease(token+1))
	}
	if numbers := script.numbers(t); !slices.Equal(numbers, []uint64{1, 1}) {
		t.Fatal(numbers)
	}
}

// TestASaveOfUnknownOutcomeThatAnotherFollowedIsForgotten: as a retry it would be
// refused, as the other one came later.
func TestASaveOfUnknownOutcomeThatAnotherFollowedIsForgotten(t *testing.T) {
	lost := &Error{Code: codes.DeadlineExceeded}
	for name, end := range map[string]error{"stored": nil, "lost, too": lost} {
		t.Run(name, func(t *testing.T) {
			ids := newSaveIDs()
			first, other, again := request("a"), request("b"), request("a")
			given := ids.identify(first)
			ids.settle(other, ids.identify(other), end)
			ids.settle(first, given, lost)
			ids.settle(again, ids.identify(again), nil)
			if again.SaveId.Number != 3 || len(ids.unsettled) != 0 || len(ids.underWay) != 0 {
				t.Fatal(again.SaveId, ids.unsettled, ids.underWay)
			}
		})
	}
}

// TestASaveOfUnknownOutcomeIsMadeAgainAfterOneThatWasRefused: that one was called
// before the first had ended, or after it.
func TestASaveOfUnknownOutcomeIsMadeAgainAfterOneThatWasRefused(t *testing.T) {
	lost, refused := &Error{Code: codes.DeadlineExceeded}, &Error{Code: codes.Aborted}
	for _, name := range []string{"beside", "before", "after"} {
		t.Run(name, func(t *testing.T) {
			ids := newSaveIDs()
			first, other, again := request("a"), request("b"), request("a")
			number := ids.identify(first)
			if name == "after" {
				ids.settle(first, number, lost)
			}
			otherNumber := ids.identify(other)
			if name == "beside" {
				ids.settle(first, number, lost)
			}
			ids.settle(other, otherNumber, refused)
			if name == "before" {
				ids.settle(first, number, lost)
			}
			ids.settle(again, ids.identify(again), nil)
			if again.SaveId.Number != 1 || len(ids.unsettled) != 0 || len(ids.underWay) != 0 {
				t.Fatal(again.SaveId, ids.unsettled, ids.underWay)
			}
		})
	}
}

func TestTwoSavesNeverHaveOneID(t *testing.T) {
	ids, lost := newSaveIDs(), &Error{Code: codes.DeadlineExceeded}
	first, second, third, fourth := request("a"), request("a"), request("a"), request("a")
	ids.settle(first, ids.identify(first), lost)
	givenSecond, givenThird := ids.identify(second), ids.identify(third)
	if second.SaveId.Number != 1 || third.SaveId.Number != 3 {
		t.Fatal(second.SaveId, third.SaveId)
	}
	ids.settle(third, givenThird, lost)
	ids.settle(second, givenSecond, lost)
	if ids.identify(fourth); fourth.SaveId.Number != 3 {
		t.Fatal(fourth.SaveId)
	}
}

func request(content string) *lockstitchpb.SaveRequest {
	checkpoint := conversation("s", 1)
	checkpoint.State.Messages.Items[0].Content = content
	return &lockstitchpb.SaveRequest{Checkpoint: checkpoint}
}

func fromReason(t *testing.T, code codes.Code, reason Reason) error {
	t.Helper()
	info := &errdetails.ErrorInfo{Domain: errorDomain, Reason: string(reason)}
	told, err := status.New(code, "no").WithDetails(info)
	if err != nil {
		t.Fatal(err)
	}
	return told.Err()
}

// TestASaveThatWasGivenUpDoesNotReplaceALaterOne has a proxy deliver a save of step
// 5 without its cancellation, after the one that was made instead of it.
func TestASaveThatWasGivenUpDoesNotReplaceALaterOne(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"unary", "stream"} {
		t.Run(name, func(t *testing.T) {
			proxy := startSwallowingProxy(t, sharedServer(t).target)
			client := newClient(t, proxy.target, WithTimeout(wait), WithoutDelta())
			stream := client.SaveStream()
			t.Cleanup(func() { _ = stream.Close() })
			save := func(ctx context.Context, step uint64, said string) error {
				checkpoint := conversation(t.Name(), step)
				checkpoint.State.Messages.Items[0].Role = said
				var err error
				if name == "unary" {
					_, err = client.Save(ctx, checkpoint)
				} else {
					_, err = stream.Save(ctx, checkpoint)
				}
				return err
			}
			for step := range uint64(5) {
				if err := save(context.Background(), step, "before"); err != nil {
					t.Fatal(err)
				}
			}
			pair := proxy.swallow()[0]
			ctx, giveUp := context.WithTimeout(context.Background(), silentTimeout)
			defer giveUp()
			ended := make(chan error, 1)
			go func() { ended <- save(ctx, 5, "old") }()
			var old []byte
			await(t, func() bool { // all of it: its last message is there
				old = pair.hasSwallowed()
				return bytes.Contains(old, fmt.Appendf(nil, "5: %0200d", 5))
			})
			if err := <-ended; !isUnsettled(err) {
				t.Fatal(err)
			}
			if err := save(context.Background(), 5, "new"); err != nil {
				t.Fatal(err)
			}
			before := pair.answered.Load()
			if _, err := pair.server.Write(old); err != nil {
				t.Fatal(err)
			}
			await(t, func() bool { return pair.answered.Load() > before+100 }) // more than frames without a response
			loaded, err := client.LoadStep(context.Background(), t.Name(), 5)
			if err != nil || loaded.Checkpoint.State.Messages.Items[0].Role != "new" {
				t.Fatal(loaded, err)
			}
		})
	}
}

func TestOfEqualSavesOnOneConditionOneSucceeds(t *testing.T) {
	target, ctx := sharedServer(t).target, context.Background()
	one, other := newClient(t, target).Thread(t.Name()), newClient(t, target).Thread(t.Name())
	for turn := range 3 {
		state := map[string]any{"turn": turn}
		_, first := one.Save(ctx, state)
		_, second := other.Save(ctx, state)
		if first != nil || !errors.Is(second, ExpectedLatestMismatch) {
			t.Fatal(turn, first, second)
		}
		if _, err := other.Load(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAThreadNoticesThatItsStepWasRewoundAndSavedAgain(t *testing.T) {
	target, ctx := sharedServer(t).target, context.Background()
	one, other := newClient(t, target).Thread(t.Name()), newClient(t, target).Thread(t.Name())
	for turn := range 2 {
		if _, err := one.Save(ctx, map[string]any{"turn": turn}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Rewind(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Save(ctx, map[string]any{"turn": "another"}); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Save(ctx, map[string]any{"turn": 2}); !errors.Is(err, ExpectedLatestMismatch) {
		t.Fatal(err)
	}
}
