//! Reading what storage holds, for replicas that copy it, and what was copied of others: by a thread, since disks may be slow
//! and copies long.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self as std_mpsc, SyncSender};
use std::thread;

use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::replica::{Copied, Snapshot, pieces_of};
use crate::storage::{self, Folder, Piece, read_piece};
use crate::types::ReplicaId;
use crate::wire::{Chunk, CopyPlace};

/// How many jobs may wait. Who is not served asks again.
const WAITING: usize = 64;

/// What is to be read.
pub(super) enum Job {
    /// Pieces for another replica.
    Lend { to: ReplicaId, at: CopyPlace, pieces: u64, length: usize },
    /// What was copied of another.
    Read(Arc<Copied>),
}

/// What was read.
pub(super) enum Done {
    /// Pieces for another replica.
    Lent { to: ReplicaId, pieces: Vec<Chunk> },
    /// What was copied comes to this; none where it cannot be read.
    Read(Option<Box<Snapshot>>),
}

/// The event loop's side of the thread, which ends when this is dropped.
pub(super) struct CopyThread {
    jobs: SyncSender<Job>,
    done: mpsc::Receiver<Done>,
}

impl CopyThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(disk: Folder) -> io::Result<Self> {
        let (jobs, given) = std_mpsc::sync_channel(WAITING);
        let (tell, done) = mpsc::channel(WAITING);
        thread::Builder::new().name("copies".to_owned()).spawn(move || {
            for job in given {
                if let Some(done) = work(&disk, job)
                    && tell.blocking_send(done).is_err()
                {
                    return;
                }
            }
        })?;
        Ok(Self { jobs, done })
    }

    /// Has something read, unless too much waits. Says whether it is.
    pub(super) fn give(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }

    /// What was read next. May be dropped while it waits.
    pub(super) async fn done(&mut self) -> Done {
        // A broken invariant ends the process, wherever it was found.
        self.done.recv().await.expect("the thread for copies has ended")
    }
}

fn work(disk: &Folder, job: Job) -> Option<Done> {
    match job {
        Job::Lend { to, at, pieces, length } => {
            let pieces = lend(disk, at, pieces, length)
                .inspect_err(|error| match error.kind() {
                    // The file went with a newer snapshot.
                    io::ErrorKind::NotFound => debug!(%to, "what is asked for is gone"),
                    _ => warn!(%to, %error, "the log cannot be read to be lent"),
                })
                .ok()?;
            Some(Done::Lent { to, pieces })
        }
        Job::Read(copied) => {
            let Copied { snapshot, files } = Arc::unwrap_or_clone(copied);
            Some(Done::Read(read(snapshot, files)))
        }
    }
}

fn read(snapshot: u64, files: BTreeMap<u64, Vec<u8>>) -> Option<Box<Snapshot>> {
    let mut state = Box::<Snapshot>::default();
    match storage::read_copy(snapshot, files, state.as_mut()) {
        Ok(()) => Some(state),
        Err(error) => {
            warn!(%error, "what was copied cannot be used");
            None
        }
    }
}

/// Reads pieces that follow each other in a file.
fn lend(disk: &Folder, at: CopyPlace, pieces: u64, length: usize) -> io::Result<Vec<Chunk>> {
    let most = usize::try_from(pieces).unwrap_or(usize::MAX).saturating_mul(length);
    let read = read_piece(disk, at.snapshot, (at.segment, at.offset), most)?;
    let Piece { snapshot, segment, offset, length: file, last_segment, bytes } = read;
    let at = CopyPlace { snapshot, segment, offset };
    Ok(pieces_of(at, (file, last_segment), bytes.into(), length))
}
