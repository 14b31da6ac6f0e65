//! The sequences of one key's events, in order. Never knows the key.

use std::collections::VecDeque;

use crate::cursor::Sequence;

/// At least one sequence, ascending. Most recipients have only one event in the log, and an
/// allocation for it would be half of the index's memory.
#[derive(Debug)]
pub(crate) enum Postings {
    One(Sequence),
    Many(VecDeque<Sequence>),
}

/// What remains after a removal from the front.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Some,
    Nothing,
}

const MANY_MIN: usize = 4;

impl Postings {
    /// Appends; `sequence` is greater than any before it.
    pub(crate) fn push(&mut self, sequence: Sequence) {
        match self {
            Self::One(first) => {
                let mut many = VecDeque::with_capacity(MANY_MIN);
                many.extend([*first, sequence]);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.push_back(sequence),
        }
    }

    pub(crate) fn newest(&self) -> Sequence {
        match self {
            Self::One(only) => *only,
            Self::Many(many) => many.back().copied().unwrap_or(0),
        }
    }

    /// Removes all sequences up to `end`.
    pub(crate) fn remove_through(&mut self, end: Sequence) -> Left {
        match self {
            Self::One(only) if *only <= end => return Left::Nothing,
            Self::One(_) => {}
            Self::Many(many) => {
                while many.front().is_some_and(|first| *first <= end) {
                    many.pop_front();
                }
                if many.is_empty() {
                    return Left::Nothing;
                }
                if many.len() * 4 < many.capacity() && many.capacity() > MANY_MIN {
                    many.shrink_to((many.len() * 2).max(MANY_MIN));
                }
            }
        }
        Left::Some
    }

    /// The sequences after `after` and up to `through`, in two runs.
    pub(crate) fn between(&self, after: Sequence, through: Sequence) -> [&[Sequence]; 2] {
        let runs = match self {
            Self::One(only) => [std::slice::from_ref(only), &[]],
            Self::Many(many) => <[_; 2]>::from(many.as_slices()),
        };
        runs.map(|run| {
            let run = &run[run.partition_point(|sequence| *sequence <= after)..];
            &run[..run.partition_point(|sequence| *sequence <= through)]
        })
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Many(many) => many.capacity() * size_of::<Sequence>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postings(sequences: impl IntoIterator<Item = Sequence>) -> Postings {
        let mut sequences = sequences.into_iter();
        let mut postings = Postings::One(sequences.next().expect("not empty"));
        sequences.for_each(|sequence| postings.push(sequence));
        postings
    }

    #[test]
    fn between_excludes_after_and_includes_through() {
        for all in [vec![5], vec![5, 7], vec![1, 5, 7, 8, 9, 100]] {
            let postings = postings(all.iter().copied());
            for after in 0..12 {
                for through in 0..12 {
                    let naive: Vec<_> =
                        all.iter().copied().filter(|s| (after + 1..=through).contains(s)).collect();
                    assert_eq!(postings.between(after, through).concat(), naive);
                }
            }
        }
    }

    #[test]
    fn removed_entries_release_their_memory() {
        let mut postings = postings(1..=10_000);
        let full = postings.bytes();
        assert_eq!(postings.remove_through(9_990), Left::Some);
        assert!(postings.bytes() * 100 < full, "{} of {full}", postings.bytes());
        assert_eq!(postings.between(0, u64::MAX).concat(), (9_991..=10_000).collect::<Vec<_>>());
        assert_eq!(postings.remove_through(10_000), Left::Nothing);
    }
}
