//! Where a request comes from, for the application: `Forwarded` (RFC 7239) and the older
//! `X-Forwarded-For`, `-Proto` and `-Host`.
//!
//! What a client wrote in them is dropped. What one of the operator's proxies wrote is continued.

use std::net::IpAddr;

use httparse::Header;
use ringway_http::head;

use crate::{
    config::ForwardedFields,
    upstream::heads::{hops, line},
};

/// Whether the other end of a client's connection is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It is one of the operator's proxies.
    Proxy,
    /// It may be anybody.
    Stranger,
}

/// The other end of the client's connection.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// Its address; `None`: it is not known.
    pub address: Option<IpAddr>,
    /// Whether it is believed.
    pub trust: Trust,
    /// Whether the connection to it has TLS.
    pub has_tls: bool,
}

/// Whether a client could lie to the application with a field of this name.
pub fn is_claim(name: &[u8]) -> bool {
    hops::is_same_variable(name, "forwarded")
        || hops::is_same_variable(name, "x-real-ip")
        || hops::starts_like(name, "x-forwarded-")
}

/// Whether [`emit`] writes a field of this name, so that it is not copied.
pub fn is_written(name: &[u8], which: ForwardedFields) -> bool {
    let older = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
    let is_older = || older.iter().any(|one| hops::is_same_variable(name, one));
    let is_standard = || hops::is_same_variable(name, "forwarded");
    match which {
        ForwardedFields::Standard => is_standard(),
        ForwardedFields::Older => is_older(),
        ForwardedFields::Both => is_standard() || is_older(),
        ForwardedFields::None => false,
    }
}

/// Writes the fields for a request that `sender` has sent for `host`.
pub fn emit(
    out: &mut Vec<u8>,
    fields: &[Header<'_>],
    host: Option<&[u8]>,
    sender: Sender,
    which: ForwardedFields,
) {
    let is_trusted = sender.trust == Trust::Proxy;
    let proto = if sender.has_tls { "https" } else { "http" };
    let address = sender.address.map(|address| address.to_canonical());
    let text = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    if matches!(which, ForwardedFields::Older | ForwardedFields::Both) {
        list(out, "X-Forwarded-For", fields, is_trusted, text.as_bytes());
        first(out, "X-Forwarded-Proto", fields, is_trusted, Some(proto.as_bytes()));
        first(out, "X-Forwarded-Host", fields, is_trusted, host);
    }
    if matches!(which, ForwardedFields::Standard | ForwardedFields::Both) {
        let element = element(address, host, proto);
        list(out, "Forwarded", fields, is_trusted, &element);
    }
}

/// RFC 7239 §4: one element. An IPv6 address and a host with a port are quoted strings.
fn element(address: Option<IpAddr>, host: Option<&[u8]>, proto: &str) -> Vec<u8> {
    let mut element = match address {
        Some(IpAddr::V4(address)) => format!("for={address}").into_bytes(),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\"").into_bytes(),
        // RFC 7239 §6.2
        None => b"for=unknown".to_vec(),
    };
    if let Some(host) = host {
        element.extend_from_slice(b";host=\"");
        for &byte in host {
            if matches!(byte, b'"' | b'\\') {
                element.push(b'\\');
            }
            element.push(byte);
        }
        element.push(b'"');
    }
    element.extend_from_slice(format!(";proto={proto}").as_bytes());
    element
}

/// Writes a list: what a trusted proxy has written, and one more element.
fn list(
    out: &mut Vec<u8>,
    name: &'static str,
    fields: &[Header<'_>],
    is_trusted: bool,
    last: &[u8],
) {
    let mut value = Vec::new();
    for earlier in head::values(fields, name).filter(|value| is_trusted && !value.is_empty()) {
        value.extend_from_slice(earlier);
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(last);
    line(out, name.as_bytes(), &value);
}

/// Writes what a trusted proxy has written, or else what this connection says.
fn first(
    out: &mut Vec<u8>,
    name: &'static str,
    fields: &[Header<'_>],
    is_trusted: bool,
    own: Option<&[u8]>,
) {
    let given = head::values(fields, name).find(|value| is_trusted && !value.is_empty());
    if let Some(value) = given.or(own) {
        line(out, name.as_bytes(), value);
    }
}
