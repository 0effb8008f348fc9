package lockstitch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"lockstitch.dev/go/lockstitchpb"
)

// wait is how long a test waits for what should happen at once.
const wait = 3 * time.Minute

// server is a real Lockstitch server, of the repository's virtual environment
// or of LOCKSTITCH_COMMAND.
type server struct {
	t       *testing.T
	command string
	store   string
	target  string
	process *exec.Cmd
	ended   chan struct{}
}

var shared struct {
	once   sync.Once
	server *server
}

// sharedServer is one for all tests that leave it running; their sessions have
// their names.
func sharedServer(t *testing.T) *server {
	t.Helper()
	shared.once.Do(func() { shared.server = newServer(t, "memory://") })
	if shared.server == nil {
		t.Skip("there is no server to test against")
	}
	return shared.server
}

func TestMain(m *testing.M) {
	status := m.Run()
	if shared.server != nil {
		shared.server.kill()
	}
	os.Exit(status)
}

// startServer is one for a test that kills it.
func startServer(t *testing.T) *server {
	t.Helper()
	s := newServer(t, "sqlite:///"+filepath.Join(t.TempDir(), "lockstitch.db"))
	t.Cleanup(s.kill)
	return s
}

func newServer(t *testing.T, store string) *server {
	t.Helper()
	command := os.Getenv("LOCKSTITCH_COMMAND")
	if command == "" {
		command = filepath.Join("..", "..", "..", ".venv", "bin", "lockstitch")
	}
	absolute, err := filepath.Abs(command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(absolute); err != nil {
		t.Skipf("no server to test against: %v (make test prepares it, or set LOCKSTITCH_COMMAND)", err)
	}
	s := &server{t: t, command: absolute, store: store, target: freeAddress(t)}
	s.start()
	return s
}

// freeAddress gives an address that nobody listens on. Its port is below those
// that systems give to outgoing connections: none takes it while the server is
// down.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			listener.Close()
			return address
		}
	}
}

// start starts the server, and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(s.command, "serve", "--listen", s.target, "--store", s.store)
	if os.Getenv("LOCKSTITCH_TEST_LOG") != "" {
		s.process.Stderr = os.Stderr
	}
	s.process.Env = append(os.Environ(), "NO_COLOR=1")
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	client := newClient(s.t, s.target)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	ended := make(chan struct{})
	s.ended = ended
	go func(process *exec.Cmd) {
		_ = process.Wait()
		close(ended)
		cancel() // nothing will ever be ready
	}(s.process)
	if err := client.WaitReady(ctx); err != nil {
		s.t.Fatalf("the server is not ready: %v", err)
	}
}

// kill ends the server without a word, and its workers by the end of theirs.
func (s *server) kill() {
	_ = s.process.Process.Kill()
	<-s.ended
}

func newClient(t *testing.T, target string, options ...Option) *Client {
	t.Helper()
	client, err := New(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func conversation(session string, step uint64) *lockstitchpb.Checkpoint {
	checkpoint := &lockstitchpb.Checkpoint{
		SessionId: session,
		Step:      step,
		CreatedAt: &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: 123_456_789},
		State:     &lockstitchpb.VersionedState{Messages: &lockstitchpb.MessagesChannel{Version: uint32(step)}},
	}
	for number := range step + 1 {
		said := Message("user", fmt.Sprintf("%d: %0200d", number, number))
		checkpoint.State.Messages.Items = append(checkpoint.State.Messages.Items, said)
	}
	checkpoint.CheckpointId = idOf(checkpoint)
	return checkpoint
}

func mustSave(t *testing.T, client *Client, checkpoint *lockstitchpb.Checkpoint, options ...SaveOption) Saved {
	t.Helper()
	saved, err := client.Save(context.Background(), checkpoint, options...)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func assertLatest(t *testing.T, client *Client, expected *lockstitchpb.Checkpoint) {
	t.Helper()
	latest, err := client.LoadLatest(context.Background(), expected.SessionId, InNamespace(expected.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(latest.Checkpoint, expected) {
		t.Fatalf("expected\n%v\n and got\n%v", expected, latest.Checkpoint)
	}
}
