//! Storage alone on a disk that loses what was not synced: whatever a crash leaves, what was synced is read back, and
//! nothing that was not written.

use ftqueue::testing::{
    Append, Body, Disk, Entry, Fold, Incarnation, LocalSeq, Made, Member, MessageName, Record,
    Replay as _, ReplicaId, Seq, Snapshot, Storage, StorageError, ViewNumber, make_snapshot,
};

use crate::disk::SimDisk;
use crate::random::Random;

const OWNER: u64 = 7;
const SEGMENT: u64 = 4_000;

/// Records as a replica writes them.
struct Writer {
    last: u64,
    delivered: u64,
    round: u64,
}

impl Writer {
    fn next(&mut self, random: &mut Random) -> Record {
        let view = ViewNumber { round: self.round, proposer: ReplicaId(1) };
        match random.below(20) {
            _ if self.round == 0 => {
                self.round = 1;
                Record::Promise(ViewNumber { round: 1, proposer: ReplicaId(1) })
            }
            0 => {
                self.round += 1;
                Record::Promise(ViewNumber { round: self.round, proposer: ReplicaId(1) })
            }
            1 => {
                self.last = random.between(self.delivered, self.last);
                Record::Drop { after: Seq(self.last) }
            }
            2..5 => {
                self.delivered = random.between(self.delivered, self.last);
                Record::Delivered(Seq(self.delivered))
            }
            _ => {
                self.last += 1;
                let length = 1 + random.below(300) as usize;
                // No sector of zeros: the encodings of operations have none either.
                let payload = vec![1 + random.below(255) as u8; length].into();
                let origin = ReplicaId(random.below(3) as u8);
                let (incarnation, local) = (Incarnation(5), LocalSeq(self.last));
                let name = MessageName { origin, incarnation, local };
                let body = if random.per_mille(50) {
                    Body::View(vec![Member { id: origin, incarnation }])
                } else {
                    Body::Message { name, payload }
                };
                Record::Append(Entry { seq: Seq(self.last), view, body })
            }
        }
    }

    /// Goes on from what was read.
    fn at(records: &[Record]) -> Self {
        let mut writer = Self { last: 0, delivered: 0, round: 0 };
        for record in records {
            match record {
                Record::Append(entry) => writer.last = entry.seq.0,
                Record::Drop { after } => writer.last = after.0,
                Record::Promise(view) => writer.round = view.round,
                Record::Delivered(through) => writer.delivered = through.0,
                _ => {}
            }
        }
        writer
    }
}

fn open(disk: &SimDisk) -> Result<(Storage<SimDisk>, Snapshot), StorageError> {
    let mut state = Snapshot::default();
    let (storage, _) = Storage::open(disk.clone(), OWNER, SEGMENT, &mut state)?;
    Ok((storage, state))
}

/// A snapshot of all that is whole; gives whether there was anything.
fn snapshot(storage: &mut Storage<SimDisk>, disk: &SimDisk) -> Result<Option<Made>, StorageError> {
    let name = format!("snapshot-{:020}", storage.segment());
    if storage.segment() == 1 || disk.list().unwrap().contains(&name) {
        return Ok(None);
    }
    let mut state = Snapshot::default();
    let made = make_snapshot(&mut disk.clone(), OWNER, storage.segment(), &mut state)?;
    if let Made::Snapshot { segment, bytes } = made {
        storage.snapshot_made(segment, bytes);
    }
    Ok(Some(made))
}

/// All that there is to a state.
fn parts(state: &Snapshot) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut each = |part: &[u8]| {
        parts.push(part.to_vec());
        Ok(())
    };
    state.encode(&mut each).unwrap();
    parts
}

/// How many of these records, at least so many, come to this state.
fn coming_to(state: &Snapshot, records: &[Record], least: usize) -> Option<usize> {
    let wanted = parts(state);
    let mut present = Snapshot::default();
    records.iter().take(least).for_each(|record| present.record(record.clone()));
    let mut rest = records.iter().skip(least);
    let mut count = least;
    while parts(&present) != wanted {
        present.record(rest.next()?.clone());
        count += 1;
    }
    Some(count)
}

/// Lives that write, sync and crash: at any operation of the disk, in the midst of the recovery too, and while it is full.
#[test]
fn what_was_synced_is_read_back_after_any_crash() {
    let mut seen = Seen::default();
    for seed in 1..=4_000 {
        let mut random = Random::new(seed);
        let disk = SimDisk::default();
        let (mut written, mut synced) = (Vec::new(), 0);
        for _ in 0..random.between(2, 6) {
            for _ in 0..random.below(3) {
                // A recovery that is cut short.
                disk.fail_after(random.below(8));
                match open(&disk) {
                    Ok(_) => {}
                    Err(StorageError::Failed { .. }) => seen.recoveries_cut_short += 1,
                    Err(error) => panic!("seed {seed}: in recovery: {error}"),
                }
                end(&disk, &mut random);
            }
            let (storage, state) =
                open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let count = coming_to(&state, &written, synced);
            let count = count.unwrap_or_else(|| panic!("seed {seed}: {state:?}"));
            seen.lost += written.len() - count;
            written.truncate(count);
            synced = written.len();
            synced = live(storage, &disk, &mut written, synced, &mut random, &mut seen);
            disk.limit(None);
            end(&disk, &mut random);
        }
    }
    let Seen { lost, full, recoveries_cut_short, snapshots, snapshots_cut_short, no_room } = seen;
    println!("{seen:?}");
    assert!(lost > 100 && full > 100 && recoveries_cut_short > 100, "{seen:?}");
    assert!(snapshots > 100 && snapshots_cut_short > 100 && no_room > 20, "{seen:?}");
}

/// What the lives met.
#[derive(Default, Debug)]
struct Seen {
    lost: usize,
    full: usize,
    recoveries_cut_short: usize,
    snapshots: usize,
    snapshots_cut_short: usize,
    /// For a snapshot.
    no_room: usize,
}

/// A process ends, mostly with the power.
fn end(disk: &SimDisk, random: &mut Random) {
    disk.work();
    if random.per_mille(800) {
        disk.crash(random);
    }
}

/// A life: writes and syncs until it ends or the disk fails; what a write that failed left may be read too. Gives how many
/// records are surely durable.
fn live(
    mut storage: Storage<SimDisk>,
    disk: &SimDisk,
    written: &mut Vec<Record>,
    mut synced: usize,
    random: &mut Random,
    seen: &mut Seen,
) -> usize {
    let mut writer = Writer::at(written);
    if random.per_mille(500) {
        disk.fail_after(random.below(40));
    }
    let mut waiting = Vec::new();
    for _ in 0..random.below(14) {
        if random.per_mille(150) {
            disk.limit(Some(random.below(500)));
        } else if random.per_mille(500) {
            disk.limit(None);
        }
        waiting.extend((0..random.between(1, 6)).map(|_| writer.next(random)));
        match storage.append(&waiting) {
            Ok(Append::Written) => written.append(&mut waiting),
            Ok(Append::Full) => seen.full += 1,
            Err(_) => break,
        }
        if random.per_mille(800) {
            if storage.sync().is_err() {
                break;
            }
            synced = written.len();
            if random.per_mille(300) {
                match snapshot(&mut storage, disk) {
                    Ok(None) => {}
                    Ok(Some(Made::Snapshot { .. })) => seen.snapshots += 1,
                    Ok(Some(Made::Full)) => seen.no_room += 1,
                    Err(StorageError::Failed { .. }) => {
                        seen.snapshots_cut_short += 1;
                        break;
                    }
                    Err(error) => panic!("a snapshot finds {error}"),
                }
            }
        }
    }
    written.append(&mut waiting);
    synced
}

/// The next segment finds no room while it begins, and the power goes later: what was undone does not come back and make
/// damage of a torn tail.
#[test]
fn a_segment_that_found_no_room_stays_away() {
    for seed in 1..=300 {
        let mut random = Random::new(seed);
        let disk = SimDisk::default();
        let (mut storage, _) = open(&disk).unwrap();
        let mut writer = Writer::at(&[]);
        let mut write = |storage: &mut Storage<SimDisk>, random: &mut Random| {
            let batch: Vec<_> = (0..4).map(|_| writer.next(random)).collect();
            assert_eq!(storage.append(&batch).unwrap(), Append::Written);
        };
        let first = disk.list().unwrap().remove(0);
        loop {
            write(&mut storage, &mut random);
            if disk.read(&first).unwrap().len() as u64 >= SEGMENT {
                break;
            }
            storage.sync().unwrap();
        }
        disk.limit(Some(30));
        storage.sync().unwrap();
        assert_eq!(disk.list().unwrap().len(), 1, "there was no room for a second segment");
        disk.limit(None);
        write(&mut storage, &mut random);
        disk.crash(&mut random);
        open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// A sector that became zero among those that were synced is found, wherever it is.
#[test]
fn a_lost_sector_is_found() {
    let mut found = 0;
    for seed in 1..=300 {
        let mut random = Random::new(seed);
        let disk = SimDisk::default();
        let (mut storage, _) = open(&disk).unwrap();
        let mut writer = Writer::at(&[]);
        for _ in 0..random.between(20, 60) {
            let batch: Vec<_> =
                (0..random.between(1, 6)).map(|_| writer.next(&mut random)).collect();
            assert_eq!(storage.append(&batch).unwrap(), Append::Written);
            storage.sync().unwrap();
        }
        if random.per_mille(500) {
            snapshot(&mut storage, &disk).unwrap();
        }
        drop(storage);
        let names = disk.list().unwrap();
        let name = &names[random.below(names.len() as u64) as usize];
        let sectors = disk.read(name).unwrap().len() / 512;
        // The last batch may lack a sector: nothing after it says that it was durable.
        let sector = random.below((sectors as u64).saturating_sub(4).max(1)) as usize;
        if sectors < 5 || !disk.zero(name, sector) {
            continue;
        }
        match open(&disk) {
            Err(StorageError::Damaged { .. }) => found += 1,
            Err(error) => panic!("seed {seed}: {error}"),
            Ok(_) => panic!("seed {seed}: sector {sector} of {name} is not missed"),
        }
    }
    assert!(found > 100, "{found} were found");
}

/// A bit that changed in what was synced is found, wherever it is: nothing else than what was written is ever read.
#[test]
fn a_changed_bit_is_found() {
    let mut found = 0;
    for seed in 1..=3_000 {
        let mut random = Random::new(seed);
        let disk = SimDisk::default();
        let (mut storage, _) = open(&disk).unwrap();
        let mut writer = Writer::at(&[]);
        let mut written = Vec::new();
        for _ in 0..random.between(1, 12) {
            let batch: Vec<_> =
                (0..random.between(1, 6)).map(|_| writer.next(&mut random)).collect();
            assert_eq!(storage.append(&batch).unwrap(), Append::Written);
            storage.sync().unwrap();
            written.extend(batch);
        }
        if random.per_mille(500) {
            snapshot(&mut storage, &disk).unwrap();
        }
        drop(storage);
        let Some((name, place)) = disk.flip(&mut random) else {
            continue;
        };
        match open(&disk) {
            Err(StorageError::Damaged { .. }) => found += 1,
            Err(error) => panic!("seed {seed}: {error}"),
            Ok((_, state)) => {
                let read = coming_to(&state, &written, 0);
                panic!("seed {seed}: {name} at {place}: {read:?} of {}", written.len());
            }
        }
    }
    assert!(found > 2_000, "{found} were found");
}
