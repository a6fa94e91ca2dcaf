//! A replica that lacks what no other has in its log any more: it copies what a member holds.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, LIMIT};
use crate::load::Load;
use crate::rounds;

const SIZE: usize = 3;
/// The shortest that there are, so that snapshots come soon.
const SETTINGS: [(&str, &str); 1] = [("FTQUEUE_SEGMENT_LENGTH", "65536")];

/// The last segment of a replica's log, and the first that its snapshot does not cover; 0 for none.
fn log_of(cluster: &Cluster, id: usize) -> (u64, u64) {
    let files = std::fs::read_dir(&cluster.replicas[id].data).unwrap();
    let (mut segment, mut snapshot) = (0, 0);
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        let number =
            |prefix: &str| name.strip_prefix(prefix).and_then(|number| number.parse().ok());
        segment = segment.max(number("log-").unwrap_or(0));
        snapshot = snapshot.max(number("snapshot-").unwrap_or(0));
    }
    (segment, snapshot)
}

#[tokio::test]
async fn one_that_was_away_for_long_copies_what_a_member_holds() {
    let mut cluster = Cluster::start_with(SIZE, &SETTINGS).await;
    let mut load = Load::start(&cluster).await;
    for round in 0..rounds() {
        let away = round % SIZE;
        let present = crate::others(SIZE, away);
        cluster.replicas[away].kill().await;
        let last: Vec<_> = present.iter().map(|id| log_of(&cluster, *id).0).collect();
        let began = Instant::now();
        while present.iter().zip(&last).any(|(id, last)| log_of(&cluster, *id).1 <= last + 1) {
            assert!(began.elapsed() < LIMIT, "the others make no snapshots");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for id in &present {
            // What it had in memory goes.
            cluster.replicas[*id].kill().await;
            cluster.replicas[*id].start_with(&SETTINGS);
            load.goes_on(&present).await;
        }
        let before = cluster.replicas[away].log().matches("taking over").count();
        cluster.replicas[away].start_with(&SETTINGS);
        load.goes_on(&cluster.all()).await;
        let after = cluster.replicas[away].log().matches("taking over").count();
        assert!(after > before, "r{away} did not copy");
    }
    load.end(&cluster).await;
}
