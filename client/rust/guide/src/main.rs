//! The snippets of docs/clients/rust.md, run in their order against the server that is named.

#[allow(unused, clippy::all)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args().nth(1).ok_or("usage: lockstitch-guide <target>")?;
    include!(concat!(env!("OUT_DIR"), "/guide.rs"));
    Ok(())
}
