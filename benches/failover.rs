//! How long callers wait when a replica is lost: `cargo bench --bench failover -- [ROUNDS [EVENT…]]`.
//!
//! Three replicas as processes of this machine, with default settings, and clients at each, a call at a time. An event
//! comes to each replica in turn: `kill` (SIGKILL), `silence` (SIGSTOP), `cut` (nothing passes between it and the
//! others, by the relay of the tests), `stop` (SIGTERM). What is told is the longest stretch in which a replica that
//! survives gave no good answer, the worst of the survivors in each round; and how long the other took to be a member
//! again. `calm` is none of these: the most that callers wait under full load, and whether the view changes.

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/lossy/behind.rs"]
mod behind;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/cluster/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "shared with other benchmarks")]
#[path = "support/load.rs"]
mod load;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/sim/random.rs"]
mod random;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/lossy/relay.rs"]
mod relay;

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::load::{Load, serves};
use crate::relay::{Faults, Relay};

const SIZE: usize = 3;
/// How many clients each replica has.
const CLIENTS: usize = 4;
/// How many each has in `calm`.
const MANY_CLIENTS: usize = 85;
/// How long the load runs before an event, and after the others have gone on.
const STEADY: Duration = Duration::from_millis(700);

/// Median and worst.
fn told(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    match times {
        [] => "none".to_owned(),
        times => format!(
            "median {:.0} ms, worst {:.0} ms ({} rounds)",
            ms(times[times.len() / 2]),
            ms(times[times.len() - 1]),
            times.len()
        ),
    }
}

/// Cuts a replica off.
fn cut(relay: &Relay, id: usize) {
    for other in (0..SIZE).filter(|other| *other != id) {
        relay.cut(id, other, true);
        relay.cut(other, id, true);
    }
}

async fn measure(event: &str, rounds: usize) {
    let (mut cluster, relay) = if event == "cut" {
        let (cluster, relay) = behind::start(SIZE, Faults::default()).await;
        (cluster, Some(relay))
    } else {
        (Cluster::start(SIZE).await, None)
    };
    let load = Load::start(&cluster, CLIENTS).await;
    let (mut gaps, mut returns) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let id = round % SIZE;
        tokio::time::sleep(STEADY).await;
        let from = Instant::now();
        match event {
            "kill" => cluster.replicas[id].kill().await,
            "silence" => cluster.replicas[id].signal(Signal::STOP),
            "stop" => {
                cluster.replicas[id].signal(Signal::TERM);
                assert_eq!(cluster.replicas[id].exit_code().await, Some(0));
            }
            "cut" => cut(relay.as_ref().expect("a relay"), id),
            other => panic!("no event: {other}"),
        }
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        let until = Instant::now();
        let survivors = (0..SIZE).filter(|other| *other != id);
        let gap = survivors.map(|other| load.longest_gap(other, from, until)).max();
        if std::env::var_os("FTQ_VERBOSE").is_some() {
            println!("{event} of r{id}: {gap:?}, {:?}", std::time::SystemTime::now());
        }
        gaps.extend(gap);
        match event {
            "kill" | "stop" => cluster.replicas[id].start(),
            "silence" => cluster.replicas[id].signal(Signal::CONT),
            _ => relay.as_ref().expect("a relay").heal(),
        }
        returns.push(serves(&cluster, id).await);
    }
    load.end().await;
    if std::env::var_os("FTQ_VERBOSE").is_some() {
        cluster.replicas.iter().for_each(|replica| println!("{}", replica.log()));
    }
    println!("{event}: no answer at a survivor for {}", told(&mut gaps));
    println!("{event}: a member again after {}", told(&mut returns));
}

/// Full load and nothing else.
async fn calm(seconds: u64) {
    let cluster = Cluster::start(SIZE).await;
    let proposals = |cluster: &Cluster| -> usize {
        let logs = cluster.replicas.iter().map(|replica| replica.log());
        logs.map(|log| log.matches("proposing").count()).sum()
    };
    let load = Load::start(&cluster, MANY_CLIENTS).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (from, before) = (Instant::now(), proposals(&cluster));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let until = Instant::now();
    let mut gaps: Vec<_> = (0..SIZE).map(|id| load.longest_gap(id, from, until)).collect();
    let views = proposals(&cluster) - before;
    let answers = load.answers();
    load.end().await;
    println!(
        "calm: {answers} answers in {seconds} s; no answer at a replica for {}",
        told(&mut gaps)
    );
    println!("calm: {views} views proposed");
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let rounds = arguments.next().map_or(30, |rounds| rounds.parse().expect("how many rounds"));
    let events: Vec<String> = arguments.collect();
    let all = ["kill", "silence", "cut", "stop", "calm"].map(str::to_owned).to_vec();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for event in if events.is_empty() { all } else { events } {
            match event.as_str() {
                "calm" => calm(60).await,
                event => measure(event, rounds).await,
            }
        }
    });
}
