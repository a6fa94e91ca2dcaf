//! Snapshots are made beside all else: a thread reads what nobody writes to any more and writes the snapshot. It never
//! touches the replica, so no operation waits for it.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread;
use std::time::Instant;

use tracing::{info, warn};

use crate::replica::Snapshot;
use crate::storage::{Error, Folder, Made, make_snapshot};

/// The side of whoever wants snapshots. The thread ends when it is dropped, after the snapshot that it makes.
pub(super) struct SnapshotThread {
    wanted: SyncSender<u64>,
    made: Receiver<Result<Made, Error>>,
    busy: bool,
}

impl SnapshotThread {
    /// Starts the thread, for the log of `owner`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(mut disk: Folder, owner: u64) -> io::Result<Self> {
        let (wanted, given) = mpsc::sync_channel::<u64>(1);
        let (tell, made) = mpsc::sync_channel(1);
        thread::Builder::new().name("snapshots".to_owned()).spawn(move || {
            yield_to_others();
            for below in given {
                let result = make(&mut disk, owner, below);
                if tell.send(result).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { wanted, made, busy: false })
    }

    /// Has a snapshot made before a segment, unless one is being made.
    pub(super) fn want(&mut self, below: u64) {
        self.busy = self.busy || self.wanted.try_send(below).is_ok();
    }

    /// What came of the last one that was wanted, once that is known.
    ///
    /// # Errors
    /// When the thread has ended, which it does by a broken invariant alone.
    pub(super) fn made(&mut self) -> Result<Option<Result<Made, Error>>, String> {
        match self.made.try_recv() {
            Ok(made) => {
                self.busy = false;
                Ok(Some(made))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => {
                Err("the thread that makes snapshots ended".to_owned())
            }
        }
    }

    /// Waits until none is being made; gives what came of it.
    pub(super) fn wait(&mut self) -> Option<Result<Made, Error>> {
        // The thread may have ended, as `made` tells.
        std::mem::take(&mut self.busy).then(|| self.made.recv().ok()).flatten()
    }

    /// Whether one is being made.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }
}

fn make(disk: &mut Folder, owner: u64, below: u64) -> Result<Made, Error> {
    let began = Instant::now();
    let mut state = Snapshot::default();
    let made = make_snapshot(disk, owner, below, &mut state)?;
    match made {
        Made::Snapshot { segment, bytes } => info!(
            segment,
            bytes,
            delivered = %state.delivered_through(),
            milliseconds = began.elapsed().as_millis(),
            "snapshot made"
        ),
        Made::Full => warn!("there is no room for a snapshot: the log goes on growing"),
    }
    Ok(made)
}

/// Others of this process go first.
pub(super) fn yield_to_others() {
    // On Linux a priority is a thread's own. Where it cannot be lowered the thread works as it is.
    let thread = rustix::thread::gettid();
    rustix::process::setpriority_process(Some(thread), 19).ok();
}
