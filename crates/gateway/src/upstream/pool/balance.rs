//! Chooses among the servers that may get a connection. It decides nothing about health.

use std::time::Duration;

use crate::{
    config::balance::Balance,
    upstream::pool::{endpoint::Endpoint, servers::Policy},
};

/// The slot of the chosen server among `candidates`, which is empty only if none is allowed.
pub(super) fn choose<A>(
    endpoints: &mut [Option<Endpoint<A>>],
    candidates: &[u32],
    policy: &Policy,
    key: u64,
    turn: usize,
    now: Duration,
) -> Option<u32> {
    match policy.balance {
        Balance::RoundRobin => round_robin(endpoints, candidates, policy, now),
        Balance::LeastConnections => least_connections(endpoints, candidates, policy, turn, now),
        Balance::Hash(_) => rendezvous(endpoints, candidates, policy, key, now),
    }
}

fn at<A>(endpoints: &[Option<Endpoint<A>>], slot: u32) -> &Endpoint<A> {
    endpoints[slot as usize].as_ref().expect("a candidate is in its slot")
}

/// Smooth weighted round robin: each candidate saves its share, and the richest one pays for all.
fn round_robin<A>(
    endpoints: &mut [Option<Endpoint<A>>],
    candidates: &[u32],
    policy: &Policy,
    now: Duration,
) -> Option<u32> {
    let mut total = 0;
    for &slot in candidates {
        let endpoint = endpoints[slot as usize].as_mut().expect("a candidate is in its slot");
        let share = endpoint.share(policy, now) as i64;
        endpoint.credit += share;
        total += share;
    }
    // Of several that are equal, the first.
    let richest =
        candidates.iter().copied().rev().max_by_key(|&slot| at(endpoints, slot).credit)?;
    let endpoint = endpoints[richest as usize].as_mut().expect("a candidate is in its slot");
    endpoint.credit -= total;
    Some(richest)
}

fn least_connections<A>(
    endpoints: &[Option<Endpoint<A>>],
    candidates: &[u32],
    policy: &Policy,
    turn: usize,
    now: Duration,
) -> Option<u32> {
    // Those that are equal take turns.
    let (after, before) = candidates.split_at(turn.checked_rem(candidates.len())?);
    let load = |slot: u32| {
        let endpoint = at(endpoints, slot);
        (u128::from(endpoint.connections) + 1, u128::from(endpoint.share(policy, now)))
    };
    before.iter().chain(after).copied().min_by(|&left, &right| {
        let ((left, left_share), (right, right_share)) = (load(left), load(right));
        (left * right_share).cmp(&(right * left_share))
    })
}

/// Weighted rendezvous hashing: a key moves only if its own server goes, or to one that comes or
/// grows.
fn rendezvous<A>(
    endpoints: &[Option<Endpoint<A>>],
    candidates: &[u32],
    policy: &Policy,
    key: u64,
    now: Duration,
) -> Option<u32> {
    let score = |slot: u32| {
        let endpoint = at(endpoints, slot);
        // From 0 to 1, neither of them included.
        let draw = ((mix(key ^ endpoint.hash) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        endpoint.share(policy, now) as f64 / -draw.ln()
    };
    candidates.iter().copied().max_by(|&left, &right| score(left).total_cmp(&score(right)))
}

/// The hash of a key, the same in each process: FNV-1a, mixed.
pub fn hash(key: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let folded =
        key.iter().fold(OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    mix(folded)
}

/// SplitMix64's finalizer: every bit of the input changes half of the output's.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
