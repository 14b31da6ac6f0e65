//! The simulated driver's receive buffers: few, lent, and poisoned when they come back.
//!
//! Invariant: each buffer is either free or taken; giving one back twice panics.

/// The content of a returned buffer, so that a later read of it shows.
pub const POISON: u8 = 0xDD;

/// A taken buffer's number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lease(u16);

#[derive(Debug)]
pub(super) struct Leases {
    buffers: Vec<Box<[u8]>>,
    taken: Vec<bool>,
    free: Vec<u16>,
    buffers_max: u16,
    buffer_bytes: usize,
}

impl Leases {
    /// A pool that allocates buffers as they are first needed.
    pub(super) fn new(buffers_max: u16, buffer_bytes: u32) -> Self {
        assert!(buffers_max > 0 && buffer_bytes > 0, "nothing can be received without buffers");
        Self {
            buffers: Vec::new(),
            taken: Vec::new(),
            free: Vec::new(),
            buffers_max,
            buffer_bytes: buffer_bytes as usize,
        }
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.buffers.len() - self.free.len()
    }

    /// A free buffer with `bytes` in it; `None` when all are taken.
    pub(super) fn fill(&mut self, bytes: impl Iterator<Item = u8>) -> Option<Lease> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.buffers.len() < usize::from(self.buffers_max) => {
                self.buffers.push(vec![POISON; self.buffer_bytes].into_boxed_slice());
                self.taken.push(false);
                (self.buffers.len() - 1) as u16
            }
            None => return None,
        };
        self.taken[usize::from(number)] = true;
        let buffer = &mut self.buffers[usize::from(number)];
        buffer.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        Some(Lease(number))
    }

    pub(super) fn lend(&mut self, lease: &Lease, length: usize) -> &mut [u8] {
        &mut self.buffers[usize::from(lease.0)][..length]
    }

    pub(super) fn give_back(&mut self, lease: Lease) {
        let number = usize::from(lease.0);
        assert!(std::mem::take(&mut self.taken[number]), "a lease was given back twice");
        self.buffers[number].fill(POISON);
        self.free.push(lease.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_bounded_and_poisoned() {
        let mut leases = Leases::new(2, 4);
        let one = leases.fill([1, 2].into_iter()).unwrap();
        let two = leases.fill([3].into_iter()).unwrap();
        assert_eq!(leases.fill([4].into_iter()), None);
        assert_eq!(leases.lend(&one, 2), [1, 2]);
        leases.give_back(one);
        leases.give_back(two);
        assert_eq!(leases.taken(), 0);
        let again = leases.fill([9].into_iter()).unwrap();
        assert_eq!(leases.lend(&again, 4), [9, POISON, POISON, POISON]);
    }
}
