//! Cursors: a string field in the server's messages says how far a client has read. The client's
//! next request has its value in the query under the same name.
//!
//! It knows nothing else about the server's format.

use memchr::{memchr, memmem};

/// The first string of this name in a JSON text.
pub fn find<'t>(text: &'t [u8], name: &str) -> Option<&'t str> {
    let start = format!("\"{name}\":\"");
    let value = &text[memmem::find(text, start.as_bytes())? + start.len()..];
    std::str::from_utf8(&value[..memchr(b'"', value)?]).ok()
}

/// Adds a field to the query of a path.
pub fn add(path: &str, (name, value): (&str, &str)) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{name}={value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_string_with_the_name_counts() {
        let text = br#"{"at":7,"cursor":"a-1","data":{"cursor":"b"}}"#;
        assert_eq!(find(text, "cursor"), Some("a-1"));
        assert_eq!((find(text, "at"), find(text, "curso")), (None, None));
        assert_eq!(find(br#"{"cursor":"cut"#, "cursor"), None);
        assert_eq!(add("/ws?a=b", ("cursor", "x")), "/ws?a=b&cursor=x");
        assert_eq!(add("/ws", ("cursor", "x")), "/ws?cursor=x");
    }
}
