//! A set of a core's connections, mostly of one. Never knows what they have in common.

use std::collections::{BTreeSet, btree_set};
use std::iter::Copied;

/// Slots, ascending. A single slot needs no memory besides the 16 bytes.
#[derive(Debug, Default)]
pub(crate) enum Slots {
    #[default]
    None,
    One(u32),
    /// At least one slot.
    #[expect(clippy::box_collection, reason = "a set of its own size would make all three larger")]
    Many(Box<BTreeSet<u32>>),
}

const _: () = assert!(size_of::<Slots>() == 16);

impl Slots {
    pub(crate) fn insert(&mut self, slot: u32) {
        match self {
            Self::None => *self = Self::One(slot),
            Self::One(only) if *only == slot => {}
            Self::One(only) => *self = Self::Many(Box::new(BTreeSet::from([*only, slot]))),
            Self::Many(many) => {
                many.insert(slot);
            }
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        match self {
            Self::One(only) if *only == slot => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Many(many) => {
                many.remove(&slot);
                if many.len() <= 1 {
                    *self = many.first().map_or(Self::None, |only| Self::One(*only));
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The slots from `slot` on.
    pub(crate) fn from(&self, slot: u32) -> From<'_> {
        match self {
            Self::None => From::One(None),
            Self::One(only) => From::One(Some(*only).filter(|only| *only >= slot)),
            Self::Many(many) => From::Many(many.range(slot..).copied()),
        }
    }
}

/// An ascending run of slots.
#[derive(Debug)]
pub(crate) enum From<'s> {
    One(Option<u32>),
    Many(Copied<btree_set::Range<'s, u32>>),
}

impl Iterator for From<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Self::One(one) => one.take(),
            Self::Many(many) => many.next(),
        }
    }
}
