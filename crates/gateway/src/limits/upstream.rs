//! The bounds of connections that the gateway makes to servers behind it.

use super::MIB;

/// Bytes that a relay keeps for one side before it resets both connections. A reader that falls
/// behind pauses the other side, which takes effect within three turns, and a turn brings at most
/// what the core has receive buffers for; as much may have come before the upstream was connected.
/// So this is passed only when a pause has no effect.
pub const RELAY_KEPT_BYTES_MAX: usize = 32 * MIB as usize;
