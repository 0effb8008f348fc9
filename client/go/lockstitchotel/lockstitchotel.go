// Package lockstitchotel has a Lockstitch client send the OpenTelemetry span of each
// call to the server, so that the server's spans, and the trace id that it stores
// with a checkpoint, belong to the caller's trace. Programs that do not import it do
// not depend on OpenTelemetry.
package lockstitchotel

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"lockstitch.dev/go/lockstitch"
)

// WithPropagation sends the context of each call, and of each save on a stream. nil
// means otel.GetTextMapPropagator(), or W3C Trace Context where none has been set.
//
//	client, err := lockstitch.New("127.0.0.1:50051", lockstitchotel.WithPropagation(nil))
func WithPropagation(propagator propagation.TextMapPropagator) lockstitch.Option {
	return lockstitch.WithPropagation(func(ctx context.Context, set func(key, value string)) {
		chosen(propagator).Inject(ctx, carrier(set))
	})
}

func chosen(propagator propagation.TextMapPropagator) propagation.TextMapPropagator {
	if propagator != nil {
		return propagator
	}
	if global := otel.GetTextMapPropagator(); len(global.Fields()) > 0 {
		return global
	}
	return propagation.TraceContext{}
}

// carrier lets OpenTelemetry write what a client sends.
type carrier func(key, value string)

func (c carrier) Set(key, value string) { c(key, value) }

func (carrier) Get(string) string { return "" }

func (carrier) Keys() []string { return nil }
