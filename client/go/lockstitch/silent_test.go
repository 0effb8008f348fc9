package lockstitch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// silentTimeout is the timeout of calls that meet a silent connection.
const silentTimeout = 2 * time.Second

// A swallowingProxy passes everything on to a server, until its connections go
// silent: then it takes what comes and passes on nothing. New ones work.
type swallowingProxy struct {
	target string
	server string
	mutex  sync.Mutex
	pairs  []*proxiedPair
}

// A proxiedPair is a client's connection and the one to the server.
type proxiedPair struct {
	client, server net.Conn
	silent         atomic.Bool
	mutex          sync.Mutex
	swallowed      []byte       // by the client
	answered       atomic.Int64 // bytes of the server that were swallowed
}

func startSwallowingProxy(t *testing.T, server string) *swallowingProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &swallowingProxy{target: listener.Addr().String(), server: server}
	t.Cleanup(func() {
		_ = listener.Close()
		proxy.mutex.Lock()
		defer proxy.mutex.Unlock()
		for _, pair := range proxy.pairs {
			_, _ = pair.client.Close(), pair.server.Close()
		}
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			proxy.pass(client)
		}
	}()
	return proxy
}

func (p *swallowingProxy) pass(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	pair := &proxiedPair{client: client, server: server}
	p.mutex.Lock()
	p.pairs = append(p.pairs, pair)
	p.mutex.Unlock()
	go pair.copy(server, client, func(data []byte) {
		pair.mutex.Lock()
		defer pair.mutex.Unlock()
		pair.swallowed = append(pair.swallowed, data...)
	})
	go pair.copy(client, server, func(data []byte) { pair.answered.Add(int64(len(data))) })
}

func (p *proxiedPair) copy(to, from net.Conn, swallow func([]byte)) {
	_, _ = io.Copy(writerFunc(func(data []byte) (int, error) {
		if p.silent.Load() {
			swallow(data)
			return len(data), nil
		}
		return to.Write(data)
	}), from)
	if !p.silent.Load() { // not even the end is passed on
		_ = to.Close()
	}
}

// hasSwallowed is what the client has sent so far into the silence.
func (p *proxiedPair) hasSwallowed() []byte {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return bytes.Clone(p.swallowed)
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(data []byte) (int, error) { return w(data) }

// swallow silences the connections that are open, and gives them.
func (p *swallowingProxy) swallow() []*proxiedPair {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, pair := range p.pairs {
		pair.silent.Store(true)
	}
	return slices.Clone(p.pairs)
}

type saver func(ctx context.Context, session string, step uint64) error

// savers of one client: each call alone, and over a stream.
func savers(t *testing.T, client *Client) map[string]saver {
	stream := client.SaveStream()
	t.Cleanup(func() { _ = stream.Close() })
	return map[string]saver{
		"unary": func(ctx context.Context, session string, step uint64) error {
			_, err := client.Save(ctx, conversation(session, step))
			return err
		},
		"stream": func(ctx context.Context, session string, step uint64) error {
			_, err := stream.Save(ctx, conversation(session, step))
			return err
		},
	}
}

func TestSavesGoOnWhenAConnectionGoesSilent(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"unary", "stream"} {
		for _, count := range []int{1, 16} {
			t.Run(fmt.Sprint(name, count), func(t *testing.T) {
				t.Parallel()
				proxy := startSwallowingProxy(t, sharedServer(t).target)
				client := newClient(t, proxy.target, WithTimeout(silentTimeout))
				save := savers(t, client)[name]
				var silent atomic.Int64 // when the connection went silent
				var first, group sync.WaitGroup
				first.Add(count)
				for number := range count {
					group.Go(func() { saveUntilItWorksAgain(t, save, number, &silent, &first) })
				}
				first.Wait()
				began := time.Now()
				silent.Store(1)
				proxy.swallow()
				group.Wait()
				t.Logf("all saves work again after %v", time.Since(began))
			})
		}
	}
}

// saveUntilItWorksAgain returns after the first save that began in the silence and
// was acknowledged.
func saveUntilItWorksAgain(t *testing.T, save saver, number int, silent *atomic.Int64, first *sync.WaitGroup) {
	session := fmt.Sprintf("%s-%d", t.Name(), number)
	end := time.Now().Add(wait)
	for step := uint64(0); time.Now().Before(end); step++ {
		began := silent.Load() == 1
		err := save(context.Background(), session, step%3)
		if step == 0 {
			first.Done()
		}
		if err == nil && began {
			return
		}
	}
	t.Errorf("%s: no save in %v", session, wait)
}

func TestWhatWaitsOnASilentConnectionIsSentOverAnother(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"unary", "stream"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := startSwallowingProxy(t, sharedServer(t).target)
			client := newClient(t, proxy.target, WithTimeout(never))
			save := savers(t, client)[name]
			if err := save(context.Background(), t.Name(), 0); err != nil {
				t.Fatal(err)
			}
			proxy.swallow()
			patient, cancel := context.WithTimeout(context.Background(), wait)
			defer cancel()
			saved := make(chan error, 1)
			go func() { saved <- save(patient, t.Name(), 1) }()
			hasty, cancelHasty := context.WithTimeout(context.Background(), silentTimeout)
			defer cancelHasty()
			for range 2 { // the first may end before the patient one was sent
				_ = save(hasty, t.Name()+"-hasty", 0)
			}
			if err := <-saved; err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAWatchAndALoadFindAnotherConnection(t *testing.T) {
	t.Parallel()
	proxy := startSwallowingProxy(t, sharedServer(t).target)
	client := newClient(t, proxy.target, WithTimeout(silentTimeout))
	mustSave(t, client, conversation(t.Name(), 0))
	proxy.swallow()
	for _, err := range client.LoadLatestMany(context.Background(), []SessionRef{{SessionID: t.Name()}}) {
		if err == nil {
			t.Fatal("the connection is not silent")
		}
	}
	await(t, func() bool {
		_, err := client.LoadLatest(context.Background(), t.Name())
		return err == nil
	})
}
