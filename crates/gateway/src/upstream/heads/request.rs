//! The head of a request to a server, from that of a client.

use std::time::SystemTime;

use ringway_http::{HttpError, body, head::Head};

use crate::{
    config::ForwardedFields,
    upstream::{
        framing::RequestBody,
        heads::{PSEUDONYM, Sender, Signer, Trust, forwarded, hops, identity, line},
    },
};

/// The Host field that the server gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostRule<'r> {
    /// The client's, or this one for an HTTP/1.0 client that has sent none.
    Keep(&'r str),
    /// This one.
    Set(&'r str),
}

/// What a route says about the heads of its requests.
#[derive(Debug, Clone, Copy)]
pub struct RequestRules<'r> {
    /// The Host field.
    pub host: HostRule<'r>,
    /// Where the request comes from.
    pub forwarded: ForwardedFields,
    /// Signs the client's id, if the application wants it.
    pub signer: Option<&'r Signer>,
}

/// One request that is passed on.
#[derive(Debug, Clone, Copy)]
pub struct Passing<'r> {
    /// The other end of the client's connection.
    pub sender: Sender,
    /// The client's id and the time, if the client was identified.
    pub client: Option<(&'r str, SystemTime)>,
    /// The body, from [`RequestBody::of`].
    pub body: RequestBody,
    /// The protocol that the client wants to change to, if the gateway can do that.
    pub upgrade: Option<&'r str>,
}

/// Checks what a client asks of a route, apart from its body.
///
/// # Errors
/// [`HttpError::Malformed`] for a path that a server may take for another one, so that it would be
/// served by the wrong route.
pub fn check_target(head: &Head<'_>) -> Result<(), HttpError> {
    if head.path.contains(['#', '\\']) || head.query.is_some_and(|query| query.contains('#')) {
        return Err(HttpError::Malformed);
    }
    // RFC 3986 §5.2.4: `/public/../admin` is `/admin`. Servers differ in what they decode first.
    let mut plain = head.path.to_ascii_lowercase();
    for (escape, byte) in [("%2e", "."), ("%2f", "/"), ("%5c", "/")] {
        plain = plain.replace(escape, byte);
    }
    // Some of them cut parameters off: `/..;a/admin`.
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    if plain.split('/').any(is_dots) { Err(HttpError::Malformed) } else { Ok(()) }
}

/// RFC 9110 §7.6.2: what is left of `Max-Forwards` after this hop; `None` if the field does not
/// count. 0 in the request means that the gateway itself must answer.
fn max_forwards(head: &Head<'_>) -> Option<u64> {
    let is_counted = head.method == "OPTIONS" || head.method == "TRACE";
    let value = ringway_http::head::values(head.fields, "Max-Forwards").next()?;
    is_counted.then(|| str::from_utf8(value).ok()?.parse().ok())?
}

/// Whether the gateway itself must answer, because the request may be passed on no more times.
pub fn is_last_hop(head: &Head<'_>) -> bool {
    max_forwards(head) == Some(0)
}

/// Writes the head of a request for the server.
///
/// # Errors
/// [`HttpError::Expectation`]
pub fn emit_request(
    out: &mut Vec<u8>,
    head: &Head<'_>,
    rules: &RequestRules<'_>,
    passing: &Passing<'_>,
) -> Result<(), HttpError> {
    body::expectation(head)?;
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.path.as_bytes());
    if let Some(query) = head.query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host = match rules.host {
        HostRule::Keep(without) => head.host().unwrap_or(without.as_bytes()),
        HostRule::Set(host) => host.as_bytes(),
    };
    line(out, b"Host", host);
    let hops_left = max_forwards(head).map(|left| left.saturating_sub(1).to_string());
    for field in head.fields {
        let name = field.name.as_bytes();
        let is_rewritten = ["host", "content-length"].iter().any(|one| is(name, one));
        if is_rewritten
            || hops::ends_here(name, hops::options(head.fields))
            || identity::is_own(name)
            || forwarded::is_written(name, rules.forwarded)
            || is(name, "max-forwards") && hops_left.is_some()
            || passing.sender.trust == Trust::Stranger && forwarded::is_claim(name)
        {
            continue;
        }
        line(out, name, field.value);
    }
    forwarded::emit(out, head.fields, head.host(), passing.sender, rules.forwarded);
    if let Some(left) = hops_left {
        line(out, b"Max-Forwards", left.as_bytes());
    }
    if let (Some(signer), Some((client, time))) = (rules.signer, passing.client) {
        signer.emit(out, client, time);
    }
    // RFC 9110 §7.6.3: the version in which the request was received.
    line(out, b"Via", format!("1.{} {PSEUDONYM}", head.minor).as_bytes());
    passing.body.emit_fields(out);
    // RFC 9110 §10.1.4: trailers are passed on.
    let wants_trailers = hops::lists(head.fields, "TE", "trailers");
    match (passing.upgrade, wants_trailers) {
        (Some(protocol), _) => {
            line(out, b"Connection", b"Upgrade");
            line(out, b"Upgrade", protocol.as_bytes());
        }
        (None, true) => {
            line(out, b"Connection", b"TE");
            line(out, b"TE", b"trailers");
        }
        (None, false) => {}
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn is(name: &[u8], other: &str) -> bool {
    name.eq_ignore_ascii_case(other.as_bytes())
}
