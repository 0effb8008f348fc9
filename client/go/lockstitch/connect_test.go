package lockstitch

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// never is a timeout that no test waits for.
const never = time.Hour

func TestTargets(t *testing.T) {
	for _, target := range []string{
		"127.0.0.1:50051", "[::1]:50051", "lockstitch:1", "dns:///lockstitch:50051", "dns:lockstitch:50051",
		"dns://127.0.0.1:53/lockstitch:50051", "unix:/run/lockstitch.sock", "unix:///run/lockstitch.sock",
		"unix-abstract:lockstitch", "passthrough:///lockstitch:50051", "unix:lockstitch.sock", "bücher.example:1",
		"http://127.0.0.1:50051", "http://[::1]:50051/", "https://lockstitch:443", "HTTPS://lockstitch:443/",
	} {
		newClient(t, target)
	}
	for target, said := range map[string]string{
		"":                                    "is empty",
		"http://127.0.0.1":                    "has no port: write host:port, such as 127.0.0.1:50051",
		"https://lockstitch":                  "such as lockstitch:50051",
		"http://lockstitch:1/path":            "has a path: write lockstitch:1",
		"https://lockstitch:1?query":          "has a path: write lockstitch:1",
		"https://user:secret@lockstitch:1":    "holds a user name",
		"grpc://lockstitch:1":                 `there is no scheme "grpc"`,
		"lockstitch":                          "has no port: write host:port, such as lockstitch:50051",
		"::1":                                 "such as [::1]:50051",
		"[::x]:1":                             "is not an IPv6 address",
		"dns:///lockstitch":                   "has no port",
		"dns://lockstitch:1":                  "has no name",
		"lockstitch:grpc":                     "the port is a number",
		"lockstitch:65536":                    "the port is a number",
		"lockstitch:-1":                       "the port is a number",
		":50051":                              "has no host",
		"lock stitch:1":                       "holds a space",
		"lockstitch:1\n":                      "holds a space",
		"lock/stitch:1":                       "is not the name of a host",
		"a@b:1":                               "is not the name of a host",
		"unix:":                               "has no path",
		"unix://run/lockstitch.sock":          "begins with /",
		"unix:/" + strings.Repeat("long", 30): "a socket's path has 107 bytes",
	} {
		_, err := New(target)
		if err == nil || !strings.Contains(err.Error(), said) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", target, err)
		}
	}
}

func TestAURLSaysWhetherThereIsTLS(t *testing.T) {
	target := sharedServer(t).target
	mustSave(t, newClient(t, "http://"+target), conversation(t.Name(), 1))
	encrypted := newClient(t, "https://"+target, WithAPIKey("key"), WithTimeout(never))
	if _, err := encrypted.Save(context.Background(), conversation(t.Name(), 2)); err == nil {
		t.Fatal("the server has no TLS")
	}
	if _, err := New("http://"+target, WithTLS(&tls.Config{})); err == nil || !strings.Contains(err.Error(), "https://") {
		t.Fatal(err)
	}
}

func TestNoServerIsToldByTheFirstCall(t *testing.T) {
	client := newClient(t, freeAddress(t), WithTimeout(never))
	stream := client.SaveStream()
	defer stream.Close()
	_, alone := client.Save(context.Background(), conversation(t.Name(), 0))
	_, streamed := stream.Save(context.Background(), conversation(t.Name(), 0))
	for _, err := range []error{alone, streamed} {
		assertNoConnection(t, err, "refused")
	}
	for _, err := range client.LoadLatestMany(context.Background(), []SessionRef{{SessionID: "s"}}) {
		assertNoConnection(t, err, "refused")
	}
}

func TestAnAddressWhereNothingAnswersIsToldByTheFirstCall(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client := newClient(t, silent.Addr().String(), WithTimeout(never), WithConnectTimeout(500*time.Millisecond))
	_, err = client.LoadLatest(context.Background(), "s")
	assertNoConnection(t, err, "nothing answers there")
}

func TestWithoutAConnectionACallIsUnavailableAtItsDeadline(t *testing.T) {
	client := newClient(t, freeAddress(t), WithConnectTimeout(never), WithTimeout(300*time.Millisecond))
	_, err := client.LoadLatest(context.Background(), "s")
	assertNoConnection(t, err, "refused")
	assertNoConnection(t, client.WaitReady(context.Background()), "refused")
}

func assertNoConnection(t *testing.T, err error, cause string) {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != codes.Unavailable ||
		!strings.Contains(failure.Message, "no connection to ") || !strings.Contains(failure.Message, cause) {
		t.Fatal(err)
	}
}
