//! `--save`, `merge` and `--start-at`: the results of two processes are added exactly.

#![forbid(unsafe_code)]

mod servers;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::SystemTime,
};

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use ringway_loadtest::{
    measure::{encoding, quantiles::Quantiles},
    saved::{Saved, read, write},
};
use serde_json::Value;
use servers::{json, run};
use tempfile::TempDir;

fn path(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn words(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn start(url: &str, save: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ringway-loadtest"))
        .args(["echo", "--url", url, "-c", "4", "--rate", "400", "-d", "2s", "-q"])
        .args(["--save", words(save)])
        .args(more)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A run of two processes that start together.
fn two(folder: &TempDir) -> (PathBuf, PathBuf) {
    let url = format!("ws://{}/", servers::plain());
    let (a, b) = (path(folder, "a.hdr"), path(folder, "b.hdr"));
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let at = format!("{:.3}", now + 3.0);
    let mut both = [
        start(&url, &a, &["--start-at", &at]),
        start(&url, &b, &["--start-at", &at, "--first-number", "4", "--text"]),
    ];
    for one in &mut both {
        // On a busy machine the tester may be late; it then exits with 3, but still saves.
        assert!(matches!(one.wait().unwrap().code(), Some(0 | 3)));
    }
    (a, b)
}

fn merge(files: &[&Path], more: &[&str]) -> std::process::Output {
    let files: Vec<&str> = files.iter().map(|file| words(file)).collect();
    run(&[&["merge"][..], &files, more].concat())
}

fn refusal(files: &[&Path], more: &[&str]) -> String {
    let output = merge(files, more);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_results_of_two_processes_are_added_exactly() {
    let folder = TempDir::new().unwrap();
    let (a, b) = two(&folder);
    let merged = path(&folder, "merged.hdr");
    let output = merge(&[&a, &b], &["--json", "--save", words(&merged)]);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    let found = json(&output);
    let parts = [&a, &b].map(|path| read::load(path).unwrap());
    let apart = parts[0].report.started_at_unix_s - parts[1].report.started_at_unix_s;
    assert!(apart.abs() < 0.5, "they began {apart} s apart");

    let mut sum = parts[0].latencies();
    sum.add(parts[1].latencies()).unwrap();
    assert_eq!(sum.len(), parts[0].report.latency_us.count + parts[1].report.latency_us.count);
    let quantiles: Quantiles = serde_json::from_value(found["latency_us"].clone()).unwrap();
    let expected = Quantiles::of(&sum);
    // A mean has more digits than JSON keeps.
    assert!((quantiles.mean - expected.mean).abs() < 1e-6, "{quantiles:?} {expected:?}");
    assert_eq!(Quantiles { mean: expected.mean, ..quantiles }, expected);
    let of_both = |of: fn(&Saved) -> u64| parts.iter().map(of).sum::<u64>();
    assert_eq!(found["ledger"]["sent"], of_both(|part| part.report.ledger.sent));
    assert_eq!((&found["connections"], &found["details"]["processes"]), (&8.into(), &2.0.into()));
    assert_eq!(found["rate_asked"], 800.0);
    let received = found["timeline"].as_array().unwrap().iter();
    let received: u64 = received.map(|point| point["received"].as_u64().unwrap()).sum();
    assert_eq!(received, of_both(|part| part.report.ledger.received));
    assert_eq!(found["valid"], parts.iter().all(|part| part.report.valid));

    let again = read::load(&merged).unwrap();
    assert_eq!(again.latencies(), sum);
    assert_eq!(serde_json::to_value(&again.report).unwrap(), found);
}

#[test]
fn a_saved_run_is_read_back_here_and_by_another_reader() {
    let folder = TempDir::new().unwrap();
    let url = format!("ws://{}/", servers::plain());
    let a = path(&folder, "a.hdr");
    start(&url, &a, &["-H", "x: \u{1f6a2} \" \\ #[StartTime: 1 ", "--drain", "1s"]).wait().unwrap();
    let saved = read::load(&a).unwrap();
    let again = path(&folder, "again.hdr");
    write::save(&saved, &again).unwrap();
    assert_eq!(read::load(&again).unwrap(), saved);

    let text = fs::read(&a).unwrap();
    let mut sum = saved.latencies();
    sum.reset();
    for entry in IntervalLogIterator::new(&text) {
        match entry.unwrap() {
            LogEntry::Interval(line) => {
                assert_eq!(line.tag(), None);
                sum.add(encoding::decode(line.encoded_histogram()).unwrap()).unwrap();
            }
            LogEntry::StartTime(at) => {
                assert!((at.as_secs_f64() - saved.report.started_at_unix_s).abs() < 0.01);
            }
            LogEntry::BaseTime(at) => panic!("{at:?}"),
        }
    }
    assert_eq!(sum, saved.latencies());
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_table() {
    let folder = TempDir::new().unwrap();
    let full = path(&folder, "full");
    symlink("/dev/full", &full).unwrap();
    let url = format!("ws://{}/", servers::plain());
    for (mode, time) in [("echo", "-d"), ("idle", "--hold"), ("churn", "-d")] {
        for option in ["--json", "--html", "--save"] {
            let file = format!("{option}={}", words(&full));
            let output = run(&[mode, "--url", &url, "-q", "-c", "1", time, "200ms", &file]);
            assert_eq!(output.status.code(), Some(4), "{output:?}");
            assert!(!output.stdout.is_empty(), "{mode} {option}: {output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("full"), "{output:?}");
        }
    }
    assert!(full.is_symlink());
}

#[test]
fn each_reason_against_merging_files_is_named() {
    let folder = TempDir::new().unwrap();
    let (a, b) = two(&folder);
    let (copy, merged) = (path(&folder, "copy.hdr"), path(&folder, "merged.hdr"));
    fs::copy(&a, &copy).unwrap();
    assert!(refusal(&[&a, &copy], &[]).contains("twice"));
    merge(&[&a, &b], &["-q", "--save", words(&merged)]);
    assert!(refusal(&[&merged, &b], &[]).contains("twice"));

    // A file that was cut anywhere is rejected.
    let whole = fs::read(&a).unwrap();
    let cut = path(&folder, "cut.hdr");
    for share in 1..40 {
        fs::write(&cut, &whole[..whole.len() * share / 40]).unwrap();
        let said = refusal(&[&cut, &b], &[]);
        assert!(said.contains("cut.hdr"), "{said}");
    }

    // Without the names of its runs, a file could be added twice.
    let text = fs::read_to_string(&a).unwrap();
    let is_name = |line: &&str| line.starts_with("#[ringway-loadtest:runs] ");
    let name = text.lines().find(is_name).unwrap();
    for bad in ["#", "#[ringway-loadtest:runs] ", "#[ringway-loadtest:runs] 1-2 other"] {
        fs::write(&cut, text.replace(name, bad)).unwrap();
        assert!(refusal(&[&a, &cut], &[]).contains("does not name the runs"), "{bad}");
    }
    // A file with an edited figure is rejected.
    let edited = text.replacen("\"connections\":", "\"connections\":1", 1);
    assert_ne!(edited, text);
    fs::write(&cut, edited).unwrap();
    assert!(refusal(&[&a, &cut], &[]).contains("checksum"));
    // So is one that was saved by an editor with other line ends, or in any other way changed.
    fs::write(&cut, text.replace('\n', "\r\n")).unwrap();
    assert!(refusal(&[&a, &cut], &[]).contains("was changed: its bytes"));
    let mut flipped = whole.clone();
    *flipped.iter_mut().rev().find(|byte| byte.is_ascii_digit()).unwrap() ^= 1;
    fs::write(&cut, &flipped).unwrap();
    assert!(refusal(&[&a, &cut], &[]).contains("was changed: its bytes"));
    // Files that were joined, or appended to.
    fs::write(&cut, text.repeat(2)).unwrap();
    assert!(refusal(&[&b, &cut], &[]).contains("goes on after its checksum"));
    fs::write(&cut, format!("{text}# a note\n")).unwrap();
    assert!(refusal(&[&b, &cut], &[]).contains("goes on after its checksum"));
    // A version without checksums wrote no such line; a cut one has none either.
    let (before, _) = text.split_once("#[ringway-loadtest:crc32] ").unwrap();
    fs::write(&cut, before).unwrap();
    assert!(refusal(&[&b, &cut], &[]).contains("no checksum in its last line"));
    fs::write(&cut, "").unwrap();
    assert!(refusal(&[&b, &cut], &[]).contains("it is empty"));
    // Other types of files.
    for (other, why) in [
        (&b"\x7fELF\x02\x01\x01\0\xff"[..], "not text"),
        (b"{\"mode\": \"echo\"}\n", "not a line of a histogram log"),
        (b"#[Histogram log format version 1.3]\n", "no report"),
    ] {
        fs::write(&cut, other).unwrap();
        let said = refusal(&[&b, &cut], &[]);
        assert!(said.contains(why), "{why}: {said}");
    }
    let fifo = path(&folder, "fifo");
    make_fifo(&fifo);
    assert!(refusal(&[&fifo, &b], &[]).contains("no file"));

    let mut other = read::load(&b).unwrap();
    other.report.url = "ws://elsewhere/".to_owned();
    let elsewhere = path(&folder, "elsewhere.hdr");
    write::save(&other, &elsewhere).unwrap();
    assert!(refusal(&[&a, &elsewhere], &[]).contains("--force"));
    assert!(merge(&[&a, &elsewhere], &["--force", "--json"]).status.code() != Some(4));

    other.report.started_at_unix_s += 7200.0;
    write::save(&other, &elsewhere).unwrap();
    let output = merge(&[&a, &elsewhere], &["--force", "--json"]);
    let found: Value = json(&output);
    assert_eq!(output.status.code(), Some(3), "{found:#}");
    assert!(found["invalid_because"].to_string().contains("not_together"), "{found:#}");
    other.report.started_at_unix_s += 1e9;
    write::save(&other, &elsewhere).unwrap();
    assert!(refusal(&[&a, &elsewhere], &["--force"]).contains("days apart"));
    assert_eq!(run(&["merge", words(&a)]).status.code(), Some(2));
}

#[test]
fn a_start_in_the_past_is_refused() {
    let url = format!("ws://{}/", servers::plain());
    let words = ["echo", "--url", &url, "-c", "1", "-q", "--start-at"];
    let output = run(&[&words[..], &["1000000000"]].concat());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
