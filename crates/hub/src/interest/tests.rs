//! The bits of the table; `log/tests/interest.rs` tests which events cores visit, and loom tests the
//! interleavings.

use super::*;
use crate::address::Recipients;

fn table(buckets: usize) -> Arc<InterestTable> {
    Arc::new(InterestTable::new(buckets))
}

/// Whether an event that is appended now may concern the core.
fn concerns(table: &InterestTable, address: Address<'_>, core: &CoreInterest) -> bool {
    let cores = table.claimed(table.head() + 1, table.estimate(address));
    !core.filter().excludes(cores.stored())
}

#[test]
fn an_event_concerns_the_cores_that_have_its_addressees() {
    let table = table(BUCKETS);
    let [mut first, mut second, third] = [0, 1, 2].map(|core| CoreInterest::new(&table, core));
    first.begin(Domain::Topic, first.hash("news"));
    second.begin(Domain::Client, second.hash("news"));
    second.begin(Domain::Client, second.hash("ann"));
    let mut names = String::new();
    let count = Recipients::list(&mut names, ["joe", "ann"]);
    for (address, cores) in [
        (Address::Topic("news"), [true, false, false]),
        (Address::Topic("ann"), [false; 3]),
        (Address::Recipients(Recipients::listed("news\n", 1)), [false, true, false]),
        (Address::Recipients(Recipients::listed(&names, count)), [false, true, false]),
        (Address::Recipients(Recipients::listed("joe\n", 1)), [false; 3]),
        (Address::Recipients(Recipients::listed("", 0)), [false; 3]),
    ] {
        let told = [&first, &second, &third].map(|core| concerns(&table, address, core));
        assert_eq!(told, cores, "{address:?}");
    }
}

#[test]
fn a_bit_stays_until_the_last_name_of_its_bucket_has_gone() {
    let table = table(1);
    let [mut first, mut second] = [0, 1].map(|core| CoreInterest::new(&table, core));
    let topic = Address::Topic("any");
    first.begin(Domain::Topic, 1);
    second.begin(Domain::Topic, 1);
    first.begin(Domain::Client, 2);
    first.end(Domain::Topic, 1);
    assert!(concerns(&table, topic, &first) && concerns(&table, topic, &second));
    first.end(Domain::Client, 2);
    assert!(!concerns(&table, topic, &first) && concerns(&table, topic, &second));
    second.end(Domain::Topic, 1);
    assert!(!concerns(&table, topic, &second));
}

/// Cores 0 and 63 have the same bit: neither clears it while the other needs it.
#[test]
fn cores_that_share_a_bit_count_together() {
    let table = table(BUCKETS);
    let [mut first, mut last] = [0, CORE_BITS].map(|core| CoreInterest::new(&table, core));
    let topic = Address::Topic("news");
    let hash = first.hash("news");
    first.begin(Domain::Topic, hash);
    assert!(concerns(&table, topic, &last), "it cannot be told from the other");
    last.begin(Domain::Topic, hash);
    first.end(Domain::Topic, hash);
    assert!(concerns(&table, topic, &last));
    last.end(Domain::Topic, hash);
    assert!(!concerns(&table, topic, &first) && !concerns(&table, topic, &last));
}

#[test]
fn a_count_that_has_reached_its_maximum_keeps_the_bit() {
    let table = table(1);
    let mut core = CoreInterest::new(&table, 0);
    (0..300).for_each(|hash| core.begin(Domain::Topic, hash));
    (0..300).for_each(|hash| core.end(Domain::Topic, hash));
    assert!(concerns(&table, Address::Topic("any"), &core));
}

/// Between an estimate and the claim any core may have become interested.
#[test]
fn an_estimate_that_is_too_old_concerns_all_cores() {
    let table = table(BUCKETS);
    let [mut first, second] = [0, 1].map(|core| CoreInterest::new(&table, core));
    let estimate = table.estimate(Address::Topic("news"));
    first.begin(Domain::Topic, first.hash("sport"));
    let cores = table.claimed(1, estimate);
    assert_eq!(cores, CoreSet::ALL);
    assert!(!second.filter().excludes(cores.stored()));
}

#[test]
fn a_slot_that_is_not_filled_is_never_passed() {
    let table = table(BUCKETS);
    let core = CoreInterest::new(&table, 0);
    assert!(!core.filter().excludes(0));
    assert!(core.filter().excludes(CoreSet(0).stored()));
}
