package lockstitch

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

const (
	// maxProbes is how many health checks look for a silent connection.
	maxProbes = 16
)

// A monitoredConn is a connection of a client.
type monitoredConn struct {
	net.Conn
	owner   *connections
	opened  time.Time
	heard   atomic.Int64 // nanoseconds from opened to the latest byte that came
	probing atomic.Bool
}

func (c *monitoredConn) Read(buffer []byte) (int, error) {
	count, err := c.Conn.Read(buffer)
	if count > 0 {
		c.heard.Store(int64(time.Since(c.opened)))
	}
	return count, err
}

func (c *monitoredConn) Close() error {
	c.owner.remove(c)
	return c.Conn.Close()
}

func (c *monitoredConn) lastHeard() time.Time { return c.opened.Add(time.Duration(c.heard.Load())) }

func (c *monitoredConn) isOf(call *peer.Peer) bool {
	return sameAddress(c.LocalAddr(), call.LocalAddr) && sameAddress(c.RemoteAddr(), call.Addr)
}

func sameAddress(left, right net.Addr) bool {
	return left != nil && right != nil && left.String() == right.String()
}

// connections are those of a client that are open.
type connections struct {
	mutex sync.Mutex
	open  map[*monitoredConn]struct{}
}

func (c *connections) add(conn net.Conn) *monitoredConn {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.open == nil {
		c.open = map[*monitoredConn]struct{}{}
	}
	added := &monitoredConn{Conn: conn, owner: c, opened: time.Now()}
	c.open[added] = struct{}{}
	return added
}

func (c *connections) remove(conn *monitoredConn) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.open, conn)
}

// of returns the connections that may have carried a call, and how many there are
// in all. Connections over Unix sockets have no address of their own.
func (c *connections) of(call *peer.Peer) (found []*monitoredConn, count int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for conn := range c.open {
		if conn.isOf(call) {
			found = append(found, conn)
		}
	}
	return found, len(c.open)
}

// monitoredCredentials secure connections as others do, and note when something
// comes over them.
type monitoredCredentials struct {
	credentials.TransportCredentials
	connections *connections
}

func (m monitoredCredentials) ClientHandshake(
	ctx context.Context, authority string, raw net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	monitored := m.connections.add(raw)
	conn, info, err := m.TransportCredentials.ClientHandshake(ctx, authority, monitored)
	if err != nil {
		m.connections.remove(monitored)
	}
	return conn, info, err
}

func (m monitoredCredentials) Clone() credentials.TransportCredentials {
	return monitoredCredentials{m.TransportCredentials.Clone(), m.connections}
}

// suspect is called for a call that ran out of time after it had waited this long.
// It closes the call's connection if nothing has come over it for half of that
// time, and a health check brings nothing either: a proxy may have forgotten the
// connection. gRPC opens another, and calls on the closed one are repeated there.
func (c *Client) suspect(call *peer.Peer, waited time.Duration) {
	found, count := c.connections.of(call)
	for _, conn := range found {
		if time.Since(conn.lastHeard()) >= waited/2 && conn.probing.CompareAndSwap(false, true) {
			go c.closeIfSilent(conn, min(count, maxProbes))
		}
	}
}

// suspectStream is `suspect` for a stream that has ended, if it ran out of time.
func (c *Client) suspectStream(ctx context.Context, stream grpc.ClientStream, waited time.Duration) {
	cause := context.Cause(ctx)
	if !errors.Is(cause, errIdle) && !errors.Is(cause, context.DeadlineExceeded) || stream == nil {
		return
	}
	if call, ok := peer.FromContext(stream.Context()); ok {
		c.suspect(call, waited)
	}
}

// closeIfSilent sends as many health checks as there are connections: calls take
// turns on them.
func (c *Client) closeIfSilent(conn *monitoredConn, probes int) {
	defer conn.probing.Store(false)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	var group sync.WaitGroup
	for range probes {
		group.Go(func() {
			request := &grpc_health_v1.HealthCheckRequest{}
			_, _ = grpc_health_v1.NewHealthClient(c.connection).Check(ctx, request, grpc.WaitForReady(false))
		})
	}
	group.Wait()
	if conn.lastHeard().Before(began) {
		_ = conn.Close()
	}
}
