//! Splits a body into lines as it arrives.
//!
//! It keeps one unfinished line of bounded length, and does not interpret lines.

use crate::memory;

/// Splits its input at line feeds.
///
/// Invariant: `partial` holds at most `bytes_max` bytes, and nothing of a line that is too long.
#[derive(Debug)]
pub struct Lines {
    partial: Vec<u8>,
    length: Length,
    bytes_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Within,
    Beyond,
    NoMemory,
}

/// A line without its line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'l> {
    /// The line arrived in one piece.
    Borrowed(&'l [u8]),
    /// The line was joined from several pieces.
    Owned(Vec<u8>),
    /// The line exceeds the limit.
    TooLong,
    /// There was no memory for the line.
    NoMemory,
}

impl Lines {
    /// A splitter of lines with at most this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { partial: Vec::new(), length: Length::Within, bytes_max }
    }

    /// The next whole line; `None` if all of `input` is used and the line is incomplete.
    pub fn next<'l>(&mut self, input: &mut &'l [u8]) -> Option<Line<'l>> {
        let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
            self.keep(std::mem::take(input));
            return None;
        };
        let (line, rest) = input.split_at(end);
        *input = &rest[1..];
        if self.partial.is_empty() && self.length == Length::Within && line.len() <= self.bytes_max
        {
            return Some(Line::Borrowed(line));
        }
        self.keep(line);
        Some(self.take())
    }

    /// Bytes of memory that the unfinished line takes.
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// The last line, if it has no line feed.
    pub fn finish(mut self) -> Option<Line<'static>> {
        let is_there = !self.partial.is_empty() || self.length != Length::Within;
        is_there.then(|| self.take())
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.partial.len() + bytes.len() > self.bytes_max {
            self.length = Length::Beyond;
        }
        if self.length == Length::Within && memory::append(&mut self.partial, bytes).is_err() {
            self.length = Length::NoMemory;
        }
        if self.length != Length::Within {
            self.partial = Vec::new();
        }
    }

    fn take(&mut self) -> Line<'static> {
        let line = std::mem::take(&mut self.partial);
        match std::mem::replace(&mut self.length, Length::Within) {
            Length::Within => Line::Owned(line),
            Length::Beyond => Line::TooLong,
            Length::NoMemory => Line::NoMemory,
        }
    }
}

impl Line<'_> {
    /// The bytes of the line, unless it is too long.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Borrowed(bytes) => Some(bytes),
            Self::Owned(bytes) => Some(bytes),
            Self::TooLong | Self::NoMemory => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]], bytes_max: usize) -> Vec<Option<Vec<u8>>> {
        let (mut lines, mut cut) = (Lines::new(bytes_max), Vec::new());
        for mut piece in pieces.iter().copied() {
            while let Some(line) = lines.next(&mut piece) {
                cut.push(line.bytes().map(<[u8]>::to_vec));
            }
            assert!(piece.is_empty() && lines.partial.len() <= bytes_max);
        }
        cut.extend(lines.finish().map(|line| line.bytes().map(<[u8]>::to_vec)));
        cut
    }

    /// The naive twin, which gets the whole text at once.
    fn naive(text: &[u8], bytes_max: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
        if lines.last().is_some_and(|last| last.is_empty()) {
            lines.pop();
        }
        lines.into_iter().map(|line| (line.len() <= bytes_max).then(|| line.to_vec())).collect()
    }

    #[test]
    fn lines_are_bounded_exactly() {
        let line = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(cut(&[b"abc\nabcd\nab"], 3), [line("abc"), None, line("ab")]);
        assert_eq!(cut(&[b"ab", b"c\nab", b"cd\n", b"abcd"], 3), [line("abc"), None, None]);
        assert_eq!(cut(&[b"\n\r\n"], 3), [line(""), line("\r")]);
        assert_eq!(cut(&[b"", b""], 3), []);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_the_input_is_cut(
            pieces in prop::collection::vec("[ab\n]{0,6}", 0..8),
            bytes_max in 1..5_usize,
        ) {
            let text = pieces.concat();
            let pieces: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
            prop_assert_eq!(cut(&pieces, bytes_max), naive(text.as_bytes(), bytes_max));
        }
    }
}
