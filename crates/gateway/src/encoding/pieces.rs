//! Text that contains large events, which are shared and not copied.
//!
//! It never looks into the text or the events.

use bytes::Bytes;
use ringway_hub::Event;

use crate::{
    encoding::frame_bytes,
    encoding::large_events::{LargeEvents, is_large},
    memory::{OutOfMemory, append},
};

/// Text, and the large events in it.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The text.
    pub text: Vec<u8>,
    /// The position in the text of each large event, in order.
    large: Vec<(usize, Bytes)>,
}

impl Pieces {
    /// Text that has no large events yet.
    pub fn new(text: Vec<u8>) -> Self {
        Self { text, large: Vec::new() }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.large.is_empty()
    }

    /// The total number of bytes.
    pub fn len(&self) -> usize {
        self.text.len() + self.large_bytes()
    }

    /// Bytes of the large events.
    pub fn large_bytes(&self) -> usize {
        self.large.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Appends the JSON object of an event.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was appended.
    pub fn object(&mut self, event: &Event, large: &LargeEvents) -> Result<(), OutOfMemory> {
        if !is_large(frame_bytes(event)) {
            return append(&mut self.text, event.text().as_bytes());
        }
        self.large.push((self.text.len(), large.object(event)?));
        Ok(())
    }

    /// Appends other pieces.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was appended.
    pub fn append(&mut self, other: Self) -> Result<(), OutOfMemory> {
        let start = self.text.len();
        append(&mut self.text, &other.text)?;
        self.large.extend(other.large.into_iter().map(|(at, bytes)| (start + at, bytes)));
        Ok(())
    }

    /// Drops everything after the first `text` bytes of text and the first `large` events.
    pub fn truncate(&mut self, text: usize, large: usize) {
        self.text.truncate(text);
        self.large.truncate(large);
    }

    /// The number of large events.
    pub fn large_events(&self) -> usize {
        self.large.len()
    }

    /// The text before the first large event.
    pub fn beginning(&self) -> &[u8] {
        &self.text[..self.end_of_text(0)]
    }

    /// Each large event, with the text that follows it.
    pub fn rest(&self) -> impl Iterator<Item = (&Bytes, &[u8])> {
        let large = self.large.iter().enumerate();
        large.map(|(index, (at, bytes))| (bytes, &self.text[*at..self.end_of_text(index + 1)]))
    }

    /// The end of the text that precedes a large event.
    fn end_of_text(&self, index: usize) -> usize {
        self.large.get(index).map_or(self.text.len(), |(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &Pieces) -> String {
        let rest = pieces.rest().flat_map(|(large, text)| [&large[..], text]);
        let all = [pieces.beginning()].into_iter().chain(rest).collect::<Vec<_>>().concat();
        assert_eq!(all.len(), pieces.len());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn large_events_keep_their_position() {
        let mut pieces = Pieces::new(b"a,".to_vec());
        assert_eq!(written(&pieces), "a,");
        pieces.large.push((2, Bytes::from_static(b"LARGE")));
        let mut other = Pieces::new(b",b,".to_vec());
        other.large.push((3, Bytes::from_static(b"OTHER")));
        pieces.append(other).unwrap();
        assert_eq!(written(&pieces), "a,LARGE,b,OTHER");
        assert_eq!((pieces.large_events(), pieces.large_bytes()), (2, 10));
        pieces.text.extend_from_slice(b",c");
        assert_eq!(written(&pieces), "a,LARGE,b,OTHER,c");
        pieces.truncate(3, 1);
        assert_eq!(written(&pieces), "a,LARGE,");
        assert!(!pieces.is_empty() && Pieces::default().is_empty());
    }
}
