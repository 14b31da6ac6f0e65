//! Encoded large events: each is encoded once for all clients of a core, and kept for as long as a
//! send or a backlog holds it.
//!
//! Without this, each client that does not read would make the gateway keep a copy of its own. It
//! never sends anything, and never decides which clients share what.

use crate::memory::{self, OutOfMemory, make_room};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    collections::hash_map::Entry,
    time::Duration,
};

use bytes::Bytes;
use ringway_hub::{Event, Sequence};

use crate::{
    encoding::{Encoding, SharedDeflate, bytes_max, scratch::Scratch},
    limits::LARGE_EVENT_BYTES,
};

/// The longest time between checks whether encoded events are still in use.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The first and the last event, and their encoding.
type Key = (Sequence, Sequence, Encoding);

/// The large events that a core has encoded.
#[derive(Debug, Default)]
pub struct LargeEvents {
    encoded: RefCell<HashMap<Key, Bytes>>,
    bytes: Cell<usize>,
    /// The bytes counted in the core's account of memory.
    counted: u32,
}

/// Whether an event of this many bytes is shared.
pub fn is_large(bytes: usize) -> bool {
    bytes >= LARGE_EVENT_BYTES
}

impl LargeEvents {
    /// An event in this encoding.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    pub fn event(&self, event: &Event, encoding: Encoding) -> Result<Bytes, OutOfMemory> {
        // If it was not compressed when it was appended, it is sent uncompressed.
        let encoding = match (encoding, encoding.kept(event)) {
            (Encoding::Deflated, None) => Encoding::Text,
            _ => encoding,
        };
        let key = (event.sequence(), event.sequence(), encoding);
        self.run(key, || bytes_max(event, encoding), |out| encoding.write(event, out))
    }

    /// An event compressed for all clients that share it, if that was not done when it was
    /// appended.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    pub fn compressed(
        &self,
        event: &Event,
        deflate: SharedDeflate,
        scratch: &mut Scratch,
    ) -> Result<Bytes, OutOfMemory> {
        let key = (event.sequence(), event.sequence(), Encoding::Deflated);
        let known = self.encoded.borrow().get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let compressed = deflate.frame(event.text(), scratch).ok_or(OutOfMemory)?;
        scratch.count_compressed(event.text().len());
        self.run(key, || compressed.len(), |out| out.extend_from_slice(&compressed))
    }

    /// The JSON object of an event.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    pub fn object(&self, event: &Event) -> Result<Bytes, OutOfMemory> {
        let frame = self.event(event, Encoding::Text)?;
        Ok(frame.slice(frame.len() - event.text().len()..))
    }

    /// Successive events in an encoding. If they are not encoded yet, `write` appends them; they
    /// take at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    pub fn run(
        &self,
        key: Key,
        bytes_max: impl FnOnce() -> usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Bytes, OutOfMemory> {
        match self.encoded.borrow_mut().entry(key) {
            Entry::Occupied(entry) => Ok(entry.get().clone()),
            Entry::Vacant(entry) => {
                let mut encoded = Vec::new();
                make_room(&mut encoded, bytes_max())?;
                write(&mut encoded);
                // Some encodings may be several times longer than most events need.
                if encoded.capacity() / 2 > encoded.len()
                    && let Ok(exact) = memory::copy(&encoded)
                {
                    encoded = exact;
                }
                self.bytes.set(self.bytes.get() + encoded.len());
                Ok(entry.insert(encoded.into()).clone())
            }
        }
    }

    /// Drops encoded events that are no longer in use. Returns the bytes that were counted before,
    /// and the bytes to count now.
    pub fn sweep(&mut self) -> (u32, u32) {
        let encoded = self.encoded.get_mut();
        if !encoded.is_empty() {
            encoded.retain(|_, bytes| !bytes.is_unique());
            self.bytes.set(encoded.values().map(Bytes::len).sum());
            if encoded.is_empty() {
                // Frees the table's memory, too.
                *encoded = HashMap::new();
            }
        }
        let now = u32::try_from(self.bytes.get()).unwrap_or(u32::MAX);
        (std::mem::replace(&mut self.counted, now), now)
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.bytes.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use ringway_hub::{Cursor, Draft};

    use super::*;
    use crate::encoding::event::sample;

    fn event(number: Sequence) -> Event {
        sample(number, || Draft::new("0".repeat(Cursor::TEXT_BYTES) + "<>", 0))
    }

    #[test]
    fn an_event_is_encoded_once_while_its_encoding_is_held() {
        let (mut large, event) = (LargeEvents::default(), event(7));
        let first = large.event(&event, Encoding::Text).unwrap();
        let object = large.object(&event).unwrap();
        assert_eq!(&object[..], event.text().as_bytes());
        assert_eq!(first.as_ptr_range().end, object.as_ptr_range().end, "one buffer for both");
        let plain = large.event(&event, Encoding::Deflated).unwrap();
        assert_eq!(plain.as_ptr(), first.as_ptr(), "nobody has compressed it");
        event.encode(0, |_| Some(Box::from(&b"shorter"[..])));
        assert_eq!(&large.event(&event, Encoding::Deflated).unwrap()[..], b"shorter");
        let length = first.len() as u32;
        assert_eq!(large.sweep(), (0, length));
        drop((first, plain));
        assert_eq!(large.sweep(), (length, length), "a part holds all of it");
        drop(object);
        assert_eq!(large.sweep(), (length, 0));
        assert!(large.is_empty());
    }

    #[test]
    fn each_encoding_and_each_event_is_counted() {
        let (mut large, one, next) = (LargeEvents::default(), event(7), event(8));
        let held = [
            large.event(&one, Encoding::Text).unwrap(),
            large.event(&next, Encoding::Text).unwrap(),
            large.event(&one, Encoding::Script).unwrap(),
        ];
        let sum = held.iter().map(Bytes::len).sum::<usize>() as u32;
        assert_eq!(large.sweep(), (0, sum));
    }

    #[test]
    fn an_allocation_that_cannot_succeed_is_refused() {
        let large = LargeEvents::default();
        let key = (1, 1, Encoding::Line);
        assert_eq!(large.run(key, || isize::MAX as usize, |_| ()).unwrap_err(), OutOfMemory);
        assert!(large.is_empty());
    }
}
