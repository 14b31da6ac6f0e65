//! Passes a request's body from the connection to the router, piece by piece.
//!
//! At most one piece is queued, so that a body is read as fast as it is used. Only the framing is
//! checked here: the route decides how large a body may be.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{mpsc, oneshot};

use crate::control::api::server::{Phase, Waiting, input::Input};

use ringway_http::{
    HttpError,
    body::BodyReader,
    chunk::Reading,
    head::{self, Head},
};

/// A bound that no body reaches.
const UNBOUNDED: usize = usize::MAX / 2;

/// Why a body is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The connection ended before the body did.
    Ended,
    /// Its chunks are malformed.
    Malformed,
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ended => "the connection ended before the body did",
            Self::Malformed => "the chunks of the body are malformed",
        })
    }
}

impl std::error::Error for Cut {}

/// Where the reading of a body has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// At its end: the next request may follow.
    Whole,
    /// Before its end, so the next request cannot be found.
    Unfinished,
}

/// The connection's side of a body.
pub struct Feed {
    reader: BodyReader,
    pieces: mpsc::Sender<Result<Bytes, Cut>>,
}

/// The router's side of a body.
pub struct RequestBody {
    pieces: mpsc::Receiver<Result<Bytes, Cut>>,
    /// Signalled when the body is first read (RFC 9110 §10.1.1).
    wanted: Option<oneshot::Sender<()>>,
    left: Option<u64>,
}

/// The body that a head announces: both of its sides, and the signal that it is wanted.
///
/// # Errors
/// [`HttpError::Coding`]
pub fn of(head: &Head<'_>) -> Result<(Feed, RequestBody, oneshot::Receiver<()>), HttpError> {
    let reader = BodyReader::new(head, UNBOUNDED)?;
    let left = match head.body {
        head::Body::None => Some(0),
        head::Body::Length(length) => Some(length),
        head::Body::Coded => None,
    };
    let (sender, pieces) = mpsc::channel(1);
    let (wanted, is_wanted) = oneshot::channel();
    let body = RequestBody { pieces, wanted: Some(wanted), left };
    Ok((Feed { reader, pieces: sender }, body, is_wanted))
}

impl Feed {
    /// Passes the body on until it ends, or the router stops reading.
    pub async fn run(mut self, input: &mut Input<'_>, waiting: &Waiting) -> BodyEnd {
        let ticket = waiting.enter(Phase::Body);
        loop {
            let mut unread: &[u8] = input.unread();
            let reading = self.reader.read(&mut unread);
            let left = unread.len();
            input.keep_last(left);
            let piece = self.reader.take_bytes();
            // Without a receiver the piece is discarded, but the body may still be read to its end.
            let is_wanted = piece.is_empty() || self.pieces.send(Ok(piece.into())).await.is_ok();
            match reading {
                Ok(Reading::Whole) => return BodyEnd::Whole,
                Ok(Reading::More) if !is_wanted => return BodyEnd::Unfinished,
                Ok(Reading::More) => {}
                Err(_) => return self.cut(Cut::Malformed).await,
            }
            let filled = tokio::select! {
                filled = input.fill() => filled,
                () = self.pieces.closed() => return BodyEnd::Unfinished,
                () = ticket.evicted() => return self.cut(Cut::Ended).await,
            };
            if !matches!(filled, Ok(1..)) {
                return self.cut(Cut::Ended).await;
            }
        }
    }

    async fn cut(self, cut: Cut) -> BodyEnd {
        // The router may have stopped reading.
        let _ = self.pieces.send(Err(cut)).await;
        BodyEnd::Unfinished
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(wanted) = self.wanted.take() {
            // Only a client that waits for a 100 needs the signal.
            let _ = wanted.send(());
        }
        let piece = std::task::ready!(self.pieces.poll_recv(context));
        Poll::Ready(piece.map(|piece| {
            let piece = piece?;
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(piece.len() as u64);
            }
            Ok(Frame::data(piece))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
