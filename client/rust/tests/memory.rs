//! What a client holds while its server hangs. A program of its own: it measures the memory of the whole process.

#![cfg(target_os = "linux")]

mod support;

use std::{fs, time::Duration};

use futures_util::future::join_all;
use lockstitch::{Checkpoint, Client, Code, Message};
use support::Server;

const SAVES: usize = 64;
const BYTES: usize = 200_000;
const ROUNDS: usize = 5;

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|size| size.parse::<usize>().ok()).expect("a number") * 1024
}

/// One round: all saves run out of time.
async fn round(client: &Client, round: usize) {
    let saves = (0..SAVES).map(|number| {
        let mut checkpoint = Checkpoint::new(format!("s-{number}"), round as u64);
        checkpoint.state_mut().messages_mut().items.push(Message::new("user", "x".repeat(BYTES)));
        client.save(checkpoint)
    });
    for outcome in join_all(saves).await {
        assert_eq!(outcome.unwrap_err().code(), Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn memory_does_not_grow_while_a_server_hangs() {
    for stream in [true, false] {
        let server = Server::start().await;
        let client = Client::builder(server.target()).timeout(Duration::from_secs(1)).stream(stream).build().unwrap();
        client.with_timeout(Duration::from_secs(60)).save(Checkpoint::new("s", 0)).await.unwrap();
        server.signal("STOP");
        round(&client, 1).await;
        round(&client, 2).await;
        let before = resident_bytes();
        for number in 0..ROUNDS {
            round(&client, 3 + number).await;
        }
        let grown = resident_bytes().saturating_sub(before);
        println!("{before} bytes, and {grown} more after {ROUNDS} rounds of {} bytes", SAVES * BYTES);
        assert!(grown < 2 * SAVES * BYTES, "{grown} bytes more");
        server.signal("CONT");
        client.with_timeout(Duration::from_secs(60)).save(Checkpoint::new("s", 1)).await.unwrap();
    }
}
