package lockstitch

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// call makes a call, unless its request holds text that cannot be sent.
func call[Request proto.Message, Answer any](
	ctx context.Context, c *Client, request Request, attempt func(context.Context, Request) (Answer, error),
) (Answer, error) {
	if err := checkTexts(request); err != nil {
		var none Answer
		return none, err
	}
	return repeat(ctx, c, request, attempt)
}

// repeat makes a call, again and again while the server is away and there is
// time. Every call of the contract can be repeated without doing its work twice.
func repeat[Request, Answer any](
	ctx context.Context, c *Client, request Request, attempt func(context.Context, Request) (Answer, error),
) (Answer, error) {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	for failures := 0; ; failures++ {
		var answer Answer
		sent, err := c.outgoing(ctx)
		if err == nil {
			answer, err = attempt(sent, request)
		}
		if err == nil {
			return answer, nil
		}
		failure := c.failed(ctx, err)
		if !c.settings.retry || !failure.retryable() {
			return answer, failure
		}
		if failure = c.pause(ctx, failure, failures); failure != nil {
			return answer, failure
		}
	}
}

// failed is how a call has failed that was made in ctx. One that nobody here has
// cancelled was reset by a server that stops, before it was begun: the server is
// away.
func (c *Client) failed(ctx context.Context, err error) *Error {
	failure := c.late(fromError(err))
	if failure.Code != codes.Canceled || failure.Reason != "" || ctx.Err() != nil || c.closed.Load() {
		return failure
	}
	reset := *failure
	reset.Code, reset.Message = codes.Unavailable, "cancelled by the server: "+failure.Message
	return &reset
}

// pause waits before a call is repeated. It gives an error where there is to be
// no other: the last one where there is no time, else how the context has ended.
func (c *Client) pause(ctx context.Context, failure *Error, failures int) *Error {
	wait := max(c.settings.backoff.after(failures), failure.RetryAfter)
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= wait {
		return failure
	}
	if err := sleep(ctx, wait); err != nil {
		return fromError(err)
	}
	return nil
}

// after is how long to wait after this number of failures.
func (b Backoff) after(failures int) time.Duration {
	wait := float64(b.Initial) * math.Pow(b.Multiplier, float64(failures))
	return time.Duration(min(wait, float64(b.Max)) * (0.8 + 0.4*rand.Float64()))
}

// deadline gives a context without a deadline the client's.
func (c *Client) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.settings.timeout)
}

// outgoing puts what goes with every call into a context: credentials, and the
// trace that the call is part of.
func (c *Client) outgoing(ctx context.Context) (context.Context, error) {
	token, err := c.bearer(ctx)
	if err != nil {
		return nil, err
	}
	sent, ok := metadata.FromOutgoingContext(ctx)
	if ok {
		sent = sent.Copy()
	} else {
		sent = metadata.MD{}
	}
	if token != "" {
		sent.Set("authorization", token)
	}
	if c.settings.tenant != "" {
		sent.Set("lockstitch-tenant", c.settings.tenant)
	}
	if c.settings.inject != nil {
		c.settings.inject(ctx, func(key, value string) { sent.Set(key, value) })
	}
	return metadata.NewOutgoingContext(ctx, sent), nil
}

func (c *Client) isServing(ctx context.Context) (bool, error) {
	sent, err := c.outgoing(ctx)
	if err != nil {
		return false, err
	}
	answer, err := grpc_health_v1.NewHealthClient(c.connection).Check(sent, &grpc_health_v1.HealthCheckRequest{})
	if err == nil {
		c.connected.Store(true)
		return answer.Status == grpc_health_v1.HealthCheckResponse_SERVING, nil
	}
	failure := c.failed(ctx, err)
	switch failure.Code {
	case codes.Unavailable:
		if failure.final {
			return false, failure
		}
		return false, nil
	case codes.Unimplemented: // something without health checks, but it answers
		return true, nil
	default:
		return false, failure
	}
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errIdle ends a stream on which nothing has come for too long.
var errIdle = errors.New("no answer in time")

// watchdog ends the context of a stream when nothing has come for a time.
type watchdog struct {
	timer   *time.Timer
	timeout time.Duration
}

func newWatchdog(ctx context.Context, timeout time.Duration) (context.Context, *watchdog, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	dog := &watchdog{time.AfterFunc(timeout, func() { cancel(errIdle) }), timeout}
	return ctx, dog, func() {
		dog.stop()
		cancel(nil)
	}
}

// stop is for while the caller is busy with what has come; reset for when it
// waits again.
func (w *watchdog) stop() { w.timer.Stop() }

func (w *watchdog) reset() { w.timer.Reset(w.timeout) }

// streamFailed is how a stream has failed, its own end for lack of answers
// included.
func (c *Client) streamFailed(ctx context.Context, err error) *Error {
	if errors.Is(context.Cause(ctx), errIdle) {
		return c.late(&Error{Code: codes.DeadlineExceeded, Message: errIdle.Error()})
	}
	return c.failed(ctx, err)
}
