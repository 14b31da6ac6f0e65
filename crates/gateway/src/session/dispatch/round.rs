//! The slots that a core has to visit, and how far it has come in visiting them.
//!
//! Slots are visited in ascending order and again from the first one: that is a pass. It never
//! knows what a slot is to be sent.

/// How far a core has come: in this pass, all slots before `slot` have been visited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Counts the passes.
    pub pass: u64,
    /// The first slot that is not visited yet.
    pub slot: u32,
}

impl Place {
    /// The same slot in the next pass: what was to be done here has been done everywhere then.
    pub fn one_pass_on(self) -> Self {
        Self { pass: self.pass + 1, ..self }
    }
}

/// The slots to visit.
#[derive(Debug, Default)]
pub struct Round {
    /// A bit for each slot that is to be visited.
    words: Vec<u64>,
    /// The number of bits that are set.
    count: usize,
    place: Place,
}

const WORD: usize = u64::BITS as usize;

impl Round {
    /// How far it has come.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The number of slots that are to be visited.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether a slot is to be visited.
    pub fn is_marked(&self, slot: u32) -> bool {
        let word = self.words.get(slot as usize / WORD);
        word.is_some_and(|word| word & 1 << (slot as usize % WORD) != 0)
    }

    /// Whether no slot is to be visited.
    pub fn is_done(&self) -> bool {
        self.count == 0
    }

    /// Makes room for this many slots, so that marking them allocates nothing.
    pub fn cover(&mut self, slots: usize) {
        if self.words.len() * WORD < slots {
            self.words.resize(slots.div_ceil(WORD), 0);
        }
    }

    /// A slot is to be visited.
    #[inline]
    pub fn mark(&mut self, slot: u32) {
        let (word, bit) = (slot as usize / WORD, 1 << (slot as usize % WORD));
        if word >= self.words.len() {
            self.cover(slot as usize + 1);
        }
        let word = &mut self.words[word];
        self.count += usize::from(*word & bit == 0);
        *word |= bit;
    }

    /// No slot is to be visited any more.
    pub fn unmark_all(&mut self) {
        self.words.fill(0);
        self.count = 0;
    }

    /// All slots are to be visited.
    pub fn mark_all(&mut self) {
        self.words.fill(u64::MAX);
        self.count = self.words.len() * WORD;
    }

    /// Goes to the next slot that is to be visited, if there is one. It counts as visited after
    /// [`Self::leave`].
    #[inline]
    pub fn advance(&mut self) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        let slot = match self.marked_from(self.place.slot) {
            Some(slot) => slot,
            None => {
                self.place.pass += 1;
                self.marked_from(0)?
            }
        };
        self.place.slot = slot;
        Some(slot)
    }

    /// The slot where it is has been visited.
    #[inline]
    pub fn leave(&mut self) {
        let slot = self.place.slot as usize;
        self.words[slot / WORD] &= !(1 << (slot % WORD));
        self.count -= 1;
        self.place.slot += 1;
    }

    /// Begins a pass at the first slot.
    pub fn restart(&mut self) {
        self.place = Place { pass: self.place.pass + 1, slot: 0 };
    }

    #[inline]
    fn marked_from(&self, slot: u32) -> Option<u32> {
        let first = slot as usize / WORD;
        let rest = self.words.get(first)? & (u64::MAX << (slot as usize % WORD));
        let (word, bits) = if rest != 0 {
            (first, rest)
        } else {
            let next = self.words[first + 1..].iter().position(|word| *word != 0)?;
            (first + 1 + next, self.words[first + 1 + next])
        };
        Some((word * WORD) as u32 + bits.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(round: &mut Round) -> Option<u32> {
        let slot = round.advance()?;
        round.leave();
        Some(slot)
    }

    #[test]
    fn slots_are_visited_in_order_and_again_from_the_first_one() {
        let mut round = Round::default();
        [200, 3, 64, 63, 3].into_iter().for_each(|slot| round.mark(slot));
        assert_eq!([visit(&mut round), visit(&mut round)], [Some(3), Some(63)]);
        // Before, at and after the place.
        [2, 63, 64, 70].into_iter().for_each(|slot| round.mark(slot));
        let rest: Vec<u32> = std::iter::from_fn(|| visit(&mut round)).collect();
        assert_eq!(rest, [64, 70, 200, 2, 63]);
        assert_eq!(round.place(), Place { pass: 1, slot: 64 });
        assert!(round.is_done());
    }

    #[test]
    fn a_slot_that_is_marked_when_it_has_just_been_visited_comes_in_the_next_pass() {
        let mut round = Round::default();
        round.mark(127);
        assert_eq!(visit(&mut round), Some(127));
        round.mark(127);
        assert_eq!((visit(&mut round), round.place().pass), (Some(127), 1));
        round.cover(130);
        round.mark_all();
        assert_eq!(std::iter::from_fn(|| visit(&mut round)).count(), 192);
        assert_eq!(round.place(), Place { pass: 2, slot: 128 });
    }
}
