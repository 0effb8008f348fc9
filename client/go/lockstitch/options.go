package lockstitch

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"google.golang.org/grpc"
)

// DefaultTimeout is how long a call may take, retries included, when neither
// its context nor WithTimeout says otherwise.
const DefaultTimeout = 30 * time.Second

// DefaultConnectTimeout is how long calls wait for the client's first connection
// unless WithConnectTimeout says otherwise.
const DefaultConnectTimeout = 1500 * time.Millisecond

// Option changes how a Client works.
type Option func(*settings)

type settings struct {
	timeout        time.Duration
	connectTimeout time.Duration
	tls            *tls.Config
	token          TokenSource // nil: none. A function, so that nothing prints a key
	tenant         string
	insecure       bool
	delta          bool
	retry          bool
	backoff        Backoff
	inject         func(context.Context, func(key, value string)) // nil: nothing
	dial           []grpc.DialOption
	maxSaves       int
	maxSaveBytes   int64
	err            error // of an option
}

// Backoff says how long to wait before a call is repeated: Initial at first,
// then Multiplier times longer each time, Max at most, give or take 20%.
type Backoff struct {
	Initial, Max time.Duration
	Multiplier   float64
}

func defaults() settings {
	return settings{
		timeout:        DefaultTimeout,
		connectTimeout: DefaultConnectTimeout,
		delta:          true,
		retry:          true,
		maxSaves:       DefaultMaxSaves,
		maxSaveBytes:   DefaultMaxSaveBytes,
		backoff:        Backoff{Initial: 100 * time.Millisecond, Max: 2 * time.Second, Multiplier: 3},
	}
}

// WithTimeout sets how long a call may take, retries included, when its context
// has no deadline. There is always a limit: 0 and less means DefaultTimeout.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) {
		if timeout > 0 {
			s.timeout = timeout
		}
	}
}

// WithConnectTimeout sets how long calls wait for the client's first connection,
// before they fail with codes.Unavailable. Once the client has been connected,
// calls wait for a server that is away until their deadline. 0 and less means
// DefaultConnectTimeout.
func WithConnectTimeout(timeout time.Duration) Option {
	return func(s *settings) {
		if timeout > 0 {
			s.connectTimeout = timeout
		}
	}
}

// WithTLS encrypts the connection. An empty configuration trusts the system's
// roots, as a target with https:// does; RootCAs and Certificates work as
// everywhere.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.tls = config.Clone() }
}

// WithAPIKey sends a bearer key, or a token, with every call. Without WithTLS it
// travels in the clear, which New allows on this machine only. New fails where the
// key is not printable ASCII without spaces.
func WithAPIKey(key string) Option {
	return func(s *settings) {
		if err := checkKey(key); err != nil {
			s.err = fmt.Errorf("lockstitch: WithAPIKey: %w", err)
		}
		s.token = func(context.Context) (string, error) { return key, nil }
	}
}

// WithTokenSource is WithAPIKey for keys and tokens that change. A call for which
// the source has no token fails with codes.Unauthenticated, and wraps its error.
//
//	lockstitch.WithTokenSource(func(context.Context) (string, error) {
//		data, err := os.ReadFile("/var/run/secrets/lockstitch/token")
//		return strings.TrimSpace(string(data)), err
//	})
func WithTokenSource(source TokenSource) Option {
	return func(s *settings) { s.token = source }
}

// WithInsecure allows a key to be sent to another machine in the clear, as where
// a mesh encrypts it.
func WithInsecure() Option {
	return func(s *settings) { s.insecure = true }
}

// WithTenant names the tenant to act for, where the credentials are good for
// several.
func WithTenant(tenant string) Option {
	return func(s *settings) {
		if tenant != "" && checkKey(tenant) != nil {
			s.err = fmt.Errorf("lockstitch: WithTenant: %q is not printable ASCII without spaces", tenant)
		}
		s.tenant = tenant
	}
}

// WithSaveLimits sets how many saves of the client, and how many of their bytes as
// they are sent, are in flight at most, so that memory stays bounded while the
// server does not answer. Further saves wait, in their order, until their
// deadlines. 0 and less means DefaultMaxSaves and DefaultMaxSaveBytes.
func WithSaveLimits(maxSaves int, maxBytes int64) Option {
	return func(s *settings) {
		s.maxSaves, s.maxSaveBytes = DefaultMaxSaves, DefaultMaxSaveBytes
		if maxSaves > 0 {
			s.maxSaves = maxSaves
		}
		if maxBytes > 0 {
			s.maxSaveBytes = maxBytes
		}
	}
}

// WithoutDelta sends the whole state with every save, and remembers nothing.
func WithoutDelta() Option {
	return func(s *settings) { s.delta = false }
}

// WithoutRetry makes every call once, and fails at once where there is no
// connection.
func WithoutRetry() Option {
	return func(s *settings) { s.retry = false }
}

// WithBackoff sets how long to wait before a call is repeated.
func WithBackoff(backoff Backoff) Option {
	return func(s *settings) { s.backoff = backoff }
}

// WithPropagation has something sent with every call, and every save on a stream,
// by its context: lockstitchotel.WithPropagation sends OpenTelemetry's span. inject
// calls set with keys in lower case, such as "traceparent".
func WithPropagation(inject func(ctx context.Context, set func(key, value string))) Option {
	return func(s *settings) { s.inject = inject }
}

// WithDialOptions adds options for the gRPC connection, which override the
// client's own: interceptors for metrics, say. A SaveStream is one call to them.
//
//	lockstitch.WithDialOptions(grpc.WithChainUnaryInterceptor(metrics))
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}
