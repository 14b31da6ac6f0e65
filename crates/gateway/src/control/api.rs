//! The private API: whether the gateway lives, whether it is ready, and what it counts.
//!
//! It listens on an address of its own and is never reachable from the edge listener.

use std::{fmt::Write, future::Future, sync::Arc};

use axum::{
    Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get,
};
use tokio::net::TcpListener;
use tracing::error;

use crate::{
    metrics::{CoreMetrics, Counter},
    server::Running,
};

/// Serves the API until it is dropped.
///
/// # Errors
/// The socket cannot be handed to the runtime.
pub fn serve(running: Arc<Running>) -> anyhow::Result<impl Future<Output = ()>> {
    let socket = running.api.try_clone()?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(running);
    Ok(async move {
        if let Err(error) = axum::serve(listener, router).await {
            error!("the private API has ended: {error}");
        }
    })
}

/// Not ready while clients are told to leave: a load balancer sends no more of them.
async fn ready(State(running): State<Arc<Running>>) -> (StatusCode, &'static str) {
    if running.orders.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(running): State<Arc<Running>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], exposition(&running))
}

/// A metric's name, its kind, its help, and where it is counted.
type Row = (&'static str, &'static str, &'static str, fn(&CoreMetrics) -> &Counter);

const ROWS: [Row; 7] = [
    ("ringway_connections", "gauge", "Connections held.", |core| &core.connections),
    ("ringway_accepted_total", "counter", "Connections accepted.", |core| &core.accepted),
    ("ringway_refused_total", "counter", "Clients turned away.", |core| &core.refused),
    ("ringway_received_bytes_total", "counter", "Bytes received.", |core| &core.received_bytes),
    ("ringway_short_sends_total", "counter", "Sends that a socket did not take whole.", |core| {
        &core.short_sends
    }),
    ("ringway_buffer_shortages_total", "counter", "Receives that found no buffer.", |core| {
        &core.buffer_shortages
    }),
    ("ringway_turns_total", "counter", "Turns of the event loops.", |core| &core.turns),
];

/// The Prometheus text format, merged over the cores.
fn exposition(running: &Running) -> String {
    let mut text = String::new();
    let engine = &running.engine;
    let _ = write!(
        text,
        "# HELP ringway_engine The I/O engine that runs, as a label.\n\
         # TYPE ringway_engine gauge\nringway_engine{{engine=\"{engine}\"}} 1\n"
    );
    for (name, kind, help, of) in ROWS {
        let sum: u64 = running.metrics.iter().map(|core| of(core).value()).sum();
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {sum}\n");
    }
    text
}
