//! The body of a request on its way to a server: how it is delimited, and its bytes. Nothing of the
//! client's framing reaches the server, so the two cannot disagree about its end (request
//! smuggling).

use ringway_http::{
    HttpError,
    chunk::{self, ChunkReader, Piece, Reading, TRAILER_BYTES_MAX},
    head::{self, Body, Head},
};

use crate::upstream::heads::emit_trailers;

/// How a body is delimited, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    /// There is none.
    None,
    /// By its length, which may be zero.
    Length(u64),
    /// In chunks.
    Chunks,
}

impl RequestBody {
    /// The body that a head announces.
    ///
    /// # Errors
    /// [`HttpError::Framing`] if its end is ambiguous, [`HttpError::Coding`] for another transfer
    /// coding before `chunked`.
    pub fn of(head: &Head<'_>) -> Result<Self, HttpError> {
        let lengths = head::values(head.fields, "Content-Length").count();
        // RFC 9112 §6.3: the same length twice may be accepted, but nobody sends it for a good
        // reason.
        if lengths > 1 {
            return Err(HttpError::Framing);
        }
        match head.body {
            Body::None if lengths == 1 => Ok(Self::Length(0)),
            Body::None => Ok(Self::None),
            Body::Length(length) => Ok(Self::Length(length)),
            Body::Coded if head.minor == 0 => Err(HttpError::Framing),
            Body::Coded => coded(head),
        }
    }

    /// Whether bytes follow the head.
    pub fn has_content(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }

    /// The most bytes that [`BodyPassage::pass`] appends for so many bytes of input: each byte may be
    /// a chunk of its own, and trailers may follow.
    pub fn passed_bytes_max(input: usize) -> usize {
        3 * input + 2 * TRAILER_BYTES_MAX
    }

    /// Writes the field that announces it.
    pub fn emit_fields(self, out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Length(length) => {
                out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
            }
            Self::Chunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
    }
}

/// RFC 9112 §6.1 and §6.3: without `chunked` as the last coding, and only there, the end of a
/// request is unknown. Another coding before it is one that the gateway does not know.
fn coded(head: &Head<'_>) -> Result<RequestBody, HttpError> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let codings: Vec<_> = head::elements(head.fields, "Transfer-Encoding").collect();
    match codings.split_last() {
        Some((last, [])) if is_chunked(last) => Ok(RequestBody::Chunks),
        Some((last, others)) if is_chunked(last) && !others.iter().any(|one| is_chunked(one)) => {
            Err(HttpError::Coding)
        }
        _ => Err(HttpError::Framing),
    }
}

/// Passes a body on, as it arrives. It keeps no byte of it.
#[derive(Debug)]
pub struct BodyPassage {
    state: State,
}

#[derive(Debug)]
enum State {
    /// This many bytes are missing.
    Length(u64),
    Chunks(Box<ChunkReader>),
}

impl BodyPassage {
    /// For the body of a request whose head was passed on.
    pub fn new(body: RequestBody) -> Self {
        let state = match body {
            RequestBody::None => State::Length(0),
            RequestBody::Length(length) => State::Length(length),
            RequestBody::Chunks => State::Chunks(Box::default()),
        };
        Self { state }
    }

    /// Takes the bytes of the body from the front of `input`, and appends what the server gets.
    ///
    /// # Errors
    /// See [`ChunkReader::next_piece`]. The request must not be completed then.
    pub fn pass(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Reading, HttpError> {
        match &mut self.state {
            State::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let (data, rest) = input.split_at(most.min(input.len()));
                out.extend_from_slice(data);
                *input = rest;
                *left -= data.len() as u64;
                Ok(if *left == 0 { Reading::Whole } else { Reading::More })
            }
            State::Chunks(reader) => loop {
                match reader.next_piece(input, usize::MAX)? {
                    Piece::Data(data) => chunk::write(out, |out| out.extend_from_slice(data)),
                    Piece::More => return Ok(Reading::More),
                    Piece::Last => {
                        out.extend_from_slice(b"0\r\n");
                        emit_trailers(out, reader.trailers());
                        return Ok(Reading::Whole);
                    }
                }
            },
        }
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Length(_) => 0,
            State::Chunks(reader) => reader.held_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes, and the rest of the input.
    fn pass(body: RequestBody, sent: &[u8], piece: usize) -> Result<(String, usize), HttpError> {
        let mut passage = BodyPassage::new(body);
        let (mut out, mut used) = (Vec::new(), 0);
        for piece in sent.chunks(piece) {
            let mut input = piece;
            let reading = passage.pass(&mut input, &mut out)?;
            used += piece.len() - input.len();
            if reading == Reading::Whole {
                break;
            }
            assert!(input.is_empty());
        }
        Ok((String::from_utf8(out).unwrap(), used))
    }

    #[test]
    fn a_body_is_passed_on_as_it_arrives_and_framed_anew() {
        for piece in 1..40 {
            let (out, used) = pass(RequestBody::Length(5), b"helloGET /", piece).unwrap();
            assert_eq!((out.as_str(), used), ("hello", 5), "{piece}");
            let sent = b"3;a=b\r\nhel\r\n002\r\nlo\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\nGET /";
            let (out, used) = pass(RequestBody::Chunks, sent, piece).unwrap();
            assert_eq!(used, sent.len() - 5);
            let (body, end) = out.split_at(out.find("\r\n0\r\n").unwrap() + 2);
            assert_eq!(end, "0\r\nA: b\r\n\r\n");
            let mut data = Vec::new();
            let mut reader = ChunkReader::default();
            let whole = format!("{body}{end}");
            assert_eq!(
                reader.read(&mut whole.as_bytes(), &mut data, 5),
                Ok(Reading::Whole),
                "{piece}"
            );
            assert_eq!(data, b"hello");
        }
        assert_eq!(pass(RequestBody::None, b"GET /", 9), Ok((String::new(), 0)));
    }

    #[test]
    fn broken_chunks_never_complete_a_body() {
        for sent in [
            &b"3\nhel\r\n0\r\n\r\n"[..],
            b"3\r\nhell\r\n0\r\n\r\n",
            b"-3\r\nhel\r\n0\r\n\r\n",
            b"0x3\r\nhel\r\n0\r\n\r\n",
            b" 3\r\nhel\r\n0\r\n\r\n",
            b"ffffffffffffffffff\r\nhel",
            b"3\r\nhel\r\n0\r\n A: b\r\n\r\n",
            b"3\r\nhel\r\n0\r\nA : b\r\n\r\n",
            b"3\r\nhel\r\n0\r\n\n",
        ] {
            for piece in [1, sent.len()] {
                let result = pass(RequestBody::Chunks, sent, piece);
                assert!(result.is_err(), "{result:?}");
            }
        }
    }
}
