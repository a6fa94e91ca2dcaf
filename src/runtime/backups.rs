//! Backups are made beside all else, as snapshots are: a thread of low priority reads the log's files, as a start would,
//! and hands out what they come to. It never touches the replica, so no operation waits for it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, info, warn};

use super::snapshots::yield_to_others;
use crate::codec::Malformed;
use crate::entry::{Record, Replay};
use crate::replica::Snapshot;
use crate::storage::{BackupHeader, BackupWriter, Folder, Owner, scan};
use crate::types::ReplicaId;

/// How long a piece of a backup is, in bytes; the last one may be shorter.
const PIECE: usize = 64 << 10;
/// How many pieces may wait for the caller.
const WAITING: usize = 16;
/// How long the caller may take for the next piece. The state stays in memory until it has all.
const STALLED: Duration = Duration::from_secs(60);
/// How often is looked whether the caller has made room.
const LOOK: Duration = Duration::from_millis(2);
/// How long the log may take to say that what was answered is delivered, and how many readings of it: far more than it
/// does, for that is written with whatever is written next, and within a heartbeat where nothing is.
const PATIENCE: Duration = Duration::from_secs(10);
const LEAST_READINGS: u32 = 3;
/// How long is waited for that between two readings.
const PAUSE: Duration = Duration::from_millis(25);

/// Makes backups of a replica that runs in this process, one at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Backups {
    place: Arc<Semaphore>,
    source: Arc<Source>,
}

/// Whose log is read, and where.
struct Source {
    disk: Folder,
    owner: Owner,
    patience: Duration,
}

/// The right to make a backup; another one can be made once it is dropped.
pub(crate) struct Place {
    permit: OwnedSemaphorePermit,
    source: Arc<Source>,
}

/// The pieces of a backup as they are made; or why there are no more, for people.
pub(crate) type Pieces = mpsc::Receiver<Result<Vec<u8>, String>>;

impl Backups {
    /// Of a replica whose data directory is at `path`.
    pub(crate) fn new(path: &Path, cluster: String, replica: ReplicaId) -> Self {
        let owner = Owner { cluster, replica };
        let source = Source { disk: Folder::new(path), owner, patience: PATIENCE };
        Self { place: Arc::new(Semaphore::new(1)), source: Arc::new(source) }
    }

    /// The same, but the log may take no time to say what is delivered.
    #[cfg(test)]
    pub(crate) fn impatient(path: &Path, cluster: String, replica: ReplicaId) -> Self {
        let mut backups = Self::new(path, cluster, replica);
        if let Some(source) = Arc::get_mut(&mut backups.source) {
            source.patience = Duration::ZERO;
        }
        backups
    }

    /// The right to make a backup; none while one is being made.
    pub(crate) fn take_place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.place).try_acquire_owned().ok()?;
        Some(Place { permit, source: Arc::clone(&self.source) })
    }
}

impl Place {
    /// Begins to make a backup that has all operations up to `sequence`, which this replica has answered, and perhaps
    /// some more. It ends when the pieces are dropped.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn begin(self, sequence: u64) -> io::Result<Pieces> {
        let Self { permit, source } = self;
        let (to, pieces) = mpsc::channel(WAITING);
        thread::Builder::new().name("backup".to_owned()).spawn(move || {
            yield_to_others();
            let made = make(&source, sequence, &to);
            // Before the caller learns of the end, who may ask for another one at once.
            drop(permit);
            match made {
                Ok(()) => {}
                Err(Ended::HungUp) => debug!("nobody waits for the backup any more"),
                Err(Ended::Failed(why)) => {
                    warn!(%why, "no backup could be made");
                    // Where there is no room for it the pieces end early, which tells enough.
                    to.try_send(Err(why)).ok();
                }
            }
        })?;
        Ok(pieces)
    }
}

/// Why a backup was not made.
enum Ended {
    /// The caller wants it no more.
    HungUp,
    /// For people.
    Failed(String),
}

type Caller = mpsc::Sender<Result<Vec<u8>, String>>;

fn make(source: &Source, sequence: u64, to: &Caller) -> Result<(), Ended> {
    let began = Instant::now();
    let state = read_through(source, sequence, to)?;
    let queues = state.queues();
    let (queues_count, items) = queues.counts();
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let header = BackupHeader {
        cluster: source.owner.cluster.clone(),
        replica: source.owner.replica,
        unix_milliseconds: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        sequence: queues.sequence(),
        queues: queues_count,
        items,
    };
    let write = || {
        let mut backup = BackupWriter::begin(PieceWriter { to, piece: Vec::new() }, &header)?;
        queues.encode(&mut |part| backup.part(part))?;
        backup.end()
    };
    write().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => {
            Ended::Failed(format!("nothing of it was taken for {STALLED:?}"))
        }
        _ => Ended::HungUp,
    })?;
    info!(
        sequence = header.sequence,
        queues = header.queues,
        items,
        milliseconds = began.elapsed().as_millis(),
        "backup made"
    );
    Ok(())
}

/// Reads the log until it is known to be delivered through an operation. What follows the last number that it says was
/// delivered does not count, whatever it is: it may never have been.
///
/// Each reading is of the whole log. A second one is the exception where that takes long: its end is read last.
fn read_through(source: &Source, sequence: u64, to: &Caller) -> Result<Box<Snapshot>, Ended> {
    let began = Instant::now();
    for reading in 1.. {
        let mut state = Reading { state: Box::default(), to };
        let read = scan(&source.disk, Some(source.owner.hash()), &mut state);
        if to.is_closed() {
            return Err(Ended::HungUp);
        }
        let reached = state.state.queues().sequence();
        let why = match read {
            Ok(_) if reached >= sequence => return Ok(state.state),
            Ok(_) => format!("the log says only that {reached} of {sequence} were delivered"),
            // Files go when a snapshot takes their place, perhaps between the look at their names and at themselves.
            Err(error) => error.to_string(),
        };
        if reading >= LEAST_READINGS && began.elapsed() > source.patience {
            return Err(Ended::Failed(why));
        }
        debug!(%why, reading, "reading the log again");
        thread::sleep(PAUSE);
    }
    unreachable!("it is read again and again")
}

/// Takes in what storage holds, as long as somebody waits for it.
struct Reading<'a> {
    state: Box<Snapshot>,
    to: &'a Caller,
}

impl Replay for Reading<'_> {
    fn part(&mut self, part: &[u8]) -> Result<(), Malformed> {
        if self.to.is_closed() {
            return Err(Malformed("nobody waits for it any more"));
        }
        self.state.part(part)
    }

    fn parts_end(&mut self) -> Result<(), Malformed> {
        self.state.parts_end()
    }

    fn record(&mut self, record: Record) {
        if !self.to.is_closed() {
            self.state.record(record);
        }
    }
}

/// Cuts what is written into pieces, and hands them over as fast as they are taken.
struct PieceWriter<'a> {
    to: &'a Caller,
    piece: Vec<u8>,
}

impl PieceWriter<'_> {
    fn hand_over(&mut self) -> io::Result<()> {
        let mut piece = Ok(std::mem::take(&mut self.piece));
        let began = Instant::now();
        loop {
            piece = match self.to.try_send(piece) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(TrySendError::Full(_)) if began.elapsed() > STALLED => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(TrySendError::Full(piece)) => piece,
            };
            thread::sleep(LOOK);
        }
    }
}

impl io::Write for PieceWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.piece.len();
        let taken = bytes.len().min(room);
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.hand_over()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.hand_over() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::entry::{Body, Entry};
    use crate::queue::{Action, Limits, Operation, Queues};
    use crate::storage::{Append, BackupReader, SEGMENT_LENGTH, Storage};
    use crate::types::{Incarnation, LocalSeq, MessageName, Seq, ViewNumber};

    const VIEW: ViewNumber = ViewNumber { round: 1, proposer: ReplicaId(0) };
    /// Several times what may wait for a caller: the items have nine bytes.
    const ITEMS: i64 = 400_000;
    /// How many operations a message has.
    const PACKED: usize = 1_000;

    /// A replica's log: a queue and its items are pushed; and what is delivered says a record of its own.
    struct Running {
        data: TempDir,
        storage: Storage<Folder>,
        queues: Queues,
        last: u64,
    }

    impl Running {
        fn new() -> Self {
            let data = tempfile::tempdir().unwrap();
            let owner = owner().hash();
            let ignored = &mut |_: Record| {};
            let folder = Folder::new(data.path());
            let (storage, _) = Storage::open(folder, owner, SEGMENT_LENGTH, ignored).unwrap();
            let mut running = Self { data, storage, queues: Queues::new(Limits::DEFAULT), last: 0 };
            running.write(Record::Promise(VIEW));
            let create = Action::Create { label: 7 };
            let push = (0..ITEMS).map(|item| Action::Push { queue: 1, item: i64::MAX - item });
            let all: Vec<_> = [create].into_iter().chain(push).collect();
            all.chunks(PACKED).for_each(|some| running.append(some));
            running
        }

        fn write(&mut self, record: Record) {
            assert_eq!(self.storage.append(&[record]).unwrap(), Append::Written);
        }

        fn append(&mut self, actions: &[Action]) {
            self.last += 1;
            let mut payload = Vec::new();
            for action in actions {
                let operation = Operation::new(*action, None);
                operation.encode(&mut payload);
                self.queues.apply(&operation);
            }
            let name = MessageName {
                origin: ReplicaId(0),
                incarnation: Incarnation(1),
                local: LocalSeq(self.last),
            };
            let body = Body::Message { name, payload: payload.into() };
            self.write(Record::Append(Entry { seq: Seq(self.last), view: VIEW, body }));
        }

        fn deliver(&mut self) {
            self.write(Record::Delivered(Seq(self.last)));
        }

        fn backups(&self) -> Backups {
            Backups::new(self.data.path(), owner().cluster, owner().replica)
        }
    }

    fn owner() -> Owner {
        Owner { cluster: "running".to_owned(), replica: ReplicaId(2) }
    }

    fn all(mut pieces: Pieces) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.blocking_recv() {
            let piece = piece?;
            assert!((1..=PIECE).contains(&piece.len()));
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    /// What a backup holds.
    fn read(bytes: &[u8]) -> (BackupHeader, Queues) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("backup");
        fs::write(&file, bytes).unwrap();
        let (mut backup, header) = BackupReader::open(&file).unwrap();
        let mut queues = Queues::new(Limits::DEFAULT);
        while let Some(part) = backup.part().unwrap() {
            queues.read_part(&part).unwrap();
        }
        queues.parts_end().unwrap();
        (header, queues)
    }

    #[test]
    fn a_backup_waits_until_the_log_says_that_all_of_it_is_delivered() {
        let mut running = Running::new();
        let sequence = running.queues.sequence();
        let pieces = running.backups().take_place().unwrap().begin(sequence).unwrap();
        // It may have read the log by now, or not.
        running.deliver();
        let bytes = all(pieces).unwrap();
        assert!(bytes.len() > 3 * WAITING * PIECE, "{} bytes", bytes.len());
        let (header, queues) = read(&bytes);
        assert_eq!(queues.digest(), running.queues.digest());
        assert_eq!((header.sequence, header.items), (sequence, ITEMS.cast_unsigned()));
        assert_eq!((header.cluster, header.replica), (owner().cluster, owner().replica));
    }

    #[test]
    fn what_is_not_said_to_be_delivered_is_not_backed_up() {
        let mut running = Running::new();
        running.deliver();
        let (sequence, delivered) = (running.queues.sequence(), running.queues.digest());
        running.append(&[Action::Push { queue: 1, item: 5 }]);
        let pieces = running.backups().take_place().unwrap().begin(sequence).unwrap();
        let (header, queues) = read(&all(pieces).unwrap());
        assert_eq!((header.sequence, queues.digest()), (sequence, delivered));
    }

    #[test]
    fn a_log_that_does_not_say_so_or_is_damaged_is_told() {
        let running = Running::new();
        let Owner { cluster, replica } = owner();
        let backups = Backups::impatient(running.data.path(), cluster, replica);
        let why = all(backups.take_place().unwrap().begin(1).unwrap()).unwrap_err();
        assert_eq!(why, "the log says only that 0 of 1 were delivered");

        let log = running.data.path().join(format!("log-{:020}", 1));
        let mut bytes = fs::read(&log).unwrap();
        bytes[1_000] ^= 1;
        fs::write(&log, bytes).unwrap();
        let why = all(backups.take_place().unwrap().begin(1).unwrap()).unwrap_err();
        assert!(why.contains("is damaged: at byte "), "{why}");
    }

    #[test]
    fn whoever_hangs_up_in_the_middle_makes_room_for_another() {
        let mut running = Running::new();
        running.deliver();
        let backups = running.backups();
        let mut pieces = backups.take_place().unwrap().begin(1).unwrap();
        assert!(pieces.blocking_recv().unwrap().is_ok());
        assert!(backups.take_place().is_none(), "more is to come, and there is no room for it");
        drop(pieces);
        while backups.take_place().is_none() {
            thread::yield_now();
        }
    }
}
