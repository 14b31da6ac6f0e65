//! The proxies in front of an echo: how each is told to speak TLS, and whose CPU time counts.

/// A proxy program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    Ringway,
    Nginx,
    Haproxy,
}

impl ProxyKind {
    /// The word and the lines of its configuration by which it speaks TLS with the keys in these
    /// files; `None`: it does not.
    pub fn tls(self, files: Option<&str>) -> (String, String) {
        match (self, files) {
            (Self::Ringway, None) => ("false".to_owned(), String::new()),
            (Self::Ringway, Some(files)) => (
                "true".to_owned(),
                format!(
                    "[[tls.certificate]]\ncertificate_file = \"{files}.pem\"\nkey_file = \"{files}.key\""
                ),
            ),
            (Self::Nginx | Self::Haproxy, None) => <(String, String)>::default(),
            (Self::Nginx, Some(files)) => (
                "ssl".to_owned(),
                format!(
                    "ssl_certificate {files}.pem; ssl_certificate_key {files}.key; ssl_protocols \
                     TLSv1.2 TLSv1.3;"
                ),
            ),
            (Self::Haproxy, Some(files)) => {
                let word = format!("ssl crt {files}.pair alpn http/1.1 ssl-min-ver TLSv1.2");
                (word, String::new())
            }
        }
    }
}

/// Whose CPU time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The proxy and the server behind it.
    Both,
    Proxy,
}
