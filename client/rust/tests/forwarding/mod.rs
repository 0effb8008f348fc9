//! Stands between a client and a real server. It carries all calls out, and loses the answers to some.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, client::SendRequest, server::SendResponse};
use tokio::net::{TcpListener, TcpStream};
use tonic::codegen::http::{Request, Response};

/// Forwards unary calls.
pub struct Forwarder {
    pub target: String,
    saves: Arc<AtomicUsize>,
}

impl Forwarder {
    /// to: the server. lost: how many first answers to `Save` get lost; the client gets UNAVAILABLE.
    pub async fn start(to: String, lost: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let target = listener.local_addr().expect("an address").to_string();
        let saves = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&saves);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, to.clone(), lost, Arc::clone(&counter)));
            }
        });
        Self { target, saves }
    }

    /// How many saves have come.
    #[allow(dead_code)] // each test program uses what it needs
    pub fn saves(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.saves)
    }
}

async fn connection(socket: TcpStream, to: String, lost: usize, saves: Arc<AtomicUsize>) {
    let mut calls = h2::server::handshake(socket).await.expect("HTTP/2");
    let server = TcpStream::connect(to).await.expect("the server");
    let (sender, forwarding) = h2::client::handshake(server).await.expect("HTTP/2");
    tokio::spawn(async move { drop(forwarding.await) });
    while let Some(Ok((request, respond))) = calls.accept().await {
        let is_save = request.uri().path().ends_with("/Save");
        let loses = is_save && saves.fetch_add(1, Ordering::SeqCst) < lost;
        tokio::spawn(call(request, respond, sender.clone(), loses));
    }
}

async fn call(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, to: SendRequest<Bytes>, loses: bool) {
    let (head, mut body) = request.into_parts();
    let message = read(&mut body).await;
    let mut to = to.ready().await.expect("the server");
    let (answer, mut sending) = to.send_request(Request::from_parts(head, ()), false).expect("the server");
    sending.send_data(message, true).expect("the server");
    let (head, mut body) = answer.await.expect("an answer").into_parts();
    let message = read(&mut body).await;
    let trailers = body.trailers().await.expect("an answer");
    if loses {
        let lost = Response::builder().header("content-type", "application/grpc").header("grpc-status", "14");
        respond.send_response(lost.body(()).expect("a response"), true).expect("the client");
        return;
    }
    let mut answer = respond.send_response(Response::from_parts(head, ()), trailers.is_none()).expect("the client");
    if let Some(trailers) = trailers {
        answer.send_data(message, false).expect("the client");
        answer.send_trailers(trailers).expect("the client");
    }
}

async fn read(body: &mut RecvStream) -> Bytes {
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.expect("a message");
        let _ = body.flow_control().release_capacity(data.len());
        message.extend_from_slice(&data);
    }
    message.freeze()
}
