//! The head of a response to a client, from that of a server.

use ringway_http::{HttpError, KeepAlive, ResponseHead};

use crate::upstream::heads::{hops, line};

/// How the body of a response is delimited on its way to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimited {
    /// There is none: RFC 9110 §6.4.1.
    Without,
    /// By its length.
    Length(u64),
    /// In chunks.
    Chunks,
    /// By the end of the connection, for HTTP/1.0.
    Close,
}

impl Delimited {
    /// How the body that a server announces reaches a client of this minor version. `is_for_head`:
    /// the request was a HEAD.
    ///
    /// # Errors
    /// [`HttpError::Coding`]: a transfer coding besides `chunked`, which would be lost.
    pub fn of(head: &ResponseHead<'_>, is_for_head: bool, minor: u8) -> Result<Self, HttpError> {
        let mut codings = head.values("Transfer-Encoding").flat_map(|value| {
            value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|one| !one.is_empty())
        });
        if let Some(coding) = codings.next()
            && (!coding.eq_ignore_ascii_case(b"chunked") || codings.next().is_some())
        {
            return Err(HttpError::Coding);
        }
        if is_for_head || matches!(head.status, 100..=199 | 204 | 304) {
            return Ok(Self::Without);
        }
        Ok(match (length(head), minor) {
            (Some(length), _) => Self::Length(length),
            (None, 0) => Self::Close,
            (None, _) => Self::Chunks,
        })
    }
}

/// The length that a server states; reading the head has checked that it is one number.
fn length(head: &ResponseHead<'_>) -> Option<u64> {
    let value = head.values("Content-Length").next()?;
    let first = value.split(|&byte| byte == b',').next()?;
    str::from_utf8(first).ok()?.trim_ascii().parse().ok()
}

/// Writes an interim response (RFC 9110 §15.2); only HTTP/1.1 clients know them.
pub fn emit_interim(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    emit_status_and_fields(out, head);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a final response, other than a 101.
pub fn emit_response(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_>,
    delimited: Delimited,
    after: KeepAlive,
) {
    emit_status_and_fields(out, head);
    match delimited {
        // RFC 9110 §8.6: the length that a GET would get. A 204 has none.
        Delimited::Without => {
            if let Some(length) = length(head).filter(|_| head.status != 204) {
                line(out, b"Content-Length", length.to_string().as_bytes());
            }
        }
        Delimited::Length(length) => line(out, b"Content-Length", length.to_string().as_bytes()),
        Delimited::Chunks => line(out, b"Transfer-Encoding", b"chunked"),
        Delimited::Close => {}
    }
    // RFC 9110 §15.5.22: a 426 names the protocol.
    let upgrade = head.values("Upgrade").next().filter(|_| head.status == 426);
    if let Some(protocol) = upgrade {
        line(out, b"Upgrade", protocol);
    }
    match (after, upgrade) {
        (KeepAlive::Close, None) => line(out, b"Connection", b"close"),
        (KeepAlive::Close, Some(_)) => line(out, b"Connection", b"close, Upgrade"),
        (KeepAlive::Yes, Some(_)) => line(out, b"Connection", b"Upgrade"),
        (KeepAlive::Yes, None) => {}
    }
    out.extend_from_slice(b"\r\n");
}

fn emit_status_and_fields(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    // RFC 9112 §2.3: a proxy states its own version. The reason stays.
    let end = head.bytes.iter().position(|&byte| byte == b'\r').unwrap_or(head.bytes.len());
    let rest = head.bytes[..end].get(b"HTTP/1.1".len()..).unwrap_or_default();
    out.extend_from_slice(b"HTTP/1.1");
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\r\n");
    let options = || {
        let values = head.values("Connection").flat_map(|value| value.split(|&byte| byte == b','));
        values.map(<[u8]>::trim_ascii)
    };
    for (name, value) in head.fields() {
        let is_length = name.eq_ignore_ascii_case(b"Content-Length");
        if !is_length && !hops::ends_here(name, options()) {
            line(out, name, value);
        }
    }
}
