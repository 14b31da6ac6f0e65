//! The script that spreads a network card's work, on a tree of files that looks like /sys and
//! /proc.
//!
//! It never touches the real ones.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::files::{path, run};

/// A machine that consists of files.
struct Machine(TempDir);

impl Machine {
    /// A machine with loopback and these cores, as the kernel lists them.
    fn of(cores: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.has("sys/devices/system/cpu/online", cores);
        machine.has("sys/class/net/lo/queues/rx-0/rps_cpus", "0");
        machine.has("proc/sys/net/core/rps_sock_flow_entries", "0");
        machine
    }

    fn has(&self, name: &str, value: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{value}\n")).unwrap();
    }

    fn shows(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap().trim().to_owned()
    }

    /// Adds a card with this many queues of each kind and an interrupt for each, all unset.
    fn has_card(&self, name: &str, queues: usize, empty_set: &str) {
        let card = format!("sys/class/net/{name}");
        for queue in 0..queues {
            self.has(&format!("{card}/queues/rx-{queue}/rps_cpus"), empty_set);
            self.has(&format!("{card}/queues/rx-{queue}/rps_flow_cnt"), "0");
            self.has(&format!("{card}/queues/tx-{queue}/xps_cpus"), empty_set);
            let irq = 30 + queue;
            self.has(&format!("sys/devices/{name}/msi_irqs/{irq}"), "msix");
            self.has(&format!("proc/irq/{irq}/smp_affinity_list"), "0-3");
        }
        let device = self.0.path().join(format!("sys/devices/{name}"));
        symlink(device, self.0.path().join(format!("{card}/device"))).unwrap();
    }

    fn runs(&self, arguments: &[&str]) -> Output {
        run(Command::new("bash")
            .arg(path("irq/rps.sh"))
            .args(arguments)
            .env("RINGWAY_TUNING_ROOT", self.0.path()))
        .expect("bash, which the script is for")
    }

    #[track_caller]
    fn does(&self, arguments: &[&str]) -> String {
        let output = self.runs(arguments);
        let told = String::from_utf8(output.stdout).unwrap();
        let faults = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{told}{faults}");
        told
    }

    /// Every file with its content.
    fn whole(&self) -> Vec<(String, String)> {
        fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, found);
                } else if path.is_file() {
                    found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        walk(self.0.path(), &mut found);
        found.sort();
        found
    }
}

const CARD: &str = "sys/class/net/eth0/queues";

#[test]
fn loopback_has_nothing_to_spread() {
    let machine = Machine::of("0-3");
    let before = machine.whole();
    let told = machine.does(&[]);
    assert!(told.starts_with("Nothing to do: no interface of this machine has a network card"));
    let told = machine.does(&["lo"]);
    assert!(told.starts_with("lo: nothing to do: it has no network card behind it"), "{told}");
    assert!(machine.does(&["--undo"]).starts_with("Nothing to undo"));
    assert_eq!(machine.whole(), before);
}

#[test]
fn the_packets_of_a_card_with_one_queue_are_spread() {
    let machine = Machine::of("0-3");
    machine.has_card("eth0", 1, "0");
    machine.does(&[]);
    assert_eq!(machine.shows(&format!("{CARD}/rx-0/rps_cpus")), "f");
    assert_eq!(machine.shows(&format!("{CARD}/rx-0/rps_flow_cnt")), "32768");
    assert_eq!(machine.shows("proc/sys/net/core/rps_sock_flow_entries"), "32768");
    assert_eq!(machine.shows("proc/irq/30/smp_affinity_list"), "0");
    assert_eq!(machine.shows(&format!("{CARD}/tx-0/xps_cpus")), "0", "there is no other");
    assert_eq!(machine.shows("sys/class/net/lo/queues/rx-0/rps_cpus"), "0");
}

#[test]
fn the_interrupts_of_a_card_with_a_queue_for_each_core_are_spread() {
    let machine = Machine::of("0-3");
    machine.has_card("eth0", 4, "0");
    machine.does(&["eth0"]);
    for queue in 0..4 {
        let irq = 30 + queue;
        let own_core = format!("{:x}", 1 << queue);
        assert_eq!(machine.shows(&format!("proc/irq/{irq}/smp_affinity_list")), queue.to_string());
        assert_eq!(machine.shows(&format!("{CARD}/tx-{queue}/xps_cpus")), own_core);
        assert_eq!(machine.shows(&format!("{CARD}/rx-{queue}/rps_cpus")), "0");
    }
    assert_eq!(machine.shows("proc/sys/net/core/rps_sock_flow_entries"), "0");
}

#[test]
fn cores_can_be_chosen_and_large_sets_are_written() {
    let machine = Machine::of("0-63");
    machine.has_card("eth0", 1, "00000000,00000000");
    machine.does(&["--cores", "1,33-34"]);
    assert_eq!(machine.shows(&format!("{CARD}/rx-0/rps_cpus")), "00000006,00000002");
    assert_eq!(machine.shows("proc/irq/30/smp_affinity_list"), "1");
}

#[test]
fn a_dry_run_prints_what_a_run_does_and_undo_reverts_it() {
    let machine = Machine::of("0-3");
    machine.has_card("eth0", 2, "0");
    let before = machine.whole();
    let planned = machine.does(&["--dry-run"]);
    assert_eq!(machine.whole(), before, "a dry run writes nothing");
    assert_eq!(machine.does(&[]), planned);
    assert_ne!(machine.whole(), before);

    // A second run keeps the values from before the first one.
    let again = machine.does(&[]);
    assert_eq!(again.lines().count(), 1, "{again}");
    machine.does(&["--cores", "2-3"]);

    machine.does(&["--undo", "--dry-run"]);
    assert_ne!(machine.whole(), before);
    machine.does(&["--undo"]);
    assert_eq!(machine.whole(), before);
}

#[test]
fn impossible_arguments_are_explained() {
    let machine = Machine::of("0-3");
    machine.has_card("eth0", 1, "0");
    for (arguments, code, wanted) in [
        (&["eth9"][..], 1, "there is no interface eth9"),
        (&["--cores", "two"], 2, "\"two\" is not a list of cores"),
        (&["--cores"], 2, "--cores needs a list"),
        (&["--verbose"], 2, "unknown option --verbose"),
    ] {
        let output = machine.runs(arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(wanted), "{told}");
    }
    let single = Machine::of("0");
    single.has_card("eth0", 1, "0");
    assert!(single.does(&[]).starts_with("Nothing to do: there is one core"));
}
