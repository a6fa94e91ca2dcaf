//! Power cuts with real file systems: what a replica's disk had not synced is gone. Nothing that was answered may be.
//!
//! Each replica's data are on a file system of its own (disk.rs). Needs root, loop devices, ext4 and Python.

#[path = "../survive/calls.rs"]
#[allow(dead_code, reason = "shared with the tests of processes")]
mod calls;
#[allow(dead_code, reason = "shared with the tests of calm clusters, which use more of it")]
#[path = "../cluster/cluster.rs"]
mod cluster;
mod disk;
#[path = "../survive/load.rs"]
#[allow(dead_code, reason = "shared with the tests of processes")]
mod load;

use std::path::Path;

use rustix::process::Signal;

use crate::cluster::{Cluster, STORAGE_FAILED};
use crate::disk::Disk;
use crate::load::{Load, tell};

const SIZE: usize = 3;

/// How often each test does what it does.
fn rounds() -> usize {
    let set = std::env::var("FTQ_ROUNDS").ok();
    set.map_or(2, |rounds| rounds.parse().expect("FTQ_ROUNDS is a number"))
}

/// A cluster whose replicas have a disk each.
async fn start() -> (Cluster, Vec<Disk>, tempfile::TempDir) {
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let disk = |id: usize| Disk::make(&directory.path().join(format!("disk{id}")));
        let disks: Vec<_> = (0..SIZE).map(disk).collect();
        let mut cluster = Cluster::start_some(SIZE, &[]);
        for (replica, disk) in cluster.replicas.iter_mut().zip(&disks) {
            replica.data = disk.root().join("data");
            replica.start();
        }
        if cluster.all_serve().await {
            return (cluster, disks, directory);
        }
        drop(cluster);
    }
    panic!("ports were taken again and again");
}

/// Cuts some replicas' power. They are stopped first, so that they say nothing after it, then their disks' is cut, so that
/// their end saves nothing.
async fn cut(cluster: &mut Cluster, disks: &mut [Disk], ids: &[usize]) {
    ids.iter().for_each(|&id| cluster.replicas[id].signal(Signal::STOP));
    let cut: Vec<&Path> = ids.iter().map(|&id| disks[id].root()).collect();
    disk::cut(&cut);
    for &id in ids {
        cluster.replicas[id].kill().await;
        disks[id].restore();
    }
}

// One test, so that no two use the loop devices at the same time.
#[tokio::test]
async fn power_cuts() {
    if let Err(why) = disk::possible() {
        tell(&format!("NOT RUN: no power can be cut here: {why}"));
        return;
    }
    let (mut cluster, mut disks, _directory) = start().await;
    let mut load = Load::start(&cluster).await;
    for _ in 0..rounds() {
        for id in cluster.all() {
            let others: Vec<_> = cluster.all().into_iter().filter(|other| *other != id).collect();
            cut(&mut cluster, &mut disks, &[id]).await;
            load.goes_on(&others).await;
            cluster.replicas[id].start();
            load.goes_on(&cluster.all()).await;
        }
        let all = cluster.all();
        cut(&mut cluster, &mut disks, &all).await;
        cluster.start_all();
        load.goes_on(&cluster.all()).await;
    }
    load.end(&cluster).await;
    // The file systems cannot be unmounted under running replicas.
    drop(cluster);
}

/// A replica whose disk fails stops, and says so, rather than answer for what it cannot keep.
#[tokio::test]
async fn a_dead_disk_ends_its_replica() {
    if let Err(why) = disk::possible() {
        tell(&format!("NOT RUN: no disk can be cut off here: {why}"));
        return;
    }
    let (mut cluster, mut disks, _directory) = start().await;
    let mut load = Load::start(&cluster).await;
    disk::unplug(disks[0].root());
    let code = cluster.replicas[0].exit_code().await;
    assert_eq!(code, Some(STORAGE_FAILED));
    load.goes_on(&[1, 2]).await;
    disks[0].restore();
    cluster.replicas[0].start();
    load.goes_on(&cluster.all()).await;
    load.end(&cluster).await;
    drop(cluster);
}
