package lockstitch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestKeysThatCannotBeSentAreRefusedAndNotShown(t *testing.T) {
	for _, key := range []string{"", "secret\n", "secret key", "\tsecret", "sécret", "secret\x7f", "secret\x00"} {
		_, err := New("127.0.0.1:1", WithAPIKey(key))
		if err == nil || !strings.Contains(err.Error(), "a key is printable ASCII") || strings.Contains(err.Error(), "cret") {
			t.Errorf("%q: %v", key, err)
		}
	}
	if _, err := New("127.0.0.1:1", WithTenant("a\nb")); err == nil {
		t.Error("a tenant with a newline")
	}
}

func TestAKeyIsShownNowhere(t *testing.T) {
	client := newClient(t, freeAddress(t), WithAPIKey("very-secret"), WithoutRetry())
	_, err := client.LoadLatest(context.Background(), "s")
	for _, shown := range []string{
		fmt.Sprint(err), fmt.Sprintf("%v %+v %#v", client, client, client.settings), fmt.Sprintf("%+v", *client.limiter),
		fmt.Sprintf("%+v", client.Thread("s")), fmt.Sprintf("%+v", client.SaveStream()),
	} {
		if strings.Contains(shown, "very-secret") {
			t.Error(shown)
		}
	}
}

func TestAKeyIsNotSentInTheClear(t *testing.T) {
	source := WithTokenSource(func(context.Context) (string, error) { return "key", nil })
	for _, target := range []string{"lockstitch:1", "http://lockstitch:1", "dns:///lockstitch:1"} {
		for _, option := range []Option{WithAPIKey("key"), source} {
			if _, err := New(target, option); err == nil || !strings.Contains(err.Error(), "in the clear") {
				t.Errorf("%s: %v", target, err)
			}
			newClient(t, target, option, WithInsecure())
		}
	}
	for _, target := range []string{"https://lockstitch:1", "http://localhost:1", "[::1]:1", "unix:/run/l.sock"} {
		newClient(t, target, source)
	}
}

func TestEveryAttemptHasTheTokenOfNow(t *testing.T) {
	script, _ := startScripted(t, status.Error(codes.Unavailable, "away"))
	var count atomic.Int32
	client := newClient(t, script.target, WithTokenSource(func(context.Context) (string, error) {
		return fmt.Sprint("token-", count.Add(1)), nil
	}))
	mustSave(t, client, conversation("s", 1))
	if sent := script.metadata.Get("authorization"); !slices.Equal(sent, []string{"Bearer token-2"}) {
		t.Fatal(sent)
	}
	stream := client.SaveStream()
	defer stream.Close()
	if _, err := stream.Save(context.Background(), conversation("s", 2)); err != nil {
		t.Fatal(err)
	}
	if sent := script.metadata.Get("authorization"); !slices.Equal(sent, []string{"Bearer token-3"}) {
		t.Fatal(sent)
	}
}

func TestWithoutATokenThereIsNoCall(t *testing.T) {
	script, _ := startScripted(t)
	errVault := errors.New("the vault is sealed")
	client := newClient(t, script.target, WithTokenSource(func(context.Context) (string, error) { return "", errVault }))
	stream := client.SaveStream()
	defer stream.Close()
	_, alone := client.Save(context.Background(), conversation("s", 1))
	_, streamed := stream.Save(context.Background(), conversation("s", 1))
	watched := firstError(client.WatchSession(context.Background(), "s", WatchOptions{}))
	for _, err := range []error{alone, streamed, watched, client.WaitReady(context.Background())} {
		if !errors.Is(err, errVault) || status.Code(err) != codes.Unauthenticated {
			t.Error(err)
		}
	}
	if script.count() != 0 {
		t.Fatal(script.count())
	}
}

func TestInterceptorsSeeEveryCall(t *testing.T) {
	script, _ := startScripted(t)
	var methods []string
	client := newClient(t, script.target, WithDialOptions(
		grpc.WithChainUnaryInterceptor(func(
			ctx context.Context, method string, request, answer any, connection *grpc.ClientConn,
			invoke grpc.UnaryInvoker, options ...grpc.CallOption,
		) error {
			methods = append(methods, method)
			return invoke(ctx, method, request, answer, connection, options...)
		}),
		grpc.WithChainStreamInterceptor(func(
			ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
			open grpc.Streamer, options ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			methods = append(methods, method)
			return open(ctx, description, connection, method, options...)
		}),
	))
	mustSave(t, client, conversation("s", 1))
	stream := client.SaveStream()
	defer stream.Close()
	if _, err := stream.Save(context.Background(), conversation("s", 2)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(methods, []string{
		"/lockstitch.v1.CheckpointService/Save", "/lockstitch.v1.CheckpointService/SaveStream",
	}) {
		t.Fatal(methods)
	}
}
