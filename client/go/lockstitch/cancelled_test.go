package lockstitch

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errReset is what becomes of a call that a server had not begun when it stopped.
var errReset = status.Error(codes.Canceled, "stream terminated by RST_STREAM with error code: CANCEL")

// ways to make a call that a scripted server answers.
var ways = map[string]func(context.Context, *Client) error{
	"save": func(ctx context.Context, client *Client) error {
		_, err := client.Save(ctx, conversation("s", 1))
		return err
	},
	"stream of saves": func(ctx context.Context, client *Client) error {
		stream := client.SaveStream()
		defer stream.Close()
		_, err := stream.Save(ctx, conversation("s", 1))
		return err
	},
	"watch": func(ctx context.Context, client *Client) error {
		var last error
		for _, last = range client.WatchSession(ctx, "s", WatchOptions{}) {
		}
		return last
	},
}

func TestWhatTheServerHasCancelledIsRepeated(t *testing.T) {
	for name, call := range ways {
		t.Run(name, func(t *testing.T) {
			script, client := startScripted(t, errReset, errReset)
			if err := call(context.Background(), client); err != nil || script.count() != 3 {
				t.Fatal(err, script.count())
			}
		})
	}
}

func TestWhatTheCallerHasCancelledIsNotRepeated(t *testing.T) {
	for name, call := range ways {
		t.Run(name, func(t *testing.T) {
			script, client := startScripted(t, errHang)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error)
			go func() { ended <- call(ctx, client) }()
			await(t, func() bool { return script.count() == 1 })
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) || script.count() != 1 {
				t.Fatal(err, script.count())
			}
			await(t, func() bool { return script.cancelled.Load() == 1 }) // the server knows
		})
	}
}

func TestTheCallerEndsAPauseToo(t *testing.T) {
	for name, call := range ways {
		t.Run(name, func(t *testing.T) {
			script, _ := startScripted(t, errReset)
			slow := WithBackoff(Backoff{Initial: time.Hour, Max: time.Hour, Multiplier: 1})
			client := newClient(t, script.target, slow, WithTimeout(24*time.Hour))
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error)
			go func() { ended <- call(ctx, client) }()
			await(t, func() bool { return script.count() == 1 })
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) || script.count() != 1 {
				t.Fatal(err, script.count())
			}
		})
	}
}

func TestAClosedClientRepeatsNothing(t *testing.T) {
	for name, call := range ways {
		t.Run(name, func(t *testing.T) {
			script, client := startScripted(t, errHang)
			ended := make(chan error)
			go func() { ended <- call(context.Background(), client) }()
			await(t, func() bool { return script.count() == 1 })
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; status.Code(err) != codes.Canceled || script.count() != 1 {
				t.Fatal(err, script.count())
			}
		})
	}
}

func TestWithoutRetriesWhatTheServerHasCancelledIsUnavailable(t *testing.T) {
	script, _ := startScripted(t, errReset)
	client := newClient(t, script.target, WithoutRetry())
	_, err := client.Save(context.Background(), conversation("s", 1))
	if status.Code(err) != codes.Unavailable || errors.Is(err, context.Canceled) || script.count() != 1 {
		t.Fatal(err, script.count())
	}
}

func TestACancellationWithAReasonIsNotRepeated(t *testing.T) {
	info := &errdetails.ErrorInfo{Domain: errorDomain, Reason: "NEWER"}
	told, err := status.New(codes.Canceled, "no").WithDetails(info)
	if err != nil {
		t.Fatal(err)
	}
	script, client := startScripted(t, told.Err())
	_, err = client.Save(context.Background(), conversation("s", 1))
	if status.Code(err) != codes.Canceled || !errors.Is(err, Reason("NEWER")) || script.count() != 1 {
		t.Fatal(err, script.count())
	}
}

func await(t *testing.T, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(wait); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}
