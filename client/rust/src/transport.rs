//! One attempt of a call, over a connection that is made anew whenever that is needed.

use std::{
    error::Error as _,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use prost::Message;
use tokio::time::Instant;
use tonic::{
    Request, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use crate::{Error, codec::RawCodec, error::explain, retry::Deadline, trace};

/// How much later than this client the server may give a call up: whoever is first says why.
const GRACE: Duration = Duration::from_millis(100);

/// How long to find out why there is no connection, and how long to wait between two attempts to make the first.
const PROBE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Transport {
    endpoint: Endpoint,
    target: String,
    connect_timeout: Duration,
    /// Whether there has ever been a connection. Calls that wait for the first take turns, and so keep their order.
    connected: tokio::sync::Mutex<bool>,
    /// The outcome of the last [`probe`](Self::probe), and its time.
    probed: tokio::sync::Mutex<Option<(Instant, Probe)>>,
    metadata: MetadataMap,
    link: Mutex<Link>,
}

/// Whether a connection can be made at the moment. None: it takes longer to find out.
type Probe = Option<Result<(), Error>>;

/// A connection, and how many came before it.
#[derive(Debug, Default)]
struct Link {
    channel: Option<Channel>,
    number: u64,
}

impl Transport {
    pub(crate) fn new(endpoint: Endpoint, target: String, connect_timeout: Duration, metadata: MetadataMap) -> Self {
        let (connected, probed) = Default::default();
        Self { endpoint, target, connect_timeout, connected, probed, metadata, link: Mutex::default() }
    }

    /// Return when there is a connection, or has ever been one. Fails after the connect timeout, so that the first call
    /// reports a wrong address. `patient`: try again after an attempt that failed.
    pub(crate) async fn first_connection(&self, deadline: Deadline, patient: bool) -> Result<(), Error> {
        let until = (Instant::now() + self.connect_timeout).min(deadline.at);
        let Ok(mut connected) = tokio::time::timeout_at(until, self.connected.lock()).await else {
            return self.probe().await.unwrap_or_else(|| Err(self.silence()));
        };
        let mut fault = None;
        while !*connected {
            match tokio::time::timeout_at(until, self.endpoint.connect()).await {
                Ok(Ok(channel)) => {
                    self.link.lock().unwrap_or_else(PoisonError::into_inner).channel.get_or_insert(channel);
                    *connected = true;
                }
                Ok(Err(error)) if !patient || Instant::now() + PROBE >= until => return Err(self.no_connection(&error)),
                Ok(Err(error)) => {
                    fault = Some(self.no_connection(&error));
                    tokio::time::sleep(PROBE).await;
                }
                Err(_) => return Err(fault.unwrap_or_else(|| self.silence())),
            }
        }
        Ok(())
    }

    /// A server has answered: there has been a connection.
    pub(crate) async fn answered(&self) {
        *self.connected.lock().await = true;
    }

    /// Why a call whose time is over has no answer: no connection can be made, or the server takes too long.
    pub(crate) async fn too_late(&self, deadline: Deadline) -> Error {
        match self.probe().await {
            Some(Err(error)) => error,
            _ => Error::deadline(deadline.timeout, None),
        }
    }

    /// Try to connect. Calls that end together share one attempt, so that a slow server gets no flood of connections.
    async fn probe(&self) -> Probe {
        let mut last = self.probed.lock().await;
        match &*last {
            Some((at, outcome)) if at.elapsed() < PROBE => outcome.clone(),
            _ => {
                let attempt = tokio::time::timeout(PROBE, self.endpoint.connect()).await.ok();
                let outcome = attempt.map(|made| made.map(drop).map_err(|error| self.no_connection(&error)));
                *last = Some((Instant::now(), outcome.clone()));
                outcome
            }
        }
    }

    fn silence(&self) -> Error {
        Error::no_connection(&self.target, "nothing answers there")
    }

    fn no_connection(&self, error: &tonic::transport::Error) -> Error {
        Error::no_connection(&self.target, &explain(&error.to_string(), error.source()))
    }

    pub(crate) async fn unary<A: Message + Default + 'static>(
        &self,
        path: &'static str,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<A, Error> {
        let (mut grpc, number) = self.grpc();
        let request = self.request(body, Some(deadline));
        let call = async {
            ready(&mut grpc).await?;
            let answer = grpc.unary(request, PathAndQuery::from_static(path), RawCodec::<A>::default()).await?;
            Ok(answer.into_inner())
        };
        self.in_time(call, deadline, number).await
    }

    /// A stream of answers. What the deadline bounds is the time until it begins.
    pub(crate) async fn stream<A: Message + Default + 'static>(
        &self,
        path: &'static str,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<Streaming<A>, Error> {
        let (mut grpc, number) = self.grpc();
        let request = self.request(body, None);
        let call = async {
            ready(&mut grpc).await?;
            let path = PathAndQuery::from_static(path);
            Ok(grpc.server_streaming(request, path, RawCodec::<A>::default()).await?.into_inner())
        };
        self.in_time(call, deadline, number).await
    }

    /// A stream both ways, without a deadline.
    pub(crate) async fn duplex<A: Message + Default + 'static>(
        &self,
        path: &'static str,
        bodies: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<A>, Error> {
        let (mut grpc, _) = self.grpc();
        let mut request = Request::new(bodies);
        *request.metadata_mut() = self.metadata.clone();
        ready(&mut grpc).await?;
        let path = PathAndQuery::from_static(path);
        Ok(grpc.streaming(request, path, RawCodec::<A>::default()).await?.into_inner())
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
        deadline: Deadline,
        number: u64,
    ) -> Result<T, Error> {
        let outcome = tokio::time::timeout_at(deadline.at, call).await;
        // On a busy machine tonic's own timer, which ends GRACE later, can be noticed first.
        let over =
            |error: &Error| error.is_retryable() && error.reason_name().is_empty() && deadline.remaining().is_zero();
        match outcome {
            Ok(Err(error)) if !over(&error) => Err(error),
            Ok(Ok(answer)) => Ok(answer),
            _ => {
                self.abandon(number);
                Err(self.too_late(deadline).await)
            }
        }
    }

    fn grpc(&self) -> (Grpc<Channel>, u64) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = link.channel.get_or_insert_with(|| self.endpoint.connect_lazy()).clone();
        // What the server has accepted can be read back, whatever its limit.
        (Grpc::new(channel).max_decoding_message_size(usize::MAX), link.number)
    }

    /// Use a new connection from now on: who was at the other end of this one may have vanished without a word.
    pub(crate) fn abandon(&self, number: u64) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if link.number == number {
            *link = Link { channel: None, number: number + 1 };
        }
    }

    /// The same, for whoever cannot tell which connection it was.
    pub(crate) fn renew(&self) {
        let number = self.link.lock().unwrap_or_else(PoisonError::into_inner).number;
        self.abandon(number);
    }

    fn request(&self, body: Bytes, deadline: Option<Deadline>) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        trace::inject(request.metadata_mut());
        if let Some(deadline) = deadline {
            request.set_timeout(deadline.remaining() + GRACE);
        }
        request
    }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Error> {
    grpc.ready().await.map_err(|error| Error::from(tonic::Status::from_error(error.into())))
}
