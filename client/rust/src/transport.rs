//! One attempt of a call, over a connection that is made anew whenever that is needed.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use prost::Message;
use tonic::{
    Request, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use crate::{Error, codec::RawCodec, retry::Deadline, trace};

/// How much later than this client the server may give a call up: whoever is first says why.
const GRACE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Transport {
    endpoint: Endpoint,
    metadata: MetadataMap,
    link: Mutex<Link>,
}

/// A connection, and how many came before it.
#[derive(Debug, Default)]
struct Link {
    channel: Option<Channel>,
    number: u64,
}

impl Transport {
    pub(crate) fn new(endpoint: Endpoint, metadata: MetadataMap) -> Self {
        Self { endpoint, metadata, link: Mutex::default() }
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
        match tokio::time::timeout_at(deadline.at, call).await {
            Ok(result) => result,
            Err(_) => {
                self.abandon(number);
                Err(Error::deadline(deadline.timeout, None))
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
