//! The responses of one connection as a client receives them, in pieces of any size (RFC 9112).
//!
//! It lends pieces of a body as they arrive and keeps none; it holds only a partial head.

use crate::{
    HttpError, KeepAlive,
    chunk::{ChunkReader, Piece},
    grow,
    response_head::{self, Asked, Delimiter, ResponseHead, ResponseLimits},
    scan::{Found, Scan},
};

/// A part of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'r> {
    /// RFC 9110 §15.2: a response with status 1xx, which another response follows.
    Interim(ResponseHead<'r>),
    /// The final response begins. After a 101 the rest of the input belongs to another protocol.
    Head(ResponseHead<'r>),
    /// A piece of its body, never empty.
    Body(&'r [u8]),
    /// The response is complete; says whether the connection can carry another one.
    End(KeepAlive),
}

/// The effect of the connection's end on a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// No response had begun.
    Between,
    /// It ends the body.
    Completes,
    /// The response is cut off.
    Cuts,
}

/// Reads the responses of one connection.
///
/// ```
/// use ringway_http::{Asked, Part, ResponseLimits, ResponseReader};
/// let limits = ResponseLimits { head_bytes_max: 8192, fields_max: 64, body_bytes_max: 8192 };
/// let mut reader = ResponseReader::default();
/// let mut input = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"[..];
/// let mut body = Vec::new();
/// while let Some(part) = reader.read(&mut input, Asked::Content, &limits)? {
///     if let Part::Body(piece) = part {
///         body.extend_from_slice(piece);
///     }
/// }
/// assert_eq!(body, b"hi");
/// # Ok::<(), ringway_http::HttpError>(())
/// ```
#[derive(Debug, Default)]
pub struct ResponseReader {
    state: State,
    scan: Scan,
    /// The head so far, if it did not arrive in one piece.
    partial: Vec<u8>,
    /// Whether `partial` has a head that was lent, or trailers, and is no longer needed.
    is_lent: bool,
    /// Bytes of interim responses before the expected one.
    interim_bytes: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Length {
        left: u64,
        keep_alive: KeepAlive,
    },
    Chunks {
        reader: ChunkReader,
        bytes: usize,
        keep_alive: KeepAlive,
    },
    UntilClose {
        bytes: usize,
    },
    /// After a 101.
    Switched,
}

/// The place of a whole head.
enum Whole<'b> {
    Input(&'b [u8]),
    Partial,
}

impl ResponseReader {
    /// Takes the bytes of the next part from the front of `input`; `None` if more are needed.
    /// `asked` is the kind of request that the next response answers.
    ///
    /// # Errors
    /// The server does not speak HTTP/1, or exceeds the limits. The error occurs at the same byte
    /// however the input is cut. The connection cannot be used after that.
    pub fn read<'r, 'b: 'r>(
        &'r mut self,
        input: &mut &'b [u8],
        asked: Asked,
        limits: &ResponseLimits,
    ) -> Result<Option<Part<'r>>, HttpError> {
        if std::mem::take(&mut self.is_lent) {
            // An idle connection keeps no buffer.
            self.partial = Vec::new();
        }
        match &mut self.state {
            State::Head => self.read_head(input, asked, limits),
            State::Length { left: 0, keep_alive } => {
                let end = Part::End(*keep_alive);
                self.state = State::Head;
                Ok(Some(end))
            }
            State::Length { left, .. } => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let piece = take(input, most);
                *left -= piece.len() as u64;
                Ok(lend(piece))
            }
            State::Chunks { reader, bytes, keep_alive } => {
                match reader.next_piece(input, limits.body_bytes_max - *bytes)? {
                    Piece::Data(data) => {
                        *bytes += data.len();
                        Ok(Some(Part::Body(data)))
                    }
                    Piece::More => Ok(None),
                    Piece::Last => {
                        let end = Part::End(*keep_alive);
                        if reader.trailers() != b"\r\n" {
                            self.partial = reader.trailers().to_vec();
                            self.is_lent = true;
                        }
                        self.state = State::Head;
                        Ok(Some(end))
                    }
                }
            }
            State::UntilClose { bytes } => {
                let piece = take(input, limits.body_bytes_max - *bytes);
                *bytes += piece.len();
                match piece.is_empty() && !input.is_empty() {
                    true => Err(HttpError::BodyTooLarge),
                    false => Ok(lend(piece)),
                }
            }
            State::Switched => Ok(None),
        }
    }

    /// The connection has ended; bytes read after this are from another one.
    pub fn end(&mut self) -> Ending {
        match std::mem::take(self) {
            Self { state: State::Head, scan, partial, is_lent, interim_bytes: 0 }
                if scan.is_before() && (partial.is_empty() || is_lent) =>
            {
                Ending::Between
            }
            Self { state: State::UntilClose { .. } | State::Switched, .. } => Ending::Completes,
            _ => Ending::Cuts,
        }
    }

    /// After [`Part::End`], until the next call of [`ResponseReader::read`]: the trailer fields,
    /// as lines with their line ends.
    pub fn trailers(&self) -> &[u8] {
        match (&self.state, self.is_lent) {
            (State::Head, true) => &self.partial,
            _ => &[],
        }
    }

    /// Whether the last lent piece ended at the end of a chunk, in a chunked body.
    pub fn is_at_chunk_end(&self) -> bool {
        matches!(&self.state, State::Chunks { reader, .. } if reader.is_at_chunk_end())
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        let trailers = match &self.state {
            State::Chunks { reader, .. } => reader.held_bytes(),
            _ => 0,
        };
        self.partial.capacity() + trailers
    }

    fn read_head<'r, 'b: 'r>(
        &'r mut self,
        input: &mut &'b [u8],
        asked: Asked,
        limits: &ResponseLimits,
    ) -> Result<Option<Part<'r>>, HttpError> {
        let bytes = match self.gather(input, limits.head_bytes_max)? {
            None => return Ok(None),
            Some(Whole::Input(bytes)) => bytes,
            Some(Whole::Partial) => {
                self.is_lent = true;
                &self.partial
            }
        };
        let outline = response_head::parse(bytes, asked, limits.fields_max)?;
        let head = ResponseHead { status: outline.status, bytes };
        let keep_alive = outline.keep_alive;
        match (outline.status, outline.body) {
            (101, _) if asked != Asked::Upgrade => return Err(HttpError::Malformed),
            (101, _) => self.state = State::Switched,
            (..=199, _) => {
                self.interim_bytes += bytes.len();
                return Ok(Some(Part::Interim(head)));
            }
            (_, Delimiter::Length(left)) if left > limits.body_bytes_max as u64 => {
                return Err(HttpError::BodyTooLarge);
            }
            (_, Delimiter::Length(left)) => self.state = State::Length { left, keep_alive },
            (_, Delimiter::Chunks) => {
                self.state = State::Chunks { reader: ChunkReader::default(), bytes: 0, keep_alive };
            }
            (_, Delimiter::Close) => self.state = State::UntilClose { bytes: 0 },
        }
        self.interim_bytes = 0;
        Ok(Some(Part::Head(head)))
    }

    /// Takes a head from the front of `input`; `None` if all of it was taken and more is needed.
    fn gather<'b>(
        &mut self,
        input: &mut &'b [u8],
        bytes_max: usize,
    ) -> Result<Option<Whole<'b>>, HttpError> {
        if self.partial.is_empty() {
            // Empty lines before a response are not part of it.
            let empty = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let lines = take(input, empty);
            self.scan.advance(lines).map_err(|_| HttpError::Malformed)?;
        }
        // Bytes past the bound are not judged: the answer must not depend on how the bytes arrive.
        let room = bytes_max - (self.interim_bytes + self.partial.len()).min(bytes_max);
        let within = &input[..input.len().min(room)];
        match self.scan.advance(within).map_err(|_| HttpError::Malformed)? {
            Found::More if input.len() > room => Err(HttpError::HeadTooLarge),
            Found::More => {
                grow::append(&mut self.partial, input)?;
                *input = &[];
                Ok(None)
            }
            Found::End(length) if self.partial.is_empty() => {
                Ok(Some(Whole::Input(take(input, length))))
            }
            Found::End(length) => {
                grow::append(&mut self.partial, take(input, length))?;
                Ok(Some(Whole::Partial))
            }
        }
    }
}

/// Takes at most `most` bytes from the front.
fn take<'b>(input: &mut &'b [u8], most: usize) -> &'b [u8] {
    let (piece, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    piece
}

fn lend(piece: &[u8]) -> Option<Part<'_>> {
    (!piece.is_empty()).then_some(Part::Body(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_kept_until_the_next_response() {
        let limits = ResponseLimits { head_bytes_max: 8192, fields_max: 64, body_bytes_max: 8192 };
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n";
        let both = format!("{chunked}A: b\r\nC:d\r\n\r\n{chunked}\r\n");
        for piece in [1, 7, both.len()] {
            let mut reader = ResponseReader::default();
            let mut found = Vec::new();
            for mut input in both.as_bytes().chunks(piece) {
                while let Some(part) = reader.read(&mut input, Asked::Content, &limits).unwrap() {
                    if matches!(part, Part::End(_)) {
                        found.push(reader.trailers().to_vec());
                    }
                }
            }
            assert_eq!(found, [&b"A: b\r\nC:d\r\n\r\n"[..], b""], "{piece}");
            assert!(reader.trailers().is_empty());
            assert_eq!((reader.held_bytes(), reader.end()), (0, Ending::Between));
        }
    }
}
