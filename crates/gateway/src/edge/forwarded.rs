//! The address of a client behind proxies, by the header field that the proxies write:
//! `X-Forwarded-For`, or `Forwarded` (RFC 7239).
//!
//! Only the operator's proxies are believed. Each of them appends the address that it was called
//! from, so the list is read from its end, as far as its addresses are proxies themselves. Anything
//! before that is what a client wrote.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use httparse::Header;
use ipnet::IpNet;
use ringway_http::head;

use crate::{config::ForwardedHeader, edge::limiter::Origin};

/// Where a connection from this address comes from: from a client, unless it is one of the
/// operator's proxies.
pub fn origin(address: IpAddr, trusted: &[IpNet]) -> Origin {
    let address = address.to_canonical();
    match trusted.iter().any(|network| network.contains(&address)) {
        true => Origin::Proxy,
        false => Origin::Client,
    }
}

/// The address of the client of a request that a trusted proxy has sent: the last one in the header
/// field that is not a trusted proxy. If the field ends in something that is not an address
/// (`unknown`, a pseudonym, garbage), there is no such address.
pub fn client(fields: &[Header<'_>], header: ForwardedHeader, trusted: &[IpNet]) -> Option<IpAddr> {
    let name = match header {
        ForwardedHeader::XForwardedFor => "X-Forwarded-For",
        ForwardedHeader::Forwarded => "Forwarded",
    };
    let mut nearest = None;
    let mut lines: Vec<&[u8]> = head::values(fields, name).collect();
    // Lines of one field are one list, in their order (RFC 9110 §5.3).
    while let Some(line) = lines.pop() {
        let mut rest = line;
        while let Some((before, element)) = last_element(rest, header) {
            rest = before;
            let element = element.trim_ascii();
            // RFC 9110 §5.6.1: empty elements do not count.
            if element.is_empty() {
                continue;
            }
            let node = match header {
                ForwardedHeader::XForwardedFor => Some(element),
                ForwardedHeader::Forwarded => for_of(element),
            };
            let Some(address) = node.and_then(address_of) else { return nearest };
            nearest = Some(address);
            if origin(address, trusted) == Origin::Client {
                return nearest;
            }
        }
    }
    nearest
}

/// Splits the last element off a list; `None` when the list is used up.
///
/// It is read from its end, so that an open quote that a client wrote cannot swallow what its proxy
/// has appended.
fn last_element(list: &[u8], header: ForwardedHeader) -> Option<(&[u8], &[u8])> {
    if list.is_empty() {
        return None;
    }
    let mut is_quoted = false;
    let comma = (0..list.len()).rev().find(|&at| {
        match (list[at], header) {
            // RFC 7239 §4: values may be quoted strings.
            (b'"', ForwardedHeader::Forwarded) => is_quoted ^= !is_escaped(list, at),
            (b',', _) => return !is_quoted,
            _ => {}
        }
        false
    });
    Some(comma.map_or((&[][..], list), |at| (&list[..at], &list[at + 1..])))
}

/// Whether an odd number of backslashes is in front of a byte.
fn is_escaped(list: &[u8], at: usize) -> bool {
    list[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// RFC 7239 §4: the value of `for` in an element such as `for="[2001:db8::1]:47";proto=https`.
fn for_of(element: &[u8]) -> Option<&[u8]> {
    element.split(|&byte| byte == b';').find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(4)?;
        let value = name.eq_ignore_ascii_case(b"for=").then_some(value)?;
        Some(value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value))
    })
}

/// An address, alone or with a port; IPv6 with or without brackets.
fn address_of(node: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(node).ok()?;
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip())),
    };
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> Vec<IpNet> {
        ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).into()
    }

    fn found(header: ForwardedHeader, name: &str, lines: &[&str]) -> Option<String> {
        let fields: Vec<Header<'_>> =
            lines.iter().map(|line| Header { name, value: line.as_bytes() }).collect();
        client(&fields, header, &trusted()).map(|address| address.to_string())
    }

    #[test]
    fn the_last_address_that_is_not_a_proxy_is_the_client() {
        for (lines, address) in [
            (&["192.0.2.1"][..], Some("192.0.2.1")),
            (&["192.0.2.1, 10.0.0.1, 10.2.3.4"], Some("192.0.2.1")),
            // What comes before the client's address is what the client wrote.
            (&["127.0.0.1, 192.0.2.9, 192.0.2.1, 10.0.0.1"], Some("192.0.2.1")),
            (&["garbage, 192.0.2.1"], Some("192.0.2.1")),
            (&["\", 192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.9", "192.0.2.1,10.0.0.1"], Some("192.0.2.1")),
            (&["192.0.2.1", "", " , "], Some("192.0.2.1")),
            (&["10.0.0.1"], Some("10.0.0.1")),
            (&["10.0.0.2,10.0.0.1"], Some("10.0.0.2")),
            (&["unknown, 10.0.0.1"], Some("10.0.0.1")),
            (&["192.0.2.1, unknown"], None),
            (&["192.0.2.1:4711"], Some("192.0.2.1")),
            (&["2001:db8::1"], Some("2001:db8::1")),
            (&["[2001:db8::1]:80"], Some("2001:db8::1")),
            (&["[2001:db8::1]"], Some("2001:db8::1")),
            (&["::ffff:192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1, ::ffff:10.0.0.1"], Some("192.0.2.1")),
            (&["192.0.2"], None),
            (&["192.0.2.1.5"], None),
            (&["0x7f.1"], None),
            (&["[192.0.2.1]"], None),
            (&[], None),
            (&[""], None),
            (&[",,,"], None),
        ] {
            let found = found(ForwardedHeader::XForwardedFor, "x-forwarded-for", lines);
            assert_eq!(found.as_deref(), address, "{lines:?}");
        }
    }

    #[test]
    fn rfc_7239_elements_have_parameters_and_quotes() {
        for (lines, address) in [
            (&["for=192.0.2.43"][..], Some("192.0.2.43")),
            (&["For=\"[2001:db8:cafe::17]:4711\""], Some("2001:db8:cafe::17")),
            (&["for=192.0.2.60;proto=http;by=203.0.113.43"], Some("192.0.2.60")),
            (&["proto=http; FOR=192.0.2.60"], Some("192.0.2.60")),
            (&["for=192.0.2.43, for=10.0.0.1"], Some("192.0.2.43")),
            (&["for=192.0.2.43", "for=10.0.0.1"], Some("192.0.2.43")),
            (&["for=192.0.2.43, for=\"10.0.0.1:80\";by=\"a,b\""], Some("192.0.2.43")),
            (&["for=192.0.2.43, for=_hidden, for=10.0.0.1"], Some("10.0.0.1")),
            (&["for=unknown"], None),
            (&["by=192.0.2.1"], None),
            (&["192.0.2.1"], None),
            (&["for=\"192.0.2.1"], None),
            (&["for=\"192.0.2.43, for=10.0.0.1"], Some("10.0.0.1")),
            (&["for=\", for=192.0.2.43"], Some("192.0.2.43")),
            (&["for=192.0.2.43;by=\"a\\\",b\""], Some("192.0.2.43")),
        ] {
            let found = found(ForwardedHeader::Forwarded, "forwarded", lines);
            assert_eq!(found.as_deref(), address, "{lines:?}");
        }
    }

    #[test]
    fn the_other_header_is_not_read() {
        let fields = [Header { name: "Forwarded", value: b"for=192.0.2.1" }];
        assert_eq!(client(&fields, ForwardedHeader::XForwardedFor, &trusted()), None);
        let fields = [Header { name: "X-Forwarded-For", value: b"192.0.2.1" }];
        assert_eq!(client(&fields, ForwardedHeader::Forwarded, &trusted()), None);
    }

    proptest! {
        /// Whatever a client sends is before what the first trusted proxy has appended.
        #[test]
        fn a_client_cannot_choose_its_address(forged in "\\PC{0,60}", hops in 0..3usize) {
            for (header, name, key) in [
                (ForwardedHeader::XForwardedFor, "x-forwarded-for", ""),
                (ForwardedHeader::Forwarded, "forwarded", "for="),
            ] {
                let proxies = format!(", {key}10.0.0.1").repeat(hops);
                let line = format!("{forged}, {key}192.0.2.1{proxies}");
                let found = found(header, name, &[&line]);
                prop_assert_eq!(found.as_deref(), Some("192.0.2.1"));
            }
        }
    }
}
