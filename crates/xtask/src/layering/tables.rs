//! The layers of the gateway.

use super::Layers;

/// The gateway's modules, lowest first.
pub const GATEWAY: Layers<'static> = Layers {
    root: "crates/gateway/src/lib.rs",
    order: &[
        "limits",
        "memory",
        "config",
        "rates",
        "refusal",
        "metrics",
        "log",
        "encoding",
        "outbox",
        "auth",
        "hooks",
        "notifications",
        "broker",
        "session",
        "subprotocol",
        "transport",
        "upstream",
        "edge",
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
