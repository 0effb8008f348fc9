package lockstitch

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"lockstitch.dev/go/lockstitchpb"
)

const (
	// batchSaves and batchBytes are what goes in one message at most, unless a
	// single save is larger.
	batchSaves = 64
	batchBytes = 256 * 1024
	// streamIdle is how long a stream without work stays open.
	streamIdle = 5 * time.Second
	// streamAge is how long a stream is used, so that the load moves to servers
	// that have come since.
	streamAge = 5 * time.Minute
)

// A SaveStream saves many checkpoints over one call, at a fraction of the cost
// of a Save each. Any number of goroutines may share it.
//
// Saves of one session are applied in the order of the calls to Begin or Save, each
// call after the one before it has returned; of calls that goroutines make at the
// same time, either may be the first.
// Each has its own result and its own deadline; one that fails leaves the others
// alone. When the call ends, as a server restarts, whatever has no answer is
// sent again on the next, before anything newer: saving the same again changes
// nothing, so nothing is lost or doubled. Only a save that was refused for a
// moment, or whose delta was, may go out after others that were sent meanwhile;
// where that matters, await each, or use ExpectStep.
type SaveStream struct {
	client *Client
	wake   chan struct{}
	stop   context.CancelFunc
	ctx    context.Context

	mutex   sync.Mutex
	outbox  *outbox
	running bool
	drop    context.CancelFunc // ends the call that is under way
	at      *peer.Peer         // the connection of that call
	heard   time.Time          // when that call was made, or brought its latest answer
	ended   chan struct{}      // closed when `run` has returned
}

// SaveStream makes a stream of saves. It opens a call when there is something to
// save, and closes it when there has been nothing for a while.
func (c *Client) SaveStream() *SaveStream {
	ctx, stop := context.WithCancel(context.Background())
	return &SaveStream{
		client: c, ctx: ctx, stop: stop, outbox: newOutbox(), drop: func() {}, wake: make(chan struct{}, 1),
	}
}

// PendingSave is a save that was begun.
type PendingSave struct {
	stream *SaveStream
	item   *item
	cancel context.CancelFunc
	err    error
}

// Save is Begin and Wait.
func (s *SaveStream) Save(
	ctx context.Context, checkpoint *lockstitchpb.Checkpoint, options ...SaveOption,
) (Saved, error) {
	return s.Begin(ctx, checkpoint, options...).Wait()
}

// Begin begins to save a checkpoint, as Client.Save does. While too much is in
// flight (WithSaveLimits) it waits. Leave the checkpoint as it is until Wait has returned.
func (s *SaveStream) Begin(
	ctx context.Context, checkpoint *lockstitchpb.Checkpoint, options ...SaveOption,
) *PendingSave {
	begun := time.Now()
	ctx, cancel := s.client.deadline(ctx)
	pending := &PendingSave{stream: s, cancel: cancel}
	var entered *permit
	made, err := s.client.draft(s.client.saveIDs, checkpoint, options)
	if err == nil {
		if entered, err = s.enter(ctx, proto.Size(made.request())); err != nil {
			made.settle(err)
		}
	}
	if err != nil {
		pending.err = err
		return pending
	}
	pending.item = &item{
		session: checkpoint.SessionId, ctx: ctx, begun: begun, draft: made, request: made.request(),
		permit: entered, done: make(chan struct{}),
	}
	s.add(pending.item)
	return pending
}

// Wait returns when the save has its answer, or its context has ended.
func (p *PendingSave) Wait() (Saved, error) {
	defer p.cancel()
	if p.item == nil {
		return Saved{}, p.err
	}
	select {
	case <-p.item.done:
	case <-p.item.ctx.Done():
		p.stream.expire(p.item)
	}
	return p.item.saved, p.item.err
}

// Close ends the stream; saves that wait for an answer fail with codes.Canceled.
// It may be repeated.
func (s *SaveStream) Close() error {
	s.stop()
	s.mutex.Lock()
	ended := s.ended
	s.mutex.Unlock()
	if ended != nil {
		<-ended
	}
	return nil
}

// enter waits until there is room for a save of this size.
func (s *SaveStream) enter(ctx context.Context, size int) (*permit, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	permit, err := s.client.limiter.enter(ctx, size)
	if s.ctx.Err() == nil {
		return permit, err
	}
	if err == nil {
		permit.release()
	}
	return nil, closedStream()
}

func (s *SaveStream) add(added *item) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.outbox.add(added)
	if !s.running {
		s.running, s.ended = true, make(chan struct{})
		go s.run(s.ended)
	}
	s.poke()
}

// poke tells the writer that there is something to do.
func (s *SaveStream) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// finish gives an item its result, if nobody has yet.
func (s *SaveStream) finish(finished *item, saved Saved, err error) {
	if s.outbox.waiting[finished.number] != finished {
		return
	}
	delete(s.outbox.waiting, finished.number)
	finished.saved, finished.err = saved, err
	finished.draft.settle(err)
	close(finished.done)
	finished.permit.release()
	if len(s.outbox.waiting) == 0 {
		s.poke() // the writer closes the call when it has been idle
	}
}

func (s *SaveStream) expire(expired *item) {
	failure := s.client.late(fromError(expired.ctx.Err()))
	s.mutex.Lock()
	s.finish(expired, Saved{}, failure)
	s.outbox.drop(expired)
	if expired.sent && errors.Is(expired.ctx.Err(), context.DeadlineExceeded) {
		s.suspect(expired)
	}
	if expired.sent && len(s.outbox.underWay()) == 0 {
		s.drop() // the call may be stuck, and nobody else is on it
	}
	s.mutex.Unlock()
	expired.reading.Lock() // whoever reads it is done soon
	defer expired.reading.Unlock()
}

// suspect gives up the call of a save that ran out of time, and its connection, if
// nothing has come for half of that time. The other saves are sent again.
func (s *SaveStream) suspect(late *item) {
	end, _ := late.ctx.Deadline()
	silence := end.Sub(late.begun) / 2
	if time.Since(late.sentAt) < silence || time.Since(s.heard) < silence {
		return
	}
	s.client.suspect(s.at, 2*silence)
	if s.client.settings.retry {
		s.drop()
	}
}

// run opens one call after the other while there is something to save.
func (s *SaveStream) run(ended chan struct{}) {
	defer close(ended)
	for failures := 0; ; failures++ {
		answered, err := s.useCall()
		if answered {
			failures = 0
		}
		if !s.goOn(err, failures) {
			return
		}
	}
}

// goOn does what is to be done before the next call. False: there is nothing
// more to save.
func (s *SaveStream) goOn(err error, failures int) bool {
	failure := s.client.failed(s.ctx, err)
	s.mutex.Lock()
	waiting, sent := s.outbox.all(), s.outbox.underWay()
	closed := s.ctx.Err() != nil
	switch {
	case closed:
		s.fail(waiting, closedStream())
	case err == nil:
	case failure.Code == codes.Unauthenticated || failure.Code == codes.PermissionDenied || failure.final:
		s.fail(waiting, failure)
	case !s.client.settings.retry:
		s.fail(waiting, failure)
	default:
		s.failLate(waiting, failure)
	}
	if len(s.outbox.waiting) == 0 {
		s.running = false
		s.mutex.Unlock()
		return false
	}
	s.mutex.Unlock()
	switch {
	case err == nil && failures == 0:
		return true // it was closed for its age
	case err != nil && !failure.retryable():
		s.saveAlone(sent, waiting)
		return true
	}
	_ = sleep(s.ctx, max(s.client.settings.backoff.after(failures), failure.RetryAfter))
	return true
}

func (s *SaveStream) fail(items []*item, err error) {
	for _, each := range items {
		s.finish(each, Saved{}, err)
	}
}

// failLate fails the items whose deadline passes before the server allows a retry.
func (s *SaveStream) failLate(items []*item, failure *Error) {
	for _, each := range items {
		if failure.RetryAfter > 0 && failure.retryable() && each.ends(failure.RetryAfter) {
			s.finish(each, Saved{}, failure)
		}
	}
}

// saveAlone saves by calls of their own, so that whichever ended the stream gets
// its own error. One by one: in order.
func (s *SaveStream) saveAlone(sent, waiting []*item) {
	if len(sent) == 0 {
		sent = waiting
	}
	for _, each := range sent {
		answer, err := s.saveOne(each)
		s.mutex.Lock()
		if err != nil {
			s.finish(each, Saved{}, err)
		} else {
			each.draft.learn(answer)
			s.finish(each, savedOf(answer), nil)
		}
		s.mutex.Unlock()
	}
}

// saveOne saves by a call, until the item's context or the stream's has ended.
func (s *SaveStream) saveOne(alone *item) (*lockstitchpb.SaveResponse, error) {
	ctx, cancel := context.WithCancel(alone.ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	alone.reading.Lock()
	defer alone.reading.Unlock()
	return s.client.sendSave(ctx, alone.draft.full, alone.permit)
}

type saveCall = grpc.BidiStreamingClient[lockstitchpb.SaveStreamRequest, lockstitchpb.SaveStreamResponse]

// useCall makes one call and uses it until it ends. It says whether it has
// brought any answer.
func (s *SaveStream) useCall() (answered bool, err error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	s.mutex.Lock()
	s.drop, s.at, s.heard = cancel, &peer.Peer{}, time.Now()
	s.outbox.restart()
	s.mutex.Unlock()
	sent, err := s.client.outgoing(ctx)
	if err != nil {
		return false, err
	}
	opened, err := s.client.checkpoints.SaveStream(sent)
	if err != nil {
		return false, err
	}
	s.opened(opened)
	written := make(chan struct{})
	most := &atomic.Int64{} // saves in a message: one, until the server has said that it takes batches
	most.Store(1)
	go func() {
		defer close(written)
		s.write(ctx, opened, most)
	}()
	for {
		answer, err := opened.Recv()
		if err != nil {
			cancel()
			<-written
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return answered, err
		}
		answered = true
		if answer.TakesBatches {
			most.Store(batchSaves)
		}
		s.take(answer)
	}
}

func (s *SaveStream) opened(call saveCall) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.heard = time.Now()
	if at, ok := peer.FromContext(call.Context()); ok {
		s.at = at
	}
}

// write sends what there is, and closes the call when it is old or idle.
func (s *SaveStream) write(ctx context.Context, to saveCall, most *atomic.Int64) {
	old := time.NewTimer(streamAge)
	defer old.Stop()
	for ctx.Err() == nil {
		s.mutex.Lock()
		items, idle := s.outbox.take(int(most.Load()), batchBytes), len(s.outbox.waiting) == 0
		s.mutex.Unlock()
		if len(items) > 0 {
			if s.send(to, items) != nil {
				return // reading tells why
			}
			continue
		}
		var quiet <-chan time.Time
		if idle {
			quiet = time.After(streamIdle)
		}
		select {
		case <-s.wake:
			// Saves whose answers came together are begun together: a message has them all.
			runtime.Gosched()
		case <-quiet:
			_ = to.CloseSend()
			return
		case <-old.C:
			_ = to.CloseSend()
			return
		case <-ctx.Done():
		}
	}
}

// send sends items in one message. They are locked while they are read, and not
// while the message waits to go out.
func (s *SaveStream) send(to saveCall, items []*item) error {
	message := &lockstitchpb.SaveStreamRequest{}
	for _, each := range items {
		each.reading.Lock()
		message.Batch = append(message.Batch, s.client.streamed(each))
	}
	if len(items) == 1 {
		message = message.Batch[0]
	}
	prepared := &grpc.PreparedMsg{}
	err := prepared.Encode(to, message)
	for _, each := range items {
		each.reading.Unlock()
	}
	if err != nil {
		return err
	}
	return to.SendMsg(prepared)
}

// streamed is an item as a stream has it, with the trace that it is part of.
func (c *Client) streamed(one *item) *lockstitchpb.SaveStreamRequest {
	var trace map[string]string
	if c.settings.inject != nil {
		trace = map[string]string{}
		c.settings.inject(one.ctx, func(key, value string) { trace[key] = value })
	}
	return &lockstitchpb.SaveStreamRequest{RequestId: one.number, Save: one.request, TraceContext: trace}
}

// take hands an answer on, or several.
func (s *SaveStream) take(answer *lockstitchpb.SaveStreamResponse) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.heard = time.Now()
	if len(answer.Batch) == 0 {
		s.takeOne(answer)
	}
	for _, one := range answer.Batch {
		s.takeOne(one)
	}
}

func (s *SaveStream) takeOne(answer *lockstitchpb.SaveStreamResponse) {
	waiting, ok := s.outbox.waiting[answer.RequestId]
	if !ok {
		return // nobody waits for it any more
	}
	switch told := answer.Result.(type) {
	case *lockstitchpb.SaveStreamResponse_Saved:
		waiting.draft.learn(told.Saved)
		s.finish(waiting, savedOf(told.Saved), nil)
	case *lockstitchpb.SaveStreamResponse_Error:
		s.refused(waiting, fromAnswer(told.Error))
	default:
		s.finish(waiting, Saved{}, noResult())
	}
}

// refused fails an item, or has it sent again.
func (s *SaveStream) refused(item *item, failure *Error) {
	switch {
	case item.request != item.draft.full && failure.deltaRefused():
		item.request = item.draft.full
		s.outbox.again(item)
		s.poke()
	case s.client.settings.retry && failure.retryable():
		wait := max(s.client.settings.backoff.after(item.refusals), failure.RetryAfter)
		if item.ends(wait) { // to hold it would keep its session waiting for nothing
			s.finish(item, Saved{}, failure)
			return
		}
		item.refusals++
		if s.outbox.hold(item) {
			time.AfterFunc(wait, func() { s.release(item.session) })
		}
	default:
		s.finish(item, Saved{}, failure)
	}
}

func (s *SaveStream) release(session string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.outbox.release(session)
	s.poke()
}

func closedStream() *Error {
	return &Error{Code: codes.Canceled, Message: "the stream was closed"}
}
