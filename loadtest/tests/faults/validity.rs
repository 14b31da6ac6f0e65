//! A tester that is the bottleneck says so, whatever the server does.

use std::{
    process::{Child, Command},
    thread,
};

use ringway_acceptor::cores;

use crate::{
    run::echo,
    server::{Fault, Server},
};

/// Processes that keep a core busy; dropping this ends them.
struct Fire(Vec<Child>);

impl Fire {
    fn on(core: usize, count: usize) -> Self {
        // A child may run on the cores of the thread that starts it.
        let start = move || {
            cores::pin(core).unwrap();
            let burn = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
            std::iter::repeat_with(burn).take(count).collect()
        };
        Self(thread::spawn(start).join().unwrap())
    }
}

impl Drop for Fire {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[test]
fn a_run_whose_tester_shares_its_core_is_invalid() {
    let core = *cores::allowed().unwrap().last().unwrap();
    let server = Server::start(Fault::Nothing);
    let _fire = Fire::on(core, 4);
    for (arguments, because) in [
        ("-c 20 --rate 5k -d 1500ms", ["late_sends", "tester_cpu"]),
        ("-c 20 --closed --pipeline 8 -d 1500ms", ["tester_cpu", "tester_cpu"]),
    ] {
        let outcome = echo(&server.url(), "auto", &format!("{arguments} --cores {core}"));
        assert_eq!(outcome.status, 3, "{outcome:?}");
        assert_eq!(outcome.report["valid"], false, "{outcome:?}");
        let why = outcome.report["invalid_because"].to_string();
        assert!(because.iter().any(|reason| why.contains(reason)), "{why}");
        // The counts are right even so.
        assert_eq!(outcome.ledger()[2..], [0; 4], "{outcome:?}");
    }
}

#[test]
fn a_rate_that_cannot_be_sent_is_not_reached() {
    let server = Server::start(Fault::Nothing);
    let arguments = "-c 20 --rate 50M -d 200ms --drain 300ms";
    let outcome = echo(&server.url(), "auto", arguments);
    assert_eq!(outcome.status, 3, "{outcome:?}");
    let why = outcome.report["invalid_because"].to_string();
    assert!(why.contains("rate_not_reached"), "{why}");
    assert!(outcome.count("ledger.sent") > 0, "{outcome:?}");
}
