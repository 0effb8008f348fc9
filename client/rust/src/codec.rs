//! Requests go out as bytes that were serialized once, however often they are sent; answers are decoded.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// A serialized message in parts, which are put together when it is sent.
pub(crate) type Parts = Vec<Bytes>;

pub(crate) struct RawCodec<A>(PhantomData<fn() -> A>);

impl<A> Default for RawCodec<A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A: Message + Default + 'static> Codec for RawCodec<A> {
    type Encode = Parts;
    type Decode = A;
    type Encoder = Send;
    type Decoder = Read<A>;

    fn encoder(&mut self) -> Send {
        Send
    }

    fn decoder(&mut self) -> Read<A> {
        Read(PhantomData)
    }
}

pub(crate) struct Send;

impl Encoder for Send {
    type Item = Parts;
    type Error = Status;

    fn encode(&mut self, parts: Parts, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(parts.iter().map(Bytes::len).sum());
        parts.into_iter().for_each(|part| buffer.put(part));
        Ok(())
    }
}

pub(crate) struct Read<A>(PhantomData<fn() -> A>);

impl<A: Message + Default> Decoder for Read<A> {
    type Item = A;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<A>, Status> {
        let answer = A::decode(buffer).map_err(|error| Status::internal(format!("an answer that is none: {error}")))?;
        Ok(Some(answer))
    }
}
