//! Passes the caller's OpenTelemetry context on, as the global propagator writes it.

use std::collections::BTreeMap;

use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

/// The current context: what goes into the metadata of a call, or beside a save of a stream. Empty where there is none.
pub(crate) type TraceContext = BTreeMap<String, String>;

#[cfg(feature = "opentelemetry")]
pub(crate) fn current() -> TraceContext {
    use opentelemetry::{Context, global, propagation::Injector};

    #[derive(Default)]
    struct Carrier(TraceContext);

    impl Injector for Carrier {
        fn set(&mut self, key: &str, value: String) {
            self.0.insert(key.to_ascii_lowercase(), value);
        }
    }

    let mut carrier = Carrier::default();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&Context::current(), &mut carrier));
    carrier.0
}

#[cfg(not(feature = "opentelemetry"))]
pub(crate) fn current() -> TraceContext {
    TraceContext::new()
}

/// Add a context to a call's metadata.
pub(crate) fn inject(metadata: &mut MetadataMap, context: TraceContext) {
    for (key, value) in context {
        let key = AsciiMetadataKey::from_bytes(key.as_bytes());
        if let (Ok(key), Ok(value)) = (key, AsciiMetadataValue::try_from(value)) {
            metadata.insert(key, value);
        }
    }
}
