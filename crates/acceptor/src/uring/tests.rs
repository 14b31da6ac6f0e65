//! The driver on a kernel that consumes fewer entries than are queued: it sends nothing twice, to
//! another client, or from reused memory.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Instant,
};

use super::{ring::tests::Fault, *};
use crate::{ConnectToken, Connector, SendMark, SocketOptions};

const CLIENTS: usize = 12;

/// Fewer than the sends of a turn, so that `push` flushes as well.
const ENTRIES: u32 = 8;

struct Rig {
    driver: UringDriver,
    operations: Operations,
    clients: Vec<(TcpStream, ConnectionId)>,
}

impl Rig {
    fn new() -> Option<Self> {
        let loopback = (Ipv4Addr::LOCALHOST, 0).into();
        let listener = Listener::bind(loopback, 64, &SocketOptions::default()).unwrap();
        let address = listener.address();
        let settings = Settings { submission_entries: ENTRIES, ..Settings::default() };
        let Ok(driver) = UringDriver::new(&settings, vec![listener]) else {
            eprintln!("skipped: no io_uring");
            return None;
        };
        let mut rig = Self { driver, operations: Operations::default(), clients: Vec::new() };
        while rig.clients.len() < CLIENTS {
            let client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let name = loop {
                if let Some(name) = rig.turn().unwrap() {
                    break name;
                }
            };
            rig.clients.push((client, name));
        }
        Some(rig)
    }

    /// Runs one turn; returns the client that was accepted in it.
    fn turn(&mut self) -> io::Result<Option<ConnectionId>> {
        self.driver.submit(&mut self.operations);
        self.driver.wait(Some(Duration::from_millis(5)))?;
        let mut accepted = None;
        while let Some(completion) = self.driver.next() {
            match completion {
                Completion::Accepted { connection, .. } => accepted = Some(connection),
                other => panic!("{other:?}"),
            }
        }
        Ok(accepted)
    }

    /// Ends the connections that the listeners of a test have reset or closed.
    fn until_quiet(&mut self) {
        for _ in 0..3 {
            self.driver.submit(&mut self.operations);
            self.driver.wait(Some(Duration::from_millis(5))).unwrap();
            while let Some(completion) = self.driver.next() {
                if let Completion::EndOfStream { connection }
                | Completion::Failed { connection, .. } = completion
                {
                    self.operations.push(Operation::Close(connection));
                }
            }
        }
    }

    /// Sends each client `length` bytes with a value that no other turn and client has.
    fn send(&mut self, turn: u8, length: usize) {
        for (index, (_, name)) in self.clients.iter().enumerate() {
            let byte = turn * CLIENTS as u8 + index as u8;
            self.operations.send(*name, &mut SendMark::default(), |out| {
                out.resize(out.len() + length, byte);
            });
        }
    }

    fn receives(&mut self, turn: u8, length: usize) {
        for (index, (client, _)) in self.clients.iter_mut().enumerate() {
            let mut bytes = vec![0; length];
            client.read_exact(&mut bytes).unwrap();
            let byte = turn * CLIENTS as u8 + index as u8;
            assert!(bytes.iter().all(|one| *one == byte), "another turn's or client's bytes");
        }
    }
}

#[test]
fn short_submissions_send_every_client_its_own_bytes() {
    let Some(mut rig) = Rig::new() else { return };
    let faults = [
        Fault::Short(1),
        Fault::Fails(libc::EAGAIN),
        Fault::Short(0),
        Fault::Fails(libc::EBUSY),
        Fault::Short(3),
    ];
    for turn in 1..=10 {
        rig.driver.ring.inject(faults);
        rig.send(turn, 3_000);
        rig.turn().unwrap();
        rig.receives(turn, 3_000);
    }
}

/// The kernel consumes no more entries: the core ends, and no client gets bytes of a later turn.
#[test]
fn a_ring_that_takes_nothing_fails_the_driver_and_stays_untouched() {
    for fault in [Fault::Short(0), Fault::Fails(libc::EAGAIN)] {
        let Some(mut rig) = Rig::new() else { return };
        rig.send(1, 3_000);
        rig.driver.ring.inject_always(Some(fault));
        let start = Instant::now();
        assert!(rig.turn().is_err());
        // The owner goes on in spite of the error.
        for turn in 2..5 {
            rig.send(turn, 3_000);
            assert!(rig.turn().is_err());
            assert!(rig.operations.is_empty());
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        rig.driver.ring.inject_always(None);
        assert!(rig.turn().is_err(), "what is broken stays so");
        drop(rig.driver);
        for (index, (client, _)) in rig.clients.iter_mut().enumerate() {
            let mut bytes = Vec::new();
            // A reset also ends the stream.
            let _ = client.read_to_end(&mut bytes);
            let own = CLIENTS as u8 + index as u8;
            assert!(bytes.iter().all(|byte| *byte == own), "bytes of a later turn");
        }
    }
}

#[test]
#[should_panic(expected = "submitted after the last one's wait")]
fn a_turn_is_not_overwritten_before_its_enter() {
    let Some(mut rig) = Rig::new() else {
        panic!("skipped: a turn is submitted after the last one's wait");
    };
    rig.send(1, 10);
    rig.driver.submit(&mut rig.operations);
    rig.send(2, 10);
    rig.driver.submit(&mut rig.operations);
}

/// Clients' bytes are received while submissions come short.
#[test]
fn short_submissions_lose_no_receive() {
    let Some(mut rig) = Rig::new() else { return };
    for (client, _) in &mut rig.clients {
        client.write_all(&[7; 100]).unwrap();
    }
    let mut received = 0;
    let deadline = Instant::now() + Duration::from_secs(10);
    while received < 100 * CLIENTS {
        assert!(Instant::now() < deadline, "{received}");
        rig.driver.ring.inject([Fault::Short(0), Fault::Fails(libc::EAGAIN), Fault::Short(1)]);
        rig.driver.submit(&mut rig.operations);
        rig.driver.wait(Some(Duration::from_millis(5))).unwrap();
        while let Some(completion) = rig.driver.next() {
            let Completion::Received { bytes, .. } = completion else { continue };
            received += bytes.len();
        }
    }
}

/// Each attempt reaches its own target: the kernel never sees an address of another turn.
#[test]
fn short_submissions_connect_to_the_address_that_was_asked_for() {
    let Some(mut rig) = Rig::new() else { return };
    let listeners: Vec<_> = std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0").unwrap())
        .take(CLIENTS)
        .collect();
    for turn in 0..5 {
        for (index, listener) in listeners.iter().enumerate() {
            let connector = Connector::new(listener.local_addr().unwrap());
            let token = ConnectToken((turn * CLIENTS + index) as u64);
            rig.operations.connect(connector.request(token));
        }
        rig.driver.ring.inject([Fault::Short(0), Fault::Fails(libc::EAGAIN), Fault::Short(1)]);
        let mut connected = 0;
        let deadline = Instant::now() + Duration::from_secs(10);
        while connected < CLIENTS {
            assert!(Instant::now() < deadline, "{connected}");
            rig.driver.submit(&mut rig.operations);
            rig.driver.wait(Some(Duration::from_millis(5))).unwrap();
            while let Some(completion) = rig.driver.next() {
                let Completion::Connected { connection, token } = completion else {
                    panic!("{completion:?}")
                };
                rig.operations.send(connection, &mut SendMark::default(), |out| {
                    out.push(token.0 as u8);
                });
                connected += 1;
            }
        }
        rig.turn().unwrap();
        for (index, listener) in listeners.iter().enumerate() {
            let mut byte = [0];
            listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
            assert_eq!(usize::from(byte[0]), turn * CLIENTS + index);
        }
        rig.until_quiet();
    }
}

/// The kernel takes an event for the end of an attempt that continues: a poll finds the outcome.
#[test]
fn an_attempt_that_the_kernel_no_longer_waits_for_has_its_outcome() {
    let Some(mut rig) = Rig::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for errno in [libc::EALREADY, libc::EINPROGRESS, libc::EINTR, libc::EAGAIN] {
        for (target, is_connected) in [(listener.local_addr().unwrap(), true), (nobody, false)] {
            let token = ConnectToken(errno as u64);
            let Ok(socket) = Connector::new(target).begin(None) else { continue };
            let connection = rig.driver.sockets.insert(Socket::connecting(socket)).unwrap();
            rig.driver.connecting.insert(token, connection);
            assert!(rig.driver.complete_connect(connection, -errno).is_none());
            let outcome = loop {
                rig.driver.submit(&mut rig.operations);
                rig.driver.wait(Some(Duration::from_secs(10))).unwrap();
                let mut outcome = None;
                while let Some(completion) = rig.driver.next() {
                    outcome = Some(match completion {
                        Completion::Connected { token, .. } => (token, true),
                        Completion::ConnectFailed { token, .. } => (token, false),
                        other => panic!("{other:?}"),
                    });
                }
                if let Some(outcome) = outcome {
                    break outcome;
                }
            };
            assert_eq!(outcome, (token, is_connected));
        }
    }
}
