//! The layers of the gateway.

use super::Layers;

/// The gateway's modules, lowest first.
pub const GATEWAY: Layers<'static> = Layers {
    root: "crates/gateway/src/lib.rs",
    order: &[
        "limits",
        "memory",
        "config",
        "refusal",
        "metrics",
        "log",
        "encoding",
        "outbox",
        "auth",
        "broker",
        "session",
        "subprotocol",
        "transport",
        "edge",
        "upstream",
        "connection",
        "core",
        "doctor",
        "tokens",
        "process",
        "control",
    ],
    unplaced: &[],
    upward: &[],
};
