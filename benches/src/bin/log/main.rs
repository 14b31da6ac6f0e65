//! What do an event and a reconnect storm cost the log?
//!
//! It answers five questions. Does one core append five million events a second, with four readers
//! that follow and index? How fast does each of them read? What does it cost a core to keep the
//! events that it has read until it has sent them? And what do 10,000 returning clients cost that
//! missed 100 events each, out of a log of 1,000,000? And what does an event cost a core that it does
//! not concern (`interest`)? Costs are CPU time of the threads that do the
//! work, so that they hold on a machine with other work. The allocator is the gateway's.

#![forbid(unsafe_code)]

mod events;
mod interest;

use std::{
    hint::black_box,
    ops::ControlFlow,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Parser;
use mimalloc::MiMalloc;
use ringway_benches::process::{Scheduled, scheduled_here};
use ringway_hub::{Appender, Cursor, Draft, Interest, InterestFilter, Key, Log, Pins};

use crate::events::{NOW, draft, log};
use crate::interest::Load;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Events that a core sends together.
const BATCH: usize = 64;

/// Measure appending, following and replaying
#[derive(Debug, Parser)]
struct Args {
    /// Events appended in each run
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// Events that the log keeps while they are
    #[arg(long, default_value_t = 100_000)]
    window: u64,
    /// Bytes of an encoded event
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// An encoded event
    #[arg(skip)]
    encoded: String,
    /// Topics that the events use in turn
    #[arg(long, default_value_t = 1_000)]
    topics: usize,
    /// Threads that follow
    #[arg(long, default_value_t = 4)]
    readers: usize,
    /// Microseconds that each of them sleeps between two reads, as a core does in a turn; 0: it
    /// reads again at once, which takes the newest cache lines from the appending thread
    #[arg(long, default_value_t = 50)]
    pause_us: u64,
    /// Clients that come back
    #[arg(long, default_value_t = 10_000)]
    clients: u64,
    /// Events that each of them missed
    #[arg(long, default_value_t = 100)]
    missed: u64,
    /// Times that everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let args = Args { encoded: "x".repeat(args.size), ..args };
    ensure!(args.size >= Cursor::TEXT_BYTES, "an event has a cursor");
    ensure!(args.events > 0 && args.topics > 0 && args.clients > 0, "at least one of each");
    let topics: Vec<String> = (0..args.topics).map(|number| format!("topic-{number}")).collect();
    for _ in 0..args.rounds {
        drafts(&args, &topics)?;
        append(&args, &topics, 0)?;
        append(&args, &topics, args.readers)?;
        follow(&args, &topics)?;
        keep(&args, &topics)?;
        resume(&args)?;
        let Args { events, pause_us, ref encoded, .. } = args;
        interest::measure(&Load { events, encoded, pause: Duration::from_micros(pause_us) })?;
        println!();
    }
    Ok(())
}

fn to_topic(args: &Args, topics: &[String], number: u64) -> Draft {
    let topic = topics[number as usize % topics.len()].as_str();
    draft(topic, &args.encoded).to_topic(topic)
}

/// The caller's cost before the log does anything; the other figures include it.
fn drafts(args: &Args, topics: &[String]) -> Result<()> {
    let before = scheduled_here()?;
    for number in 0..args.events {
        black_box(to_topic(args, topics, number));
    }
    report("a draft made and dropped", args.events, scheduled_here()? - before);
    Ok(())
}

fn append(args: &Args, topics: &[String], readers: usize) -> Result<()> {
    let log = log(args.window);
    let (is_over, start) = (AtomicBool::new(false), Barrier::new(readers + 1));
    thread::scope(|scope| {
        let followers: Vec<_> = (0..readers)
            .map(|_| scope.spawn(|| follow_until(&log, args, &is_over, &start)))
            .collect();
        start.wait();
        let (before, began) = (scheduled_here()?, Instant::now());
        let mut appender = Appender::default();
        for number in 0..args.events {
            log.append(&mut appender, to_topic(args, topics, number), NOW);
        }
        let (taken, wall) = (scheduled_here()? - before, began.elapsed());
        is_over.store(true, Ordering::Release);
        report(&format!("appended, {readers} readers"), args.events, taken);
        for follower in followers {
            let (read, lost) = follower.join().expect("a reader");
            let rate = read as f64 / wall.as_secs_f64() / 1e6;
            println!("    a reader: {rate:.2} M/s of wall time, {lost} events lost");
        }
        Ok(())
    })
}

/// Follows to the end; returns how many events were read and how many were lost.
fn follow_until(log: &Log, args: &Args, is_over: &AtomicBool, start: &Barrier) -> (u64, u64) {
    let (mut reader, mut read, mut lost) = (log.reader(), 0, 0);
    let pause = Duration::from_micros(args.pause_us);
    start.wait();
    loop {
        let was_over = is_over.load(Ordering::Acquire);
        let before = read;
        let followed = reader.follow(log, |event| {
            black_box(event.text());
            read += 1;
            ControlFlow::Continue(())
        });
        if let Err(gap) = followed {
            lost += gap.to - gap.from;
        } else if was_over {
            return (read, lost);
        } else if !pause.is_zero() {
            thread::sleep(pause);
        } else if read == before {
            thread::yield_now();
        }
    }
}

/// Reading alone: the window is full before the first read, and no reader is ahead of another.
fn follow(args: &Args, topics: &[String]) -> Result<()> {
    let log = log(args.events * 2);
    let mut readers: Vec<_> = (0..2).map(|_| log.reader()).collect();
    let mut appender = Appender::default();
    let count = args.events.min(1_000_000);
    for number in 0..count {
        log.append(&mut appender, to_topic(args, topics, number), NOW);
    }
    for (reader, what) in readers.iter_mut().zip(["read and indexed", "read"]) {
        let before = scheduled_here()?;
        reader.follow(&log, |event| {
            black_box(event.text());
            ControlFlow::Continue(())
        })?;
        report(what, count, scheduled_here()? - before);
    }
    Ok(())
}

/// Reading, and keeping the events of each batch: by reference, or as copies.
fn keep(args: &Args, topics: &[String]) -> Result<()> {
    let log = log(args.events * 2);
    let [mut first, mut pinning, mut copying] = [(); 3].map(|()| log.reader());
    let mut appender = Appender::default();
    let count = args.events.min(1_000_000);
    for number in 0..count {
        log.append(&mut appender, to_topic(args, topics, number), NOW);
    }
    // It builds the index, which is not measured here.
    first.follow(&log, |_| ControlFlow::Continue(()))?;
    let before = scheduled_here()?;
    let (mut pins, mut pinned) = (Pins::default(), Vec::with_capacity(BATCH));
    while pinning.position() < count {
        pinning.follow_pinning(&log, InterestFilter::ALL, &mut pins, |_, event| {
            pinned.push(event);
            if pinned.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        pinned.drain(..).for_each(|event| _ = black_box(pins.event(event).text()));
        pins.clear();
    }
    report("kept where they are", count, scheduled_here()? - before);
    let before = scheduled_here()?;
    let mut copies = Vec::with_capacity(BATCH);
    while copying.position() < count {
        copying.follow(&log, |event| {
            copies.extend(event.try_copy());
            if copies.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        copies.drain(..).for_each(|event| _ = black_box(event.text()));
    }
    report("kept as copies", count, scheduled_here()? - before);
    Ok(())
}

fn resume(args: &Args) -> Result<()> {
    let missed = args.clients * args.missed;
    let log = log(missed * 2);
    let mut reader = log.reader();
    let mut appender = Appender::default();
    let names: Vec<String> = (0..args.clients).map(|number| format!("client-{number}")).collect();
    for number in 0..missed {
        let name = names[(number % args.clients) as usize].as_str();
        log.append(&mut appender, draft(name, &args.encoded).to_recipients([name]), NOW);
        if number % 1_024 == 0 {
            reader.follow(&log, |_| ControlFlow::Continue(()))?;
        }
    }
    reader.follow(&log, |_| ControlFlow::Continue(()))?;
    let (touched, before, began) = (log.postings_touched(), scheduled_here()?, Instant::now());
    let mut visited = 0;
    for name in &names {
        let interests = [Interest { key: Key::Recipient(name), after: 0, live_after: None }];
        let replayed = log.replay(&interests, reader.position(), NOW, |event| {
            black_box(event.text());
            ControlFlow::Continue(())
        })?;
        visited += replayed.visited;
    }
    let (taken, wall) = (scheduled_here()? - before, began.elapsed());
    ensure!(visited == missed, "every event is replayed once");
    report("replayed", visited, taken);
    let touched = log.postings_touched() - touched;
    let size = log.size();
    println!("    {} clients in {wall:.1?}, {touched} postings touched; {size:?}", args.clients);
    Ok(())
}

fn report(what: &str, events: u64, taken: Scheduled) {
    let each = taken.running.as_nanos() as f64 / events as f64;
    let rate = 1e3 / each;
    println!("{what:<28} {each:>7.1} ns, {rate:>6.2} M/s of CPU; waited {:.1?}", taken.waiting);
}
