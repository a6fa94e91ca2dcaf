//! Bytes from outside against the decoders and a live core. Each target takes any bytes; here they are the corpus, its
//! mutations and random ones, the same in each run. `fuzz/` has the same targets for a fuzzer that looks at coverage:
//! what it finds worth keeping goes into `corpus/`.

mod run;
mod targets;
#[allow(dead_code, reason = "each user of the tools takes what it needs")]
#[path = "../../src/test_tools.rs"]
mod test_tools;

use ftqueue::testing::Dropped;

use crate::run::{Run, run};
use crate::targets::{chunks, datagram, liar, operations, seal};

#[test]
fn what_is_decoded_has_one_encoding_and_little_memory() {
    run(&Run { target: "datagram", feed: datagram::feed, random: 4_000, longest: 1_400 })
        .must_reach(&["read", "dropped"]);
}

#[test]
fn what_is_packed_is_unpacked() {
    run(&Run { target: "chunks", feed: chunks::feed, random: 2_000, longest: 2_000 })
        .must_reach(&["one datagram", "several datagrams"]);
}

#[test]
fn what_was_changed_is_not_opened() {
    let reached = run(&Run { target: "seal", feed: seal::feed, random: 8_000, longest: 120 });
    // A body that is malformed has a good seal: the target for datagrams reaches it.
    let by_seal: Vec<_> =
        Dropped::NAMES.into_iter().filter(|name| *name != "malformed_body").collect();
    reached.must_reach(&by_seal);
}

#[test]
fn operations_have_one_encoding_and_little_memory() {
    run(&Run { target: "operations", feed: operations::feed, random: 4_000, longest: 1_400 })
        .must_reach(&["read", "refused"]);
}

/// The deep code is reached: all but what takes thousands of messages, or a member that was not heard for long.
#[test]
fn a_member_that_lies_breaks_nothing() {
    run(&Run { target: "liar", feed: liar::feed, random: 6_000, longest: 4_000 }).must_reach(&[
        "datagrams_accepted",
        "datagrams_dropped",
        "datagrams_replayed",
        "datagrams_of_old_incarnations",
        "datagrams_of_other_views",
        "messages_duplicate",
        "beyond_window",
        "foreign_names",
        "conflicting_numberings",
        "unreadable_payloads",
        "gaps_seen",
        "nacks_sent",
        "nacks_received",
        "messages_resent",
        "messages_resent_by_third",
        "numberings_resent",
        "numberings_resent_by_third",
        "resends_held_back",
        "unnumbered_resent",
        "handovers_resent",
        "acks_asked_for",
        "views_installed",
        "calls answered",
        "calls refused",
        "views_proposed",
        "promises_sent",
        "fetches_sent",
        "entries_sent",
        "impossible_views",
        "malformed_body",
    ]);
}
