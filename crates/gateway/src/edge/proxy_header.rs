//! The PROXY protocol header (versions 1 and 2, as HAProxy specifies them) with which a load
//! balancer begins a connection: it names the address of the client.
//!
//! It does not decide who may send one.

use std::net::SocketAddr;

use ppp::{v1, v2};

use crate::limits::PROXY_HEADER_BYTES_MAX;

/// Section 2.1: the longest header of version 1, with its CR LF.
const TEXT_BYTES_MAX: usize = 107;

const TEXT_PREFIX: &[u8] = b"PROXY ";

/// The fixed part of version 2: prefix, version, family and length.
const BINARY_FIXED_BYTES: usize = 16;

/// A complete header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its length.
    pub bytes: usize,
    /// The client's address. `None` if the load balancer speaks for itself (a health check), or
    /// does not know the address.
    pub source: Option<SocketAddr>,
}

/// The connection does not begin with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoProxyHeader;

/// Reads the header at the beginning of a connection; `None` if more bytes are needed.
///
/// # Errors
/// [`NoProxyHeader`], as soon as that is known.
pub fn read(input: &[u8]) -> Result<Option<ProxyHeader>, NoProxyHeader> {
    if begins(input, v2::PROTOCOL_PREFIX) {
        read_binary(input)
    } else if begins(input, TEXT_PREFIX) {
        read_text(input)
    } else {
        Err(NoProxyHeader)
    }
}

/// Whether the input begins with the prefix, as far as it has arrived.
fn begins(input: &[u8], prefix: &[u8]) -> bool {
    let arrived = input.len().min(prefix.len());
    input[..arrived] == prefix[..arrived]
}

fn read_text(input: &[u8]) -> Result<Option<ProxyHeader>, NoProxyHeader> {
    let line = &input[..input.len().min(TEXT_BYTES_MAX)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() < TEXT_BYTES_MAX { Ok(None) } else { Err(NoProxyHeader) };
    };
    let bytes = end + 2;
    let text = str::from_utf8(&line[..bytes]).map_err(|_| NoProxyHeader)?;
    let header = v1::Header::try_from(text).map_err(|_| NoProxyHeader)?;
    let source = match header.addresses {
        v1::Addresses::Tcp4(pair) => Some((pair.source_address, pair.source_port).into()),
        v1::Addresses::Tcp6(pair) => Some((pair.source_address, pair.source_port).into()),
        v1::Addresses::Unknown => None,
    };
    Ok(Some(ProxyHeader { bytes, source }))
}

fn read_binary(input: &[u8]) -> Result<Option<ProxyHeader>, NoProxyHeader> {
    let Some(fixed) = input.get(..BINARY_FIXED_BYTES) else { return Ok(None) };
    let bytes = BINARY_FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if bytes > PROXY_HEADER_BYTES_MAX {
        return Err(NoProxyHeader);
    }
    let Some(whole) = input.get(..bytes) else { return Ok(None) };
    let header = v2::Header::try_from(whole).map_err(|_| NoProxyHeader)?;
    let source = match (header.command, header.addresses) {
        // Section 2.2: the addresses of a local connection are to be ignored.
        (v2::Command::Local, _) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(pair)) => {
            Some((pair.source_address, pair.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(pair)) => {
            Some((pair.source_address, pair.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    };
    Ok(Some(ProxyHeader { bytes, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2 by hand: command, family and protocol, payload.
    fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([0x20 | command, family]);
        header.extend((payload.len() as u16).to_be_bytes());
        header.extend(payload);
        header
    }

    const IPV4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

    /// The address in a header, if it is complete and names one.
    type Source = Result<Option<Option<String>>, NoProxyHeader>;

    fn source(input: &[u8]) -> Source {
        let source = |header: ProxyHeader| {
            assert_eq!(header.bytes, input.len());
            header.source.map(|source| source.to_string())
        };
        read(input).map(|header| header.map(source))
    }

    fn address(text: &str) -> Source {
        Ok(Some(Some(text.to_owned())))
    }

    /// Headers and the addresses that they name.
    fn headers() -> Vec<(Vec<u8>, Source)> {
        let mut ipv6 = [0; 36];
        (ipv6[0], ipv6[15], ipv6[33]) = (0x20, 1, 80);
        let with_more = [&IPV4[..], &[4, 0, 3, 1, 2, 3]].concat();
        vec![
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 80\r\n".into(), address("192.0.2.1:4660")),
            (b"PROXY TCP6 2001:db8::1 ::1 4660 80\r\n".into(), address("[2001:db8::1]:4660")),
            (b"PROXY UNKNOWN\r\n".into(), Ok(Some(None))),
            (b"PROXY UNKNOWN 192.0.2.1 10.0.0.1 1 2\r\n".into(), Ok(Some(None))),
            (binary(1, 0x11, &IPV4), address("192.0.2.1:4660")),
            (binary(1, 0x11, &with_more), address("192.0.2.1:4660")),
            (binary(1, 0x21, &ipv6), address("[2000::1]:80")),
            (binary(0, 0x11, &IPV4), Ok(Some(None))),
            (binary(0, 0x00, &[]), Ok(Some(None))),
            (binary(1, 0x00, &[]), Ok(Some(None))),
            (binary(1, 0x31, &[7; 216]), Ok(Some(None))),
            (binary(1, 0x31, &[7; 300]), Ok(Some(None))),
        ]
    }

    #[test]
    fn both_versions_name_the_client() {
        for (header, wanted) in headers() {
            assert_eq!(source(&header), wanted, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn a_header_may_arrive_in_parts_and_with_bytes_after_it() {
        for (header, _) in headers() {
            for length in 0..header.len() {
                assert_eq!(read(&header[..length]), Ok(None), "{length}");
            }
            let followed = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(read(&followed), read(&header));
        }
    }

    #[test]
    fn anything_else_is_no_header() {
        let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 92], b"\r\n"].concat();
        for input in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"P\0",
            b"PROXY\r\n",
            b"PROXY  TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
            b"PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
            b"PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 \xff 10.0.0.1 1 2\r\n",
            b"proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
            b"\x16\x03\x01",
            &long,
            &[&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat(),
            &binary(2, 0x11, &IPV4),
            &binary(1, 0x11, &IPV4[..11]),
            &binary(1, 0x41, &IPV4),
            &binary(1, 0x13, &IPV4),
            &binary(1, 0x11, &[0; PROXY_HEADER_BYTES_MAX]),
            &[v2::PROTOCOL_PREFIX, &[0x11, 0x11, 0, 0]].concat(),
        ] {
            assert_eq!(read(input), Err(NoProxyHeader), "{}", input.escape_ascii());
        }
    }
}
