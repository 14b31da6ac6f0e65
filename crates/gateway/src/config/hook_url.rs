//! Where an application is asked: a URL, or a path behind a unix socket.

use std::{fmt, path::PathBuf, str::FromStr};

use axum::http::Uri;

/// How a socket is written; nginx and others separate its path from that of the request in this way.
const SOCKET: &str = "unix:";

/// Where an application is asked.
///
/// ```
/// use ringway::config::HookUrl;
/// assert!("https://app.example.org/ringway".parse::<HookUrl>().is_ok());
/// assert!("unix:/run/app.sock:/ringway".parse::<HookUrl>().is_ok());
/// assert!("app.example.org".parse::<HookUrl>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookUrl {
    text: String,
    /// What is asked for; a socket has a host that no request leaves by.
    pub uri: Uri,
    /// The socket that leads there; `None`: the host of the URL.
    pub socket: Option<PathBuf>,
}

impl fmt::Display for HookUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for HookUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(place) = text.strip_prefix(SOCKET) else {
            let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
            if !matches!(uri.scheme_str(), Some("http" | "https")) {
                return Err("begins with neither http:// nor https:// nor unix:");
            }
            let authority = uri.authority().ok_or("names no host")?;
            // They would be in every log line that names the URL.
            if authority.as_str().contains('@') {
                return Err("has a password");
            }
            return Ok(Self { text: text.to_owned(), uri, socket: None });
        };
        let (socket, path) = place.split_once(":/").ok_or("has no \":/\" after its socket")?;
        if !socket.starts_with('/') {
            return Err("has a socket whose path does not begin with \"/\"");
        }
        let uri = format!("http://localhost/{path}").parse().map_err(|_| "has no path of a URL")?;
        Ok(Self { text: text.to_owned(), uri, socket: Some(socket.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_two_paths() {
        let url: HookUrl = "unix:/run/a.sock:/hooks?x=1".parse().unwrap();
        assert_eq!(url.socket, Some("/run/a.sock".into()));
        assert_eq!(url.uri, "http://localhost/hooks?x=1");
        let url: HookUrl = "http://[::1]:3000/ringway".parse().unwrap();
        assert_eq!((url.socket, url.uri.port_u16()), (None, Some(3000)));
    }

    #[test]
    fn what_is_no_url_is_refused_with_a_reason() {
        for (text, reason) in [
            ("ftp://a/", "neither"),
            ("/ringway", "neither"),
            ("http://", "is not a URL"),
            ("http://ann:secret@a/", "password"),
            ("unix:/run/a.sock", "after its socket"),
            ("unix:run/a.sock:/", "does not begin"),
            ("unix:/run/a.sock:/ a", "no path"),
        ] {
            let fault = text.parse::<HookUrl>().unwrap_err();
            assert!(fault.contains(reason), "{text}: {fault}");
        }
    }
}
