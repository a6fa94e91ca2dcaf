//! Real `ftqueue serve` processes on the loopback, called over gRPC.

mod attacks;
mod calls;
#[allow(dead_code, reason = "shared with the tests of clusters that break, which use more of it")]
mod cluster;
mod deadlines;
mod flags;
mod floods;
mod health;
mod hostile;
mod keys;
mod names;
mod once;
mod raw;
mod reflection;
mod stopping;
mod victim;

/// The sizes of cluster for which what holds for any size is tested.
const SIZES: [usize; 2] = [1, 3];
