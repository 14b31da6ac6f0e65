//! The chunked transfer coding (RFC 9112 §7.1): written without a second copy, read strictly.
//!
//! A reader keeps no bytes of a chunk: it lends them, or appends them to the caller's body. The
//! bytes that it accepts besides the body are bounded.

use std::io::Write;

use httparse::{EMPTY_HEADER, Status};

use crate::{
    HttpError, grow,
    scan::{Found, Scan},
};

/// Bytes of chunk extensions in one body. RFC 9112 §7.1.1: a server limits the extensions that it
/// ignores; no known client sends any.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 1024;

/// Bytes of the trailers of one body.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// Hex digits of each size that is written: enough for a chunk of 4 GiB. RFC 9112 §7.1: leading
/// zeros are allowed.
const WRITTEN_DIGITS: usize = 8;

/// Hex digits of a size that is read; any more could only be leading zeros.
const READ_DIGITS_MAX: u8 = 16;

/// Trailer fields.
const TRAILER_FIELDS_MAX: usize = 16;

/// Writes the bytes that `data` appends as one chunk; writes nothing if `data` appends nothing.
///
/// ```
/// let mut out = Vec::new();
/// ringway_http::chunk::write(&mut out, |out| out.extend_from_slice(b"hello"));
/// assert_eq!(out, b"00000005\r\nhello\r\n");
/// ```
pub fn write(out: &mut Vec<u8>, data: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(b"00000000\r\n");
    let data_start = out.len();
    data(out);
    let length = out.len() - data_start;
    if length == 0 {
        // An empty chunk would end the body.
        return out.truncate(start);
    }
    let mut size = &mut out[start..start + WRITTEN_DIGITS];
    write!(size, "{length:0WRITTEN_DIGITS$x}").expect("a length has so many digits at most");
    out.extend_from_slice(b"\r\n");
}

/// The place of the data in a chunk of `bytes` bytes that [`write()`] has written.
///
/// ```
/// let mut out = Vec::new();
/// ringway_http::chunk::write(&mut out, |out| out.extend_from_slice(b"hello"));
/// assert_eq!(&out[ringway_http::chunk::data_of(out.len())], b"hello");
/// ```
pub fn data_of(bytes: usize) -> std::ops::Range<usize> {
    WRITTEN_DIGITS + 2..bytes - 2
}

/// Appends the end of a body.
pub fn write_last(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Whether a body has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The body needs more bytes; all of the input was used.
    More,
    /// The body is complete; the rest of the input is not part of it.
    Whole,
}

/// What [`ChunkReader::next_piece`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'b> {
    /// Bytes of the body, at least one.
    Data(&'b [u8]),
    /// The body needs more bytes; all of the input was used.
    More,
    /// The body is complete; the rest of the input is not part of it.
    Last,
}

/// Reads the chunks of one body.
#[derive(Debug, Default)]
pub struct ChunkReader {
    state: State,
    extension_bytes: usize,
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In the size of a chunk, after this many digits.
    Size { digits: u8, size: usize },
    /// In the blanks after the size; an extension must follow them.
    Blank { size: usize },
    /// In the extensions.
    Extension { size: usize },
    /// After the CR of the size.
    SizeLf { size: usize },
    /// In the data; this many bytes are missing.
    Data { left: usize },
    /// After the data.
    DataCr,
    /// After the CR after the data.
    DataLf,
    /// After the last chunk.
    Trailers(Scan),
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl ChunkReader {
    /// Bytes of memory held, without the body.
    pub fn held_bytes(&self) -> usize {
        self.trailers.capacity()
    }

    /// The trailer fields after [`Piece::Last`]: lines with their line ends, and an empty one.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Takes the next bytes and appends those of the body to it; the body may have `bytes_max`.
    ///
    /// # Errors
    /// [`HttpError::Chunk`], [`HttpError::BodyTooLarge`] or [`HttpError::TrailersTooLarge`], at the
    /// same byte however the input is cut.
    pub fn read(
        &mut self,
        input: &mut &[u8],
        body: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<Reading, HttpError> {
        loop {
            match self.next_piece(input, bytes_max - body.len())? {
                Piece::Data(data) => grow::append(body, data)?,
                Piece::More => return Ok(Reading::More),
                Piece::Last => return Ok(Reading::Whole),
            }
        }
    }

    /// Lends the next piece of the body, which may have `room` more bytes.
    ///
    /// # Errors
    /// As [`ChunkReader::read`].
    pub fn next_piece<'b>(
        &mut self,
        input: &mut &'b [u8],
        room: usize,
    ) -> Result<Piece<'b>, HttpError> {
        loop {
            match &mut self.state {
                State::Trailers(_) => return self.read_trailers(input),
                State::Data { left } => {
                    let (data, rest) = input.split_at((*left).min(input.len()));
                    *input = rest;
                    *left -= data.len();
                    if *left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(if data.is_empty() { Piece::More } else { Piece::Data(data) });
                }
                _ => {
                    let Some((&byte, rest)) = input.split_first() else {
                        return Ok(Piece::More);
                    };
                    *input = rest;
                    self.state = self.step(byte, room)?;
                }
            }
        }
    }

    /// Whether the data of a chunk is complete and no byte of the next size has arrived.
    pub fn is_at_chunk_end(&self) -> bool {
        matches!(self.state, State::DataCr)
    }

    /// Takes one byte outside the data; the body may still have `room` bytes.
    fn step(&mut self, byte: u8, room: usize) -> Result<State, HttpError> {
        Ok(match (self.state, byte) {
            (State::Size { digits, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == READ_DIGITS_MAX {
                    return Err(HttpError::Chunk);
                }
                let digit = char::from(byte).to_digit(16).expect("a hex digit") as usize;
                let grown = size.checked_mul(16).and_then(|size| size.checked_add(digit));
                // Refused at the size, so that nothing is allocated for bytes that will not be
                // read.
                let size = grown.filter(|&size| size <= room).ok_or(HttpError::BodyTooLarge)?;
                State::Size { digits: digits + 1, size }
            }
            (State::Size { digits: 1.., size }, b'\r') | (State::Extension { size }, b'\r') => {
                State::SizeLf { size }
            }
            (State::Size { digits: 1.., size } | State::Blank { size }, b' ' | b'\t') => {
                self.count_extension()?;
                State::Blank { size }
            }
            (State::Size { digits: 1.., size } | State::Blank { size }, b';')
            | (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.count_extension()?;
                State::Extension { size }
            }
            (State::SizeLf { size: 0 }, b'\n') => State::Trailers(Scan::LineStart),
            (State::SizeLf { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::default(),
            _ => return Err(HttpError::Chunk),
        })
    }

    /// RFC 9112 §7.1.1: a server limits the total size of the extensions that it ignores.
    fn count_extension(&mut self) -> Result<(), HttpError> {
        self.extension_bytes += 1;
        match self.extension_bytes <= CHUNK_EXTENSION_BYTES_MAX {
            true => Ok(()),
            false => Err(HttpError::Chunk),
        }
    }

    /// RFC 9112 §7.1.2: trailers are kept until they have been checked.
    fn read_trailers<'b>(&mut self, input: &mut &'b [u8]) -> Result<Piece<'b>, HttpError> {
        let State::Trailers(scan) = &mut self.state else { unreachable!("only after the chunks") };
        let room = TRAILER_BYTES_MAX - self.trailers.len();
        let within = &input[..input.len().min(room)];
        match scan.advance(within).map_err(|_| HttpError::Chunk)? {
            Found::More if input.len() > room => Err(HttpError::TrailersTooLarge),
            Found::More => {
                self.trailers.extend_from_slice(input);
                *input = &[];
                Ok(Piece::More)
            }
            Found::End(length) => {
                self.trailers.extend_from_slice(&input[..length]);
                *input = &input[length..];
                let mut fields = [EMPTY_HEADER; TRAILER_FIELDS_MAX];
                match httparse::parse_headers(&self.trailers, &mut fields) {
                    Ok(Status::Complete(_)) => Ok(Piece::Last),
                    Err(httparse::Error::TooManyHeaders) => Err(HttpError::TrailersTooLarge),
                    _ => Err(HttpError::Chunk),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY_BYTES_MAX: usize = 20;

    /// The body and the bytes after it; `None` if the body has not ended.
    type Outcome = Result<Option<(String, String)>, HttpError>;

    fn read(pieces: &[&[u8]]) -> Outcome {
        let (mut reader, mut body) = (ChunkReader::default(), Vec::new());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        for (number, piece) in pieces.iter().enumerate() {
            let mut input = *piece;
            if reader.read(&mut input, &mut body, BODY_BYTES_MAX)? == Reading::Whole {
                let rest = [input, &pieces[number + 1..].concat()].concat();
                return Ok(Some((text(&body), text(&rest))));
            }
            assert!(input.is_empty());
        }
        Ok(None)
    }

    /// Reads the bytes whole, in two pieces cut at every place, and byte by byte, with the same
    /// outcome.
    #[track_caller]
    fn reads(sent: &[u8], wanted: &Outcome) {
        let shown = String::from_utf8_lossy(&sent[..sent.len().min(99)]);
        assert_eq!(&read(&[sent]), wanted, "{shown:?}");
        for cut in 0..=sent.len() {
            let (first, second) = sent.split_at(cut);
            assert_eq!(&read(&[first, second]), wanted, "{shown:?} cut at {cut}");
        }
        let bytes: Vec<_> = sent.chunks(1).collect();
        assert_eq!(&read(&bytes), wanted, "{shown:?} byte by byte");
    }

    #[test]
    fn chunks_become_the_body() {
        for (sent, body, rest) in [
            ("0\r\n\r\n", "", ""),
            ("000\r\n\r\nGET", "", "GET"),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
            ("2\r\nhe\r\n0003\r\nllo\r\n0\r\n\r\n\r\n", "hello", "\r\n"),
            ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""),
            ("14\r\n01234567890123456789\r\n0\r\n\r\n", "01234567890123456789", ""),
            ("4\r\n\r\n0\r\r\n0\r\n\r\n", "\r\n0\r", ""),
            ("1;a\r\nx\r\n0;b=c;d=\"e;f\"\r\n\r\n", "x", ""),
            ("1 \t;\ta = b \r\nx\r\n0\r\n\r\n", "x", ""),
            ("0\r\nA: b\r\nC:\r\nContent-Length: 9\r\n\r\nrest", "", "rest"),
            ("0000000000000001\r\nx\r\n0\r\n\r\n", "x", ""),
        ] {
            reads(sent.as_bytes(), &Ok(Some((body.to_owned(), rest.to_owned()))));
        }
    }

    #[test]
    fn an_incomplete_body_is_awaited() {
        for sent in ["", "5", "5\r\nhell", "5\r\nhello\r\n", "0\r\n", "0\r\nA: b\r\n", "0\r\n\r"] {
            reads(sent.as_bytes(), &Ok(None));
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for sent in [
            "\r\n",
            ";a\r\n",
            " 1\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            "1_0\r\n",
            "1\n",
            "1\rx",
            "1\r\r\n",
            "1 \r\n",
            "1 1\r\n",
            "1;a\n",
            "1;a\rb",
            "1;\0\r\n",
            "1;\x7f\r\n",
            "1\r\nxx",
            "1\r\nx\n",
            "1\r\nx\rx",
            "1\r\nx\r\n\r\n",
            "2\r\nx\r\n1\r\n",
            "00000000000000001\r\n",
            "0\r\n\n",
            "0\r\n A: b\r\n",
            "0\r\nA: b\r\n c\r\n\r\n",
            "0\r\nA: b\n",
            "0\r\nno field\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\nA: \0\r\n\r\n",
        ] {
            reads(sent.as_bytes(), &Err(HttpError::Chunk));
        }
    }

    #[test]
    fn chunk_sizes_are_checked_before_their_data() {
        for sent in [
            "15\r\n",
            "1\r\nx\r\n14",
            "fffffffffffffffff\r\n",
            "ffffffffffffffff",
            "80000000",
            "14\r\n01234567890123456789\r\n1",
        ] {
            reads(sent.as_bytes(), &Err(HttpError::BodyTooLarge));
        }
        let (mut reader, mut body) = (ChunkReader::default(), Vec::new());
        let more = reader.read(&mut &b"7fffffff\r\nx"[..], &mut body, usize::MAX);
        assert_eq!(more, Ok(Reading::More));
        assert!(body.capacity() <= 64, "{} bytes for one", body.capacity());
    }

    #[test]
    fn extensions_are_bounded_across_all_chunks() {
        let flood = format!("1;{}", "a".repeat(CHUNK_EXTENSION_BYTES_MAX));
        assert_eq!(read(&[flood.as_bytes()]), Err(HttpError::Chunk));
        assert_eq!(read(&[&flood.as_bytes()[..flood.len() - 1]]), Ok(None));
        let half = format!("1;{}\r\nx\r\n", "a".repeat(CHUNK_EXTENSION_BYTES_MAX / 2));
        assert_eq!(read(&[half.as_bytes()]), Ok(None));
        assert_eq!(read(&[half.repeat(2).as_bytes()]), Err(HttpError::Chunk));
        let blanks = format!("1{}", " ".repeat(CHUNK_EXTENSION_BYTES_MAX + 1));
        assert_eq!(read(&[blanks.as_bytes()]), Err(HttpError::Chunk));
    }

    #[test]
    fn trailers_are_bounded() {
        let fitting = format!("0\r\nA: {}\r\n\r\n", "b".repeat(TRAILER_BYTES_MAX - 7));
        assert_eq!(fitting.len(), "0\r\n".len() + TRAILER_BYTES_MAX);
        assert_eq!(read(&[fitting.as_bytes()]), Ok(Some((String::new(), String::new()))));
        let too_long = fitting.replace("A: ", "A: b");
        let full = &too_long.as_bytes()[..fitting.len()];
        assert_eq!(read(&[full]), Ok(None), "one byte past the bound is too many, not the last");
        for cut in [0, 1, 100, too_long.len() - 2, too_long.len() - 1, too_long.len()] {
            let (first, second) = too_long.as_bytes().split_at(cut);
            assert_eq!(read(&[first, second]), Err(HttpError::TrailersTooLarge), "cut at {cut}");
        }
        let endless = format!("0\r\n{}", "A: b\r\n".repeat(TRAILER_BYTES_MAX / 6 + 1));
        assert_eq!(read(&[endless.as_bytes()]), Err(HttpError::TrailersTooLarge));
        let many = format!("0\r\n{}\r\n", "A: b\r\n".repeat(TRAILER_FIELDS_MAX + 1));
        assert_eq!(read(&[many.as_bytes()]), Err(HttpError::TrailersTooLarge));
    }

    /// A written body is read back.
    #[test]
    fn chunks_are_written_in_place() {
        let mut out = b"before".to_vec();
        write(&mut out, |out| out.extend_from_slice(b"hello"));
        write(&mut out, |_| {});
        write(&mut out, |out| out.extend_from_slice(&[b'x'; 12]));
        write_last(&mut out);
        let sent = "00000005\r\nhello\r\n0000000c\r\nxxxxxxxxxxxx\r\n0\r\n\r\n";
        assert_eq!(out, format!("before{sent}").as_bytes());
        reads(sent.as_bytes(), &Ok(Some(("helloxxxxxxxxxxxx".to_owned(), String::new()))));
    }
}
