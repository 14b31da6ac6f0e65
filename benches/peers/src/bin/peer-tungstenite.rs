//! `tokio-tungstenite` as a server: it echoes every message, and sends messages for `/publish` to
//! all clients of `/subscribe`.
//!
//! It writes once for all available messages, as the library's documentation of `feed` and `flush`
//! advises. It never parses a message.

#![forbid(unsafe_code)]

use std::net::TcpListener;

use anyhow::Result;
use clap::Parser;
use futures_util::{FutureExt, SinkExt, StreamExt};
use mimalloc::MiMalloc;
use ringway_peers::{Args, announce};
use tokio::{
    net::TcpStream,
    sync::broadcast::{self, error::RecvError},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Error, Message,
        handshake::server::{Request, Response},
        protocol::WebSocketConfig,
    },
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The most events that a subscriber may lag behind.
const EVENTS_MAX: usize = 1024;

/// The library zeroes this many bytes before each read: its default of 128 KiB triples the cost of
/// a short message, and a smaller buffer makes long ones expensive.
const READ_BUFFER_BYTES: usize = 8 << 10;

type Socket = WebSocketStream<TcpStream>;

fn main() -> Result<()> {
    let listener = Args::parse().listen()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(listener))
}

async fn serve(listener: TcpListener) -> Result<()> {
    listener.set_nonblocking(true)?;
    announce(&listener)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (events, _) = broadcast::channel(EVENTS_MAX);
    loop {
        // A client may have left before it was accepted.
        if let Ok((stream, _)) = listener.accept().await {
            let events = events.clone();
            tokio::spawn(async move {
                // A client that leaves is no error.
                let _ = attend(stream, events).await;
            });
        }
    }
}

async fn attend(stream: TcpStream, events: broadcast::Sender<Message>) -> Result<(), Error> {
    let mut path = String::new();
    // The library defines the callback's type.
    #[allow(clippy::result_large_err)]
    let note_path = |request: &Request, response: Response| {
        path = request.uri().path().to_owned();
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let socket = accept_hdr_async_with_config(stream, note_path, Some(config)).await?;
    match path.as_str() {
        "/publish" => publish(socket, &events).await,
        "/subscribe" => subscribe(socket, events.subscribe()).await,
        _ => echo(socket).await,
    }
}

async fn echo(mut socket: Socket) -> Result<(), Error> {
    loop {
        let next = match socket.next().now_or_never() {
            Some(next) => next,
            None => {
                socket.flush().await?;
                socket.next().await
            }
        };
        match next {
            Some(Ok(message)) if message.is_text() || message.is_binary() => {
                socket.feed(message).await?;
            }
            // The library answers pings and closes.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
    }
}

async fn publish(mut socket: Socket, events: &broadcast::Sender<Message>) -> Result<(), Error> {
    while let Some(message) = socket.next().await.transpose()? {
        if message.is_text() || message.is_binary() {
            // An event without a subscriber is no error.
            let _ = events.send(message);
        }
    }
    Ok(())
}

async fn subscribe(
    mut socket: Socket,
    mut events: broadcast::Receiver<Message>,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Ok(event) => {
                    socket.feed(event).await?;
                    while let Ok(event) = events.try_recv() {
                        socket.feed(event).await?;
                    }
                    socket.flush().await?;
                }
                // The subscriber is too slow; a gateway would close it, too.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return socket.close(None).await,
            },
            message = socket.next() => match message {
                Some(message) => drop(message?),
                None => return Ok(()),
            },
        }
    }
}
