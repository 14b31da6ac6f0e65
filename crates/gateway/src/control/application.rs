//! An HTTP client for one application, with a pool of connections: to a host by http or https, or to a
//! unix socket. It follows no redirect, and never repeats a request by itself.

use std::{
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use axum::http::{HeaderName, HeaderValue, Request, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connected, Connection, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::net::UnixStream;
use tower::Service;

use crate::config::Hook;

/// How long a connection to an application is kept without a request; most servers keep it for longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The field with the signature of the body (`notifications::signature`).
const SIGNATURE: HeaderName = HeaderName::from_static("ringway-signature");

const USER_AGENT: &str = concat!("ringway/", env!("CARGO_PKG_VERSION"));

type Pool<C> = legacy::Client<C, Full<Bytes>>;

/// A client of one application.
pub(super) struct Client {
    pool: Way,
    uri: Uri,
}

/// The way to the application.
enum Way {
    Plain(Pool<HttpConnector>),
    Tls(Pool<HttpsConnector<HttpConnector>>),
    Socket(Pool<SocketConnector>),
}

impl Client {
    /// A client without connections.
    ///
    /// # Errors
    /// The system has no certificate authorities, and the URL begins with https.
    pub fn new(hook: &Hook) -> anyhow::Result<Self> {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(hook.in_flight_max);
        let uri = hook.url.uri.clone();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let pool = match (&hook.url.socket, uri.scheme_str()) {
            (Some(path), _) => Way::Socket(builder.build(SocketConnector { path: path.clone() })),
            (None, Some("https")) => {
                ringway_tls::install_for_process();
                let tls = HttpsConnectorBuilder::new().with_native_roots().with_context(|| {
                    format!("hook.url {}: this system has no certificate authorities", hook.url)
                })?;
                Way::Tls(builder.build(tls.https_only().enable_http1().wrap_connector(connector)))
            }
            (None, _) => Way::Plain(builder.build(connector)),
        };
        Ok(Self { pool, uri })
    }

    /// Posts what the application is told.
    ///
    /// # Errors
    /// There is no complete response.
    pub async fn send(
        &self,
        media_type: &'static str,
        signature: Option<String>,
        body: Bytes,
    ) -> Result<Response, Failure> {
        let mut request = Request::post(self.uri.clone())
            .header(header::CONTENT_TYPE, media_type)
            .header(header::USER_AGENT, USER_AGENT);
        if let Some(signature) = signature {
            request = request.header(SIGNATURE, signature);
        }
        let request = request.body(Full::new(body)).map_err(|_| Failure::Connect)?;
        let response = match &self.pool {
            Way::Plain(pool) => pool.request(request).await,
            Way::Tls(pool) => pool.request(request).await,
            Way::Socket(pool) => pool.request(request).await,
        };
        let response = response.map_err(|error| match error.is_connect() {
            true => Failure::Connect,
            false => Failure::Broken,
        })?;
        let (head, body) = response.into_parts();
        // Read only so that the connection can be used again.
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        body.map_err(|_| Failure::Broken)?;
        let retry_after = head.headers.get(header::RETRY_AFTER).and_then(retry_after);
        Ok(Response { status: head.status.as_u16(), retry_after })
    }
}

/// A response, whose body says nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Response {
    pub status: u16,
    /// When the application wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The application cannot be reached.
    Connect,
    /// It does not answer in time.
    Timeout,
    /// The connection broke, or what came was not a response.
    Broken,
}

impl Failure {
    /// Its word in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
}

/// Opens connections to a unix socket, whatever the URI.
#[derive(Clone)]
struct SocketConnector {
    path: PathBuf,
}

/// A connection to a unix socket.
struct SocketStream(TokioIo<UnixStream>);

impl Service<Uri> for SocketConnector {
    type Response = SocketStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<SocketStream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.path.clone();
        Box::pin(async move { Ok(SocketStream(TokioIo::new(UnixStream::connect(path).await?))) })
    }
}

impl Connection for SocketStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for SocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for SocketStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_says_in_seconds_or_as_a_date_when_to_come_again() {
        let read = |text: &str| retry_after(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        for text in ["", "-1", "soon", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(read(text), None, "{text}");
        }
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        let time = read(&date).unwrap();
        assert!(time > Duration::from_secs(50) && time <= Duration::from_secs(60), "{time:?}");
    }
}
