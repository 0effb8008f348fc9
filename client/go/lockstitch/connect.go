package lockstitch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// probeTime is how long to ask why there is no connection.
const probeTime = 400 * time.Millisecond

// firstConnection returns when there is a connection, or has ever been one. Else
// it fails after the time to connect, so that a wrong address is told at the
// first call.
func (c *Client) firstConnection(ctx context.Context) error {
	if c.connected.Load() {
		return nil
	}
	call := ctx
	ctx, cancel := context.WithTimeout(ctx, c.settings.connectTimeout)
	defer cancel()
	for {
		state := c.connection.GetState()
		switch {
		case state == connectivity.Ready:
			c.connected.Store(true)
			return nil
		case state == connectivity.Shutdown:
			return status.Error(codes.Canceled, "the client was closed")
		case state == connectivity.TransientFailure && !c.settings.retry:
			return c.noConnection()
		}
		c.connection.Connect()
		if !c.connection.WaitForStateChange(ctx, state) {
			return c.givenUp(call)
		}
	}
}

// givenUp is why a call waits no longer for a connection.
func (c *Client) givenUp(call context.Context) error {
	if call.Err() == nil {
		return c.noConnection()
	}
	return c.late(fromError(call.Err()))
}

// noConnection says why there is none, which gRPC tells only to a call that does
// not wait.
func (c *Client) noConnection() *Error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	request := &grpc_health_v1.HealthCheckRequest{}
	_, err := grpc_health_v1.NewHealthClient(c.connection).Check(ctx, request, grpc.WaitForReady(false))
	cause := "nothing answers there"
	if status.Code(err) == codes.Unavailable {
		cause = status.Convert(err).Message()
		if at := strings.LastIndex(cause, "desc = "); at >= 0 {
			cause = strings.Trim(cause[at+len("desc = "):], `"`)
		}
	}
	message := fmt.Sprintf("no connection to %s: %s", c.connection.Target(), cause)
	return &Error{Code: codes.Unavailable, Message: message, final: true}
}

// late is how a call has failed, where it may be for lack of a connection that
// it had no answer in time.
func (c *Client) late(failure *Error) *Error {
	if failure.Code != codes.DeadlineExceeded || c.connection.GetState() == connectivity.Ready || c.closed.Load() {
		return failure
	}
	unavailable := c.noConnection()
	unavailable.timedOut = true
	return unavailable
}

// Calls wait for the first connection, but for health checks, whose callers wait
// for the server, or ask why there is no connection.

func (c *Client) connectedCall(
	ctx context.Context, method string, request, answer any, connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if method != grpc_health_v1.Health_Check_FullMethodName {
		if err := c.firstConnection(ctx); err != nil {
			return err
		}
	}
	began, at := time.Now(), &peer.Peer{}
	err := invoke(ctx, method, request, answer, connection, append(options, grpc.Peer(at))...)
	if err != nil && method != grpc_health_v1.Health_Check_FullMethodName && ctx.Err() == context.DeadlineExceeded {
		c.suspect(at, time.Since(began))
	}
	return err
}

func (c *Client) connectedStream(
	ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if err := c.firstConnection(ctx); err != nil {
		return nil, err
	}
	return open(ctx, description, connection, method, options...)
}
