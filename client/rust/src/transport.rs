//! One attempt of a call, over a connection that is made again whenever that is needed.

use std::{
    error::Error as _,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::Stream;
use prost::Message;
use tokio::time::Instant;
use tonic::{Request, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

use crate::{
    Error,
    addresses::Addresses,
    codec::{Parts, RawCodec},
    credentials::Credentials,
    error::explain,
    link::Link,
    links::Links,
    observing::Hooks,
    per_runtime::PerRuntime,
    retry::Deadline,
    rpcs,
    trace::{self, TraceContext},
};

/// How much later than this client the server may give a call up: whoever is first says why.
const GRACE: Duration = Duration::from_millis(100);

/// How long to find out why there is no connection, and how long to wait between two attempts to make the first.
const PROBE: Duration = Duration::from_millis(100);
/// How long a server may take to say that a connection works.
const ALIVE: Duration = Duration::from_millis(400);

#[derive(Debug)]
pub(crate) struct Transport {
    addresses: Arc<Addresses>,
    target: String,
    connect_timeout: Duration,
    /// Whether there has ever been a connection.
    connected: AtomicBool,
    /// Calls that wait for the first connection take turns, and so keep their order.
    connecting: tokio::sync::Mutex<()>,
    /// The outcome of the last [`probe`](Self::probe), and its time.
    probed: tokio::sync::Mutex<Option<(Instant, Probe)>>,
    credentials: Credentials,
    hooks: Hooks,
    links: PerRuntime<Links>,
}

/// Whether a connection can be made at the moment. None: it takes longer to find out.
type Probe = Option<Result<(), Error>>;

/// A serialized request, and the trace context of its call; None: the current one.
pub(crate) struct Body {
    pub(crate) message: Parts,
    pub(crate) trace: Option<TraceContext>,
}

impl From<Parts> for Body {
    fn from(message: Parts) -> Self {
        Self { message, trace: None }
    }
}

impl Transport {
    pub(crate) fn new(
        addresses: Addresses,
        target: String,
        connect_timeout: Duration,
        credentials: Credentials,
        hooks: Hooks,
    ) -> Self {
        let (connected, connecting, probed) = Default::default();
        let (addresses, links) = (Arc::new(addresses), PerRuntime::new());
        Self { addresses, target, connect_timeout, connected, connecting, probed, credentials, hooks, links }
    }

    /// Return when there is a connection, or has ever been one. Fails after the connect timeout, so that the first call
    /// reports a wrong address. `patient`: try again after an attempt that failed.
    pub(crate) async fn first_connection(&self, deadline: Deadline, patient: bool) -> Result<(), Error> {
        if self.connected.load(Ordering::Acquire) {
            return Ok(());
        }
        let until = (Instant::now() + self.connect_timeout).min(deadline.at);
        let Ok(_turn) = tokio::time::timeout_at(until, self.connecting.lock()).await else {
            return self.probe().await.unwrap_or_else(|| Err(self.silence()));
        };
        let mut fault = None;
        while !self.connected.load(Ordering::Acquire) {
            match tokio::time::timeout_at(until, self.connect_any()).await {
                Ok(Ok(())) => self.answered(),
                Ok(Err(error)) if !patient || Instant::now() + PROBE >= until => return Err(error),
                Ok(Err(error)) => {
                    fault = Some(error);
                    tokio::time::sleep(PROBE).await;
                }
                Err(_) => return Err(fault.unwrap_or_else(|| self.silence())),
            }
        }
        Ok(())
    }

    async fn connect_any(&self) -> Result<(), Error> {
        let connected = self.links().connect_any().await;
        connected.map_err(|error| error.map_or_else(|| self.silence(), |error| self.no_connection(&error)))
    }

    /// A server has answered: there has been a connection.
    pub(crate) fn answered(&self) {
        self.connected.store(true, Ordering::Release);
    }

    /// Why a call whose time is over has no answer: no connection can be made, or the server takes too long. A
    /// connection that has gone silent is replaced. fault: what has happened to the call before.
    pub(crate) async fn too_late(&self, link: Option<&Link>, deadline: Deadline, fault: Option<Error>) -> Error {
        if let Some(link) = link {
            self.renew_if_silent(link, deadline.timeout / 2).await;
        }
        match self.probe().await {
            Some(Err(error)) => error,
            _ => Error::deadline(deadline.timeout, fault),
        }
    }

    /// Try to connect. Calls that end together share one attempt, so that a slow server gets no flood of connections.
    async fn probe(&self) -> Probe {
        let mut last = self.probed.lock().await;
        match &*last {
            Some((at, outcome)) if at.elapsed() < PROBE => outcome.clone(),
            _ => {
                let outcome = tokio::time::timeout(PROBE, self.try_connect()).await.ok();
                *last = Some((Instant::now(), outcome.clone()));
                outcome
            }
        }
    }

    async fn try_connect(&self) -> Result<(), Error> {
        let mut fault = self.silence();
        for endpoint in self.links().endpoints() {
            match endpoint.connect().await {
                Ok(_) => return Ok(()),
                Err(error) => fault = self.no_connection(&error),
            }
        }
        Err(fault)
    }

    /// Replace a connection over which nothing has come for this long, and does not come now: who was at the other end
    /// may have vanished without a word. Its calls are repeated on the next one.
    async fn renew_if_silent(&self, link: &Link, silence: Duration) {
        if !link.is_silent(silence) || self.is_alive(link).await {
            return;
        }
        self.links().remove(link);
        link.close();
    }

    /// Whether anything comes over a connection now.
    async fn is_alive(&self, link: &Link) -> bool {
        let question = async {
            let mut grpc = grpc(link);
            let body = vec![rpcs::HealthRequest::default().encode_to_vec().into()].into();
            let Ok(request) = self.request(rpcs::HEALTH.path, body, None) else { return };
            if ready(&mut grpc).await.is_ok() {
                let path = PathAndQuery::from_static(rpcs::HEALTH.path);
                let _ = grpc.unary(request, path, RawCodec::<rpcs::HealthAnswer>::default()).await;
            } // an error is an answer, too
        };
        tokio::time::timeout(ALIVE, question).await.is_ok()
    }

    fn silence(&self) -> Error {
        Error::no_connection(&self.target, "nothing answers there")
    }

    fn no_connection(&self, error: &tonic::transport::Error) -> Error {
        Error::no_connection(&self.target, &explain(&error.to_string(), error.source()))
    }

    fn links(&self) -> Arc<Links> {
        self.links.get(|| Links::new(Arc::clone(&self.addresses)))
    }

    /// The connection for the next call.
    pub(crate) fn link(&self) -> Arc<Link> {
        self.links().next()
    }

    pub(crate) async fn unary<A: Message + Default + 'static>(
        &self,
        path: &'static str,
        body: Body,
        deadline: Deadline,
    ) -> Result<A, Error> {
        let link = self.link();
        let request = self.request(path, body, Some(deadline))?;
        let call = async {
            let mut grpc = grpc(&link);
            ready(&mut grpc).await?;
            let answer = grpc.unary(request, PathAndQuery::from_static(path), RawCodec::<A>::default()).await?;
            Ok(answer.into_inner())
        };
        self.in_time(call, deadline, &link).await
    }

    /// A stream of answers, and its connection. What the deadline bounds is the time until it begins.
    pub(crate) async fn stream<A: Message + Default + 'static>(
        &self,
        path: &'static str,
        body: Body,
        deadline: Deadline,
    ) -> Result<(Streaming<A>, Arc<Link>), Error> {
        let link = self.link();
        let request = self.request(path, body, None)?;
        let call = async {
            let mut grpc = grpc(&link);
            ready(&mut grpc).await?;
            let path = PathAndQuery::from_static(path);
            Ok(grpc.server_streaming(request, path, RawCodec::<A>::default()).await?.into_inner())
        };
        let answers = self.in_time(call, deadline, &link).await?;
        Ok((answers, link))
    }

    /// A stream both ways, without a deadline.
    pub(crate) async fn duplex<A: Message + Default + 'static>(
        &self,
        link: &Link,
        path: &'static str,
        bodies: impl Stream<Item = Parts> + Send + 'static,
    ) -> Result<Streaming<A>, Error> {
        let mut request = Request::new(bodies);
        *request.metadata_mut() = self.credentials.metadata()?;
        self.hooks.intercept(path, request.metadata_mut());
        let call = async {
            let mut grpc = grpc(link);
            ready(&mut grpc).await?;
            let path = PathAndQuery::from_static(path);
            Ok(grpc.streaming(request, path, RawCodec::<A>::default()).await?.into_inner())
        };
        call.await.inspect_err(|error| link.note(error))
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
        deadline: Deadline,
        link: &Link,
    ) -> Result<T, Error> {
        let outcome = tokio::time::timeout_at(deadline.at, call).await;
        // On a busy machine tonic's own timer, which ends GRACE later, can be noticed first.
        let over =
            |error: &Error| error.is_retryable() && error.reason_name().is_empty() && deadline.remaining().is_zero();
        match outcome {
            Ok(Err(error)) if !over(&error) => {
                link.note(&error);
                Err(error)
            }
            Ok(Ok(answer)) => {
                link.hear();
                Ok(answer)
            }
            _ => Err(self.too_late(Some(link), deadline, None).await),
        }
    }

    fn request(&self, path: &str, body: Body, deadline: Option<Deadline>) -> Result<Request<Parts>, Error> {
        let mut request = Request::new(body.message);
        *request.metadata_mut() = self.credentials.metadata()?;
        trace::inject(request.metadata_mut(), body.trace.unwrap_or_else(trace::current));
        self.hooks.intercept(path, request.metadata_mut());
        if let Some(deadline) = deadline {
            request.set_timeout(deadline.remaining() + GRACE);
        }
        Ok(request)
    }
}

fn grpc(link: &Link) -> Grpc<Channel> {
    // What the server has accepted can be read back, whatever its limit.
    Grpc::new(link.channel.clone()).max_decoding_message_size(usize::MAX)
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Error> {
    grpc.ready().await.map_err(|error| Error::from(tonic::Status::from_error(error.into())))
}
