package lockstitch

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// A resumption is a server's stream that is opened again where it breaks off.
type resumption[Request proto.Message, Answer any] struct {
	client *Client
	open   func(context.Context, Request) (grpc.ServerStreamingClient[Answer], error)
	// request is what to ask for now; false: there is nothing left.
	request func() (Request, bool)
	// patience is how long to wait without an answer.
	patience time.Duration
	// endless: the stream goes on after a silence, too, if something came before.
	endless bool
}

// answers gives the answers of one stream after the other. An error ends them.
func (r resumption[Request, Answer]) answers(caller context.Context) iter.Seq2[*Answer, error] {
	return func(yield func(*Answer, error) bool) {
		ctx, dog, cancel := newWatchdog(caller, r.patience)
		defer func() { cancel() }()
		for failures := 0; ; failures++ {
			brought, err := r.attempt(ctx, dog, yield)
			if err == nil {
				return
			}
			if brought {
				failures = 0
			}
			if r.endless && brought && errors.Is(context.Cause(ctx), errIdle) && r.client.settings.retry {
				cancel()
				ctx, dog, cancel = newWatchdog(caller, r.patience)
				continue
			}
			failure := r.client.streamFailed(ctx, err)
			if !r.client.settings.retry || !failure.retryable() {
				yield(nil, failure)
				return
			}
			if failure = r.client.pause(ctx, failure, failures); failure != nil {
				yield(nil, r.client.streamFailed(ctx, failure))
				return
			}
		}
	}
}

// attempt gives the answers of one stream, and says whether there were any. No
// error: there are to be no more.
func (r resumption[Request, Answer]) attempt(
	ctx context.Context, dog *watchdog, yield func(*Answer, error) bool,
) (brought bool, err error) {
	request, more := r.request()
	if !more {
		return false, nil
	}
	if err := checkTexts(request); err != nil {
		return false, err
	}
	sent, err := r.client.outgoing(ctx)
	if err != nil {
		return false, err
	}
	waiting := time.Now()
	stream, err := r.open(sent, request)
	for err == nil {
		var answer *Answer
		dog.reset()
		waiting = time.Now()
		if answer, err = stream.Recv(); err == nil {
			dog.stop()
			brought = true
			if !yield(answer, nil) {
				return true, nil
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return brought, nil
	}
	r.client.suspectStream(ctx, stream, time.Since(waiting))
	return brought, err
}

// serverStream makes a stub's method one that a resumption can open.
func serverStream[Request, Answer any](
	method func(context.Context, Request, ...grpc.CallOption) (grpc.ServerStreamingClient[Answer], error),
) func(context.Context, Request) (grpc.ServerStreamingClient[Answer], error) {
	return func(ctx context.Context, request Request) (grpc.ServerStreamingClient[Answer], error) {
		return method(ctx, request)
	}
}

// patience is how long to wait for a stream that ends: the client's timeout, or as
// long as the context says.
func (c *Client) patience(ctx context.Context) time.Duration {
	if _, ok := ctx.Deadline(); ok {
		return math.MaxInt64
	}
	return c.settings.timeout
}
