//! A run second by second: the points of its timeline, and how time is divided into them.
//!
//! A steady rate gives equal counts for equal times: a point is never shorter than half of the
//! others, and messages after the end of the sending have points of their own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::measure::{
    quantiles::{Times, micros},
    timeline::{Moment, Seen},
};

/// A part of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it begins, after the start of the run.
    pub at_s: f64,
    /// How long it lasts.
    pub length_s: f64,
    /// Whether sending was over, and only answers were awaited.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_after_sending: bool,
    /// Messages sent in it.
    pub sent: u64,
    /// Messages received in it.
    pub received: u64,
    /// Failures in it.
    pub errors: u64,
    /// Median latency of the messages received in it; 0 if there were none.
    pub p50_us: f64,
    /// Their p99.
    pub p99_us: f64,
    /// Their longest latency.
    pub max_us: f64,
}

impl Point {
    /// Replaces its figures by those of these latencies.
    pub fn with_latencies(mut self, latencies: &Times) -> Self {
        self.p50_us = micros(latencies.value_at_quantile(0.5));
        self.p99_us = micros(latencies.value_at_quantile(0.99));
        self.max_us = micros(latencies.max());
        self
    }
}

/// The most points of a timeline; a longer run has longer points.
const POINTS_MAX: u32 = 600;

/// The length of a point in a short run.
const POINT_TIME: Duration = Duration::from_secs(1);

/// Time after the sending is part of the sending's last point if it is at most this share of the
/// sending.
const TAIL_SHARE_MAX: f64 = 0.02;

/// Divides a run that was sending for `sending_s` and took `elapsed_s` into points of `length_s`,
/// still without counts.
pub fn cut(sending_s: f64, elapsed_s: f64, length_s: f64) -> Vec<Point> {
    let mut points = Vec::new();
    cut_part(&mut points, (0.0, sending_s), length_s, false);
    let tail_s = elapsed_s - sending_s;
    let last_s = points.last().map_or(0.0, |last| last.length_s);
    if tail_s > TAIL_SHARE_MAX * last_s {
        cut_part(&mut points, (sending_s, elapsed_s), length_s, true);
    }
    points
}

fn cut_part(
    points: &mut Vec<Point>,
    (start_s, end_s): (f64, f64),
    length_s: f64,
    is_after_sending: bool,
) {
    let time_s = end_s - start_s;
    if time_s <= 0.0 {
        return;
    }
    // The last point also covers a rest of less than half a point.
    let count = ((time_s / length_s).round() as usize).max(1);
    for index in 0..count {
        let at_s = start_s + index as f64 * length_s;
        let until_s = if index + 1 == count { end_s } else { at_s + length_s };
        let length_s = until_s - at_s;
        points.push(Point { at_s, length_s, is_after_sending, ..Point::default() });
    }
}

/// The index of the point for this time: the last that has begun.
pub fn index_at(points: &[Point], at_s: f64) -> usize {
    // Times that were computed differently may differ in their last digits.
    points.partition_point(|point| point.at_s <= at_s + 1e-9).saturating_sub(1)
}

/// The timeline of a run that was sending for `sending` and took `elapsed`.
pub fn of(seen: &Seen, sending: Duration, elapsed: Duration) -> Vec<Point> {
    let whole = elapsed.as_secs().div_ceil(u64::from(POINTS_MAX)).max(1);
    let length_s = POINT_TIME.as_secs_f64() * whole as f64;
    let mut points = cut(sending.as_secs_f64(), elapsed.as_secs_f64(), length_s);
    if points.is_empty() {
        return points;
    }
    let mut parts: Vec<Vec<&Moment>> = vec![Vec::new(); points.len()];
    for (at, moment) in &seen.moments {
        parts[index_at(&points, at.as_secs_f64())].push(moment);
    }
    for (point, moments) in points.iter_mut().zip(&parts) {
        fill(point, moments);
    }
    points
}

fn fill(point: &mut Point, moments: &[&Moment]) {
    let Some((first, more)) = moments.split_first() else { return };
    let mut latencies = first.latencies.clone();
    for moment in more {
        // Histograms with equal digits can be added.
        latencies.add(&moment.latencies).expect("equal digits");
    }
    let sum = |of: fn(&Moment) -> u64| moments.iter().map(|moment| of(moment)).sum();
    point.sent = sum(|moment| moment.sent);
    point.received = sum(|moment| moment.received);
    point.errors = sum(|moment| moment.errors);
    point.p50_us = micros(latencies.value_at_quantile(0.5));
    point.p99_us = micros(latencies.value_at_quantile(0.99));
    point.max_us = micros(latencies.max());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::interval::{Grid, Interval},
        wire::failure::Reason,
    };

    /// The counts of a thread that sends `rate` messages per second, each answered after `latency`;
    /// every tenth also fails. It reads its clock after `turn` or later, as `random` decides.
    fn thread_sees(
        seen: &mut Seen,
        (start, end): (Duration, Duration),
        (rate, latency, turn): (f64, Duration, Duration),
        random: &mut fastrand::Rng,
    ) -> Duration {
        let mut interval = Interval::new();
        let (mut sent, mut received) = (0u32, 0u32);
        let mut grid = Grid::new(start);
        let mut is_draining = false;
        let due = |number: u32| start + Duration::from_secs_f64(f64::from(number) / rate);
        let total = ((end - start).as_secs_f64() * rate).round() as u32;
        let mut now = start + turn.mul_f64(random.f64());
        loop {
            if let Some(begun_at) = grid.pass(now) {
                interval.at = begun_at;
                seen.add(&interval, start);
                interval.clear();
            }
            while sent < total && due(sent) <= now {
                interval.sent += 1;
                if sent.is_multiple_of(10) {
                    interval.fail(Reason::NOT_CONNECTED);
                }
                sent += 1;
            }
            if now >= end && !is_draining {
                is_draining = true;
                interval.at = grid.begun_at();
                seen.add(&interval, start);
                interval.clear();
                grid = Grid::new(end);
                grid.pass(now);
            }
            while received < sent && due(received) + latency <= now {
                interval.answered(due(received), now, 1);
                received += 1;
            }
            if received == total {
                interval.at = grid.begun_at();
                seen.add(&interval, start);
                return now - start;
            }
            now += turn.mul_f64(0.5 + random.f64());
        }
    }

    #[test]
    fn a_steady_rate_gives_flat_counts_over_any_duration() {
        let mut random = fastrand::Rng::with_seed(3);
        for seconds in [0.3, 0.9, 1.0, 1.1, 1.4, 1.6, 2.0, 2.5, 3.75, 4.0, 7.33] {
            for latency_us in [80, 3_000] {
                // The start may be anywhere between two of the clock's quarter seconds.
                let start = Duration::from_secs_f64(7.0 + random.f64());
                let end = start + Duration::from_secs_f64(seconds);
                let (mut seen, mut elapsed) = (Seen::new(), end - start);
                for _ in 0..2 {
                    let latency = Duration::from_micros(latency_us);
                    let load = (1000.0, latency, Duration::from_micros(500));
                    let took = thread_sees(&mut seen, (start, end), load, &mut random);
                    elapsed = elapsed.max(took);
                }
                let points = of(&seen, end - start, elapsed);
                let mut until_s = 0.0;
                for point in points.iter().filter(|point| !point.is_after_sending) {
                    assert!((point.at_s - until_s).abs() < 1e-6, "a hole before {point:?}");
                    until_s = point.at_s + point.length_s;
                    let counts = [point.sent, point.received, 10 * point.errors];
                    // 3 ms are 1% of a third of a second, in addition to those at the edges.
                    let tolerance = 0.02 * 2000.0 * point.length_s + 30.0;
                    for count in counts {
                        let off = (count as f64 - 2000.0 * point.length_s).abs();
                        assert!(off <= tolerance, "{seconds} s, {latency_us} us: {point:?}");
                    }
                }
                assert!((until_s - seconds).abs() < 1e-6, "{seconds} {until_s}");
                let sum = |of: fn(&Point) -> u64| points.iter().map(of).sum::<u64>();
                assert_eq!(sum(|point| point.sent), seen.sent);
                assert_eq!(sum(|point| point.received), seen.received);
                assert_eq!(10 * sum(|point| point.errors), seen.sent.next_multiple_of(10));
            }
        }
    }

    #[test]
    fn answers_after_the_last_send_have_their_own_points() {
        let points = cut(2.2, 5.0, 1.0);
        let shape: Vec<(f64, bool)> =
            points.iter().map(|point| (point.at_s, point.is_after_sending)).collect();
        assert_eq!(shape, [(0.0, false), (1.0, false), (2.2, true), (3.2, true), (4.2, true)]);
        assert!((points[1].length_s - 1.2).abs() < 1e-9, "{points:?}");
        assert_eq!(cut(2.0, 2.01, 1.0).len(), 2, "a short tail is part of the last point");
        let long = cut(3601.0, 3601.0, 7.0);
        assert_eq!((long.len(), long.last().map(|last| last.at_s)), (514, Some(3591.0)));
        assert_eq!((cut(0.0, 0.0, 1.0).len(), cut(0.0, 0.3, 1.0).len()), (0, 1));
        assert_eq!((index_at(&points, 2.1), index_at(&points, 9.0)), (1, 4));
    }
}
