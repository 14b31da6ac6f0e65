//! `fastwebsockets` behind `hyper`, as in its own examples: it echoes every message.
//!
//! It never batches: the library has no write buffer.

#![forbid(unsafe_code)]

use std::net::TcpListener;

use anyhow::Result;
use clap::Parser;
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use mimalloc::MiMalloc;
use ringway_peers::{Args, announce};
use tokio::net::TcpStream;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<()> {
    let listener = Args::parse().listen()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(listener))
}

async fn serve(listener: TcpListener) -> Result<()> {
    listener.set_nonblocking(true)?;
    announce(&listener)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        // A client may have left before it was accepted.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(attend(stream));
        }
    }
}

async fn attend(stream: TcpStream) {
    let service = service_fn(answer);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that leaves is no error.
    let _ = connection.with_upgrades().await;
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, socket) = upgrade::upgrade(&mut request)?;
    tokio::spawn(async move {
        // As above.
        let _ = echo(socket).await;
    });
    Ok(response)
}

async fn echo(socket: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(socket.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}
