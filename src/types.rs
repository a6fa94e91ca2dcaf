//! The vocabulary as types. The words are those of the glossary in ARCHITECTURE.md.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// The most replicas that a cluster may have.
pub const MAX_REPLICAS: usize = 9;

/// A replica's number among the N configured ones: 0 to N-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplicaId(pub u8);

impl ReplicaId {
    /// The id as an index into per-replica tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// One life of a replica: it rises with every start, so messages of an earlier life can be told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A message's number among those of its origin's incarnation: 1, 2, 3 … 0 stands for "none yet".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LocalSeq(pub u64);

impl LocalSeq {
    /// The number after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A global sequence number (k in DESIGN): the position of a message in the total order: 1, 2, 3 …
/// 0 stands for "none yet". Callers never see it: the sequence that they see counts operations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The name of a message: who first multicast it, in which life, as its how-manieth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageName {
    /// The replica that multicast it first.
    pub origin: ReplicaId,
    /// The origin's incarnation then.
    pub incarnation: Incarnation,
    /// Its number among that incarnation's messages, from 1.
    pub local: LocalSeq,
}

impl fmt::Display for MessageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.origin, self.incarnation, self.local.0)
    }
}

/// A view's number: (round, proposer), compared in that order. `ViewNumber::NONE` is below all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ViewNumber {
    /// The round; 0 in `NONE` only.
    pub round: u64,
    /// The replica that proposed the view.
    pub proposer: ReplicaId,
}

impl ViewNumber {
    /// No view.
    pub const NONE: Self = Self { round: 0, proposer: ReplicaId(0) };
}

impl fmt::Display for ViewNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.round, self.proposer.0)
    }
}

/// One replica of a view, in the life in which it takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The replica.
    pub id: ReplicaId,
    /// Its incarnation.
    pub incarnation: Incarnation,
}

/// What tells a new disk from all others: drawn at random when a replica first uses it; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskId(pub u64);

/// Where a view's entries begin in a log: those from `first` on, up to the next boundary, carry `view`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Boundary {
    /// The view.
    pub view: ViewNumber,
    /// The number of its first entry.
    pub first: Seq,
}

/// A point on the local monotonic clock: nanoseconds since an origin that only this replica knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The time from `earlier` to this point; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}ms", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}
