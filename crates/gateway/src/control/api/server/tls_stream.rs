//! TLS on a connection of the private listener: a session of `ringway_tls` on a TCP stream.
//!
//! Both halves of a stream use it by reference, in one task. It keeps no buffer while it is idle.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use ringway_tls::{Fault, Opened, Session, certificates::client_name};
use rustix::net::Shutdown;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::outbox::channel::PLAIN_HTTP;

/// Bytes that are read, and plain text that is sealed, at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// A TCP stream with a session.
pub struct TlsStream {
    socket: TcpStream,
    /// Locked because the task may move to another thread, although only this task uses it.
    state: Mutex<State>,
}

struct State {
    session: Session,
    /// Plain text that was not read yet.
    plain: Vec<u8>,
    /// Records that the socket has not taken.
    out: Vec<u8>,
    /// Whether the peer sends no more.
    has_ended: bool,
    /// Whether the last record was written.
    is_closed: bool,
}

impl TlsStream {
    /// A connection whose handshake has not begun.
    pub fn new(socket: TcpStream, session: Session) -> Self {
        let (plain, out) = (Vec::new(), Vec::new());
        let state = State { session, plain, out, has_ended: false, is_closed: false };
        Self { socket, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name in the certificate that the peer has shown.
    pub fn peer_name(&self) -> Option<String> {
        client_name(self.state().session.peer_certificate()?)
    }

    /// Nothing can be written past the session.
    pub fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Waits for bytes, and sends what is left meanwhile.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| {
            let state = &mut *self.state();
            let _ = state.flush(&self.socket, context)?;
            match state.plain.is_empty() && !state.has_ended {
                true => self.socket.poll_read_ready(context),
                false => Poll::Ready(Ok(())),
            }
        })
        .await
    }
}

impl State {
    /// Sends as much as the socket takes; ready when nothing is left.
    fn flush(&mut self, socket: &TcpStream, context: &mut Context<'_>) -> io::Result<Poll<()>> {
        while !self.out.is_empty() {
            if socket.poll_write_ready(context)?.is_pending() {
                return Ok(Poll::Pending);
            }
            match socket.try_write(&self.out) {
                Ok(bytes) => {
                    self.out.drain(..bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.out = Vec::new();
        Ok(Poll::Ready(()))
    }

    /// Opens records. A fault ends the stream; the peer is told why.
    fn open(&mut self, mut received: &mut [u8]) -> io::Result<()> {
        while !received.is_empty() {
            match self.session.open(&mut received, &mut self.out) {
                Ok(Opened::Nothing) => {}
                Ok(Opened::InPlace(plain)) => self.plain.extend_from_slice(plain),
                Ok(Opened::Assembled(plain)) => self.plain.extend(plain),
                Ok(Opened::Ended) => self.has_ended = true,
                Err(fault) => {
                    match fault {
                        Fault::PlainHttp => self.out.extend_from_slice(PLAIN_HTTP.as_bytes()),
                        _ => self.session.close(&mut self.out),
                    }
                    (self.has_ended, self.is_closed) = (true, true);
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        Ok(())
    }

    /// Writes the last record, once.
    fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.session.close(&mut self.out);
        }
    }
}

impl AsyncRead for &TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.state();
        loop {
            let _ = state.flush(&self.socket, context)?;
            if !state.plain.is_empty() {
                let bytes = state.plain.len().min(buffer.remaining());
                buffer.put_slice(&state.plain[..bytes]);
                state.plain.drain(..bytes);
                if state.plain.is_empty() {
                    state.plain = Vec::new();
                }
                return Poll::Ready(Ok(()));
            }
            if state.has_ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_read_ready(context))?;
            let mut received = vec![0; PIECE_BYTES];
            match self.socket.try_read(&mut received) {
                Ok(0) => state.has_ended = true,
                Ok(bytes) => state.open(&mut received[..bytes])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for &TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.state();
        if !state.session.is_established() || state.is_closed {
            // The peer could not read it.
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        ready!(state.flush(&self.socket, context)?);
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        state.out.extend_from_slice(piece);
        state.session.seal(&mut state.out, 0);
        let _ = state.flush(&self.socket, context)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().flush(&self.socket, context)?.map(Ok)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.state();
        state.close();
        ready!(state.flush(&self.socket, context)?);
        Poll::Ready(rustix::net::shutdown(&self.socket, Shutdown::Write).map_err(Into::into))
    }
}

/// A connection that ends in another way also announces its end, if the socket takes that.
impl Drop for TlsStream {
    fn drop(&mut self) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.close();
        let _ = self.socket.try_write(&state.out);
    }
}
