package lockstitch

import (
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
)

// resolveInterval is how often a name is looked up at most. gRPC's own limit is
// 30 seconds, which is as long as calls wait: a server that has moved would be
// found too late.
const resolveInterval = 500 * time.Millisecond

// freshNames builds gRPC's own resolver of DNS names, anew whenever gRPC asks for
// the addresses of now.
type freshNames struct{ resolver.Builder }

func newFreshNames() freshNames { return freshNames{resolver.Get("dns")} }

func (b freshNames) Build(
	target resolver.Target, connection resolver.ClientConn, options resolver.BuildOptions,
) (resolver.Resolver, error) {
	build := func() (resolver.Resolver, error) { return b.Builder.Build(target, connection, options) }
	first, err := build()
	if err != nil {
		return nil, err
	}
	return &freshName{build: build, current: first, built: time.Now()}, nil
}

type freshName struct {
	build   func() (resolver.Resolver, error)
	mutex   sync.Mutex
	current resolver.Resolver
	built   time.Time
	closed  bool
}

// ResolveNow is called after every attempt to connect that has failed.
func (r *freshName) ResolveNow(resolver.ResolveNowOptions) {
	go r.rebuild() // gRPC holds locks that a resolver needs to end
}

func (r *freshName) rebuild() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.closed || time.Since(r.built) < resolveInterval {
		return
	}
	r.built = time.Now()
	if next, err := r.build(); err == nil {
		r.current.Close()
		r.current = next
	}
}

func (r *freshName) Close() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.closed = true
	r.current.Close()
}
