//! The faults of a message, and the server's answer to each.
//!
//! Each is a peer's fault: small, `Copy`, and nothing is allocated for it.

/// Why a message is refused: a request by a server, or a response by a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// RFC 9112: the bytes are not a valid head.
    Malformed,
    /// RFC 9112 §3: the target is longer than the caller allows.
    TargetTooLong,
    /// RFC 6585 §5: the head is longer than the caller allows.
    HeadTooLarge,
    /// RFC 6585 §5: the head has more fields than the caller allows.
    TooManyFields,
    /// RFC 9110 §15.6.6: the version is not HTTP/1.
    Version,
    /// RFC 9112 §3.2: there is no Host field, or there are two.
    Host,
    /// RFC 9112 §6.3: Content-Length together with Transfer-Encoding, or not a single number.
    Framing,
    /// RFC 9112 §6.1: a transfer coding other than `chunked`.
    Coding,
    /// RFC 9112 §7.1: the chunked coding is broken.
    Chunk,
    /// RFC 9112 §7.1.2: the trailers are longer than
    /// [`TRAILER_BYTES_MAX`](crate::chunk::TRAILER_BYTES_MAX).
    TrailersTooLarge,
    /// RFC 9110 §15.5.14: the body is longer than the caller allows.
    BodyTooLarge,
    /// RFC 9110 §15.5.16: the body is neither JSON nor plain text.
    MediaType,
    /// RFC 9110 §15.5.18: something other than `100-continue` is expected.
    Expectation,
    /// Memory is exhausted for the received bytes.
    OutOfMemory,
}

impl HttpError {
    /// The status of the server's answer.
    pub fn status(self) -> u16 {
        self.answer().0
    }

    /// The stable error code for programs.
    pub fn code(self) -> &'static str {
        self.answer().1
    }

    /// A sentence for the person who reads the answer.
    pub fn reason(self) -> &'static str {
        self.answer().2
    }

    fn answer(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "malformed", "This is not an HTTP/1 request."),
            Self::TargetTooLong => (414, "target_too_long", "The request target is too long."),
            Self::HeadTooLarge => (431, "head_too_large", "The request's header is too large."),
            Self::TooManyFields => {
                (431, "too_many_fields", "The request has too many header fields.")
            }
            Self::Version => (505, "version", "This server speaks HTTP/1."),
            Self::Host => (400, "host", "A request has exactly one Host field."),
            Self::Framing => (400, "framing", "The length of the request's body is ambiguous."),
            Self::Coding => (501, "coding", "The only transfer coding known here is chunked."),
            Self::Chunk => (400, "chunk", "The chunks of the request's body are malformed."),
            Self::TrailersTooLarge => {
                (431, "trailers_too_large", "The trailers of the request's body are too large.")
            }
            Self::BodyTooLarge => (413, "body_too_large", "The request's body is too large."),
            Self::MediaType => {
                (415, "media_type", "The body is application/json, which may be called text/plain.")
            }
            Self::Expectation => {
                (417, "expectation", "The only expectation known here is 100-continue.")
            }
            Self::OutOfMemory => (503, "memory", "The server has no memory for this now."),
        }
    }
}
