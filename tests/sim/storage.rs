//! Storage alone on a disk that loses what was not synced: whatever a crash leaves, what was synced is read back, and
//! nothing that was not written.

use ftqueue::testing::{
    Append, Body, Entry, Incarnation, LocalSeq, Member, MessageName, Record, ReplicaId, Seq,
    Storage, StorageError, ViewNumber,
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
            }
        }
        writer
    }
}

fn open(disk: &SimDisk) -> Result<(Storage<SimDisk>, Vec<Record>), StorageError> {
    let mut records = Vec::new();
    let (storage, _) =
        Storage::open(disk.clone(), OWNER, SEGMENT, &mut |record| records.push(record))?;
    Ok((storage, records))
}

/// Lives that write, sync and crash, also while they recover and while the disk is full.
#[test]
fn what_was_synced_is_read_back_after_any_crash() {
    let (mut lost, mut full) = (0, 0);
    for seed in 1..=1_500 {
        let mut random = Random::new(seed);
        let disk = SimDisk::default();
        let (mut written, mut synced) = (Vec::new(), 0);
        for _ in 0..random.between(1, 6) {
            let (mut storage, records) =
                open(&disk).unwrap_or_else(|error| panic!("{seed}: {error}"));
            assert!(records.len() >= synced, "seed {seed}: {} of {synced}", records.len());
            assert_eq!(records, written[..records.len()], "seed {seed}");
            lost += written.len() - records.len();
            written.truncate(records.len());
            synced = written.len();
            let mut writer = Writer::at(&written);
            for _ in 0..random.below(12) {
                let batch: Vec<_> =
                    (0..random.between(1, 6)).map(|_| writer.next(&mut random)).collect();
                if random.per_mille(100) {
                    disk.limit(Some(random.below(400)));
                }
                while storage.append(&batch).unwrap() == Append::Full {
                    full += 1;
                    disk.limit(None);
                }
                written.extend(batch);
                if random.per_mille(800) {
                    storage.sync().unwrap();
                    synced = written.len();
                }
            }
            drop(storage);
            disk.limit(None);
            if random.per_mille(700) {
                disk.crash(&mut random);
                if random.per_mille(300) {
                    // A second crash in the midst of the recovery.
                    open(&disk).unwrap();
                    disk.crash(&mut random);
                }
            }
        }
    }
    assert!(lost > 100 && full > 100, "{lost} records were lost, {full} times there was no room");
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
        drop(storage);
        let Some((name, place)) = disk.flip(&mut random) else {
            continue;
        };
        match open(&disk) {
            Err(StorageError::Damaged { .. } | StorageError::Foreign { .. }) => found += 1,
            Err(error) => panic!("seed {seed}: {error}"),
            Ok((_, records)) => {
                panic!("seed {seed}: {name} at {place}: {} of {}", records.len(), written.len());
            }
        }
    }
    assert!(found > 2_000, "{found} were found");
}
