//! Closes the clients that hold the most memory when the budget is exceeded.
//!
//! Each core frees a share that is proportional to what it holds; it never looks at another core's
//! clients.

use std::{cmp::Reverse, time::Duration};

use ringway_acceptor::Operations;
use tracing::warn;

use crate::{connection::ClientConnection, core::shard::Shard};

/// Each core logs at most this often; the counters have the rest.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The content of the next log line.
#[derive(Debug, Default)]
pub(super) struct Relief {
    clients: u64,
    bytes: u64,
    /// The time of the last line.
    logged: Option<Duration>,
}

impl Shard {
    /// Closes the largest holders while the memory budget is exceeded.
    pub(super) fn relieve(&mut self, now: Duration, operations: &mut Operations) {
        let excess = self.core.memory.share_of_excess();
        if excess == 0 {
            return;
        }
        // A sleeping core must free its share, too.
        self.core.hub.mailbox.wake_others(self.core.hub.core, operations);
        let mut holders: Vec<(Reverse<u64>, u32)> = self
            .peers
            .iter_mut()
            .filter(|peer| peer.counted_bytes() > 0)
            .map(|peer| (Reverse(peer.burden_bytes()), peer.connection().slot()))
            .collect();
        holders.sort_unstable();
        let before = self.core.memory.held();
        // A shared buffer is freed when the last connection that holds it is closed, which shows
        // only in the next turn.
        let mut shared = 0;
        for (Reverse(burden), slot) in holders {
            if before.saturating_sub(self.core.memory.held()) + shared >= excess {
                break;
            }
            let counted = self.peers.in_slot_mut(slot).map_or(0, |peer| peer.counted_bytes());
            shared += burden - u64::from(counted);
            self.with_slot(slot, now, operations, ClientConnection::close_for_memory);
            self.relief.clients += 1;
        }
        self.relief.bytes += before.saturating_sub(self.core.memory.held());
        self.log_relief(now);
    }

    fn log_relief(&mut self, now: Duration) {
        let relief = &mut self.relief;
        if relief.logged.is_some_and(|logged| now < logged + LOG_INTERVAL) {
            return;
        }
        warn!(
            reason = "memory",
            "memory: limits.memory_bytes ({} MiB) is used up; closed the {} clients of core {} that \
             held the most, {} KiB in all",
            self.core.memory.budget().limit() >> 20,
            relief.clients,
            self.core.hub.core,
            relief.bytes >> 10,
        );
        *relief = Relief { logged: Some(now), ..Default::default() };
    }
}
