//! The range of a number that an operator may set, its default, and the reason for both.
//! It never knows which key it belongs to.

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;
pub(super) const SECOND_MS: u64 = 1000;
pub(super) const MINUTE_MS: u64 = 60 * SECOND_MS;
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;

/// The value of a bounded key that no source sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This number.
    Exactly(u64),
    /// This number; the word `"auto"` is also allowed.
    Adjustable(u64),
    /// The word `"auto"`: the value depends on something else, which the key names.
    Auto,
    /// No value. The number is an example for `ringway defaults`.
    Absent(u64),
}

/// The allowed range of a number, its default, and the reason for them.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The smallest allowed value, in bytes, milliseconds or a count, as the key says.
    pub least: u64,
    /// The largest allowed value.
    pub most: u64,
    /// The value if no source sets the key.
    pub default: Preset,
    /// The reason for the default and the ends; a sentence for operators.
    pub reason: &'static str,
}

impl Bound {
    /// Whether the value is allowed.
    pub const fn allows(&self, value: u64) -> bool {
        self.least <= value && value <= self.most
    }

    /// Whether the word `"auto"` is allowed.
    pub const fn allows_auto(&self) -> bool {
        matches!(self.default, Preset::Adjustable(_) | Preset::Auto)
    }

    /// The default as a number; only for a bound that has one.
    pub const fn number(&self) -> u64 {
        match self.default {
            Preset::Exactly(value) | Preset::Adjustable(value) => value,
            Preset::Auto | Preset::Absent(_) => panic!("the default of this bound is not a number"),
        }
    }
}

/// A range with a number as its default.
pub(super) const fn bound(least: u64, default: u64, most: u64, reason: &'static str) -> Bound {
    assert!(least <= default && default <= most);
    Bound { least, most, default: Preset::Exactly(default), reason }
}

/// A range with a fixed default; `"auto"` leaves the choice to the kernel.
pub(super) const fn adjustable(least: u64, default: u64, most: u64, reason: &'static str) -> Bound {
    assert!(least <= default && default <= most);
    Bound { least, most, default: Preset::Adjustable(default), reason }
}

/// A range with `"auto"` as its default.
pub(super) const fn automatic(least: u64, most: u64, reason: &'static str) -> Bound {
    assert!(least <= most);
    Bound { least, most, default: Preset::Auto, reason }
}

/// A range of a key that may be absent.
pub(super) const fn optional(least: u64, example: u64, most: u64, reason: &'static str) -> Bound {
    assert!(least <= example && example <= most);
    Bound { least, most, default: Preset::Absent(example), reason }
}
