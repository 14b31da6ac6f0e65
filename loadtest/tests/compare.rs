//! `compare` against servers, one of them known to be slower.

#![forbid(unsafe_code)]

#[path = "fanout/relay.rs"]
#[allow(dead_code, reason = "only relays without a fault are compared")]
mod relay;
mod servers;

use std::{
    process::{Child, Command},
    sync::Arc,
    thread,
    time::Duration,
};

use relay::{Fault, Relay};
use serde_json::Value;
use servers::{Process, json, run};

#[test]
fn serves() {
    servers::serve_if_asked();
}

fn target<'j>(comparison: &'j Value, name: &str) -> &'j Value {
    let all = comparison["targets"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {comparison:#}"))
}

fn median(comparison: &Value, name: &str, ratio: &str) -> f64 {
    let median = &target(comparison, name)[ratio]["median"];
    median.as_f64().unwrap_or_else(|| panic!("{name} {ratio}: {comparison:#}"))
}

const US: Duration = Duration::from_micros(1);

/// Rounds count even if the machine is busy.
const SHORT: [&str; 10] =
    ["-c", "4", "--slot", "100ms", "--rounds", "6", "--calm", "1000", "-q", "--json"];

#[test]
fn a_server_that_costs_more_is_detected_and_the_control_is_not() {
    // Both burn much more than an echo costs, even if it costs twice as much on a busy machine.
    let (quick, slow) = (Process::start(200 * US), Process::start(1000 * US));
    let url = |name: &str, process: &Process| format!("{name}=ws://{}/", process.address);
    let pid = |name: &str, process: &Process| format!("{name}={}", process.pid());
    let (quick_url, quick_pid) = (url("quick", &quick), pid("quick", &quick));
    let (slow_url, slow_pid) = (url("slow", &slow), pid("slow", &slow));
    let words = [
        ["--url", &quick_url, "--pid", &quick_pid],
        ["--url", &slow_url, "--pid", &slow_pid],
        ["--url", "nobody=ws://127.0.0.1:9/", "--handshake-timeout", "1s"],
    ]
    .concat();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("compare.html");
    let html = ["--html", page.to_str().unwrap()];
    let output = run(&[&["compare", "--control"][..], &words, &SHORT, &html].concat());
    let found = json(&output);
    let page = std::fs::read_to_string(page).unwrap();
    for part in ["quick", "slow", "control", "failed: ", "CPU time of the server per message"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(median(&found, "slow", "ratio") > 1.5, "{found:#}");
    let control = median(&found, "control", "ratio");
    assert!((0.6..1.6).contains(&control), "{found:#}");
    assert_eq!(median(&found, "quick", "ratio"), 1.0);
    let quick = target(&found, "quick");
    assert_eq!((&quick["rounds"], &quick["ledger"]["lost"]), (&6.into(), &0.into()));
    assert!(quick["latency_us"]["count"].as_u64().unwrap() > 100, "{quick:#}");
    assert!(quick["server_cpu_ns_per_message"].as_f64().unwrap() > 200e3, "{quick:#}");

    // A server that does not exist must not affect the others.
    let nobody = target(&found, "nobody");
    let failed = nobody["failed"].as_str().unwrap();
    assert!(failed.contains("connect_refused") && nobody["valid"] == false, "{nobody:#}");
    assert!(matches!(output.status.code(), Some(1 | 3)), "{output:?}");
}

#[test]
fn a_server_that_dies_is_left_out_and_the_others_go_on() {
    let address = servers::plain();
    let mut mortal = Process::start(Duration::ZERO);
    let (a, b) = (format!("a=ws://{address}/"), format!("b=ws://{}/", mortal.address));
    let pid = format!("b={}", mortal.pid());
    let ending = thread::spawn(move || {
        thread::sleep(Duration::from_millis(1500));
        mortal.kill();
    });
    let words = ["compare", "--url", &a, "--url", &b, "--pid", &pid, "-c", "2", "--slot", "100ms"];
    let more = ["--rounds", "20", "--calm", "1000", "--drain", "300ms", "-q", "--json"];
    let output = run(&[&words[..], &more].concat());
    ending.join().unwrap();
    let found = json(&output);
    assert_eq!(target(&found, "a")["rounds"], 20, "{found:#}");
    let dead = target(&found, "b");
    assert!(dead["failed"].as_str().unwrap().contains("there is no process"), "{dead:#}");
    assert!(dead["rounds"].as_u64().unwrap() < 20, "{dead:#}");
    // The server may have died in its own slot; the messages sent to it are then lost.
    let has_lost = dead["ledger"]["lost"] != 0;
    let status = output.status.code();
    assert!(if has_lost { status == Some(5) } else { matches!(status, Some(1 | 3)) }, "{output:?}");
}

/// Processes that never sleep, on one core, until they are dropped.
struct Disturbance(Vec<Child>);

impl Disturbance {
    fn on(core: usize) -> Self {
        let spin = || {
            let mut spin = Command::new("taskset");
            spin.args(["-c", &core.to_string(), "sh", "-c", "while :; do :; done"]);
            spin.spawn().unwrap()
        };
        // The tester gets a fifth of its core, whatever the scheduler prefers.
        Self((0..4).map(|_| spin()).collect())
    }
}

impl Drop for Disturbance {
    fn drop(&mut self) {
        for process in &mut self.0 {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

#[test]
fn a_machine_with_other_work_gives_figures_with_their_doubts() {
    let core = ringway_acceptor::cores::allowed().unwrap()[0];
    let _disturbance = Disturbance::on(core);
    let (a, b) = (Process::start(Duration::ZERO), Process::start(1000 * US));
    let (a_url, b_url) = (format!("a=ws://{}/", a.address), format!("b=ws://{}/", b.address));
    let (a_pid, b_pid) = (format!("a={}", a.pid()), format!("b={}", b.pid()));
    let of_both = ["--url", &a_url, "--pid", &a_pid, "--url", &b_url, "--pid", &b_pid];
    let cores = core.to_string();
    let words = ["compare", "--control", "-c", "4", "--slot", "100ms", "--rounds", "4", "-q"];
    let noise = ["--cores", &cores, "--calm", "5"];
    let output = run(&[&words[..], &of_both, &noise, &["--json"]].concat());
    let found = json(&output);
    assert_eq!(output.status.code(), Some(3), "{found:#}");
    assert_eq!((&found["basis"], &found["rounds"]), (&"all".into(), &found["rounds_run"]));
    assert_eq!(found["rounds_run"], 8, "{found:#}");
    assert!(found["rounds_calm"].as_u64().unwrap() < 2, "{found:#}");
    assert!(found["invalid_because"].to_string().contains("noisy: only"), "{found:#}");
    assert!(median(&found, "b", "ratio") > 1.5, "{found:#}");
    assert!(median(&found, "control", "ratio") > 0.1, "{found:#}");

    let shown = run(&[&words[..], &of_both, &noise, &["--time-max", "1ms"]].concat());
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("1 of 1 rounds count, 0 were calm"), "{shown}");
    assert!(shown.contains("~1.000 [1.000 1.000]"), "{shown}");
    assert!(shown.contains("INVALID    noisy") && shown.contains("time_max"), "{shown}");
}

#[test]
fn an_open_loop_compares_latencies() {
    // Much longer than an echo takes on a busy machine, but done before the next message is due.
    let slow = servers::start(Arc::new(|| thread::sleep(40_000 * US)));
    let quick = servers::plain();
    let (a, b) = (format!("a=ws://{quick}/"), format!("b=ws://{slow}/?x=1"));
    let words = ["compare", "--url", &a, "--url", &b, "--rate", "60", "--text"];
    let found = json(&run(&[&words[..], &SHORT].concat()));
    assert!(median(&found, "b", "ratio_p50") > 1.5, "{found:#}");
    // A slot ends with its last answer, so those of the slow server are somewhat longer.
    assert!((0.5..1.5).contains(&median(&found, "b", "ratio_rate")), "{found:#}");
    assert_eq!(target(&found, "b")["ratio"], Value::Null);
    assert_eq!(found["rate_asked"], 60.0);
}

#[test]
fn servers_with_their_own_message_format_are_compared() {
    let (a, b) = (servers::of_language("say "), servers::of_language("say "));
    let (a, b) = (format!("a=ws://{a}/"), format!("b=ws://{b}/"));
    let words = ["compare", "--url", &a, "--url", &b, "--message", "say {stamp}{body} {n}"];
    let found = json(&run(&[&words[..], &SHORT].concat()));
    for name in ["a", "b"] {
        let one = target(&found, name);
        assert!(one["latency_us"]["count"].as_u64().unwrap() > 24, "{one:#}");
        assert_eq!((&one["ledger"]["lost"], &one["ledger"]["corrupted"]), (&0.into(), &0.into()));
    }
}

#[test]
fn fan_outs_are_compared_and_the_control_shares_its_subscribers() {
    let (a, b) = (Relay::start(Fault::None), Relay::start(Fault::None));
    let subscribe = |name: &str, relay: &Relay| format!("{name}=ws://{}/subscribe", relay.address);
    let publish = |name: &str, relay: &Relay| format!("{name}=ws://{}/publish", relay.address);
    let (a_url, a_publish) = (subscribe("a", &a), publish("a", &a));
    let (b_url, b_publish) = (subscribe("b", &b), publish("b", &b));
    let words = ["compare", "--mode", "fanout", "--control", "--pipeline", "2"];
    let of_a = ["--url", &a_url, "--publish-url", &a_publish];
    let of_b = ["--url", &b_url, "--publish-url", &b_publish, "--publish-message"];
    let output = run(&[&words[..], &of_a, &of_b, &["b=x{stamp}{body}y"], &SHORT].concat());
    let found = json(&output);
    for name in ["a", "b", "control"] {
        let one = target(&found, name);
        assert_eq!((&one["rounds"], &one["ledger"]["lost"]), (&6.into(), &0.into()), "{one:#}");
        // With a second set of subscribers, everything would be delivered twice.
        assert_eq!((&one["ledger"]["doubled"], &one["connections_open"]), (&0.into(), &4.into()));
        assert!(one["latency_us"]["count"].as_u64().unwrap() >= 24, "{one:#}");
    }
    // The slots are so short that other work of the machine may fill most of one.
    assert!((0.1..10.0).contains(&median(&found, "control", "ratio_rate")), "{found:#}");
}

#[test]
fn churning_connections_are_compared() {
    let (quick, slow) = (Process::start(Duration::ZERO), Process::start(3000 * US));
    let url = |name: &str, process: &Process| format!("{name}=ws://{}/", process.address);
    let pid = |name: &str, process: &Process| format!("{name}={}", process.pid());
    let (a_url, a_pid) = (url("a", &quick), pid("a", &quick));
    let (b_url, b_pid) = (url("b", &slow), pid("b", &slow));
    let of_both = ["--url", &a_url, "--pid", &a_pid, "--url", &b_url, "--pid", &b_pid];
    let nobody = ["--url", "nobody=ws://127.0.0.1:9/", "--handshake-timeout", "1s"];
    let words = ["compare", "--mode", "churn", "--control"];
    let found = json(&run(&[&words[..], &of_both, &nobody, &SHORT].concat()));
    assert_eq!(found["workload"], "churn");
    for name in ["a", "b", "control"] {
        let one = target(&found, name);
        assert_eq!((&one["rounds"], &one["ledger"]["lost"]), (&6.into(), &0.into()), "{one:#}");
        assert_eq!((&one["ledger"]["corrupted"], &one["connections_open"]), (&0.into(), &0.into()));
        assert!(one["latency_us"]["count"].as_u64().unwrap() > 24, "{one:#}");
        assert!(!one["invalid_because"].to_string().contains("connections_missing"), "{one:#}");
    }
    assert!(median(&found, "b", "ratio") > 1.5, "its messages cost more: {found:#}");
    let failed = target(&found, "nobody")["failed"].as_str().unwrap();
    assert!(failed.contains("connect_refused"), "{failed}");
}

#[test]
fn all_servers_get_half_the_rate_of_the_first() {
    // Both could do more, but they get no more than the first could do twice.
    let first = servers::of_capacity(400, Duration::from_millis(20));
    let (a, b) = (format!("a=ws://{first}/"), format!("b=ws://{}/", servers::plain()));
    let words = ["compare", "--url", &a, "--url", &b, "--rate", "half"];
    let found = json(&run(&[&words[..], &SHORT].concat()));
    let (asked, saturated) = (&found["rate_asked"], &found["saturated_rate"]);
    let (asked, saturated) = (asked.as_f64().unwrap(), saturated.as_f64().unwrap());
    assert!((150.0..600.0).contains(&saturated), "{found:#}");
    assert!((asked - saturated / 2.0).abs() < 1e-6, "{found:#}");
    for name in ["a", "b"] {
        let one = target(&found, name);
        // A slot ends with its last answer, so it may be longer.
        let rate = one["rate"].as_f64().unwrap();
        assert!((0.5 * asked..1.1 * asked).contains(&rate), "{one:#}");
        assert_eq!(one["ledger"]["lost"], 0, "{one:#}");
    }
    let nobody = ["compare", "--url", "a=ws://127.0.0.1:9/", "--url", &b, "--rate", "half", "-q"];
    let output = run(&nobody);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(4) && said.contains("half the rate of a"), "{said}");
}

#[test]
fn messages_without_stamps_are_compared_by_cost() {
    let (a, b) = (servers::plain(), servers::plain());
    let (a, b) = (format!("a=ws://{a}/"), format!("b=ws://{b}/"));
    let words = ["compare", "--url", &a, "--url", &b, "--unstamped"];
    let output = run(&[&words[..], &SHORT].concat());
    let found = json(&output);
    for name in ["a", "b"] {
        let one = target(&found, name);
        assert_eq!((&one["latency_us"]["count"], &one["ratio_p50"]), (&0.into(), &Value::Null));
        assert!(one["ledger"]["received"].as_u64().unwrap() > 100, "{one:#}");
        assert_eq!(one["ledger"]["lost"], 0, "{one:#}");
    }
    assert!(found["warnings"].to_string().contains("no latency is measured"), "{found:#}");
    assert!(median(&found, "b", "ratio_rate") > 0.1, "{found:#}");
}

#[test]
fn echoes_beside_fan_outs_are_compared() {
    let relays = [Relay::start(Fault::None), Relay::start(Fault::None)];
    let urls = |path: &str| {
        let [a, b] = relays.each_ref().map(|relay| relay.url("ws", path));
        [format!("a={a}"), format!("b={b}")]
    };
    let options = [("--url", "/subscribe"), ("--publish-url", "/publish"), ("--echo-url", "/echo")];
    let named = options.map(|(option, path)| (option, urls(path)));
    let mut words = vec!["compare", "--mode", "fanout", "--rate", "half", "--echo-rate", "100"];
    for (option, urls) in &named {
        words.extend(urls.iter().flat_map(|url| [*option, url]));
    }
    let found = json(&run(&[&words[..], &SHORT].concat()));
    for name in ["a", "b"] {
        let one = target(&found, name);
        let echo = &one["echo_beside"];
        // Six slots of 100 ms.
        assert_eq!(echo["latency_us"]["count"], 60, "{one:#}");
        assert!(echo["own_delay_p99_us"].as_f64().unwrap() > 0.0, "{one:#}");
        assert_eq!(one["ledger"]["lost"], 0, "{one:#}");
    }
    // Four subscribers receive each event.
    let (asked, saturated) = (&found["rate_asked"], &found["saturated_rate"]);
    let events = saturated.as_f64().unwrap() / 4.0;
    assert!((asked.as_f64().unwrap() - events / 2.0).abs() < 1e-6, "{found:#}");
}

#[test]
fn impossible_comparisons_are_explained() {
    for (words, why) in [
        (&["--url", "a=ws://127.0.0.1:9/"][..], "--control"),
        (&["--url", "a=ws://h/", "--url", "a=ws://h/"], "two servers are named a"),
        (&["--url", "a=ws://h/", "--control", "--pid", "b=1"], "--pid names b"),
        (&["--url", "a=ws://h/", "--control", "--size", "1"], "too small"),
        (&["--url", "a=ws://h/", "--control", "--mode", "fanout", "--size", "33"], "too small"),
        (&["--url", "a=ws://h/", "--control", "--hello", "b=x"], "--hello names b"),
        (&["--url", "a=ws://h/", "--control", "--message", "x"], "{stamp}"),
        (&["--url", "a=ws://h/", "--control", "--message", "{stamp}", "--size", "33"], "34 bytes"),
        (
            &["--url", "a=ws://h/", "--control", "--mode", "fanout", "--message", "{stamp}"],
            "--publish-message",
        ),
        (&["--url", "a=ws://h/", "--control", "--echo-url", "a=ws://h/"], "--mode fanout"),
        (&["--url", "a=ws://h/", "--control", "--rate", "half", "--unstamped"], "--unstamped"),
        (&["--url", "a=ws://h/", "--control", "--mode", "churn", "--unstamped"], "--unstamped"),
        (&["--url", "a=ws://h/", "--control", "--mode", "churn", "--pipeline", "2"], "--pipeline"),
        (&["--url", "a=ws://h/", "--control", "--rate", "third"], "half"),
    ] {
        let output = run(&[&["compare", "-q"][..], words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why) && output.status.code() == Some(2), "{words:?}: {output:?}");
    }
    let output = run(&["compare", "-q", "--control", "--url", "ws://127.0.0.1:9/"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = run(&["compare", "-q", "--control", "--url", "a=ws://127.0.0.1:9/"]);
    assert_eq!(output.status.code(), Some(4), "nothing was measured: {output:?}");
}
