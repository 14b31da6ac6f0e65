//! How many instructions does a piece of work take in `frame`, `hub` and `http`?
//!
//! `cargo xtask instructions` counts them with callgrind: unlike times, counts do not depend on what
//! else the machine does. Without arguments it prints the names of the cases; with a name and a number
//! it does that piece of work so many times. The preparation does not depend on the number, so the
//! difference of two runs is the work alone.

#![forbid(unsafe_code)]

use std::{env, hint::black_box, mem::MaybeUninit, ops::ControlFlow, time::Duration};

use anyhow::{Context, Result, bail};
use ringway_frame::{
    HEADER_BYTES_MAX, Header, MessageReader, Opcode, ReadLimits, Role, emit_frame,
    mask::{kernels, unmask},
};
use ringway_http::{
    Asked, ResponseLimits, ResponseReader, chunk,
    head::{self, FIELDS_MAX, HeadLimits},
    head_reader::HeadReader,
};
use ringway_hub::{
    Appender, Directory, Draft, Epoch, Interest, InterestFilter, Key, Log, Pins, Reader, Retention,
    Subscriptions,
};

/// Does the work so many times.
type Work = fn(usize) -> Result<()>;

/// Each name without the crate is also that of its function.
const CASES: [(&str, Work); 17] = [
    ("frame read_binary_64", |count| read_messages(Opcode::Binary, &[b'x'; 64], count)),
    ("frame read_text_64", |count| read_messages(Opcode::Text, &[b'x'; 64], count)),
    ("frame read_text_1024_mixed", |count| {
        read_messages(Opcode::Text, "grüße 👋 xxxxxxxx".repeat(43).as_bytes(), count)
    }),
    ("frame read_binary_16384", |count| read_messages(Opcode::Binary, &[7; 16_384], count)),
    ("frame unmask_4096", |count| unmask_by(unmask, count)),
    ("frame unmask_4096_words", |count| {
        let (_, words) = kernels().find(|(name, _)| *name == "words").context("a kernel")?;
        unmask_by(|payload, key, phase| words.unmask(payload, key, phase), count)
    }),
    ("frame emit_header", emit_header),
    ("frame emit_frame_64", emit_frame_64),
    ("hub append_64", |count| follow(None, count)),
    ("hub append_64_and_visit", |count| follow(Some(InterestFilter::ALL), count)),
    ("hub append_64_and_pass", |count| {
        let other = Subscriptions::new(&log(), 0);
        follow(Some(other.filter()), count)
    }),
    ("hub replay_10", replay_10),
    ("hub arrive_and_leave", arrive_and_leave),
    ("hub subscribe_and_unsubscribe", subscribe_and_unsubscribe),
    ("http parse_head", parse_head),
    ("http chunk_64", chunk_64),
    ("http read_response", read_response),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [] => CASES.iter().for_each(|(name, _)| println!("{name}")),
        [name, count] => {
            let case = CASES.iter().find(|(case, _)| case == name);
            let (_, work) = case.with_context(|| format!("no case {name}"))?;
            work(count.parse()?)?;
        }
        _ => bail!("usage: instructions [CASE COUNT]"),
    }
    Ok(())
}

/// The key leaves the payload as it is, so that each pass finds the same one.
fn read_messages(opcode: Opcode, payload: &[u8], count: usize) -> Result<()> {
    let mut bytes = Vec::new();
    emit_frame(&mut bytes, Some([0; 4]), opcode, payload);
    let (mut reader, limits) = (MessageReader::new(Role::Server), ReadLimits::default());
    for _ in 0..count {
        let mut input = black_box(&mut bytes[..]);
        let message = reader.read(&mut input, &limits).ok().flatten();
        black_box(message.context("a message")?);
    }
    Ok(())
}

fn unmask_by(unmask: impl Fn(&mut [u8], [u8; 4], usize) -> usize, count: usize) -> Result<()> {
    let mut payload = vec![7; 4096];
    for _ in 0..count {
        black_box(unmask(black_box(&mut payload), black_box([1, 2, 3, 4]), 0));
    }
    Ok(())
}

fn emit_header(count: usize) -> Result<()> {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let header = Header::new(Opcode::Binary, 1024);
    for _ in 0..count {
        black_box(black_box(&header).emit(black_box(&mut bytes)));
    }
    Ok(())
}

fn emit_frame_64(count: usize) -> Result<()> {
    let mut out = Vec::with_capacity(128);
    for _ in 0..count {
        out.clear();
        emit_frame(&mut out, None, Opcode::Binary, black_box(&[b'x'; 64]));
        black_box(&out);
    }
    Ok(())
}

/// Small enough that old segments leave, as in a gateway that has run for a while.
fn log() -> Log {
    let retention = Retention { events_max: 1_600, bytes_max: 1 << 30, age_max: Duration::MAX };
    Log::new(Epoch::new(1), retention)
}

/// An encoded event of 128 bytes, with room for its cursor.
const TEXT: &str = concat!(
    "................................................................",
    "................................................................"
);

fn append_64(log: &Log, appender: &mut Appender) {
    for _ in 0..64 {
        let mut text = String::with_capacity(TEXT.len() + "topic-17".len());
        text.push_str(TEXT);
        log.append(appender, Draft::new(text, 0).to_topic("topic-17"), Duration::ZERO);
    }
}

fn visit(reader: &mut Reader, log: &Log, filter: InterestFilter, pins: &mut Pins) -> Result<()> {
    reader.follow_pinning(log, filter, pins, |event, _| {
        black_box(event.text());
        ControlFlow::Continue(())
    })?;
    pins.clear();
    Ok(())
}

/// Appends 64 events, and reads them as a core with that filter does. A second reader indexes them.
fn follow(filter: Option<InterestFilter>, count: usize) -> Result<()> {
    let log = log();
    let (mut appender, mut pins) = (Appender::default(), Pins::default());
    let (mut indexing, mut reader) = (log.reader(), log.reader());
    for _ in 0..count {
        append_64(&log, &mut appender);
        visit(&mut indexing, &log, InterestFilter::ALL, &mut pins)?;
        if let Some(filter) = filter {
            visit(&mut reader, &log, filter, &mut pins)?;
        }
    }
    Ok(())
}

/// Ten events of a hundred topics with ten each.
fn replay_10(count: usize) -> Result<()> {
    let (log, mut appender) = (log(), Appender::default());
    for number in 0..1_000 {
        let draft = Draft::new(TEXT, 0).to_topic(&format!("topic-{:02}", number % 100));
        log.append(&mut appender, draft, Duration::ZERO);
    }
    for _ in 0..count {
        let interests = [Interest { key: Key::Topic("topic-17"), after: 0, live_after: None }];
        let replayed = log.replay(black_box(&interests), 1_000, Duration::ZERO, |event| {
            black_box(event.text());
            ControlFlow::Continue(())
        })?;
        black_box(replayed);
    }
    Ok(())
}

/// A client that the directory knows. Alone in it: the places of names depend on random hashes.
fn arrive_and_leave(count: usize) -> Result<()> {
    let directory = Directory::default();
    directory.arrive("client-17");
    directory.leave("client-17", 1);
    for _ in 0..count {
        black_box(directory.arrive(black_box("client-17")));
        directory.leave("client-17", 2);
    }
    Ok(())
}

fn subscribe_and_unsubscribe(count: usize) -> Result<()> {
    let mut subscriptions = Subscriptions::new(&log(), 0);
    for _ in 0..count {
        let topic = subscriptions.subscribe(black_box("topic-17"), 3);
        subscriptions.unsubscribe(topic, 3);
    }
    Ok(())
}

fn parse_head(count: usize) -> Result<()> {
    let mut bytes = b"GET /ws?topic=news HTTP/1.1\r\nHost: localhost:8080\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://localhost\r\n\
        User-Agent: instructions/1.0\r\n\r\n"
        .to_vec();
    let limits = HeadLimits { bytes_max: 16_384, fields_max: 64, target_bytes_max: 4_096 };
    for _ in 0..count {
        let mut reader = HeadReader::default();
        let mut input = black_box(&mut bytes[..]);
        let whole = reader.read(&mut input, &limits).ok().flatten().context("a head")?;
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        black_box(head::parse(&whole, &mut fields, &limits).ok().context("a valid head")?);
    }
    Ok(())
}

/// Written and read.
fn chunk_64(count: usize) -> Result<()> {
    let (mut out, mut body) = (Vec::with_capacity(128), Vec::with_capacity(128));
    for _ in 0..count {
        out.clear();
        body.clear();
        chunk::write(&mut out, |out| out.extend_from_slice(black_box(&[b'x'; 64])));
        chunk::write_last(&mut out);
        let mut input = black_box(&out[..]);
        let read = chunk::ChunkReader::default().read(&mut input, &mut body, 1 << 20);
        black_box(read.ok().context("a body")?);
    }
    Ok(())
}

fn read_response(count: usize) -> Result<()> {
    let bytes = b"HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 17:00:00 GMT\r\n\
        Content-Type: application/json\r\nContent-Length: 33\r\n\r\n\
        {\"status\":\"ok\",\"padding\":\"xxxxx\"}";
    let limits = ResponseLimits { head_bytes_max: 16_384, fields_max: 64, body_bytes_max: 1 << 20 };
    for _ in 0..count {
        let (mut reader, mut input) = (ResponseReader::default(), black_box(&bytes[..]));
        while !input.is_empty() {
            let part = reader.read(&mut input, Asked::Content, &limits).ok().flatten();
            black_box(part.context("a part")?);
        }
    }
    Ok(())
}
