//! A dense table of connections: slots are reused, generations tell their occupants apart.
//!
//! It never moves an occupant to another slot, and it grows in chunks, so that growing copies
//! nothing.

use crate::ConnectionId;

/// Slots that are allocated at a time.
const CHUNK: usize = 512;

/// A table of `T` by [`ConnectionId`].
///
/// ```
/// use ringway_acceptor::slots::Slots;
/// let mut table = Slots::new(10);
/// let first = table.insert("first").unwrap();
/// table.remove(first);
/// assert_eq!(table.lookup(first), None); // a stale name finds nothing
/// ```
#[derive(Debug)]
pub struct Slots<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    free: u32,
    occupied: u32,
    touched: u32,
    max: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// Next free slot when vacant.
    next_free: u32,
    occupant: Option<T>,
}

const NONE: u32 = u32::MAX;

impl<T> Slots<T> {
    /// Bytes of memory per occupant, as long as no slot is vacant.
    pub const SLOT_BYTES: usize = size_of::<Slot<T>>();

    /// A table of at most `max` occupants. Allocates nothing yet.
    pub fn new(max: u32) -> Self {
        Self { chunks: Vec::new(), free: NONE, occupied: 0, touched: 0, max }
    }

    /// How many slots are occupied.
    pub fn len(&self) -> usize {
        self.occupied as usize
    }

    /// Whether no slot is occupied.
    pub fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Whether the table has no room for another occupant.
    pub fn is_full(&self) -> bool {
        self.occupied >= self.max
    }

    /// Puts `occupant` into a free slot, the one vacated last (its memory is warm); gives it back
    /// when the table is full.
    ///
    /// # Errors
    /// The occupant itself, when `max` slots are occupied.
    pub fn insert(&mut self, occupant: T) -> Result<ConnectionId, T> {
        if self.is_full() {
            return Err(occupant);
        }
        let slot = self.vacant();
        let entry = self.entry_mut(slot);
        entry.occupant = Some(occupant);
        let generation = entry.generation;
        self.occupied += 1;
        Ok(ConnectionId::new(slot, generation))
    }

    /// The occupant, unless the name is stale.
    #[inline]
    pub fn lookup(&self, name: ConnectionId) -> Option<&T> {
        let slot = name.slot() as usize;
        let entry = self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)?;
        if entry.generation == name.generation() { entry.occupant.as_ref() } else { None }
    }

    /// The occupant, unless the name is stale.
    #[inline]
    pub fn lookup_mut(&mut self, name: ConnectionId) -> Option<&mut T> {
        let slot = name.slot() as usize;
        let entry = self.chunks.get_mut(slot / CHUNK)?.get_mut(slot % CHUNK)?;
        if entry.generation == name.generation() { entry.occupant.as_mut() } else { None }
    }

    /// Takes the occupant out; its name is stale from now on.
    pub fn remove(&mut self, name: ConnectionId) -> Option<T> {
        self.lookup_mut(name)?;
        let free = self.free;
        let entry = self.entry_mut(name.slot());
        let occupant = entry.occupant.take();
        entry.generation = (entry.generation + 1) % ConnectionId::GENERATIONS;
        entry.next_free = free;
        self.free = name.slot();
        self.occupied -= 1;
        occupant
    }

    /// The name of a slot's occupant.
    pub fn occupant(&self, slot: u32) -> Option<ConnectionId> {
        let entry = self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?;
        entry.occupant.as_ref().map(|_| ConnectionId::new(slot, entry.generation))
    }

    /// The names of all occupants, by slot.
    pub fn names(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        (0..self.touched).filter_map(|slot| self.occupant(slot))
    }

    fn vacant(&mut self) -> u32 {
        if self.free != NONE {
            let slot = self.free;
            self.free = self.entry_mut(slot).next_free;
            return slot;
        }
        let slot = self.touched;
        if slot as usize == self.chunks.len() * CHUNK {
            let vacant = || Slot { generation: 0, next_free: NONE, occupant: None };
            self.chunks.push(std::iter::repeat_with(vacant).take(CHUNK).collect());
        }
        self.touched += 1;
        slot
    }

    fn entry_mut(&mut self, slot: u32) -> &mut Slot<T> {
        &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing_even_when_its_slot_is_reused() {
        let mut table = Slots::new(4);
        let old = table.insert('a').unwrap();
        assert_eq!(table.remove(old), Some('a'));
        let new = table.insert('b').unwrap();
        assert_eq!(new.slot(), old.slot());
        assert_eq!((table.lookup(old), table.lookup(new)), (None, Some(&'b')));
        assert_eq!(table.remove(old), None);
    }

    #[test]
    fn an_entry_over_the_limit_is_returned() {
        let mut table = Slots::new(CHUNK as u32 + 1);
        let names: Vec<_> = (0..=CHUNK).map(|n| table.insert(n).unwrap()).collect();
        assert!(table.is_full());
        assert_eq!(table.insert(999), Err(999));
        assert_eq!(table.remove(names[3]), Some(3));
        assert_eq!(table.insert(999).unwrap().slot(), 3);
    }

    #[test]
    fn wrapped_generations_are_not_confused() {
        let mut table = Slots::new(1);
        let first = table.insert(0u32).unwrap();
        table.remove(first);
        table.entry_mut(first.slot()).generation = ConnectionId::GENERATIONS - 2;
        let mut last = table.insert(1).unwrap();
        for n in 2..6 {
            table.remove(last);
            let name = table.insert(n).unwrap();
            assert_eq!((table.lookup(last), table.lookup(name)), (None, Some(&n)));
            last = name;
        }
        assert_eq!(last.generation(), 2);
        assert_eq!(table.names().collect::<Vec<_>>(), [last]);
    }
}
