//! Panics in a running gateway: real cores on real sockets, and clients that must be told to leave.

use std::{
    collections::BTreeMap,
    env,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ringway_acceptor::{cores, uring::probe};

use crate::{
    broker::mailbox::CoreMessage,
    config::{Flag, Sources},
    control::*,
    log,
    process::{inherited::Inherited, server},
};

const PATIENCE: Duration = Duration::from_secs(20);

const ENGINES: [&str; 2] = ["uring", "epoll"];

/// So many that both cores get some: the kernel spreads them over both.
const CLIENTS: usize = 48;

/// How a client's connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Told1001,
    /// The stream had its last chunk.
    Complete,
    CutOff,
}

fn config(engine: &str) -> Option<Config> {
    if engine == "uring" && probe::check(2).is_err() {
        eprintln!("skipped: no io_uring");
        return None;
    }
    let settings = vec![
        format!("server.io={engine}"),
        "server.api_listen=127.0.0.1:0".to_owned(),
        // Longer than a failed gateway may drain.
        "server.drain_time=5m".to_owned(),
        format!("server.cores={}", cores::allowed().unwrap().len().min(2)),
    ];
    let listen =
        Flag { name: "--listen", key: "listener.address", value: "127.0.0.1:0".to_owned() };
    let sources = Sources { settings, flags: vec![listen], ..Sources::default() };
    Some(Config::load(&sources).unwrap())
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn read_head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// An event stream.
fn stream(address: SocketAddr) -> TcpStream {
    let mut client = connect(address);
    write!(client, "GET /sse HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let head = read_head(&mut client);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client
}

/// A WebSocket on `/echo`.
fn upgrade(address: SocketAddr) -> TcpStream {
    let mut client = connect(address);
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";
    write!(
        client,
        "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n"
    )
    .unwrap();
    let head = read_head(&mut client);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

/// Reads a stream to its end.
fn end_of_stream(mut client: TcpStream) -> End {
    let mut body = Vec::new();
    if let Err(error) = client.read_to_end(&mut body) {
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "a client was left waiting");
        return End::CutOff;
    }
    // RFC 9112 §7.1: the last chunk.
    if body.ends_with(b"\r\n0\r\n\r\n") { End::Complete } else { End::CutOff }
}

/// Reads to the end, and answers a Close.
fn end_of(mut client: TcpStream) -> End {
    let mut header = [0; 4];
    match client.read_exact(&mut header) {
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "a client was left waiting");
            End::CutOff
        }
        Ok(()) => {
            // RFC 6455 §5.5.1: FIN, Close, a status code.
            assert_eq!((header[0], u16::from_be_bytes([header[2], header[3]])), (0x88, 1001));
            client.write_all(b"\x88\x82\0\0\0\0\x03\xe9").unwrap();
            let _ = client.read_to_end(&mut Vec::new());
            End::Told1001
        }
    }
}

fn ends_of(clients: Vec<TcpStream>, end_of: fn(TcpStream) -> End) -> BTreeMap<End, usize> {
    let reading: Vec<_> =
        clients.into_iter().map(|client| thread::spawn(move || end_of(client))).collect();
    let mut ends = BTreeMap::new();
    for client in reading {
        *ends.entry(client.join().unwrap()).or_default() += 1;
    }
    ends
}

fn is_failure(code: ExitCode) -> bool {
    // `ExitCode` cannot be compared.
    format!("{code:?}") == format!("{:?}", ExitCode::FAILURE)
}

/// In a separate process, because the log goes to the process's standard error.
#[test]
fn clients_of_other_cores_get_a_1001_when_a_core_panics() {
    const IN_CHILD: &str = "RINGWAY_TEST_PANICS";
    if env::var_os(IN_CHILD).is_some() {
        return cores_panic();
    }
    let name = "control::tests::clients_of_other_cores_get_a_1001_when_a_core_panics";
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture"]).env(IN_CHILD, "");
    let output = child.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}\n{log}");
    let panics: Vec<&str> =
        log.lines().filter(|line| line.contains("ERROR panicked: on purpose")).collect();
    let is_placed = |line: &&str| line.contains("core/shard/messages.rs:");
    assert!(!panics.is_empty() && panics.iter().all(is_placed), "{log}");
}

/// Lets one core after the other panic, on each engine.
fn cores_panic() {
    log::start(&Config::default().log).unwrap();
    for config in ENGINES.into_iter().filter_map(config) {
        let bound = server::bind(&config, Inherited::default()).unwrap();
        let address = bound.addresses()[0];
        let (give_mailbox, mailbox) = mpsc::channel();
        let control = thread::spawn(move || {
            failure::survive(config.server.drain_time, |mailbox, core_ends, ends| {
                let engine = bound.engine.clone();
                give_mailbox.send(mailbox.clone()).unwrap();
                block_on(&engine, async {
                    let signals = Signals::unheard();
                    supervise(bound, &config, signals, mailbox, core_ends, ends).await
                })
            })
        });
        let mailbox = mailbox.recv().unwrap();
        let clients: Vec<_> = (0..CLIENTS).map(|_| upgrade(address)).collect();
        let streams: Vec<_> = (0..CLIENTS).map(|_| stream(address)).collect();
        let start = Instant::now();
        mailbox.tell(0, CoreMessage::Panic);
        let of_streams = thread::spawn(|| ends_of(streams, end_of_stream));
        let ends = ends_of(clients, end_of);
        let of_streams = of_streams.join().unwrap();
        assert!(is_failure(control.join().unwrap().unwrap()));
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
        if cores::allowed().unwrap().len() > 1 {
            let of_both = |ends: BTreeMap<End, usize>| ends.into_keys().collect::<Vec<_>>();
            assert_eq!(of_both(ends), [End::Told1001, End::CutOff], "both cores had clients");
            assert_eq!(of_both(of_streams), [End::Complete, End::CutOff]);
        }
    }
    log::flush();
}

#[test]
fn all_clients_get_a_1001_when_the_control_thread_panics() {
    for config in ENGINES.into_iter().filter_map(config) {
        let bound = server::bind(&config, Inherited::default()).unwrap();
        let address = bound.addresses()[0];
        let (give_clients, clients) = mpsc::channel();
        let control = thread::spawn(move || {
            failure::survive(config.server.drain_time, |mailbox, core_ends, _ends| {
                let engine = bound.engine.clone();
                block_on(&engine, async {
                    let running = bound.start(&config, mailbox, &core_ends)?;
                    drop(core_ends);
                    let clients = (0..CLIENTS).map(|_| upgrade(address)).collect();
                    give_clients.send(clients).unwrap();
                    assert!(running.cores == 0, "on purpose");
                    Ok(ExitCode::SUCCESS)
                })
            })
        });
        let start = Instant::now();
        let ends = ends_of(clients.recv().unwrap(), end_of);
        assert_eq!(ends, BTreeMap::from([(End::Told1001, CLIENTS)]));
        assert!(is_failure(control.join().unwrap().unwrap()));
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    }
}

/// Without these tasks the private API is dead, or the history grows without bound.
#[test]
fn all_clients_get_a_1001_when_a_task_of_the_control_thread_panics() {
    let config = config("epoll").unwrap();
    let bound = server::bind(&config, Inherited::default()).unwrap();
    let engine = bound.engine.clone();
    block_on(&engine, async {
        let (core_ends, mut ends) = tokio::sync::mpsc::unbounded_channel();
        let mailbox = Mailbox::default();
        let running = bound.start(&config, mailbox.clone(), &core_ends)?;
        let mut signals = Signals::unheard();
        let mut api = api::start(&running)?;
        let mut upkeep = tokio::spawn(async { panic!("on purpose") });
        let cause = first_cause(&mut signals, &mut ends, &mut upkeep, &mut api, None).await;
        assert!(matches!(cause, Cause::Task("upkeep of the history")));
        mailbox.drain(Duration::ZERO);
        api.finish(Duration::from_secs(1)).await;
        Ok(())
    })
    .unwrap();
}
