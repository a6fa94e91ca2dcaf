//! What an operator has at hand, on real processes: `ftqueue status`, `ftqueue inspect`, `ftqueue backup`, `ftqueue
//! restore`, `--durability async`, metrics, and what becomes of a replica whose disk is full.

mod backups;
#[allow(dead_code, reason = "shared with the tests of load, which use more of it")]
#[path = "../survive/calls.rs"]
mod calls;
#[allow(dead_code, reason = "shared with the tests of calm clusters, which use more of it")]
#[path = "../cluster/cluster.rs"]
mod cluster;
mod disk_full;
mod durability;
mod inspect;
#[allow(dead_code, reason = "shared with the tests of load, which use more of it")]
#[path = "../survive/load.rs"]
mod load;
mod logs;
mod metrics;
mod recover;
mod replica_count;
mod status;
mod tmpfs;
mod tool;
