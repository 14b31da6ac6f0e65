//! Collects a request head, however its bytes arrive.
//!
//! It holds the partial head, and nothing between two requests. It never parses the bytes.

use std::borrow::Cow;

use crate::{
    HttpError, grow,
    head::HeadLimits,
    scan::{Found, Illegal, Scan},
};

/// Collects one head after another.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// The head so far, if it did not arrive in one piece.
    partial: Vec<u8>,
    count: u32,
    scan: Scan,
}

/// RFC 9110 §2.5: a request of a later minor version is served as the highest version that is
/// known.
fn lower_version(head: &mut [u8]) {
    let end = head.iter().position(|&byte| byte == b'\r').unwrap_or(0);
    if let Some(b" HTTP/1.") = head.get(end.saturating_sub(9)..end.saturating_sub(1))
        && matches!(head[end - 1], b'2'..=b'9')
    {
        head[end - 1] = b'1';
    }
}

impl HeadReader {
    /// Whether no byte of a request has arrived.
    pub fn is_before(&self) -> bool {
        self.scan.is_before() && self.partial.is_empty()
    }

    /// Bytes of memory held.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// The number of whole heads so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Sets the count to its maximum, so that the next head is treated as the last.
    pub fn end_count(&mut self) {
        self.count = u32::MAX;
    }

    /// Takes a whole head from the front of `input`; `None` if all of `input` was taken and more is
    /// needed.
    ///
    /// # Errors
    /// The bytes are not a valid head, or exceed the limits.
    pub fn read<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        limits: &HeadLimits,
    ) -> Result<Option<Cow<'i, [u8]>>, HttpError> {
        if self.partial.is_empty() && self.pass_empty_lines(input).is_err() {
            return Err(HttpError::Malformed);
        }
        // Bytes past the bound are not judged: the answer must not depend on how the bytes arrive.
        let room = limits.bytes_max - self.partial.len();
        let within = &input[..input.len().min(room)];
        let taken = match self.scan.advance(within) {
            Err(Illegal) => return Err(HttpError::Malformed),
            Ok(Found::More) if input.len() > room => return Err(self.oversize(within, limits)),
            Ok(Found::More) => {
                grow::append(&mut self.partial, input)?;
                *input = &mut [];
                return Ok(None);
            }
            Ok(Found::End(length)) => length,
        };
        let (bytes, rest) = std::mem::take(input).split_at_mut(taken);
        *input = rest;
        self.count = self.count.saturating_add(1);
        if self.partial.is_empty() {
            lower_version(bytes);
            return Ok(Some(Cow::Borrowed(bytes)));
        }
        self.partial.extend_from_slice(bytes);
        lower_version(&mut self.partial);
        // The buffer is taken, so that an idle connection keeps none.
        Ok(Some(Cow::Owned(std::mem::take(&mut self.partial))))
    }

    /// RFC 9112 §2.2: empty lines before a request are not part of it.
    fn pass_empty_lines(&mut self, input: &mut &mut [u8]) -> Result<(), Illegal> {
        let empty = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (lines, rest) = std::mem::take(input).split_at_mut(empty);
        *input = rest;
        self.scan.advance(lines).map(|_| ())
    }

    /// Whether a head exceeds the limit because of its target or because of its fields.
    fn oversize(&self, bytes: &[u8], limits: &HeadLimits) -> HttpError {
        let line_bytes_max = limits.target_bytes_max + "OPTIONS  HTTP/1.1".len();
        let mut head = self.partial.iter().chain(bytes);
        if head.position(|&byte| byte == b'\r').is_none_or(|line| line > line_bytes_max) {
            HttpError::TargetTooLong
        } else {
            HttpError::HeadTooLarge
        }
    }
}
