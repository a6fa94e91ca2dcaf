//! The thread that owns storage. Writing and syncing block for milliseconds, and the event loop never does.
//!
//! All writes that came while the last ones were synced share the next sync (group commit): the slower the disk, the
//! larger the groups. Each direction costs one waking at most, and none while the other side is busy anyway.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{info, warn};

use super::durability::Durability;
use crate::entry::{Record, Replacement};

/// How soon writes are tried again for which there was no room.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long what was written may stay without a sync where nobody waits for one.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// What the thread does with storage.
pub(super) trait Store: Send + 'static {
    /// Writes records after all earlier ones.
    ///
    /// # Errors
    /// After [`NotWritten::Full`] the same records may be written again.
    fn append(&mut self, records: &[Record]) -> Result<(), NotWritten>;

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// Why it failed, for people. What was written since the last sync may be lost then, whatever a further one says.
    fn sync(&mut self) -> Result<(), String>;

    /// Puts what others delivered in the place of all records, durably.
    ///
    /// # Errors
    /// As [`Self::append`].
    fn replace(&mut self, replacement: &Replacement) -> Result<(), NotWritten>;

    /// Whether it was found, since this was asked last, that what was written cannot be read back.
    fn cannot_be_read_back(&mut self) -> bool;

    /// Notes durably whether acks run ahead of the disk from now on: what a crash leaves then is not to be trusted.
    ///
    /// # Errors
    /// Why it failed, for people.
    fn mark_async(&mut self, runs_ahead: bool) -> Result<(), String>;
}

/// Why records were not written.
#[derive(Debug)]
pub(super) enum NotWritten {
    /// There is no room.
    Full,
    /// Writing failed, and why, for people.
    Failed(String),
}

/// How far the thread has come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Progress {
    /// How many of this life's writes are durable, the first so many.
    pub writes: u64,
    /// Whether there is no room for those after them.
    pub full: bool,
    /// How often it was found that what was written cannot be read back.
    pub unreadable: u64,
    /// Why the thread has ended before it was told to, for people.
    pub failure: Option<String>,
}

/// What is handed over at a time.
enum Batch {
    Records(Vec<Record>),
    Replacement(Arc<Replacement>),
}

/// The event loop's side of the thread. Once it is dropped, the thread writes down what it was given and ends.
pub(super) struct DiskThread {
    /// None once the thread was told to end.
    batches: Option<mpsc::Sender<Batch>>,
    progress: watch::Receiver<Progress>,
    thread: JoinHandle<()>,
}

impl DiskThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(store: impl Store, durability: Durability) -> io::Result<Self> {
        let (batches, given) = mpsc::channel();
        let (report, progress) = watch::channel(Progress::default());
        let writer = Writer {
            store,
            durability,
            given,
            report,
            replacement: None,
            covered: 0,
            waiting: Vec::new(),
            written: 0,
            unsynced_since: None,
            retry_at: None,
            marked: false,
        };
        let thread = thread::Builder::new().name("disk".to_owned()).spawn(|| writer.run())?;
        Ok(Self { batches: Some(batches), progress, thread })
    }

    /// Hands over records, to be written after all earlier ones. How many may wait is bounded by who asks for them.
    pub(super) fn write(&self, records: Vec<Record>) {
        if let Some(batches) = &self.batches {
            // A thread that has ended says why by its last progress.
            batches.send(Batch::Records(records)).ok();
        }
    }

    /// Hands over what takes the place of all that was written before.
    pub(super) fn replace(&self, replacement: Arc<Replacement>) {
        if let Some(batches) = &self.batches {
            batches.send(Batch::Replacement(replacement)).ok();
        }
    }

    /// Waits for further progress. May be dropped while it waits.
    pub(super) async fn progressed(&mut self) {
        // An error means that the thread has ended, which its progress and `wait_for_end` tell.
        self.progress.changed().await.ok();
    }

    /// How far the thread has come.
    pub(super) fn progress(&mut self) -> Progress {
        self.progress.borrow_and_update().clone()
    }

    /// Whether the thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.progress.has_changed().is_err()
    }

    /// Waits until all is written down and the thread has ended.
    ///
    /// # Errors
    /// Why not all could be written down, for people.
    pub(super) async fn end(mut self) -> Result<(), String> {
        self.batches = None;
        while self.progress.changed().await.is_ok() {}
        let failure = self.progress.borrow().failure.clone();
        match self.thread.join() {
            Ok(()) => failure.map_or(Ok(()), Err),
            // A broken invariant ends the process, wherever it was found.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What the thread owns.
struct Writer<S> {
    store: S,
    durability: Durability,
    given: mpsc::Receiver<Batch>,
    report: watch::Sender<Progress>,
    /// What takes the place of all written so far, until it is written itself.
    replacement: Option<Arc<Replacement>>,
    /// How many writes it stands for: itself, and those that waited before it.
    covered: u64,
    /// Taken, and not written yet; after the replacement.
    waiting: Vec<Record>,
    /// How many were written in this life.
    written: u64,
    /// When the oldest write was made that no sync covers.
    unsynced_since: Option<Instant>,
    /// When writing is tried again; none while there is room.
    retry_at: Option<Instant>,
    /// Whether storage says that acks run ahead of the disk.
    marked: bool,
}

impl<S: Store> Writer<S> {
    fn run(mut self) {
        if let Err(why) = self.work() {
            self.report.send_modify(|progress| progress.failure = Some(why));
        }
    }

    fn work(&mut self) -> Result<(), String> {
        let mut more = true;
        while more {
            more = self.take();
            let now = Instant::now();
            let waits = !self.waiting.is_empty() || self.replacement.is_some();
            if waits && (!more || self.retry_at.is_none_or(|at| at <= now)) {
                self.write_down(now)?;
            }
            if self.unsynced_since.is_some_and(|since| since + SYNC_INTERVAL <= now) {
                self.sync()?;
            }
        }
        self.close()
    }

    /// Waits for something to do and takes all that waits; gives whether more may come.
    fn take(&mut self) -> bool {
        let due = [self.retry_at, self.unsynced_since.map(|since| since + SYNC_INTERVAL)];
        let first = match due.into_iter().flatten().min() {
            Some(due) => self.given.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => self.given.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match first {
            Ok(batch) => {
                self.take_batch(batch);
                while let Ok(batch) = self.given.try_recv() {
                    self.take_batch(batch);
                }
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    fn take_batch(&mut self, batch: Batch) {
        match batch {
            Batch::Records(records) => self.waiting.extend(records),
            Batch::Replacement(replacement) => {
                // What waits is as good as written with it.
                self.covered += self.waiting.len() as u64 + 1;
                self.waiting.clear();
                self.replacement = Some(replacement);
            }
        }
    }

    /// Writes all that waits, and makes it durable as the setting asks.
    fn write_down(&mut self, now: Instant) -> Result<(), String> {
        // A promise that a crash takes back could be broken, and so could a fence; an entry that it takes back is what the
        // setting allows.
        let may_be_lost = |record: &Record| {
            matches!(record, Record::Append(_) | Record::Drop { .. } | Record::Delivered(_))
        };
        let runs_ahead = self.waiting.iter().any(may_be_lost);
        let must_be_durable = !self.waiting.iter().all(may_be_lost);
        if self.durability == Durability::Async && !self.marked && runs_ahead {
            self.store.mark_async(true)?;
            self.marked = true;
        }
        match self.write_batch() {
            Ok(()) => {}
            Err(NotWritten::Full) => {
                if self.retry_at.is_none() {
                    warn!(writes = self.waiting.len(), "storage is full: nothing is acked");
                    self.report.send_modify(|progress| progress.full = true);
                }
                self.retry_at = Some(now + RETRY_INTERVAL);
                return Ok(());
            }
            Err(NotWritten::Failed(why)) => return Err(why),
        }
        self.written += self.waiting.len() as u64;
        self.unsynced_since.get_or_insert(now);
        self.waiting.clear();
        if self.durability == Durability::Fsync || must_be_durable {
            self.sync()?;
        }
        if self.retry_at.take().is_some() {
            info!("storage has room again");
        }
        let writes = self.written;
        let unreadable = u64::from(self.store.cannot_be_read_back());
        self.report.send_modify(|progress| {
            progress.writes = writes;
            progress.unreadable += unreadable;
            progress.full = false;
        });
        Ok(())
    }

    fn write_batch(&mut self) -> Result<(), NotWritten> {
        if let Some(replacement) = &self.replacement {
            self.store.replace(replacement)?;
            self.replacement = None;
            self.written += std::mem::take(&mut self.covered);
        }
        if self.waiting.is_empty() { Ok(()) } else { self.store.append(&self.waiting) }
    }

    fn sync(&mut self) -> Result<(), String> {
        self.store.sync()?;
        self.unsynced_since = None;
        Ok(())
    }

    /// Leaves storage so that the next life can trust all of it.
    fn close(&mut self) -> Result<(), String> {
        if self.unsynced_since.is_some() {
            self.sync()?;
        }
        if self.marked {
            self.store.mark_async(false)?;
        }
        if !self.waiting.is_empty() {
            // Nobody was told that they are durable.
            warn!(writes = self.waiting.len(), "storage is full: the last writes are not made");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
