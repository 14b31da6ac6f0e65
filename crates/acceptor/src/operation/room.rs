//! Room in the turn's buffer, so that what is written there cannot fail.
//!
//! It never says what is sent.

use std::collections::TryReserveError;

use super::{Operation, Operations, Outgoing, SendMark};
use crate::ConnectionId;

impl Operations {
    /// As [`Operations::send`], for at most `bytes_max` bytes: makes room for them first.
    ///
    /// # Errors
    /// There is no memory for them; nothing was written.
    #[inline]
    pub fn try_send(
        &mut self,
        connection: ConnectionId,
        mark: &mut SendMark,
        bytes_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), TryReserveError> {
        let end = self.bytes.len();
        // Most often there is room, and the connection's send is new or the last one so far. Then
        // the send is looked up once: this is the path of every small message.
        if self.bytes.capacity() - end >= bytes_max {
            match self.list.get_mut(mark.0 as usize) {
                Some(Operation::Send { connection: marked, outgoing }) if *marked == connection => {
                    if let Outgoing::Turn(range) = outgoing
                        && range.end == end
                    {
                        write(&mut self.bytes);
                        range.end = self.bytes.len();
                        return Ok(());
                    }
                }
                _ => {
                    write(&mut self.bytes);
                    self.push_send(connection, mark, Outgoing::Turn(end..self.bytes.len()));
                    return Ok(());
                }
            }
        }
        self.try_reserve_send(connection, *mark, bytes_max)?;
        self.send(connection, mark, write);
        Ok(())
    }

    /// Makes room in the turn's buffer for `additional` bytes, so that writing them cannot fail.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), TryReserveError> {
        self.bytes.try_reserve(additional)
    }

    /// Makes room for `additional` bytes more of the connection's send of this turn, so that
    /// writing or staging them cannot fail. The bytes that it sends already may have to be moved in
    /// front of them.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn try_reserve_send(
        &mut self,
        connection: ConnectionId,
        mark: SendMark,
        additional: usize,
    ) -> Result<(), TryReserveError> {
        let moved = match self.marked(connection, mark) {
            None => 0,
            Some(Outgoing::Turn(range)) if range.end == self.bytes.len() => 0,
            Some(Outgoing::Turn(range)) => range.len(),
            Some(Outgoing::Shared(_) | Outgoing::Pieces(_)) => 0,
            Some(Outgoing::Owned { .. }) => {
                let Operation::Send { outgoing: Outgoing::Owned { bytes, .. }, .. } =
                    &mut self.list[mark.0 as usize]
                else {
                    return Ok(());
                };
                return bytes.try_reserve(additional);
            }
        };
        self.bytes.try_reserve(moved.saturating_add(additional))
    }
}
