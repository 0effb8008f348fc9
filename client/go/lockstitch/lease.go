package lockstitch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"lockstitch.dev/go/lockstitchpb"
)

// Lease is the right to write to a session, for a time.
type Lease struct {
	SessionID string
	// Token goes with every save (WithLease). It is 0 in the results of
	// GetSession and WatchSession.
	Token  uint64
	Holder string
	// AcquiredAt and ExpireAt are times of the database's clock.
	AcquiredAt, ExpireAt time.Time
	// TTL is how long the lease lasts from when it was acquired or renewed; 0 in the
	// results of GetSession and WatchSession.
	TTL time.Duration
}

// grantedLease is a lease out of the answer to an acquisition or a renewal.
func grantedLease(sessionID string, from *lockstitchpb.Lease, ttl *durationpb.Duration) Lease {
	lease := Lease{SessionID: sessionID}
	if granted := leaseOf(sessionID, from); granted != nil {
		lease = *granted
	}
	lease.TTL = ttl.AsDuration()
	return lease
}

// A LeaseOption adds something to AcquireLease.
type LeaseOption func(*lockstitchpb.AcquireLeaseRequest)

// WithAcquisitionID identifies the acquisition, by up to 64 bytes: that of an
// earlier call which failed without an answer gets the lease that the call may have
// taken. Without this option, each call has a random one.
func WithAcquisitionID(id string) LeaseOption {
	return func(request *lockstitchpb.AcquireLeaseRequest) { request.AcquisitionId = id }
}

// AcquireLease takes the lease of a session. holder: a readable name, which
// others are shown; it need not be unique. ttl: how long the lease lasts unless
// renewed; 0 means the server's default. An error with the reason LeaseHeld:
// another call has it, even one with the same holder.
func (c *Client) AcquireLease(
	ctx context.Context, sessionID, holder string, ttl time.Duration, options ...LeaseOption,
) (Lease, error) {
	request := &lockstitchpb.AcquireLeaseRequest{
		SessionId: sessionID, Holder: holder, Ttl: duration(ttl), AcquisitionId: rand.Text(),
	}
	for _, option := range options {
		option(request)
	}
	answer, err := call(ctx, c, request, unary(c.sessions.AcquireLease))
	if err != nil {
		return Lease{}, err
	}
	return grantedLease(sessionID, answer.Lease, answer.Ttl), nil
}

// RenewLease prolongs a lease. An error with the reason LeaseLost: it is no more.
func (c *Client) RenewLease(ctx context.Context, lease Lease, ttl time.Duration) (Lease, error) {
	request := &lockstitchpb.RenewLeaseRequest{
		SessionId: lease.SessionID, LeaseToken: lease.Token, Ttl: duration(ttl),
	}
	answer, err := call(ctx, c, request, unary(c.sessions.RenewLease))
	if err != nil {
		return Lease{}, err
	}
	return grantedLease(lease.SessionID, answer.Lease, answer.Ttl), nil
}

// ReleaseLease gives a lease back, and says whether it was still held.
func (c *Client) ReleaseLease(ctx context.Context, lease Lease) (released bool, err error) {
	request := &lockstitchpb.ReleaseLeaseRequest{SessionId: lease.SessionID, LeaseToken: lease.Token}
	answer, err := call(ctx, c, request, unary(c.sessions.ReleaseLease))
	return answer.GetReleased(), err
}

// BreakLease ends the live lease of a session, whoever holds it: for operators, where
// a holder is gone or hangs. acquiredAt: only the lease that was acquired then
// (Lease.AcquiredAt); zero: whichever is live. It says whether there was one, whose
// token is void from then on (LeaseLost).
//
//	details, err := client.GetSession(ctx, "order-4711")
//	...
//	broken, err := client.BreakLease(ctx, "order-4711", details.Lease.AcquiredAt)
func (c *Client) BreakLease(ctx context.Context, sessionID string, acquiredAt time.Time) (broken bool, err error) {
	request := &lockstitchpb.BreakLeaseRequest{SessionId: sessionID, AcquiredAt: timestamp(acquiredAt)}
	answer, err := call(ctx, c, request, unary(c.sessions.BreakLease))
	return answer.GetBroken(), err
}

// A Runner is the one that writes to a session: it holds the session's lease,
// renews it, and saves under it.
type Runner struct {
	// Latest is the session as it was when the lease was acquired.
	Latest Loaded

	client *Client
	lease  Lease
	ttl    time.Duration
	ctx    context.Context
	lose   context.CancelCauseFunc
	done   sync.WaitGroup
	once   sync.Once
	closed atomic.Bool
}

// A RunOption says how RunSession gets a session: LoadOptions, and WaitForLease.
type RunOption interface{ applyTo(*runSettings) }

type runSettings struct {
	load []LoadOption
	wait time.Duration
}

func (o LoadOption) applyTo(s *runSettings) { s.load = append(s.load, o) }

type leaseWait time.Duration

func (w leaseWait) applyTo(s *runSettings) { s.wait = time.Duration(w) }

// WaitForLease has RunSession wait this long while another holds the lease. An
// error with the reason LeaseHeld says that it still did.
func WaitForLease(wait time.Duration) RunOption { return leaseWait(wait) }

// RunSession acquires the lease of a session and loads its latest checkpoint.
// holder and ttl are as in AcquireLease; a holder of "" is named by its host and
// process. Close the runner at the end.
//
//	runner, err := client.RunSession(ctx, "order-4711", "", 30*time.Second,
//		lockstitch.WaitForLease(time.Minute))
func (c *Client) RunSession(
	ctx context.Context, sessionID, holder string, ttl time.Duration, options ...RunOption,
) (*Runner, error) {
	var chosen runSettings
	for _, option := range options {
		option.applyTo(&chosen)
	}
	runner, err := c.waitAndHold(ctx, sessionID, holder, ttl, chosen.wait)
	if err != nil {
		return nil, err
	}
	if runner.Latest, err = c.LoadLatest(ctx, sessionID, chosen.load...); err != nil {
		_, _ = runner.Close()
		return nil, err
	}
	return runner, nil
}

// leasePoll is how often to ask for a lease that another holds.
const leasePoll = 500 * time.Millisecond

// waitAndHold is `hold`, for as long as another holds the lease and there is time.
func (c *Client) waitAndHold(
	ctx context.Context, sessionID, holder string, ttl, wait time.Duration,
) (*Runner, error) {
	if holder == "" {
		host, _ := os.Hostname()
		holder = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	for end := time.Now().Add(wait); ; {
		runner, err := c.hold(ctx, sessionID, holder, ttl)
		if !errors.Is(err, LeaseHeld) || time.Now().Add(leasePoll).After(end) {
			return runner, err
		}
		if err := sleep(ctx, leasePoll); err != nil {
			return nil, fromError(err)
		}
	}
}

// hold acquires the lease of a session and begins to renew it.
func (c *Client) hold(ctx context.Context, sessionID, holder string, ttl time.Duration) (*Runner, error) {
	asked := time.Now()
	lease, err := c.AcquireLease(ctx, sessionID, holder, ttl)
	if err != nil {
		return nil, err
	}
	runner := &Runner{client: c, lease: lease, ttl: ttl}
	runner.ctx, runner.lose = context.WithCancelCause(context.WithoutCancel(ctx))
	runner.done.Add(1)
	go runner.renew(asked.Add(lease.TTL))
	return runner, nil
}

// Context ends when the lease is lost, or the runner is closed: do the session's
// work under it. context.Cause tells which; Err does, too.
func (r *Runner) Context() context.Context { return r.ctx }

// Token is the lease's.
func (r *Runner) Token() uint64 { return r.lease.Token }

// Err is nil while the lease is held. An error with the reason LeaseLost: this
// runner may not write any more.
func (r *Runner) Err() error {
	if r.ctx.Err() == nil {
		return nil
	}
	return context.Cause(r.ctx)
}

// Save saves a checkpoint of the session under the lease.
func (r *Runner) Save(
	ctx context.Context, checkpoint *lockstitchpb.Checkpoint, options ...SaveOption,
) (Saved, error) {
	return r.saveAs(ctx, r.client.saveIDs, checkpoint, options)
}

func (r *Runner) saveAs(
	ctx context.Context, writer *saveIDs, checkpoint *lockstitchpb.Checkpoint, options []SaveOption,
) (Saved, error) {
	if err := r.Err(); err != nil {
		return Saved{}, err
	}
	options = slices.Concat(options, []SaveOption{WithLease(r.lease.Token)})
	saved, err := r.client.saveAs(ctx, writer, checkpoint, options)
	if errors.Is(err, LeaseLost) {
		r.lose(err)
	}
	return saved, err
}

// SaveWrites saves pending writes of a checkpoint of the session under the lease,
// as Client.SaveWrites does. A ref without SessionID means the runner's session.
//
//	at := lockstitch.CheckpointRef{CheckpointID: runner.Latest.Checkpoint.CheckpointId}
//	saved, err := runner.SaveWrites(runner.Context(), at, writes)
func (r *Runner) SaveWrites(
	ctx context.Context, at CheckpointRef, writes []*lockstitchpb.PendingWrite,
) (SavedWrites, error) {
	if err := r.Err(); err != nil {
		return SavedWrites{}, err
	}
	if at.SessionID == "" {
		at.SessionID = r.lease.SessionID
	}
	saved, err := r.client.SaveWrites(ctx, at, writes, WithLease(r.lease.Token))
	if errors.Is(err, LeaseLost) {
		r.lose(err)
	}
	return saved, err
}

// Close releases the lease, and says whether it was still held. It may be
// repeated.
func (r *Runner) Close() (released bool, err error) {
	r.once.Do(func() {
		r.closed.Store(true)
		r.lose(&Error{Code: codes.Canceled, Message: "the runner was closed"})
		r.done.Wait()
		released, err = r.client.ReleaseLease(context.WithoutCancel(r.ctx), r.lease)
	})
	return released, err
}

// renew renews the lease when a third of it has gone by, until it is lost.
// end: when it ends, by this process's clock, at the earliest.
func (r *Runner) renew(end time.Time) {
	defer r.done.Done()
	for sleep(r.ctx, r.lease.TTL/3) == nil {
		asked := time.Now()
		ctx, cancel := context.WithDeadline(r.ctx, end)
		_, err := r.client.RenewLease(ctx, r.lease, r.ttl)
		cancel()
		switch {
		case err == nil:
			end = asked.Add(r.lease.TTL)
		case errors.Is(err, LeaseLost) || errors.Is(err, SessionDeleted):
			r.lose(err)
		case !time.Now().Before(end):
			r.lose(&Error{Code: codes.Aborted, Reason: LeaseLost, Message: "the lease could not be renewed: " + err.Error()})
		}
	}
}
