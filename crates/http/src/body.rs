//! The body of a request: by length or in chunks, as it arrives, bounded from the head on.
//!
//! It never allocates for bytes that were only declared, and never consumes a byte after the body.

use crate::{
    HttpError,
    chunk::{ChunkReader, Reading},
    grow,
    head::{self, Body, Head},
};

/// Collects one body.
#[derive(Debug)]
pub struct BodyReader {
    bytes: Vec<u8>,
    bytes_max: usize,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    /// This many bytes are missing.
    Length {
        left: usize,
    },
    Chunked(ChunkReader),
}

/// RFC 9110 §10.1.1: whether the client waits for a 100 before it sends the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// The client sends the body without waiting.
    Nothing,
    /// The client waits: unless the server sends a 100 first, the body may never come.
    Continue,
}

impl BodyReader {
    /// A reader for the body that a head announces.
    ///
    /// # Errors
    /// [`HttpError::Coding`] or [`HttpError::BodyTooLarge`].
    pub fn new(head: &Head<'_>, bytes_max: usize) -> Result<Self, HttpError> {
        let framing = match head.body {
            Body::None => Framing::Length { left: 0 },
            Body::Length(length) => match usize::try_from(length) {
                Ok(left) if left <= bytes_max => Framing::Length { left },
                _ => return Err(HttpError::BodyTooLarge),
            },
            // RFC 9112 §6.1: HTTP/1.0 has no transfer codings, so the framing is invalid.
            Body::Coded if head.minor == 0 => return Err(HttpError::Framing),
            Body::Coded => {
                // RFC 9112 §6.1: an unknown coding gets a 501, as does a second `chunked`.
                let mut codings = head::elements(head.fields, "Transfer-Encoding");
                let is_chunked =
                    codings.next().is_some_and(|one| one.eq_ignore_ascii_case(b"chunked"));
                if !is_chunked || codings.next().is_some() {
                    return Err(HttpError::Coding);
                }
                Framing::Chunked(ChunkReader::default())
            }
        };
        Ok(Self { bytes: Vec::new(), bytes_max, framing })
    }

    /// Takes the bytes of the body from the front of `input`.
    ///
    /// # Errors
    /// See [`ChunkReader::read`]; [`HttpError::OutOfMemory`] if memory for the bytes is exhausted.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Reading, HttpError> {
        match &mut self.framing {
            Framing::Length { left } => {
                let (data, rest) = input.split_at((*left).min(input.len()));
                grow::append(&mut self.bytes, data)?;
                *input = rest;
                *left -= data.len();
                Ok(if *left == 0 { Reading::Whole } else { Reading::More })
            }
            Framing::Chunked(reader) => reader.read(input, &mut self.bytes, self.bytes_max),
        }
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        let trailers = match &self.framing {
            Framing::Length { .. } => 0,
            Framing::Chunked(reader) => reader.held_bytes(),
        };
        self.bytes.capacity() + trailers
    }

    /// Takes the bytes since the last call, for a body that is forwarded piece by piece. Only bytes
    /// that have not been taken count towards the bound.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The bytes so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// What the client expects from the server before it sends the body.
///
/// # Errors
/// [`HttpError::Expectation`]
pub fn expectation(head: &Head<'_>) -> Result<Expectation, HttpError> {
    let mut expectation = Expectation::Nothing;
    for one in head::elements(head.fields, "Expect") {
        if !one.eq_ignore_ascii_case(b"100-continue") {
            return Err(HttpError::Expectation);
        }
        // RFC 9110 §10.1.1: without a body there is nothing to wait for. HTTP/1.0 does not know the
        // 100.
        if head.body != Body::None && head.minor > 0 {
            expectation = Expectation::Continue;
        }
    }
    Ok(expectation)
}

/// Checks that the body may be JSON. `text/plain` is accepted because a page of another origin may
/// send it without a preflight request (Fetch §2.2.2), as `navigator.sendBeacon` does.
///
/// # Errors
/// [`HttpError::MediaType`]
pub fn check_media_type(head: &Head<'_>) -> Result<(), HttpError> {
    let mut values = head::values(head.fields, "Content-Type");
    let Some(value) = values.next() else { return Ok(()) };
    // RFC 9110 §8.3.1: parameters follow a semicolon; type names are case-insensitive.
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    let essence = value[..end].trim_ascii();
    let is_known = [&b"application/json"[..], b"text/plain"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known));
    if is_known && values.next().is_none() { Ok(()) } else { Err(HttpError::MediaType) }
}

#[cfg(test)]
mod tests {
    use httparse::Header;

    use super::*;
    use crate::KeepAlive;

    fn with_head<T>(
        body: Body,
        fields: &[(&'static str, &str)],
        ask: impl Fn(&Head<'_>) -> T,
    ) -> T {
        let fields: Vec<_> =
            fields.iter().map(|&(name, value)| Header { name, value: value.as_bytes() }).collect();
        let wish = KeepAlive::Yes;
        let (path, query, authority, minor) = ("/send", None, None, 1);
        let fields = &fields;
        ask(&Head { method: "POST", path, query, authority, minor, fields, body, wish })
    }

    fn reader(body: Body, codings: &[&str]) -> Result<BodyReader, HttpError> {
        let fields: Vec<_> = codings.iter().map(|&coding| ("Transfer-Encoding", coding)).collect();
        with_head(body, &fields, |head| BodyReader::new(head, 10))
    }

    #[test]
    fn the_head_determines_the_length_of_the_body() {
        for (length, refused) in [
            (1, None),
            (10, None),
            (11, Some(HttpError::BodyTooLarge)),
            (u64::MAX, Some(HttpError::BodyTooLarge)),
        ] {
            let body = reader(Body::Length(length), &[]);
            assert_eq!(body.as_ref().err().copied(), refused, "{length}");
            assert!(body.is_err() || body.unwrap().bytes.capacity() == 0);
        }
    }

    #[test]
    fn only_the_chunked_coding_is_accepted() {
        for (codings, refused) in [
            (&["chunked"][..], None),
            (&[" Chunked\t, "], None),
            (&["", "CHUNKED"], None),
            (&["chunked, chunked"], Some(HttpError::Coding)),
            (&["chunked", "chunked"], Some(HttpError::Coding)),
            (&["gzip, chunked"], Some(HttpError::Coding)),
            (&["chunked, identity"], Some(HttpError::Coding)),
            (&["identity"], Some(HttpError::Coding)),
            (&["chunked;a=b"], Some(HttpError::Coding)),
            (&["xchunked"], Some(HttpError::Coding)),
            (&[""], Some(HttpError::Coding)),
        ] {
            assert_eq!(reader(Body::Coded, codings).err(), refused, "{codings:?}");
        }
    }

    #[test]
    fn a_body_ends_at_its_length() {
        let sent = b"0123456789next";
        for cut in 0..sent.len() {
            let mut body = reader(Body::Length(10), &[]).unwrap();
            let (mut first, mut second) = sent.split_at(cut);
            let reading = body.read(&mut first).unwrap();
            assert_eq!(reading == Reading::Whole, cut >= 10, "{cut}");
            assert_eq!(body.read(&mut second), Ok(Reading::Whole));
            assert_eq!([first, second].concat(), b"next", "{cut}");
            assert_eq!(body.into_bytes(), b"0123456789");
        }
        let mut none = reader(Body::None, &[]).unwrap();
        assert_eq!(none.read(&mut &b"next"[..]), Ok(Reading::Whole));
    }

    #[test]
    fn only_100_continue_may_be_expected() {
        let length = Body::Length(1);
        for (body, values, wanted) in [
            (length, &[][..], Ok(Expectation::Nothing)),
            (length, &["100-continue"], Ok(Expectation::Continue)),
            (length, &["100-Continue, 100-continue"], Ok(Expectation::Continue)),
            (Body::Coded, &["100-continue"], Ok(Expectation::Continue)),
            (Body::None, &["100-continue"], Ok(Expectation::Nothing)),
            (length, &["100-continue", "more"], Err(HttpError::Expectation)),
            (Body::None, &["200-ok"], Err(HttpError::Expectation)),
        ] {
            let fields: Vec<_> = values.iter().map(|&value| ("expect", value)).collect();
            assert_eq!(with_head(body, &fields, expectation), wanted, "{values:?}");
        }
    }

    #[test]
    fn only_json_and_plain_text_are_accepted() {
        for (values, is_taken) in [
            (&[][..], true),
            (&["application/json"], true),
            (&["Application/JSON ; charset=utf-8"], true),
            (&["text/plain;charset=UTF-8"], true),
            (&[""], false),
            (&["application/x-www-form-urlencoded"], false),
            (&["multipart/form-data; boundary=application/json"], false),
            (&["application/json-patch+json"], false),
            (&["application/json", "text/plain"], false),
            (&["application/json, text/plain"], false),
        ] {
            let fields: Vec<_> = values.iter().map(|&value| ("content-type", value)).collect();
            let got = with_head(Body::None, &fields, check_media_type);
            assert_eq!(got.is_ok(), is_taken, "{values:?}");
        }
    }
}
