//! Gathering a request head, however its bytes arrive.
//!
//! It holds the head so far and nothing between two requests. It never parses what it gathers.

use std::borrow::Cow;

use crate::{
    HttpError, grow,
    head::HeadLimits,
    scan::{Found, Illegal, Scan},
};

/// Gathers one head after the other.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// The head so far, where it did not come whole.
    partial: Vec<u8>,
    count: u32,
    scan: Scan,
}

/// RFC 9110 §2.5: a request of a later minor version is served as one of the latest that is known.
fn lower_version(head: &mut [u8]) {
    let end = head.iter().position(|&byte| byte == b'\r').unwrap_or(0);
    if let Some(b" HTTP/1.") = head.get(end.saturating_sub(9)..end.saturating_sub(1))
        && matches!(head[end - 1], b'2'..=b'9')
    {
        head[end - 1] = b'1';
    }
}

impl HeadReader {
    /// Whether no byte of a request has come.
    pub fn is_before(&self) -> bool {
        self.scan.is_before() && self.partial.is_empty()
    }

    /// Bytes of memory that it takes.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Whole heads so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Counts as if no more heads could be counted: the next one is the last.
    pub fn end_count(&mut self) {
        self.count = u32::MAX;
    }

    /// Takes a whole head from the front of `input`; `None`: all of `input` was taken, and more is
    /// needed.
    ///
    /// # Errors
    /// The bytes are not a head, or are more than a head may have.
    pub fn read<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        limits: &HeadLimits,
    ) -> Result<Option<Cow<'i, [u8]>>, HttpError> {
        if self.partial.is_empty() && self.pass_empty_lines(input).is_err() {
            return Err(HttpError::Malformed);
        }
        // What is past the bound is not judged: the answer must not depend on how bytes arrive.
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
        // Taken, so that an idle connection keeps no buffer.
        Ok(Some(Cow::Owned(std::mem::take(&mut self.partial))))
    }

    /// RFC 9112 §2.2: empty lines before a request are no part of it.
    fn pass_empty_lines(&mut self, input: &mut &mut [u8]) -> Result<(), Illegal> {
        let empty = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (lines, rest) = std::mem::take(input).split_at_mut(empty);
        *input = rest;
        self.scan.advance(lines).map(|_| ())
    }

    /// A head that is too large is so by its target, or by its fields.
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
