package lockstitchotel

import (
	"context"
	"net"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"lockstitch.dev/go/lockstitch"
	"lockstitch.dev/go/lockstitchpb"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// recorder answers saves, and keeps what came with them.
type recorder struct {
	lockstitchpb.UnimplementedCheckpointServiceServer
	metadata chan metadata.MD
	trace    chan map[string]string
}

func (r *recorder) Save(ctx context.Context, _ *lockstitchpb.SaveRequest) (*lockstitchpb.SaveResponse, error) {
	sent, _ := metadata.FromIncomingContext(ctx)
	r.metadata <- sent
	return &lockstitchpb.SaveResponse{}, nil
}

func (r *recorder) SaveStream(stream lockstitchpb.CheckpointService_SaveStreamServer) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	r.trace <- request.TraceContext
	saved := &lockstitchpb.SaveStreamResponse_Saved{Saved: &lockstitchpb.SaveResponse{}}
	return stream.Send(&lockstitchpb.SaveStreamResponse{RequestId: request.RequestId, Result: saved})
}

func TestTheSpanOfACallIsSent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers := &recorder{metadata: make(chan metadata.MD, 1), trace: make(chan map[string]string, 1)}
	server := grpc.NewServer()
	lockstitchpb.RegisterCheckpointServiceServer(server, answers)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	baggage := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	ctx := baggage.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent, "baggage": "a=1"})
	for name, each := range map[string]struct {
		given, global propagation.TextMapPropagator
		baggage       string
	}{
		"by default":  {nil, propagation.NewCompositeTextMapPropagator(), ""},
		"as set":      {nil, baggage, "a=1"},
		"as given":    {baggage, propagation.NewCompositeTextMapPropagator(), "a=1"},
		"given first": {propagation.TraceContext{}, baggage, ""},
	} {
		otel.SetTextMapPropagator(each.global)
		client, err := lockstitch.New(listener.Addr().String(), WithPropagation(each.given))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Save(ctx, &lockstitchpb.Checkpoint{SessionId: "s"}); err != nil {
			t.Fatal(err)
		}
		stream := client.SaveStream()
		if _, err := stream.Save(ctx, &lockstitchpb.Checkpoint{SessionId: "s"}); err != nil {
			t.Fatal(err)
		}
		sent, trace := <-answers.metadata, <-answers.trace
		if got := sent.Get("traceparent"); len(got) != 1 || got[0] != parent || trace["traceparent"] != parent {
			t.Error(name, got, trace)
		}
		if got := append(sent.Get("baggage"), "")[0]; got != each.baggage || trace["baggage"] != each.baggage {
			t.Error(name, got, trace)
		}
		_, _ = stream.Close(), client.Close()
	}
}
