//! The bounds of connections from the gateway to servers behind it.

use super::MIB;

/// Bytes that a relay keeps for one side before it resets both connections. A slow reader pauses
/// the other side. The pause takes effect within three turns, and a turn brings at most what the
/// core's receive buffers hold; as much may have arrived before the upstream was connected. So this
/// bound is exceeded only if a pause has no effect.
pub const RELAY_KEPT_BYTES_MAX: usize = 32 * MIB as usize;
