package lockstitch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"lockstitch.dev/go/lockstitchpb"
)

// Client makes calls to a Lockstitch server. Any number of goroutines may share
// it.
type Client struct {
	connection  *grpc.ClientConn
	checkpoints lockstitchpb.CheckpointServiceClient
	sessions    lockstitchpb.SessionServiceClient
	connections *connections
	memory      *memory // nil: whole states only
	limiter     *saveLimiter
	saveIDs     *saveIDs
	settings    settings
	connected   atomic.Bool // once, at least
	closed      atomic.Bool
}

// New makes a client for the server at target, such as "127.0.0.1:50051",
// "unix:/run/lockstitch.sock", "dns:///lockstitch:50051" or
// "https://lockstitch:443", which is with TLS; a name with many addresses spreads
// the calls over all of them.
//
// It does not wait for the server: the first call connects, and fails with
// codes.Unavailable where there is none (see WithConnectTimeout). WaitReady waits
// for a server that has yet to start. New fails where the target or an option
// makes no sense, such as an address without a port.
func New(target string, options ...Option) (*Client, error) {
	chosen := defaults()
	for _, option := range options {
		option(&chosen)
	}
	at, err := chosen.dialed(target)
	if err != nil {
		return nil, err
	}
	client := &Client{
		settings: chosen, connections: &connections{}, limiter: newSaveLimiter(chosen.maxSaves, chosen.maxSaveBytes),
		saveIDs: newSaveIDs(),
	}
	connection, err := grpc.NewClient(at.dial, append([]grpc.DialOption{
		grpc.WithChainUnaryInterceptor(client.connectedCall),
		grpc.WithChainStreamInterceptor(client.connectedStream),
	}, client.dialOptions()...)...)
	if err != nil {
		return nil, err
	}
	client.connection = connection
	client.checkpoints = lockstitchpb.NewCheckpointServiceClient(connection)
	client.sessions = lockstitchpb.NewSessionServiceClient(connection)
	if chosen.delta {
		client.memory = newMemory(memorySessions)
	}
	return client, nil
}

// dialed is where to connect to, and whether with TLS.
func (s *settings) dialed(target string) (address, error) {
	at, err := parseTarget(target)
	switch {
	case s.err != nil:
		return at, s.err
	case err != nil:
		return at, err
	case at.http && s.tls != nil:
		return at, fmt.Errorf("lockstitch: target %q is without TLS: write https://, or leave WithTLS out", target)
	case at.https && s.tls == nil:
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if s.token != nil && s.tls == nil && !s.insecure && !at.local {
		return at, errors.New("lockstitch: a key would travel in the clear: use WithTLS, or WithInsecure where a mesh encrypts it")
	}
	return at, nil
}

// String does not show keys.
func (c *Client) String() string { return "lockstitch.Client(" + c.connection.Target() + ")" }

// Close ends running calls and the connection. It may be repeated.
func (c *Client) Close() error {
	c.closed.Store(true)
	err := c.connection.Close()
	if status.Code(err) == codes.Canceled { // it is closed already
		return nil
	}
	return err
}

// WaitReady returns as soon as the server says that it is ready to work, or the
// context ends (DefaultTimeout where it has no deadline).
func (c *Client) WaitReady(ctx context.Context) error {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	for {
		serving, err := c.isServing(ctx)
		if serving || err != nil {
			return err
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return c.late(fromError(err))
		}
	}
}

func (c *Client) dialOptions() []grpc.DialOption {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(monitoredCredentials{c.settings.transport(), c.connections}),
		// A name with many addresses is many replicas: spread the calls, leave out those that cannot be reached.
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithDefaultCallOptions(
			// What the server has accepted can be read back, whatever its limit.
			grpc.MaxCallRecvMsgSize(math.MaxInt32),
			grpc.MaxCallSendMsgSize(math.MaxInt32),
			grpc.WaitForReady(c.settings.retry),
		),
		// gRPC waits up to two minutes between attempts to connect; a server that restarts is back in seconds.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second,
			},
			MinConnectTimeout: 3 * time.Second, // in truth: how long one attempt may take
		}),
		grpc.WithResolvers(newFreshNames()),
		// A peer that has vanished without a word is given up when it has not acknowledged what was sent for 10 s
		// (TCP_USER_TIMEOUT). Calls that run out of time find silent connections sooner (`suspect`); pings find
		// those that only streams use. Servers end connections that ping more often than every five minutes.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 6 * time.Minute, Timeout: 10 * time.Second}),
		grpc.WithDisableRetry(), // ours knows how long the server wants to be left alone, and has no limit but the deadline
	}
	return append(options, c.settings.dial...)
}

func (s settings) transport() credentials.TransportCredentials {
	if s.tls == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(s.tls)
}
