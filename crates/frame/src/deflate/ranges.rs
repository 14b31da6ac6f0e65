//! The three numbers that configure a deflate context, each a type that can hold only its legal
//! range.
//!
//! Never sets a default for a connection: the policy chooses.

/// The base-2 logarithm of an LZ77 window: 8 to 15 (RFC 7692 §7.1.2).
///
/// ```
/// use ringway_frame::deflate::WindowBits;
/// assert_eq!(WindowBits::new(15), Some(WindowBits::MAX));
/// assert_eq!(WindowBits::new(16), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// A window of 256 bytes.
    pub const MIN: Self = Self(8);
    /// A window of 32 KiB, which is the default if none is stated.
    pub const MAX: Self = Self(15);

    /// Returns `None` outside 8 to 15.
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            8..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The logarithm itself.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// How hard to look for matches: 0 stores, 1 is fastest, 9 gives the smallest output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// The fastest level that compresses.
    pub const FASTEST: Self = Self(1);

    /// Returns `None` above 9.
    pub const fn new(level: u8) -> Option<Self> {
        match level {
            0..=9 => Some(Self(level)),
            _ => None,
        }
    }

    /// The level itself.
    pub const fn level(self) -> u8 {
        self.0
    }
}

/// How much memory a compressor gets besides its window: 1 to 9.
///
/// Level m buffers 2^(m+6) symbols, in 7 * 2^(m+6) bytes, before it ends a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoryLevel(u8);

impl MemoryLevel {
    /// 112 KiB, zlib's own default.
    pub const USUAL: Self = Self(8);

    /// Returns `None` outside 1 to 9.
    pub const fn new(level: u8) -> Option<Self> {
        match level {
            1..=9 => Some(Self(level)),
            _ => None,
        }
    }

    /// The level itself.
    pub const fn level(self) -> u8 {
        self.0
    }
}
