//! A pool under scripted and random failures, with a clock of its own.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{config::balance::HashKey, upstream::pool::hash};

const SECOND: Duration = Duration::from_secs(1);

fn policy(balance: Balance) -> Policy {
    Policy {
        balance,
        failures_max: 3,
        eject_time: 10 * SECOND,
        slow_start: 30 * SECOND,
        connections_max: u32::MAX,
    }
}

fn listed(addresses: &[&str]) -> Vec<Listed<String>> {
    let one =
        |&address: &&str| Listed { address: address.to_owned(), weight: 1, checked: Checked::Up };
    addresses.iter().map(one).collect()
}

fn pool(balance: Balance, addresses: &[&str]) -> Servers<String> {
    let mut pool = Servers::new(policy(balance));
    pool.set_servers(&listed(addresses), Duration::ZERO);
    pool
}

/// The server in this slot was tried.
fn without(slot: u32) -> Tried {
    Tried(1 << slot)
}

/// Picks, and says which server it is.
fn pick(pool: &mut Servers<String>, now: Duration) -> (Lease, String) {
    let lease = pool.pick(0, &mut Tried::default(), now).unwrap();
    let address = pool.address(lease).clone();
    (lease, address)
}

/// How often each server is picked in `times` connections that end at once.
fn shares(pool: &mut Servers<String>, times: u64, now: Duration) -> HashMap<String, u64> {
    let mut shares = HashMap::new();
    for key in 0..times {
        let lease = pool.pick(hash(&key.to_le_bytes()), &mut Tried::default(), now).unwrap();
        *shares.entry(pool.address(lease).clone()).or_default() += 1;
        pool.release(lease);
    }
    shares
}

fn fail(pool: &mut Servers<String>, times: u32, now: Duration) {
    for _ in 0..times {
        let lease = pool.pick(0, &mut Tried::default(), now).unwrap();
        pool.report(lease, ServerResult::Failure, now);
        pool.release(lease);
    }
}

#[test]
fn round_robin_follows_the_weights_smoothly() {
    let mut pool = pool(Balance::RoundRobin, &[]);
    let mut servers = listed(&["a", "b", "c"]);
    servers[0].weight = 5;
    pool.set_servers(&servers, Duration::ZERO);
    let mut order = String::new();
    for _ in 0..7 {
        let (lease, address) = pick(&mut pool, Duration::ZERO);
        order += &address;
        pool.release(lease);
    }
    assert_eq!(order, "aabacaa");
}

#[test]
fn the_server_with_the_fewest_connections_for_its_weight_is_picked() {
    let mut pool = pool(Balance::LeastConnections, &[]);
    let mut servers = listed(&["a", "b"]);
    servers[1].weight = 3;
    pool.set_servers(&servers, Duration::ZERO);
    let leases: Vec<_> = (0..400).map(|_| pick(&mut pool, Duration::ZERO)).collect();
    let of_a = leases.iter().filter(|(_, address)| address == "a").count();
    assert_eq!(of_a, 100);
    // Those that end make room for the next.
    let mut freed = 0;
    for (lease, address) in leases {
        if address == "b" && freed < 30 {
            freed += 1;
            pool.release(lease);
        }
    }
    let next: Vec<_> = (0..30).map(|_| pick(&mut pool, Duration::ZERO).1).collect();
    assert!(next.iter().all(|address| address == "b"), "{next:?}");
}

#[test]
fn a_key_keeps_its_server_when_others_come_and_go() {
    let balance = Balance::Hash(HashKey::Address);
    let mut pool = pool(balance, &["a", "b", "c", "d"]);
    let owners = |pool: &mut Servers<String>| -> Vec<String> {
        let mut owner = |key: u64| {
            let lease =
                pool.pick(hash(&key.to_le_bytes()), &mut Tried::default(), 60 * SECOND).unwrap();
            let address = pool.address(lease).clone();
            pool.release(lease);
            address
        };
        (0..2000).map(&mut owner).collect()
    };
    let before = owners(&mut pool);
    pool.set_servers(&listed(&["a", "c", "d"]), 60 * SECOND);
    let without = owners(&mut pool);
    for (before, without) in before.iter().zip(&without) {
        assert!(before == without || before == "b");
    }
    pool.set_servers(&listed(&["a", "b", "c", "d", "e"]), 60 * SECOND);
    let with = owners(&mut pool);
    let moved = before.iter().zip(&with).filter(|(before, with)| before != with);
    let moved: Vec<_> = moved.map(|(_, with)| with.as_str()).collect();
    assert!(moved.iter().all(|&with| with == "e"));
    // A fifth of 2,000 keys, with a margin of four standard deviations.
    assert!((330..470).contains(&moved.len()), "{}", moved.len());
}

#[test]
fn failures_in_a_row_take_a_server_out_for_longer_each_time() {
    let mut pool = pool(Balance::RoundRobin, &["a"]);
    fail(&mut pool, 2, Duration::ZERO);
    let (lease, _) = pick(&mut pool, Duration::ZERO);
    pool.report(lease, ServerResult::Success, Duration::ZERO);
    pool.release(lease);
    fail(&mut pool, 2, Duration::ZERO);
    let fitness = |pool: &Servers<String>, now| pool.servers(now).next().unwrap().1;
    assert_eq!(fitness(&pool, Duration::ZERO), Fitness::Healthy);
    fail(&mut pool, 1, Duration::ZERO);
    let mut now = Duration::ZERO;
    for seconds in [10, 20, 40, 80, 160, 320, 320] {
        assert_eq!(fitness(&pool, now + seconds * SECOND - SECOND / 2), Fitness::Ejected);
        now += seconds * SECOND;
        assert_eq!(fitness(&pool, now), Fitness::Healthy);
        // One failure is enough while it is being tried.
        fail(&mut pool, 1, now);
    }
}

#[test]
fn one_connection_at_a_time_tries_a_server_that_failed() {
    let mut pool = pool(Balance::RoundRobin, &["a", "b"]);
    let now = 10 * SECOND;
    let (old, address) = pick(&mut pool, Duration::ZERO);
    assert_eq!(address, "a");
    for _ in 0..3 {
        let lease = pool.pick(0, &mut without(1), Duration::ZERO).unwrap();
        pool.report(lease, ServerResult::Failure, Duration::ZERO);
        pool.release(lease);
    }
    let trial = pool.pick(0, &mut without(1), now).unwrap();
    assert_eq!(pool.pick(0, &mut without(1), now), Err(NoServer::Full));
    // What began before it was taken out proves nothing.
    pool.report(old, ServerResult::Success, now);
    assert_eq!(pool.pick(0, &mut without(1), now), Err(NoServer::Full));
    // A client that leaves shows nothing: the next one tries.
    pool.release(trial);
    let trial = pool.pick(0, &mut without(1), now).unwrap();
    pool.report(trial, ServerResult::Success, now);
    let next = pool.pick(0, &mut without(1), now).unwrap();
    [old, trial, next].into_iter().for_each(|lease| pool.release(lease));
}

#[test]
fn a_server_that_failed_is_tried_before_its_time_only_if_all_are_out() {
    let mut pool = pool(Balance::RoundRobin, &["a", "b"]);
    fail(&mut pool, 6, Duration::ZERO);
    let (trial, first) = pick(&mut pool, SECOND);
    let (other, second) = pick(&mut pool, SECOND);
    assert_ne!(first, second);
    assert_eq!(pool.pick(0, &mut Tried::default(), SECOND), Err(NoServer::Full));
    pool.report(trial, ServerResult::Success, SECOND);
    let (next, third) = pick(&mut pool, SECOND);
    assert_eq!(third, first);
    [trial, other, next].into_iter().for_each(|lease| pool.release(lease));
}

#[test]
fn a_server_whose_check_fails_gets_nothing() {
    let mut pool = pool(Balance::LeastConnections, &["a"]);
    let mut servers = listed(&["a"]);
    servers[0].checked = Checked::Down;
    pool.set_servers(&servers, SECOND);
    assert_eq!(pool.pick(0, &mut Tried::default(), SECOND), Err(NoServer::Unhealthy));
    servers[0].checked = Checked::Up;
    pool.set_servers(&servers, 2 * SECOND);
    let (lease, _) = pick(&mut pool, 2 * SECOND);
    pool.release(lease);
}

#[test]
fn a_server_that_comes_back_gets_its_share_gradually() {
    for balance in [Balance::RoundRobin, Balance::Hash(HashKey::Client)] {
        let mut pool = pool(balance, &["a", "b"]);
        let mut servers = listed(&["a", "b"]);
        servers[1].checked = Checked::Down;
        pool.set_servers(&servers, Duration::ZERO);
        servers[1].checked = Checked::Up;
        let back = 100 * SECOND;
        pool.set_servers(&servers, back);
        let mut last = 0;
        // Its share of the pick is w / (w + 1), where w grows from 0.1 to 1 in 30 s.
        for (seconds, least, most) in [(0, 160, 220), (15, 640, 780), (30, 930, 1070)] {
            let of_b = shares(&mut pool, 2000, back + seconds * SECOND)["b"];
            assert!((least..=most).contains(&of_b) && of_b > last, "{seconds} s: {of_b}");
            last = of_b;
        }
    }
}

#[test]
fn a_full_server_gets_no_more() {
    let mut pool = pool(Balance::RoundRobin, &["a"]);
    pool.set_policy(Policy { connections_max: 2, ..policy(Balance::RoundRobin) });
    let (first, _) = pick(&mut pool, SECOND);
    let (second, _) = pick(&mut pool, SECOND);
    assert_eq!(pool.pick(0, &mut Tried::default(), SECOND), Err(NoServer::Full));
    assert_eq!(pool.pick(0, &mut without(0), SECOND), Err(NoServer::Unhealthy));
    pool.release(first);
    let (third, _) = pick(&mut pool, SECOND);
    pool.release(second);
    pool.release(third);
}

#[test]
fn a_removed_server_is_forgotten_with_its_last_connection() {
    let mut pool = pool(Balance::RoundRobin, &["a", "b"]);
    let (lease, address) = pick(&mut pool, SECOND);
    assert_eq!(address, "a");
    pool.set_servers(&listed(&["b"]), SECOND);
    assert!(pool.is_removed(lease));
    assert!((0..10).all(|_| {
        let (lease, address) = pick(&mut pool, SECOND);
        pool.release(lease);
        address == "b"
    }));
    assert_eq!(pool.servers(SECOND).count(), 2);
    pool.release(lease);
    assert_eq!(pool.servers(SECOND).count(), 1);
}

/// What happens to a pool in a property test.
#[derive(Debug, Clone)]
enum Step {
    Pick { key: u64, tried: Option<usize> },
    Report(usize, bool),
    Release(usize),
    List(Vec<(u8, bool)>),
    Wait(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (any::<u64>(), proptest::option::of(0..5usize))
            .prop_map(|(key, tried)| Step::Pick { key, tried }),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(lease, ok)| Step::Report(lease, ok)),
        3 => any::<usize>().prop_map(Step::Release),
        1 => proptest::collection::vec((1..4u8, proptest::bool::weighted(0.7)), 0..5)
            .prop_map(Step::List),
        2 => (0..20_000u16).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..200)
}

fn balances() -> impl Strategy<Value = Balance> {
    prop_oneof![
        Just(Balance::RoundRobin),
        Just(Balance::LeastConnections),
        Just(Balance::Hash(HashKey::Client)),
    ]
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

proptest! {
    /// Whatever happens: no unhealthy server is picked while a healthy one may be, no server
    /// exceeds its connections, and in the end no connection is counted.
    #[test]
    fn a_healthy_server_is_preferred_and_counts_return_to_zero(
        balance in balances(),
        connections_max in 1..4u32,
        steps in steps(),
    ) {
        let mut pool = pool(balance.clone(), &NAMES);
        pool.set_policy(Policy { connections_max, ..policy(balance) });
        let (mut now, mut leases) = (Duration::ZERO, Vec::new());
        for step in steps {
            match step {
                Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds.into()),
                Step::List(servers) => {
                    let listed: Vec<_> = servers.iter().zip(NAMES).map(|(&(weight, is_up), name)| {
                        let checked = if is_up { Checked::Up } else { Checked::Down };
                        Listed { address: name.to_owned(), weight: weight.into(), checked }
                    }).collect();
                    pool.set_servers(&listed, now);
                }
                Step::Report(lease, is_ok) if !leases.is_empty() => {
                    let lease: Lease = leases[lease % leases.len()];
                    let outcome = if is_ok { ServerResult::Success } else { ServerResult::Failure };
                    pool.report(lease, outcome, now);
                }
                Step::Release(lease) if !leases.is_empty() => {
                    let lease = leases.swap_remove(lease % leases.len());
                    pool.release(lease);
                }
                Step::Pick { key, tried } => {
                    let mut tried = tried.map_or(Tried::default(), |slot| without(slot as u32));
                    let skipped = tried.0.checked_ilog2().and_then(|slot| {
                        let endpoint = pool.endpoints.get(slot as usize)?.as_ref()?;
                        Some(endpoint.address.clone())
                    });
                    let before: Vec<_> = pool.servers(now)
                        .map(|(address, fitness, count)| (address.clone(), fitness, count))
                        .collect();
                    let healthy = |with_room: bool| before.iter().any(|(address, fitness, count)| {
                        *fitness == Fitness::Healthy && Some(address) != skipped.as_ref()
                            && (!with_room || *count < connections_max)
                    });
                    match pool.pick(key, &mut tried, now) {
                        Ok(lease) => {
                            let address = pool.address(lease);
                            prop_assert!(tried.has(lease.slot as usize));
                            let (_, fitness, count) = before.iter()
                                .find(|(other, ..)| other == address).unwrap();
                            prop_assert!(Some(address) != skipped.as_ref() && *count < connections_max);
                            prop_assert!(*fitness != Fitness::Down);
                            prop_assert!(*fitness == Fitness::Healthy || !healthy(false));
                            leases.push(lease);
                        }
                        Err(NoServer::Full) => prop_assert!(!healthy(true)),
                        Err(NoServer::Unhealthy) => prop_assert!(!healthy(false)),
                    }
                }
                Step::Report(..) | Step::Release(_) => {}
            }
        }
        leases.drain(..).for_each(|lease| pool.release(lease));
        prop_assert!(pool.servers(now).all(|(_, _, count)| count == 0));
        pool.set_servers(&[], now);
        prop_assert_eq!(pool.servers(now).count(), 0);
    }

    /// Each server gets its weight's part of the requests.
    #[test]
    fn shares_follow_the_weights(
        balance in balances(),
        weights in proptest::collection::vec(1..6u32, 1..5),
    ) {
        let mut pool = pool(balance.clone(), &[]);
        let servers: Vec<_> = weights.iter().zip(NAMES).map(|(&weight, name)| {
            Listed { address: name.to_owned(), weight, checked: Checked::Up }
        }).collect();
        pool.set_servers(&servers, Duration::ZERO);
        let (total, times): (u32, u32) = (weights.iter().sum(), 2000);
        // Connections stay open, so that the least connections are in proportion, too.
        let mut counts = HashMap::<String, u32>::new();
        let mut leases = Vec::new();
        for key in 0..times {
            let lease = pool.pick(hash(&key.to_le_bytes()), &mut Tried::default(), Duration::ZERO).unwrap();
            *counts.entry(pool.address(lease).clone()).or_default() += 1;
            leases.push(lease);
        }
        for server in &servers {
            let wanted = times * server.weight / total;
            let got = counts.get(&server.address).copied().unwrap_or_default();
            // A hash is random: five standard deviations of 2,000 draws are at most 112.
            let margin = if matches!(balance, Balance::Hash(_)) { 112 } else { 6 };
            prop_assert!(got.abs_diff(wanted) <= margin, "{}: {got}, not {wanted}", server.address);
        }
        leases.into_iter().for_each(|lease| pool.release(lease));
    }
}
