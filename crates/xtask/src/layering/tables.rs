//! The layers of the gateway, and the exceptions that are not mended yet. Never add to an exception.

use super::{KnownCycles, Layers};

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
        "process",
        "control",
    ],
    unplaced: &[],
    upward: &[],
};

/// Modules whose cycles are known and not mended yet, by root file.
pub const KNOWN_CYCLES: &KnownCycles = &[(
    "crates/hub/src/lib.rs",
    &["dropped", "log", "reader", "event", "segment", "segment_size", "index"],
)];
