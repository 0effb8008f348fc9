package lockstitch

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"lockstitch.dev/go/lockstitchpb"
)

// errHang has a call wait until it is cancelled.
var errHang = errors.New("hang")

// scripted answers as a real server does only now and then.
type scripted struct {
	lockstitchpb.UnimplementedCheckpointServiceServer
	lockstitchpb.UnimplementedSessionServiceServer
	target   string
	mutex    sync.Mutex
	failures []error // one for each call, then success
	refusals []error // one for each save of a stream, then success
	calls    []time.Time
	metadata metadata.MD
	trace    map[string]string
	saves    []*lockstitchpb.SaveRequest
	ended    atomic.Int32 // streams of saves, by the client
	// cancelled counts calls that hung until the client ended them.
	cancelled atomic.Int32
}

func (s *scripted) next(ctx context.Context) error {
	failure := s.take(ctx)
	if failure == errHang {
		<-ctx.Done()
		s.cancelled.Add(1)
		return ctx.Err()
	}
	return failure
}

func (s *scripted) take(ctx context.Context) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.calls = append(s.calls, time.Now())
	s.metadata, _ = metadata.FromIncomingContext(ctx)
	if len(s.failures) == 0 {
		return nil
	}
	failure := s.failures[0]
	s.failures = s.failures[1:]
	return failure
}

func (s *scripted) saw(save *lockstitchpb.SaveRequest) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.saves = append(s.saves, save)
}

func (s *scripted) Save(ctx context.Context, request *lockstitchpb.SaveRequest) (*lockstitchpb.SaveResponse, error) {
	s.saw(request)
	if err := s.next(ctx); err != nil {
		return nil, err
	}
	return &lockstitchpb.SaveResponse{CheckpointId: idOf(request.Checkpoint), Revision: 1}, nil
}

// SaveStream ends the call at the first save, where a failure says so.
func (s *scripted) SaveStream(stream lockstitchpb.CheckpointService_SaveStreamServer) error {
	for {
		request, err := stream.Recv()
		if err != nil {
			s.ended.Add(1)
			return nil
		}
		s.saw(request.Save)
		if err := s.next(stream.Context()); err != nil {
			return err
		}
		s.mutex.Lock()
		s.trace = request.TraceContext
		s.mutex.Unlock()
		answer := &lockstitchpb.SaveStreamResponse{RequestId: request.RequestId}
		if refusal := s.refusal(); refusal != nil {
			answer.Result = &lockstitchpb.SaveStreamResponse_Error{Error: refusal}
		} else {
			saved := &lockstitchpb.SaveResponse{Revision: 1}
			answer.Result = &lockstitchpb.SaveStreamResponse_Saved{Saved: saved}
		}
		if stream.Send(answer) != nil {
			return nil
		}
	}
}

// refusal is for the next save of a stream.
func (s *scripted) refusal() *lockstitchpb.Status {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.refusals) == 0 {
		return nil
	}
	data, err := proto.Marshal(status.Convert(s.refusals[0]).Proto())
	s.refusals = s.refusals[1:]
	told := &lockstitchpb.Status{} // equal on the wire
	if err = errors.Join(err, proto.Unmarshal(data, told)); err != nil {
		panic(err)
	}
	return told
}

// WatchSession tells of nothing once, and ends.
func (s *scripted) WatchSession(
	_ *lockstitchpb.WatchSessionRequest, stream lockstitchpb.SessionService_WatchSessionServer,
) error {
	if err := s.next(stream.Context()); err != nil {
		return err
	}
	return stream.Send(&lockstitchpb.WatchSessionResponse{ResumeToken: "1"})
}

func (s *scripted) count() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.calls)
}

func startScripted(t *testing.T, failures ...error) (*scripted, *Client) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	script := &scripted{target: listener.Addr().String(), failures: failures}
	grpcServer := grpc.NewServer()
	lockstitchpb.RegisterCheckpointServiceServer(grpcServer, script)
	lockstitchpb.RegisterSessionServiceServer(grpcServer, script)
	go func() { _ = grpcServer.Serve(listener) }()
	t.Cleanup(grpcServer.Stop)
	fast := WithBackoff(Backoff{Initial: time.Millisecond, Max: time.Millisecond, Multiplier: 1})
	return script, newClient(t, script.target, fast, WithAPIKey("key"), WithTenant("team"))
}

func withRetryInfo(code codes.Code, delay time.Duration) error {
	failure, err := status.New(code, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	if err != nil {
		panic(err)
	}
	return failure.Err()
}

func TestUnavailableIsRepeated(t *testing.T) {
	away := status.Error(codes.Unavailable, "away")
	script, client := startScripted(t, away, away, away, away, away, away, away)
	mustSave(t, client, conversation("s", 1))
	if len(script.calls) != 8 {
		t.Fatal(len(script.calls))
	}
}

func TestTheServerSaysWhenToComeBack(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted} {
		script, client := startScripted(t, withRetryInfo(code, 200*time.Millisecond))
		mustSave(t, client, conversation("s", 1))
		if between := script.calls[1].Sub(script.calls[0]); between < 200*time.Millisecond {
			t.Fatal(between)
		}
	}
}

func TestOtherFailuresAreNotRepeated(t *testing.T) {
	for _, code := range []codes.Code{codes.Internal, codes.Aborted, codes.ResourceExhausted, codes.DataLoss, codes.Unknown} {
		script, client := startScripted(t, status.Error(code, "no"))
		if _, err := client.Save(context.Background(), conversation("s", 1)); status.Code(err) != code {
			t.Fatal(err)
		}
		if len(script.calls) != 1 {
			t.Fatal(code, len(script.calls))
		}
	}
}

func TestARetryDoesNotOutliveTheDeadline(t *testing.T) {
	_, client := startScripted(t, withRetryInfo(codes.Unavailable, time.Hour))
	if _, err := client.Save(context.Background(), conversation("s", 1)); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
}

func TestARetryOnAStreamDoesNotOutliveTheDeadline(t *testing.T) {
	later := withRetryInfo(codes.ResourceExhausted, time.Hour)
	for name, fail := range map[string]func(*scripted){
		"the save is refused": func(s *scripted) { s.refusals = []error{later} },
		"the call is refused": func(s *scripted) { s.failures = []error{later} },
	} {
		script, client := startScripted(t)
		fail(script)
		stream := client.SaveStream()
		defer stream.Close()
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		if _, err := stream.Save(ctx, conversation("s", 1)); status.Code(err) != codes.ResourceExhausted {
			t.Error(name, err)
		}
		if _, err := stream.Save(ctx, conversation("s", 2)); err != nil {
			t.Error(name, "the next save of the session: ", err)
		}
	}
}

func TestAStreamThatBreaksOffIsContinued(t *testing.T) {
	away := status.Error(codes.Unavailable, "away")
	script, client := startScripted(t, nil, away, away, nil)
	stream := client.SaveStream()
	defer stream.Close()
	for step := range uint64(3) {
		if _, err := stream.Save(context.Background(), conversation("s", step)); err != nil {
			t.Fatal(err)
		}
	}
	if len(script.calls) != 5 {
		t.Fatal(len(script.calls))
	}
}

func TestOneThatEndsTheStreamGetsItsOwnError(t *testing.T) {
	large := status.Error(codes.ResourceExhausted, "too large")
	_, client := startScripted(t, large, large)
	stream := client.SaveStream()
	defer stream.Close()
	if _, err := stream.Save(context.Background(), conversation("s", 1)); status.Code(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	if _, err := stream.Save(context.Background(), conversation("s", 2)); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutCredentialsNothingIsRepeatedOnAStream(t *testing.T) {
	script, client := startScripted(t, status.Error(codes.Unauthenticated, "who are you?"))
	stream := client.SaveStream()
	defer stream.Close()
	_, err := stream.Save(context.Background(), conversation("s", 1))
	if status.Code(err) != codes.Unauthenticated || len(script.calls) != 1 {
		t.Fatal(err, len(script.calls))
	}
}

func TestTheTraceAndTheCredentialsGoWithEveryCall(t *testing.T) {
	script, _ := startScripted(t)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	type key struct{}
	ctx := context.WithValue(context.Background(), key{}, parent)
	client := newClient(t, script.target, WithAPIKey("key"), WithTenant("team"),
		WithPropagation(func(ctx context.Context, set func(key, value string)) {
			if parent, ok := ctx.Value(key{}).(string); ok {
				set("traceparent", parent)
			}
		}))
	ctx = metadata.AppendToOutgoingContext(ctx, "x-own", "1")
	if _, err := client.Save(ctx, conversation("s", 1)); err != nil {
		t.Fatal(err)
	}
	for key, expected := range map[string]string{
		"traceparent": parent, "authorization": "Bearer key", "lockstitch-tenant": "team", "x-own": "1",
	} {
		if sent := script.metadata.Get(key); len(sent) != 1 || sent[0] != expected {
			t.Errorf("%s: %v", key, sent)
		}
	}
	stream := client.SaveStream()
	defer stream.Close()
	if _, err := stream.Save(ctx, conversation("s", 2)); err != nil {
		t.Fatal(err)
	}
	if script.trace["traceparent"] != parent {
		t.Error(script.trace)
	}
}

func TestErrorsOfOthersKeepTheirCode(t *testing.T) {
	for _, err := range []error{context.DeadlineExceeded, context.Canceled} {
		if failure := fromError(err); !errors.Is(failure, err) {
			t.Fatal(failure)
		}
	}
	if failure := fromError(errors.New("?")); failure.Code != codes.Unknown {
		t.Fatal(failure)
	}
}
