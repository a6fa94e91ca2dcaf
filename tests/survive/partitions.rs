//! Replicas whose datagrams do not reach each other. A majority goes on, the others say that they cannot, and when all
//! reach each other again there is one history, without anybody's help.

use crate::behind::start;
use crate::cluster::Cluster;
use crate::load::{Load, now};
use crate::relay::{Faults, Relay};
use crate::{others, rounds};

/// Cuts all that two groups say to each other.
fn part(relay: &Relay, some: &[usize], rest: &[usize]) {
    for &one in some {
        for &other in rest {
            relay.cut(one, other, true);
            relay.cut(other, one, true);
        }
    }
}

/// Waits until `id` has refused a read and a change that began since `cut`, for want of a majority.
async fn refuses(load: &mut Load, id: usize, cut: u64) {
    load.wait_for(&format!("r{id} refuses reads and changes"), cut, |calls| {
        let mut refused = calls
            .iter()
            .filter(|call| call.replica == id && call.invoked > cut && call.lacked_majority());
        refused.clone().any(|call| call.is_read()) && refused.any(|call| !call.is_read())
    })
    .await;
}

/// Between the two times `id` answered nothing: each call that began was refused, in time, for want of a majority.
fn answered_nothing(load: &mut Load, id: usize, cut: u64, healed: u64) {
    for call in load.calls().within(id, cut, healed) {
        assert!(call.lacked_majority(), "r{id}: {call:?}");
    }
    // That no call waited for an answer that never came is in the same list: such a call would have no end.
    let silent = |call: &&crate::calls::Call| {
        call.replica == id && call.invoked > cut && call.invoked < healed && call.returned.is_none()
    };
    assert!(load.calls().0.iter().find(silent).is_none(), "r{id} did not answer in time");
}

async fn one_is_cut_off(size: usize) {
    let (cluster, relay) = start(size, Faults::default()).await;
    let mut load = Load::start(&cluster).await;
    for id in cluster.all() {
        part(&relay, &[id], &others(size, id));
        let cut = now();
        load.goes_on(&others(size, id)).await;
        refuses(&mut load, id, cut).await;
        let healed = now();
        relay.heal();
        load.goes_on(&cluster.all()).await;
        answered_nothing(&mut load, id, cut, healed);
    }
    finish(load, &cluster).await;
}

#[tokio::test]
async fn one_of_three_is_cut_off() {
    for _ in 0..rounds() {
        one_is_cut_off(3).await;
    }
}

/// Of three; and of five, where two are left over that reach each other but no majority.
#[tokio::test]
async fn a_minority_of_five_is_cut_off() {
    let (cluster, relay) = start(5, Faults::default()).await;
    let mut load = Load::start(&cluster).await;
    for minority in [[0, 1], [1, 3], [3, 4]] {
        let majority: Vec<_> =
            cluster.all().into_iter().filter(|id| !minority.contains(id)).collect();
        part(&relay, &minority, &majority);
        let cut = now();
        load.goes_on(&majority).await;
        for id in minority {
            refuses(&mut load, id, cut).await;
        }
        let healed = now();
        relay.heal();
        load.goes_on(&cluster.all()).await;
        for id in minority {
            answered_nothing(&mut load, id, cut, healed);
        }
    }
    finish(load, &cluster).await;
}

/// One that is heard but hears nobody, or hears but is not heard, by all or by one other: a majority goes on for as long
/// as that lasts.
#[tokio::test]
async fn directions_are_cut() {
    let (cluster, relay) = start(3, Faults::default()).await;
    let mut load = Load::start(&cluster).await;
    for id in cluster.all() {
        for cut in [&|id, other| (id, other), &|id, other| (other, id)]
            as [&dyn Fn(usize, usize) -> (usize, usize); 2]
        {
            for other in others(3, id) {
                let (from, to) = cut(id, other);
                relay.cut(from, to, true);
            }
            load.goes_on(&others(3, id)).await;
            relay.heal();
            load.goes_on(&cluster.all()).await;
        }
        // Of these two, the one with the lower id is in the majority with the third.
        let other = (id + 1) % 3;
        relay.cut(id, other, true);
        load.goes_on(&[id.min(other), 3 - id - other]).await;
        relay.heal();
        load.goes_on(&cluster.all()).await;
    }
    finish(load, &cluster).await;
}

/// Two pairs that reach only one common replica: one pair goes on with it.
#[tokio::test]
async fn a_bridge_joins_two_halves() {
    let (cluster, relay) = start(5, Faults::default()).await;
    let mut load = Load::start(&cluster).await;
    for bridge in [2, 0] {
        let ends = others(5, bridge);
        part(&relay, &ends[..2], &ends[2..]);
        // Both are majorities, and as large: who notices first decides.
        let (one, other) = ([ends[0], ends[1], bridge], [ends[2], ends[3], bridge]);
        load.one_goes_on(&[&one, &other]).await;
        relay.heal();
        load.goes_on(&cluster.all()).await;
    }
    finish(load, &cluster).await;
}

/// Each reaches its two neighbours: a majority for each, but no three reach each other. No view would last, so none is
/// formed: the one that there is goes on by what neighbours pass on, or waits.
#[tokio::test]
async fn majorities_that_form_a_ring_form_no_views() {
    let (cluster, relay) = start(5, Faults::default()).await;
    let mut load = Load::start(&cluster).await;
    let proposals = |cluster: &Cluster| -> usize {
        let logs = cluster.replicas.iter().map(|replica| replica.log());
        logs.map(|log| log.matches("proposing").count()).sum()
    };
    let before = proposals(&cluster);
    for id in cluster.all() {
        part(&relay, &[id], &[(id + 2) % 5]);
    }
    // Long after all have noticed whom they do not hear.
    let cut = now();
    let noticed = cut + 2_000_000_000;
    load.wait_for("a call at each has ended", cut, |calls| {
        let ended = |id| calls.iter().any(|call| call.replica == id && call.invoked > noticed);
        (0..5).all(ended)
    })
    .await;
    let formed = proposals(&cluster) - before;
    // Some may be, before all have noticed; flapping would be ten a second.
    assert!(formed <= 6, "{formed} views were proposed");
    relay.heal();
    load.goes_on(&cluster.all()).await;
    finish(load, &cluster).await;
}

/// All replicas have one history, with the calls that were cut off in it or not, but the same at all.
async fn finish(load: Load, cluster: &Cluster) {
    load.end(cluster).await;
}
