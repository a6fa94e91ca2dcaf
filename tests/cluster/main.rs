//! Real `ftqueue serve` processes on the loopback, called over gRPC.

mod calls;
mod cluster;
mod deadlines;
mod flags;
mod health;
mod hostile;
mod keys;
mod names;
mod reflection;
mod stopping;

/// The sizes of cluster for which what holds for any size is tested.
const SIZES: [usize; 2] = [1, 3];
