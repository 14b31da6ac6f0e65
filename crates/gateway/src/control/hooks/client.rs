//! An HTTP client for one application, with a pool of connections: to a host by http or https, or to a
//! unix socket. It follows no redirect, and reads a bounded part of an answer.

use std::{
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use axum::http::{Request, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
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

use crate::{config::Hook, hooks::Failure, limits::HOOK_ANSWER_BYTES_MAX};

/// How long a connection to an application is kept without a request; most servers keep it for longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

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

    /// Posts a question; returns the status and the body.
    pub async fn post(&self, body: Vec<u8>) -> Result<(u16, Bytes), Failure> {
        let request = Request::post(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::new(body.into()))
            .map_err(|_| Failure::Connect)?;
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
        let body = Limited::new(body, HOOK_ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Failure::TooLarge,
            false => Failure::Broken,
        })?;
        Ok((head.status.as_u16(), body.to_bytes()))
    }
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
