//! Errors of calls, decoded from the status details, never from the text of a message.

use std::{collections::BTreeMap, error::Error as StdError, fmt, time::Duration};

use prost::Message;
use tonic::{Code, Status};

use crate::proto::{self, ErrorReason};

const DOMAIN: &str = "lockstitch.dev";
const ERROR_INFO_URL: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const RETRY_INFO_URL: &str = "type.googleapis.com/google.rpc.RetryInfo";
const REASON_PREFIX: &str = "ERROR_REASON_";

/// The error of a failed call. Branch on its [`reason`](Self::reason) or its [`code`](Self::code), never on its text.
///
/// ```no_run
/// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
/// use lockstitch::{ErrorReason, LoadQuery};
/// match client.load(LoadQuery::step("order-4711", 7)).await {
///     Ok(loaded) => println!("{:?}", loaded.checkpoint),
///     Err(error) if error.reason() == ErrorReason::CheckpointNotFound => println!("no such step"),
///     Err(error) if error.is_transient() => println!("try later: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
    retry_after: Option<Duration>,
    /// There is no connection, and the time to wait for one is over.
    no_connection: bool,
}

/// google.rpc.RetryInfo on the wire.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

impl Error {
    /// The reason of the failure. [`ErrorReason::Unspecified`]: there is none, or this library does not know it because the
    /// server is newer; see [`reason_name`](Self::reason_name).
    pub fn reason(&self) -> ErrorReason {
        ErrorReason::from_str_name(&format!("{REASON_PREFIX}{}", self.0.reason)).unwrap_or(ErrorReason::Unspecified)
    }

    /// The name of the reason, such as "EXPECTED_LATEST_MISMATCH"; "" if there is none.
    pub fn reason_name(&self) -> &str {
        &self.0.reason
    }

    /// The gRPC status code. [`Code::Unavailable`] is also the code of a connection that failed, and of a call that a
    /// stopping server reset.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The text of the error, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Details of the reason. The documentation of each [`ErrorReason`] names its keys.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.metadata
    }

    /// The field of the request that breaks a rule, such as "checkpoint.session_id"; "" if the reason is another one.
    pub fn field(&self) -> &str {
        self.entry("field").unwrap_or_default()
    }

    /// With [`ErrorReason::ExpectedLatestMismatch`]: the step of the latest checkpoint. `None`: there is no checkpoint.
    pub fn latest_step(&self) -> Option<u64> {
        self.entry("latest_step")?.parse().ok()
    }

    /// With [`ErrorReason::ExpectedLatestMismatch`]: the id of the latest checkpoint. `None`: there is no checkpoint.
    pub fn latest_checkpoint_id(&self) -> Option<&str> {
        self.entry("latest_checkpoint_id")
    }

    /// With [`ErrorReason::LeaseHeld`] and [`ErrorReason::LeaseLost`]: the holder of the live lease, if there is one.
    pub fn holder(&self) -> Option<&str> {
        self.entry("holder")
    }

    /// How long to wait before another attempt, if the server asks for it.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same call may succeed later. The client itself has retried the call until its timeout.
    pub fn is_transient(&self) -> bool {
        match self.0.code {
            Code::Unavailable | Code::DeadlineExceeded => true,
            Code::ResourceExhausted => self.reason() == ErrorReason::RateLimited,
            _ => false,
        }
    }

    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            reason: String::new(),
            message: message.into(),
            metadata: BTreeMap::new(),
            retry_after: None,
            no_connection: false,
        }))
    }

    pub(crate) fn no_connection(target: &str, cause: &str) -> Self {
        let mut error = Self::new(Code::Unavailable, format!("no connection to {target}: {cause}"));
        error.0.no_connection = true;
        error
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// A part of a plain state that cannot be saved or loaded without loss. field: its path.
    #[cfg(feature = "plain")]
    pub(crate) fn refused(field: String, problem: impl fmt::Display) -> Self {
        let mut error = Self::invalid(format!("{field} {problem}"));
        error.0.reason = "INVALID_FIELD".to_owned();
        error.0.metadata.insert("field".to_owned(), field);
        error
    }

    pub(crate) fn deadline(timeout: Duration, fault: Option<Self>) -> Self {
        let why = fault.map_or(String::new(), |fault| format!(" ({fault})"));
        Self::new(Code::DeadlineExceeded, format!("no answer in {timeout:?}{why}"))
    }

    /// Whether a call that ended so may be repeated: nothing was done, or doing it again changes nothing.
    pub(crate) fn is_retryable(&self) -> bool {
        self.0.code != Code::DeadlineExceeded && !self.0.no_connection && self.is_transient()
    }

    /// Whether a delta could not be applied, so that the full state has to follow.
    pub(crate) fn is_delta_refused(&self) -> bool {
        use ErrorReason::{BaseChanged, DeltaMismatch, UnknownBase};
        matches!(self.reason(), UnknownBase | BaseChanged | DeltaMismatch)
    }

    pub(crate) fn from_answer(status: proto::Status) -> Self {
        let mut error = Self::new(Code::from_i32(status.code), status.message);
        error.0.read(&status.details);
        error
    }

    fn entry(&self, key: &str) -> Option<&str> {
        self.0.metadata.get(key).map(String::as_str)
    }
}

impl Inner {
    fn read(&mut self, details: &[prost_types::Any]) {
        for detail in details {
            match detail.type_url.as_str() {
                ERROR_INFO_URL => self.read_info(&detail.value),
                RETRY_INFO_URL => self.read_retry(&detail.value),
                _ => {}
            }
        }
    }

    fn read_info(&mut self, data: &[u8]) {
        if let Ok(info) = proto::ErrorInfo::decode(data)
            && info.domain == DOMAIN
        {
            (self.reason, self.metadata) = (info.reason, info.metadata);
        }
    }

    fn read_retry(&mut self, data: &[u8]) {
        let info = RetryInfo::decode(data).unwrap_or_default();
        self.retry_after = info.retry_delay.and_then(|delay| delay.try_into().ok());
    }
}

/// For programs that make calls with the stubs of [`proto`].
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // What has a source was not said by the server: the connection has failed. Repeating is safe, as all calls are.
        if let Some(source) = status.source() {
            let local = matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange);
            let code = if local { status.code() } else { Code::Unavailable };
            return Self::new(code, explain(status.message(), Some(source)));
        }
        let mut error = Self::new(status.code(), status.message());
        if let Ok(details) = proto::Status::decode(status.details()) {
            error.0.read(&details.details);
        }
        // Nobody here has cancelled it: who drops a call gets no error. A server that stops resets what it has not begun.
        if error.0.code == Code::Cancelled && error.0.reason.is_empty() {
            return Self::new(Code::Unavailable, format!("cancelled by the server: {}", status.message()));
        }
        error
    }
}

/// A message with the causes behind it, each once.
pub(crate) fn explain(message: &str, source: Option<&(dyn StdError + 'static)>) -> String {
    let mut text = message.to_owned();
    let mut next = source;
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.reason.is_empty() {
            write!(f, "{:?}: {}", self.0.code, self.0.message)
        } else {
            write!(f, "{}: {}", self.0.reason, self.0.message)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.0.code)
            .field("reason", &self.0.reason)
            .field("message", &self.0.message)
            .field("metadata", &self.0.metadata)
            .finish()
    }
}

impl StdError for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(type_url: &str, message: &impl Message) -> prost_types::Any {
        prost_types::Any { type_url: type_url.to_owned(), value: message.encode_to_vec() }
    }

    #[test]
    fn the_details_say_why_and_when_to_try_again() {
        let info = proto::ErrorInfo {
            reason: "RATE_LIMITED".to_owned(),
            domain: DOMAIN.to_owned(),
            metadata: [("limit".to_owned(), "7".to_owned())].into(),
        };
        let retry = RetryInfo { retry_delay: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }) };
        let details = vec![any(ERROR_INFO_URL, &info), any(RETRY_INFO_URL, &retry)];
        let status = proto::Status { code: 8, message: "slower".to_owned(), details };
        let told = Status::with_details(Code::ResourceExhausted, "slower", status.encode_to_vec().into());

        for error in [Error::from(told), Error::from_answer(status)] {
            assert_eq!(error.reason(), ErrorReason::RateLimited);
            assert_eq!(error.metadata()["limit"], "7");
            assert_eq!(error.retry_after(), Some(Duration::from_millis(1500)));
            assert!(error.is_retryable());
            assert_eq!(error.to_string(), "RATE_LIMITED: slower");
        }
    }

    #[test]
    fn a_reason_that_is_not_known_stays_readable() {
        let info = proto::ErrorInfo { reason: "NEW".to_owned(), domain: DOMAIN.to_owned(), ..Default::default() };
        let details = vec![any(ERROR_INFO_URL, &info)];
        let error = Error::from_answer(proto::Status { code: 9, message: String::new(), details });
        assert_eq!((error.reason(), error.reason_name()), (ErrorReason::Unspecified, "NEW"));
        assert!(!error.is_retryable());
    }

    #[test]
    fn what_the_server_cancels_without_a_reason_is_to_be_repeated() {
        let reset = Error::from(Status::cancelled("reset"));
        assert_eq!((reset.code(), reset.is_retryable()), (Code::Unavailable, true));
        let info = proto::ErrorInfo { reason: "NEW".to_owned(), domain: DOMAIN.to_owned(), ..Default::default() };
        let told = proto::Status { code: 1, message: String::new(), details: vec![any(ERROR_INFO_URL, &info)] };
        let meant = Error::from(Status::with_details(Code::Cancelled, "", told.encode_to_vec().into()));
        assert_eq!((meant.code(), meant.is_retryable()), (Code::Cancelled, false));
    }

    #[test]
    fn details_that_are_not_ours_are_left_alone() {
        let info = proto::ErrorInfo { reason: "X".to_owned(), domain: "other".to_owned(), ..Default::default() };
        let details = vec![any(ERROR_INFO_URL, &info)];
        let error = Error::from_answer(proto::Status { code: 14, message: "no".to_owned(), details });
        assert_eq!(error.reason_name(), "");
        let garbled = Status::with_details(Code::Internal, "no", vec![0xff].into());
        assert_eq!(Error::from(garbled).code(), Code::Internal);
    }
}
