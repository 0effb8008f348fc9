//! Values of the contract in the protocol's JSON, and back.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use lockstitch::{Code, Error, Timestamp};
use prost::Message;
use serde_json::{Value, json};

use crate::Failed;

/// A part of the arguments; None where it is missing or null.
pub fn object<'a>(args: &'a Value, name: &str) -> Option<&'a Value> {
    args.get(name).filter(|value| !value.is_null())
}

pub fn text(args: &Value, name: &str) -> Option<String> {
    Some(object(args, name)?.as_str()?.to_owned())
}

/// A text; "" where it is missing.
pub fn text_or_empty(args: &Value, name: &str) -> String {
    text(args, name).unwrap_or_default()
}

pub fn flag(args: &Value, name: &str) -> Option<bool> {
    object(args, name)?.as_bool()
}

/// A small integer; 0 where it is missing.
pub fn small<T: TryFrom<i64> + Default>(args: &Value, name: &str) -> T {
    object(args, name).and_then(Value::as_i64).and_then(|number| number.try_into().ok()).unwrap_or_default()
}

/// An integer of 64 bits, which stands as text.
pub fn long(args: &Value, name: &str) -> Result<Option<u64>, Failed> {
    let Some(value) = object(args, name) else { return Ok(None) };
    let digits = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    digits.parse().map(Some).map_err(|error| format!("{name}: {digits:?}: {error}").into())
}

pub fn long_or_zero(args: &Value, name: &str) -> Result<u64, Failed> {
    Ok(long(args, name)?.unwrap_or_default())
}

pub fn millis(args: &Value, name: &str) -> Option<Duration> {
    object(args, name)?.as_f64().map(|millis| Duration::from_secs_f64(millis / 1000.0))
}

pub fn texts(args: &Value, name: &str) -> Vec<String> {
    let items = object(args, name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

pub fn map(args: &Value, name: &str) -> BTreeMap<String, String> {
    let entries = object(args, name).and_then(Value::as_object);
    entries.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

pub fn bytes(text: &str) -> Result<Vec<u8>, Failed> {
    BASE64_STANDARD.decode(text).map_err(|error| format!("not base64: {error}").into())
}

pub fn decoded<M: Message + Default>(value: &Value) -> Result<M, Failed> {
    let data = bytes(value.as_str().ok_or("a message is wanted")?)?;
    M::decode(data.as_slice()).map_err(|error| error.to_string().into())
}

pub fn decoded_all<M: Message + Default>(args: &Value, name: &str) -> Result<Vec<M>, Failed> {
    object(args, name).and_then(Value::as_array).into_iter().flatten().map(decoded).collect()
}

pub fn encoded(message: &impl Message) -> String {
    BASE64_STANDARD.encode(message.encode_to_vec())
}

pub fn encoded_all<M: Message>(messages: &[M]) -> Vec<String> {
    messages.iter().map(encoded).collect()
}

pub fn nanoseconds(time: Timestamp) -> String {
    (i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)).to_string()
}

pub fn timestamp(nanoseconds: &str) -> Result<Timestamp, Failed> {
    let all: i128 = nanoseconds.parse().map_err(|_| format!("{nanoseconds:?} is no time"))?;
    let (seconds, nanos) = (all.div_euclid(1_000_000_000), all.rem_euclid(1_000_000_000));
    Ok(Timestamp { seconds: seconds as i64, nanos: nanos as i32 })
}

/// The time of these nanoseconds.
pub fn time(args: &Value, name: &str) -> Result<Option<SystemTime>, Failed> {
    let Some(nanoseconds) = text(args, name) else { return Ok(None) };
    let time = timestamp(&nanoseconds)?.try_into().map_err(|_| "no time")?;
    Ok(Some(time))
}

pub fn failure(error: &Error) -> Value {
    json!({
        "code": code_name(error.code()),
        "reason": error.reason_name(),
        "metadata": error.metadata(),
        "message": error.message(),
    })
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
