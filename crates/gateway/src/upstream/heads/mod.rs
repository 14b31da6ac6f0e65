//! The heads of messages that pass through the gateway (RFC 9110 §7.6): which fields go further,
//! and which are added. It knows no connection and no server.

mod forwarded;
pub(super) mod hops;
mod identity;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use self::{
    forwarded::{Sender, Trust},
    identity::Signer,
    request::{HostRule, Passing, RequestRules, check_target, emit_request, is_last_hop},
    response::{Delimited, emit_interim, emit_response},
};

/// The name in `Via` (RFC 9110 §7.6.3).
pub const PSEUDONYM: &str = "ringway";

/// Appends a field line.
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body: the trailers that may be passed on (RFC 9110 §6.5.1: none that
/// frames, routes or authenticates a message), and the empty line.
pub fn emit_trailers(out: &mut Vec<u8>, trailers: &[u8]) {
    const NEVER: [&str; 14] = [
        "content-length",
        "content-encoding",
        "content-type",
        "content-range",
        "host",
        "trailer",
        "authorization",
        "set-cookie",
        "cookie",
        "expect",
        "max-forwards",
        "cache-control",
        "range",
        "location",
    ];
    for (name, value) in ringway_http::fields(trailers) {
        let is_kept = !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
            && !hops::ends_here(name, std::iter::empty())
            && !identity::is_own(name)
            && !forwarded::is_claim(name);
        if is_kept {
            line(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}
