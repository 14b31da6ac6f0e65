//! The cost of an event to a core, by the number of cores and by the share of the events that
//! concern each of them: with the cores that the log stores beside an event, and without them, when
//! each core looks up every name.
//!
//! The cores take turns on one thread, so that any number of them can be emulated; they find the log
//! in the cache of their CPU. `threads` shows what it costs when another CPU has written it.

use std::{
    hint::black_box,
    ops::ControlFlow,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use ringway_hub::{Address, Appender, Draft, Event, InterestFilter, Log, Pins, Subscriptions};
use rustix::time::{ClockId, clock_gettime};

use crate::events::{NOW, draft, log};

/// Different topics, or sets of recipients.
const GROUPS: usize = 1_000;

/// Events appended between two turns of each core.
const TURN: usize = 1_000;

const CORES: [usize; 4] = [1, 4, 16, 64];

/// Groups of each core: 0, 1, 10 and 100% of the events.
const SHARES: [usize; 4] = [0, 10, 100, GROUPS];

/// What is appended, and how long a thread sleeps between two reads.
pub struct Load<'a> {
    pub events: u64,
    pub encoded: &'a str,
    pub pause: Duration,
}

#[derive(Clone, Copy)]
enum To {
    Topic,
    Recipients,
}

impl To {
    const BOTH: [(Self, &str); 2] =
        [(Self::Topic, "events of topics"), (Self::Recipients, "events with four recipients")];

    fn draft(self, group: usize, encoded: &str) -> Draft {
        match self {
            Self::Topic => {
                let topic = format!("topic-{group}");
                draft(&topic, encoded).to_topic(&topic)
            }
            Self::Recipients => {
                let names = [0, 1, 2, 3].map(|member| client(group, member));
                draft("client-1000-0 ".repeat(4).as_str(), encoded)
                    .to_recipients(names.iter().map(String::as_str))
            }
        }
    }
}

fn client(group: usize, member: usize) -> String {
    format!("client-{group}-{member}")
}

/// The topics and clients of a core that `count` groups of events concern.
fn subscriptions(log: &Log, core: usize, count: usize) -> Subscriptions {
    let mut subscriptions = Subscriptions::new(log, core);
    for group in (0..count).map(|group| (group + core * 17) % GROUPS) {
        subscriptions.subscribe(&format!("topic-{group}"), 0);
        subscriptions.arrive(client(group, core % 4).into(), 0);
    }
    subscriptions
}

/// What a core does first with an event that it visits: it looks up the addressees.
fn look_up(event: &Event, subscriptions: &Subscriptions) -> usize {
    match event.address() {
        Address::Topic(topic) => usize::from(subscriptions.find(topic).is_some()),
        Address::Recipients(names) => {
            names.iter().flat_map(|name| subscriptions.connections(name)).count()
        }
    }
}

/// CPU time of the calling thread. (`schedstat` has only what the last tick saw.)
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

pub fn measure(load: &Load<'_>) -> Result<()> {
    for (to, what) in To::BOTH {
        println!("{what}: ns of CPU per event and core, without and with their cores stored");
        print!("    {:>5}", "cores");
        SHARES.iter().for_each(|groups| print!("{:>13}%", *groups as f64 * 100.0 / GROUPS as f64));
        println!();
        for cores in CORES {
            print!("    {cores:>5}");
            for groups in SHARES {
                let (without, with) = turns(load, to, cores, groups)?;
                print!("{without:>7.1}{with:>7.1}");
            }
            println!();
        }
        for readers in [1, 4] {
            let each = threads(load, to, readers)?;
            println!(
                "    {readers} threads that no event concerns, with their part of indexing: {each:.1} ns"
            );
        }
    }
    Ok(())
}

/// The cores follow in turns on this thread.
fn turns(load: &Load<'_>, to: To, cores: usize, groups: usize) -> Result<(f64, f64)> {
    let log = log(4 * TURN as u64);
    let mut indexing = log.reader();
    let mut followers: Vec<_> = (0..cores)
        .map(|core| (log.reader(), log.reader(), subscriptions(&log, core, groups)))
        .collect();
    let (mut appender, mut pins) = (Appender::default(), Pins::default());
    let (mut without, mut with) = ((Duration::ZERO, 0), (Duration::ZERO, 0));
    let rounds = (load.events as usize / 10 / TURN / cores).max(2);
    for _ in 0..rounds {
        for number in 0..TURN {
            log.append(&mut appender, to.draft(number % GROUPS, load.encoded), NOW);
        }
        indexing.follow(&log, |_| ControlFlow::Continue(()))?;
        for (all, own, subscriptions) in &mut followers {
            let reads = [
                (all, InterestFilter::ALL, &mut without),
                (own, subscriptions.filter(), &mut with),
            ];
            for (reader, filter, (taken, found)) in reads {
                let before = cpu_time();
                reader.follow_pinning(&log, filter, &mut pins, |event, _| {
                    *found += look_up(event, subscriptions);
                    ControlFlow::Continue(())
                })?;
                pins.clear();
                *taken += cpu_time() - before;
            }
        }
    }
    ensure!(without.1 == with.1, "each core finds all its events");
    let events = (rounds * TURN * cores) as f64;
    Ok((without.0.as_nanos() as f64 / events, with.0.as_nanos() as f64 / events))
}

/// A thread appends while others follow that no event concerns: the cost of an event to each.
fn threads(load: &Load<'_>, to: To, readers: usize) -> Result<f64> {
    let log = log(load.events);
    let (is_over, start) = (AtomicBool::new(false), Barrier::new(readers + 1));
    let count = load.events / 5;
    let follow = |core: usize| -> Result<Duration> {
        let subscriptions = subscriptions(&log, core, 0);
        let (mut reader, mut pins, mut taken) = (log.reader(), Pins::default(), Duration::ZERO);
        start.wait();
        while reader.position() < count {
            let was_over = is_over.load(Ordering::Acquire);
            let before = cpu_time();
            reader.follow_pinning(&log, subscriptions.filter(), &mut pins, |event, _| {
                black_box(event.text());
                ControlFlow::Continue(())
            })?;
            taken += cpu_time() - before;
            if !was_over {
                thread::sleep(load.pause);
            }
        }
        Ok(taken)
    };
    thread::scope(|scope| {
        let followers: Vec<_> =
            (0..readers).map(|core| scope.spawn(move || follow(core))).collect();
        start.wait();
        // This thread indexes, too. The cores share that work, so it is not a cost of each of them.
        let (mut appender, mut indexing) = (Appender::default(), log.reader());
        for number in 0..count as usize {
            log.append(&mut appender, to.draft(number % GROUPS, load.encoded), NOW);
            if number % 64 == 0 {
                indexing.follow(&log, |_| ControlFlow::Continue(()))?;
            }
        }
        is_over.store(true, Ordering::Release);
        let mut sum = Duration::ZERO;
        for follower in followers {
            sum += follower.join().expect("a core")?;
        }
        Ok(sum.as_nanos() as f64 / (count * readers as u64) as f64)
    })
}
