//! Requests that wait until a server has room: the first that came is served first, for a bounded
//! time and up to a bounded number. It never looks at a server.

use std::{collections::VecDeque, time::Duration};

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter<T> {
    /// Names it for its owner.
    pub token: T,
    /// Decides its server, if the pool hashes.
    pub key: u64,
    /// When it gives up.
    pub until: Duration,
}

/// Why a request does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull;

/// The requests that wait for one pool.
#[derive(Debug)]
pub struct Waiting<T> {
    queue: VecDeque<Waiter<T>>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

impl<T: Copy + PartialEq> Waiting<T> {
    /// Requests that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a request at the end.
    ///
    /// # Errors
    /// `most` requests wait already.
    pub fn push(&mut self, waiter: Waiter<T>, most: usize) -> Result<(), QueueFull> {
        if self.queue.len() >= most {
            return Err(QueueFull);
        }
        self.queue.push_back(waiter);
        Ok(())
    }

    /// The request that came first.
    pub fn first(&self) -> Option<Waiter<T>> {
        self.queue.front().copied()
    }

    /// Takes the request that came first.
    pub fn pop(&mut self) -> Option<Waiter<T>> {
        self.queue.pop_front()
    }

    /// Removes a request whose client has gone.
    pub fn remove(&mut self, token: T) {
        self.queue.retain(|waiter| waiter.token != token);
    }

    /// Takes a request that has waited too long; the time is the same for all, so it is the first.
    pub fn expire(&mut self, now: Duration) -> Option<T> {
        self.queue.pop_front_if(|waiter| waiter.until <= now).map(|waiter| waiter.token)
    }

    /// When the first request gives up.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.queue.front().map(|waiter| waiter.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn requests_wait_in_order_for_a_bounded_time_and_number() {
        let mut waiting = Waiting::default();
        for token in 0..3u64 {
            let waiter = Waiter { token, key: 0, until: SECOND * (token as u32 + 1) };
            assert_eq!(waiting.push(waiter, 3), Ok(()));
        }
        assert_eq!(waiting.push(Waiter { token: 3, key: 0, until: 4 * SECOND }, 3), Err(QueueFull));
        waiting.remove(1);
        assert_eq!(waiting.next_deadline(), Some(SECOND));
        assert_eq!(waiting.expire(SECOND - Duration::from_millis(1)), None);
        assert_eq!(waiting.expire(SECOND), Some(0));
        assert_eq!(waiting.expire(SECOND), None);
        assert_eq!(waiting.first().map(|waiter| waiter.token), Some(2));
        assert_eq!(waiting.pop().map(|waiter| waiter.token), Some(2));
        assert!(waiting.is_empty());
    }
}
