//! A server that answers as a real one does only now and then.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use lockstitch::proto::{
    SaveResponse, SaveStreamRequest, SaveStreamResponse, WatchSessionResponse, save_stream_response::Result as Outcome,
};
use prost::Message;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tonic::codegen::http::{HeaderMap, Request, Response};

/// Of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

pub enum Failure {
    /// CANCELLED, and nothing more.
    Told,
    /// The call is reset without a status.
    Reset,
    /// The call has no answer before it is cancelled.
    Hang,
}

/// The calls of one method fail, one after the other, and then succeed.
pub struct Scripted {
    pub target: String,
    script: Arc<Script>,
}

struct Script {
    failures: Mutex<VecDeque<Failure>>,
    calls: AtomicUsize,
    called: Notify,
}

impl Scripted {
    pub async fn start<const N: usize>(failures: [Failure; N]) -> Self {
        let script =
            Script { failures: Mutex::new(failures.into()), calls: AtomicUsize::new(0), called: Notify::new() };
        let script = Arc::new(script);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let target = listener.local_addr().expect("an address").to_string();
        tokio::spawn(listen(listener, Arc::clone(&script)));
        Self { target, script }
    }

    /// How many calls have come; of a stream of saves each message counts.
    pub fn calls(&self) -> usize {
        self.script.calls.load(Ordering::SeqCst)
    }

    /// Wait for a call.
    pub async fn called(&self) {
        self.script.called.notified().await;
    }
}

impl Script {
    fn next(&self) -> Option<Failure> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.called.notify_one();
        self.failures.lock().expect("no panic").pop_front()
    }
}

async fn listen(listener: TcpListener, script: Arc<Script>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(connection(socket, Arc::clone(&script)));
    }
}

async fn connection(socket: TcpStream, script: Arc<Script>) {
    let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(call(request, respond, Arc::clone(&script)));
    }
}

async fn call(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, script: Arc<Script>) {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut received = BytesMut::new();
    let mut answers: Option<SendStream<Bytes>> = None;
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        received.extend_from_slice(&data);
        while let Some(message) = unframed(&mut received) {
            match script.next() {
                None => {
                    let answers =
                        answers.get_or_insert_with(|| respond.send_response(head(), false).expect("a caller"));
                    answers.send_data(framed(&answer(&path, message)), false).expect("a caller");
                }
                Some(Failure::Told) => {
                    let mut told = head();
                    told.headers_mut().extend(status("1"));
                    respond.send_response(told, true).expect("a caller");
                    return;
                }
                Some(Failure::Reset) => return respond.send_reset(Reason::CANCEL),
                Some(Failure::Hang) => {}
            }
        }
    }
    match answers {
        Some(mut answers) => drop(answers.send_trailers(status("0"))),
        None => pending().await,
    }
}

fn answer(path: &str, request: Bytes) -> Vec<u8> {
    let saved = SaveResponse { revision: 1, ..Default::default() };
    match path.rsplit('/').next() {
        Some("Save") => saved.encode_to_vec(),
        Some("SaveStream") => {
            let SaveStreamRequest { request_id, .. } = SaveStreamRequest::decode(request).expect("a save");
            let result = Some(Outcome::Saved(saved));
            SaveStreamResponse { request_id, result, ..Default::default() }.encode_to_vec()
        }
        Some("WatchSession") => {
            WatchSessionResponse { resume_token: "1".to_owned(), ..Default::default() }.encode_to_vec()
        }
        _ => unimplemented!("{path}"),
    }
}

fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).expect("a response")
}

fn status(code: &'static str) -> HeaderMap {
    [("grpc-status".parse().expect("a name"), code.parse().expect("a value"))].into_iter().collect()
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// The first message, if all of it is there.
fn unframed(received: &mut BytesMut) -> Option<Bytes> {
    let length = received.get(1..PREFIX)?.get_u32() as usize;
    (received.len() >= PREFIX + length).then(|| received.split_to(PREFIX + length).freeze().slice(PREFIX..))
}
