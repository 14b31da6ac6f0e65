//! The files that the gateway serves from its own memory.
//!
//! They change only with the gateway: a browser revalidates each time, and mostly gets a 304.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

use httparse::Header;

use crate::edge::{
    cors::Cors,
    response::{Part, Response},
};

use ringway_http::{KeepAlive, head};

/// A file.
#[derive(Debug)]
pub struct File {
    content_type: &'static str,
    body: &'static str,
    cors: Cors,
    /// Header lines that limit what a page may do.
    policy: &'static str,
    /// RFC 9110 §8.8.3: an entity tag, in its quotes.
    tag: String,
}

/// The page at `/`.
pub static HOME: LazyLock<File> = LazyLock::new(|| {
    let page = include_str!("../web/home.html");
    let file = File::new("text/html; charset=utf-8", page, Cors::Silent);
    File { policy: HOME_POLICY, ..file }
});

/// Only scripts from the gateway run in the page, and no other page may embed it.
const HOME_POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; \
     style-src 'self'; connect-src 'self'; frame-src 'self'; img-src data:; form-action 'none'; \
     base-uri 'none'; frame-ancestors 'none'\r\nX-Frame-Options: DENY\r\n";

/// The script of the page. Its parts are one module.
pub static HOME_SCRIPT: LazyLock<File> = LazyLock::new(|| {
    let body = concat!(
        include_str!("../web/home/page.js"),
        "\n",
        include_str!("../web/home/people.js"),
        "\n",
        include_str!("../web/home/sending.js"),
        "\n",
        include_str!("../web/home/session.js"),
    );
    File::new("text/javascript; charset=utf-8", body, Cors::Silent)
});

/// The style of the page.
pub static HOME_STYLE: LazyLock<File> = LazyLock::new(|| {
    File::new("text/css; charset=utf-8", include_str!("../web/home.css"), Cors::Silent)
});

/// The client for browsers. It is public: pages of any origin may import it. Its parts share
/// a scope that no page sees; the last of them sets the one global.
pub static SCRIPT: LazyLock<File> = LazyLock::new(|| {
    let body = concat!(
        "(() => {\n\"use strict\";\n\n",
        include_str!("../web/ringway/cursor.js"),
        "\n",
        include_str!("../web/ringway/options.js"),
        "\n",
        include_str!("../web/ringway/network.js"),
        "\n",
        include_str!("../web/ringway/link.js"),
        "\n",
        include_str!("../web/ringway/outbox.js"),
        "\n",
        include_str!("../web/ringway/state.js"),
        "\n",
        include_str!("../web/ringway/session.js"),
        "})();\n",
    );
    File::new("text/javascript; charset=utf-8", body, Cors::Anyone)
});

/// The TypeScript types of the client.
pub static TYPES: LazyLock<File> = LazyLock::new(|| {
    let body = include_str!("../web/ringway.d.ts");
    File::new("application/typescript; charset=utf-8", body, Cors::Anyone)
});

impl File {
    fn new(content_type: &'static str, body: &'static str, cors: Cors) -> Self {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let policy = "";
        Self { content_type, body, cors, policy, tag: format!("\"{:016x}\"", hasher.finish()) }
    }

    /// Writes the file, or a 304 if the client already has it.
    pub fn write(&self, out: &mut Vec<u8>, fields: &[Header<'_>], part: Part, after: KeepAlive) {
        let own_fields = format!(
            "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\n{}ETag: {}\r\n",
            self.policy, self.tag
        );
        let whole = Response {
            status: 200,
            content_type: self.content_type,
            fields: &own_fields,
            cors: &self.cors,
            after,
        };
        if self.is_known(fields) {
            Response { status: 304, content_type: "", ..whole }.write_bodiless(out);
        } else {
            whole.write(out, self.body.as_bytes(), part);
        }
    }

    /// RFC 9110 §13.1.2: compared weakly, because a proxy that compresses weakens a tag.
    fn is_known(&self, fields: &[Header<'_>]) -> bool {
        head::elements(fields, "If-None-Match").any(|one| {
            let opaque = one.strip_prefix(b"W/").unwrap_or(one);
            one == b"*" || opaque == self.tag.as_bytes()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(&'static str, &str)], part: Part) -> String {
        let fields: Vec<_> =
            fields.iter().map(|&(name, value)| Header { name, value: value.as_bytes() }).collect();
        let mut out = Vec::new();
        SCRIPT.write(&mut out, &fields, part, KeepAlive::Yes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_cached_file_is_not_sent_again() {
        let tag = &*SCRIPT.tag;
        let whole = answer(&[], Part::Whole);
        assert!(whole.starts_with("HTTP/1.1 200 OK\r\n") && whole.ends_with(SCRIPT.body));
        assert!(whole.contains(&format!("\r\nETag: {tag}\r\n")));
        let list = format!("\"x\" , W/{tag}");
        for known in [tag, "*", &list] {
            let known = answer(&[("If-None-Match", known)], Part::Whole);
            assert!(known.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{known}");
            assert!(known.ends_with("\r\n\r\n") && !known.contains("\r\nContent-"), "{known}");
            assert!(known.contains(&format!("\r\nETag: {tag}\r\n")), "{known}");
        }
        let unknown = [("If-None-Match", "\"x\""), ("If-None-Match", tag.trim_matches('"'))];
        assert_eq!(answer(&unknown, Part::Whole).len(), whole.len());
        assert!(answer(&[], Part::Head).ends_with("\r\n\r\n"));
    }

    #[test]
    fn entity_tags_distinguish_files() {
        assert!(HOME.tag != SCRIPT.tag && SCRIPT.tag != TYPES.tag);
    }
}
