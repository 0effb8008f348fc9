package lockstitch

import (
	"runtime"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// A permit is a save's share of its client's limits. It is given back when the save
// has ended and gRPC has let go of all its bytes: a save that runs out of time leaves
// them in a connection that takes none at the moment.
type permit struct {
	limiter *saveLimiter
	size    int
	holders atomic.Int32
}

func (p *permit) hold() { p.holders.Add(1) }

func (p *permit) release() {
	if p.holders.Add(-1) == 0 {
		p.limiter.leave(p.size)
	}
}

// protoCodec is gRPC's own.
var protoCodec = encoding.GetCodecV2("proto")

// permitCodec encodes the requests of one save, and holds its permit while their
// bytes are in use.
type permitCodec struct{ permit *permit }

// Name is empty so that the content type of calls stays the usual one.
func (c permitCodec) Name() string { return "" }

func (c permitCodec) Unmarshal(data mem.BufferSlice, into any) error {
	return protoCodec.Unmarshal(data, into)
}

func (c permitCodec) Marshal(message any) (mem.BufferSlice, error) {
	request, ok := message.(proto.Message)
	if !ok || mem.IsBelowBufferPoolingThreshold(proto.Size(request)) {
		return protoCodec.Marshal(message)
	}
	pool := poolFor(proto.Size(request))
	data := pool.Get(proto.Size(request))
	if _, err := (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend((*data)[:0], request); err != nil {
		pool.Put(data)
		return nil, err
	}
	c.permit.hold()
	return mem.BufferSlice{mem.NewBuffer(data, heldBuffer(data, pool, c.permit))}, nil
}

// pooledBytes is the size up to which gRPC's pool has buffers of about the right
// size; the next ones have 1 MiB.
const pooledBytes = 32 << 10

func poolFor(size int) mem.BufferPool {
	if size > pooledBytes {
		return mem.NopBufferPool{}
	}
	return mem.DefaultBufferPool()
}

// A heldPool takes one buffer back, and gives it to gRPC's pool.
type heldPool struct {
	mem.BufferPool
	release func()
	cleanup runtime.Cleanup
}

// heldBuffer is the pool of a buffer that holds a permit until it is put back, or
// forgotten, as gRPC does when a connection breaks.
func heldBuffer(data *[]byte, pool mem.BufferPool, held *permit) *heldPool {
	made := &heldPool{BufferPool: pool, release: sync.OnceFunc(held.release)}
	made.cleanup = runtime.AddCleanup(data, func(release func()) { release() }, made.release)
	return made
}

func (p *heldPool) Put(data *[]byte) {
	p.cleanup.Stop()
	p.BufferPool.Put(data)
	p.release()
}
