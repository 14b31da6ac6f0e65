//! What is wrong with a message.
//!
//! A peer's fault: small, `Copy`, and nothing is allocated for it.

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// RFC 9112: the head is not one.
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
    /// RFC 9112 §6.3: Content-Length beside Transfer-Encoding, or not one number.
    Framing,
    /// RFC 9112 §6.1: a transfer coding other than `chunked`.
    Coding,
    /// RFC 9112 §7.1: the chunked coding is broken.
    Chunk,
    /// RFC 9112 §7.1.2: the trailers are longer than [`TRAILER_BYTES_MAX`](crate::chunk::TRAILER_BYTES_MAX).
    TrailersTooLarge,
    /// RFC 9110 §15.5.14: the body is longer than the caller allows.
    BodyTooLarge,
    /// RFC 9110 §15.5.16: the body is neither JSON nor plain text.
    MediaType,
    /// RFC 9110 §15.5.18: something other than `100-continue` is expected.
    Expectation,
    /// There is no memory for what has arrived.
    OutOfMemory,
}
