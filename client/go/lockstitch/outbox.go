package lockstitch

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"lockstitch.dev/go/lockstitchpb"
)

// An item is one save on its way through a stream.
type item struct {
	number  uint64
	session string
	ctx     context.Context
	begun   time.Time // when its time began to run
	draft   *draft
	request *lockstitchpb.SaveRequest // the draft's delta, or all of it
	// reading is held while the request is read, so that its owner gets it back
	// only when nobody reads it any more.
	reading  sync.Mutex
	sent     bool // on the stream that is open now
	sentAt   time.Time
	refusals int
	permit   *permit
	done     chan struct{}
	saved    Saved
	err      error
}

// ends says whether its time is over after a wait.
func (i *item) ends(wait time.Duration) bool {
	end, ok := i.ctx.Deadline()
	return ok && time.Until(end) <= wait
}

// An outbox holds what a stream has to send, and what of that has no answer. It
// gives items out in the order in which they came in, as far as those of one
// session are concerned. Its methods are for the holder of the stream's lock.
type outbox struct {
	number  uint64
	waiting map[uint64]*item // all that have no answer
	unsent  []*item
	held    map[string][]*item // by session: not to be sent before `release`
}

func newOutbox() *outbox {
	return &outbox{waiting: map[uint64]*item{}, held: map[string][]*item{}}
}

func (o *outbox) add(added *item) {
	o.number++
	added.number = o.number
	o.waiting[added.number] = added
	o.unsent = append(o.unsent, added)
}

// take gives what goes into the next message: so many items at most, and no more
// than so many bytes but for a single item. None: there is nothing to send.
func (o *outbox) take(most, bytes int) []*item {
	var taken []*item
	for size := 0; len(o.unsent) > 0 && len(taken) < most; {
		next := o.unsent[0]
		if o.waiting[next.number] == next && o.held[next.session] == nil {
			size += proto.Size(next.request)
			if len(taken) > 0 && size > bytes {
				break
			}
			next.sent, next.sentAt = true, time.Now()
			taken = append(taken, next)
		} else if o.waiting[next.number] == next {
			o.held[next.session] = append(o.held[next.session], next)
		} // else nobody waits for it any more
		o.unsent = o.unsent[1:]
	}
	return taken
}

// again has an item sent once more, before all that has not been sent.
func (o *outbox) again(refused *item) {
	refused.sent = false
	o.unsent = append([]*item{refused}, o.unsent...)
}

// hold keeps an item back, and those of its session that have not been sent.
// False: they were kept back already.
func (o *outbox) hold(refused *item) bool {
	refused.sent = false
	before, ok := o.held[refused.session]
	o.held[refused.session] = append(before, refused)
	return !ok
}

// release has what was kept back sent, in its order.
func (o *outbox) release(session string) {
	held := o.held[session]
	delete(o.held, session)
	slices.SortFunc(held, byNumber)
	o.unsent = append(held, o.unsent...)
}

// drop forgets an item that nobody waits for, so that its memory is free even while
// nothing can be sent.
func (o *outbox) drop(expired *item) {
	is := func(other *item) bool { return other == expired }
	o.unsent = slices.DeleteFunc(o.unsent, is)
	if held, ok := o.held[expired.session]; ok {
		o.held[expired.session] = slices.DeleteFunc(held, is)
	}
}

// restart has all sent again that has no answer.
func (o *outbox) restart() {
	o.unsent = o.all()
	for _, each := range o.unsent {
		each.sent = false
	}
	clear(o.held)
}

func (o *outbox) all() []*item {
	return slices.SortedFunc(maps.Values(o.waiting), byNumber)
}

// underWay is what has gone out and has no answer, in its order.
func (o *outbox) underWay() []*item {
	return slices.DeleteFunc(o.all(), func(each *item) bool { return !each.sent })
}

func byNumber(a, b *item) int { return cmp.Compare(a.number, b.number) }
