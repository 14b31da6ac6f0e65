//! A server behind the gateway whose every byte a test decides, and a gateway with routes.

use std::net::{TcpListener, TcpStream};

use tempfile::TempDir;

use super::{Client, Engine, Gateway, Launch, PATIENCE, eventually, frames::ACCEPT};

/// A listening server.
pub struct Upstream {
    listener: TcpListener,
}

impl Upstream {
    pub fn listens() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    pub fn http_url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Whether nobody has connected.
    pub fn is_idle(&self) -> bool {
        self.listener.accept().is_err()
    }

    /// The next connection of the gateway.
    #[track_caller]
    pub fn accepts(&self) -> Client {
        let mut accepted = None;
        eventually("the gateway connects", || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let (stream, _): (TcpStream, _) = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client::over(stream)
    }

    /// The next connection, whose request is answered with a 101 and these bytes.
    #[track_caller]
    pub fn opens(&self, more: &[u8]) -> Client {
        let mut server = self.accepts();
        server.receives_request();
        server.sends([opening("").as_bytes(), more].concat());
        server
    }
}

/// A 101 with these lines.
pub fn opening(lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{lines}\r\n"
    )
}

/// A URL at which nobody listens.
pub fn closed_url() -> String {
    Upstream::listens().url()
}

/// As [`closed_url`], for all requests.
pub fn closed_http_url() -> String {
    Upstream::listens().http_url()
}

/// The configuration of a route.
pub fn route(path: &str, upstreams: &[String], more: &str) -> String {
    format!("[[route]]\npath = {path:?}\nupstream = {upstreams:?}\n{more}\n")
}

/// A gateway with this configuration.
#[track_caller]
pub fn gateway_of(engine: Engine, text: &str) -> Gateway {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ringway.toml");
    std::fs::write(&path, text).unwrap();
    Launch::on(engine).flags(&["--config", path.to_str().unwrap()]).start()
}
