//! What can go wrong: links, cuts, replicas and their disks.

/// The faults of the link from one replica to another. Probabilities in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkFaults {
    pub(crate) loss: u64,
    /// Bursts of 50 % loss: how often one begins, per datagram.
    pub(crate) burst: u64,
    pub(crate) duplicate: u64,
    pub(crate) corrupt: u64,
    /// A datagram of the past comes again.
    pub(crate) replay: u64,
    /// A datagram is held up by up to `delay_most` more.
    pub(crate) reorder: u64,
    /// The link stops for a while: how often, per datagram.
    pub(crate) clog: u64,
}

/// A time in which nothing passes from one replica to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) since: u64,
    pub(crate) until: u64,
}

impl Cut {
    pub(crate) fn lasts_at(&self, now: u64) -> bool {
        (self.since..self.until).contains(&now)
    }
}

/// What breaks at a replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fault {
    /// Its process ends, after so many effects more, or at once; it comes back.
    Crash {
        power: bool,
        down_for: u64,
        after: u64,
    },
    /// It is told to stop, and comes back.
    Leave,
    /// It does nothing.
    Pause {
        duration: u64,
    },
    /// Its clock jumps ahead.
    Jump {
        by: u64,
    },
    /// Its disk has room for so many bytes more; and for plenty again.
    Full {
        room: u64,
    },
    Room,
    /// Its disk fails.
    DiskFails,
    /// Its disk does nothing any more, until it starts anew or the faults end.
    DiskHangs,
    /// Its disk takes so long for a sync from now on: at least, at most.
    DiskSlows {
        least: u64,
        most: u64,
    },
    /// Its process ends, and its disk is not what it was when it comes back.
    LoseDisk {
        how: Loss,
        down_for: u64,
    },
    /// A copy of its disk is made, to be put back later.
    CopyDisk,
}

/// What becomes of a disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Loss {
    /// It is empty.
    Wiped,
    /// It is empty, and the clock goes back, too: the next life is not after those before.
    WipedAndClock,
    /// Some bits on it are others.
    Rotten,
    /// The copy that was made of it is put back.
    OldCopy,
    /// Some bits of it are others, or cannot be read any more, and its replica goes on for a while.
    Decayed,
    /// The next write goes elsewhere, and its replica goes on for a while.
    Misdirected,
}

/// How a replica stays broken when the other faults end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broken {
    Down,
    Paused,
    Isolated,
    /// Nobody hears it.
    Mute,
    /// It hears nobody.
    Deaf,
    /// Some do not hear it.
    Partly,
    /// Its disk does nothing any more.
    Hung,
    /// Its disk takes as long as ever, and longer than those of the others.
    Slow,
}
