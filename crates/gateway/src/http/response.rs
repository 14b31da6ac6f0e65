//! Writing responses other than the 101.
//!
//! Every response states its length, so that the connection can be kept.

use std::time::SystemTime;

use super::refusal::{After, Refusal};

/// Whether the body itself is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Head and body.
    Whole,
    /// The head alone, as HEAD asks for (RFC 9110 §9.3.2).
    Head,
}

/// Writes a page.
pub fn page(out: &mut Vec<u8>, content_type: &str, body: &str, part: Part, after: After) {
    let fields = "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n";
    write(out, (200, "OK"), content_type, fields, body, part, after);
}

/// Writes why a request was refused.
pub fn refuse(out: &mut Vec<u8>, refusal: Refusal, part: Part, after: After) {
    let body = format!("{}\n", refusal.reason());
    let status = refusal.status();
    write(out, status, "text/plain; charset=utf-8", refusal.fields(), &body, part, after);
}

fn write(
    out: &mut Vec<u8>,
    (code, phrase): (u16, &str),
    content_type: &str,
    fields: &str,
    body: &str,
    part: Part,
    after: After,
) {
    // RFC 9110 §7.8: a 426 names the protocol in Upgrade, and Upgrade in Connection.
    let connection = match (code, after) {
        (426, After::KeepAlive) => "Connection: upgrade\r\n",
        (426, After::Close) => "Connection: upgrade, close\r\n",
        (_, After::Close) => "Connection: close\r\n",
        (_, After::KeepAlive) => "",
    };
    // RFC 9110 §6.6.1: a server with a clock sends the date.
    let date = httpdate::fmt_http_date(SystemTime::now());
    let head = format!(
        "HTTP/1.1 {code} {phrase}\r\nDate: {date}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n{fields}{connection}\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    if part == Part::Whole {
        out.extend_from_slice(body.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_the_length_of_the_body_that_it_leaves_out() {
        let (mut whole, mut head) = (Vec::new(), Vec::new());
        page(&mut whole, "text/plain", "hello", Part::Whole, After::KeepAlive);
        page(&mut head, "text/plain", "hello", Part::Head, After::KeepAlive);
        assert!(whole.ends_with(b"\r\n\r\nhello"));
        assert!(head.ends_with(b"\r\n\r\n"));
        assert!(String::from_utf8(head).unwrap().contains("\r\nContent-Length: 5\r\n"));
    }
}
