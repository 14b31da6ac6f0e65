//! One core's thread: the loop that joins a driver and a shard.
//!
//! This loop calls everything else that a core does.

use std::{
    io,
    time::{Duration, Instant},
};

use ringway_acceptor::{Driver, Operations};

use crate::{core::shard::Shard, memory::release::Release};

/// Runs until the shard has finished. `start` is the time origin of all cores.
///
/// # Errors
/// The driver has failed, see [`Driver::wait`].
pub fn run(driver: &mut impl Driver, shard: &mut Shard, start: Instant) -> io::Result<()> {
    let mut operations = Operations::default();
    let mut release = Release::default();
    let mut now = start.elapsed();
    while !shard.is_finished(now) {
        driver.submit(&mut operations);
        driver.wait(sooner(shard.next_deadline(now), release.time_left(now)))?;
        now = start.elapsed();
        release.expire(now);
        while let Some(completion) = driver.next_in(shard) {
            release.was_busy(now);
            shard.complete(completion, now, &mut operations);
            if operations.is_due_early() {
                shard.count(&driver.counters(), &operations);
                driver.send_early(&mut operations);
            }
        }
        shard.follow_log(now, &mut operations);
        shard.expire(now, &mut operations);
        shard.count(&driver.counters(), &operations);
    }
    shard.report_left_behind();
    // The output of the last turn is sent, too.
    driver.submit(&mut operations);
    driver.wait(Some(Duration::ZERO))
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
