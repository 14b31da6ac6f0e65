//! What io_uring offers on this host, as rows of the table: the self-test of the gateway's start,
//! and each feature.
//!
//! With another root nothing is tried, because the kernel is still this host's.

use ringway_acceptor::uring::{
    features::{self, Feature, Need, Offered},
    probe,
};

use crate::{
    config::Io,
    doctor::{
        finding::{Finding, Verdict},
        needs::Needs,
    },
};

/// The result of the self-test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelfTest {
    /// The gateway can use io_uring.
    Passed,
    /// The gateway cannot use io_uring; the reason.
    Failed(String),
    /// The self-test did not run.
    Untried,
}

/// The io_uring features of this kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoUring {
    /// The self-test of the whole.
    pub self_test: SelfTest,
    /// The single features.
    pub features: Vec<Feature>,
}

impl IoUring {
    /// Runs the self-test for this many cores, and tries each feature.
    pub fn tried(cores: usize) -> Self {
        let self_test = match probe::check(cores) {
            Ok(_) => SelfTest::Passed,
            Err(reason) => SelfTest::Failed(reason),
        };
        Self { self_test, features: probe::features() }
    }

    /// Tries nothing.
    pub fn untried() -> Self {
        Self { self_test: SelfTest::Untried, features: features::untried() }
    }
}

/// How bad it is to be without io_uring.
pub fn without(needs: &Needs) -> Verdict {
    if needs.io == Io::Epoll { Verdict::Good } else { Verdict::Hurts }
}

/// The rows for io_uring.
pub fn findings(io_uring: &IoUring, needs: &Needs) -> Vec<Finding> {
    let mut findings = vec![self_test(&io_uring.self_test, needs)];
    findings.extend(io_uring.features.iter().map(|feature| of_feature(feature, needs)));
    findings
}

fn self_test(result: &SelfTest, needs: &Needs) -> Finding {
    let finding = |found: &str| {
        let why = "without it epoll serves, at a higher cost per message";
        Finding::good("io_uring self-test", found, "passed", why)
    };
    match result {
        SelfTest::Passed => finding("passed"),
        SelfTest::Untried => untried(finding("not tested on another root")),
        SelfTest::Failed(reason) => finding(reason).judged(
            without(needs),
            "see the rows that hurt; with server.io = \"epoll\" it is not needed",
        ),
    }
}

fn of_feature(feature: &Feature, needs: &Needs) -> Finding {
    let name = format!("io_uring {}", feature.name);
    let (version, release) = feature.since;
    let wanted = format!("Linux {version}.{release}");
    let finding = |found: &str| Finding::good(&name, found, &wanted, feature.purpose);
    match &feature.offered {
        Offered::Yes => finding("offered"),
        Offered::Untried => untried(finding("not tried")),
        Offered::No(reason) => {
            let verdict = match (without(needs), feature.need) {
                (Verdict::Good, _) => Verdict::Good,
                (_, Need::Required) => Verdict::Hurts,
                (_, Need::Better) => Verdict::Advice,
            };
            let mend = format!("Linux {version}.{release} or newer, io_uring allowed, and lo up");
            finding(&format!("missing: {reason}")).judged(verdict, mend)
        }
    }
}

fn untried(finding: Finding) -> Finding {
    Finding { verdict: Verdict::Unknown, ..finding }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn verdicts(io: Io, need: Need) -> (Verdict, Verdict) {
        let mut needs = Needs::of(&Config::default(), 2);
        needs.io = io;
        let mut io_uring = IoUring::untried();
        io_uring.self_test = SelfTest::Failed("forbidden".to_owned());
        let feature = io_uring.features.iter_mut().find(|one| one.need == need).unwrap();
        feature.offered = Offered::No("too old".to_owned());
        let findings = findings(&io_uring, &needs);
        let missing = findings.iter().find(|one| one.found.contains("too old")).unwrap();
        (findings[0].verdict, missing.verdict)
    }

    #[test]
    fn a_missing_feature_is_judged_by_the_need_for_it() {
        assert_eq!(verdicts(Io::Auto, Need::Required), (Verdict::Hurts, Verdict::Hurts));
        assert_eq!(verdicts(Io::Uring, Need::Better), (Verdict::Hurts, Verdict::Advice));
        assert_eq!(verdicts(Io::Epoll, Need::Required), (Verdict::Good, Verdict::Good));
    }

    #[test]
    fn this_kernel_is_tested_and_another_is_not() {
        let tried = IoUring::tried(1);
        assert_ne!(tried.self_test, SelfTest::Untried);
        let needs = Needs::of(&Config::default(), 1);
        let untried = findings(&IoUring::untried(), &needs);
        assert_eq!(untried.len(), tried.features.len() + 1);
        assert!(untried.iter().all(|finding| finding.verdict == Verdict::Unknown));
    }
}
