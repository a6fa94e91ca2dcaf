//! Makes the logs of replicas long that are stopped, as a loaded cluster does, and faster.

use bytes::Bytes;
use ftqueue::testing::{
    Action, Append, Body, Entry, Folder, Incarnation, LocalSeq, Member, MessageName, Operation,
    Record, ReplicaId, SEGMENT_LENGTH, Seq, Storage, ViewNumber,
};
use ring::digest::{SHA256, digest};
use rustix::process::Signal;

use crate::cluster::Cluster;

/// How many entries are written at a time.
const BATCH: u64 = 1_000;

/// Stops all replicas in order.
pub(crate) async fn stop(cluster: &mut Cluster) {
    for replica in &cluster.replicas {
        replica.signal(Signal::TERM);
    }
    for replica in &mut cluster.replicas {
        assert_eq!(replica.exit_code().await, Some(0));
    }
}

/// A message's operations: as many pushes as pops.
pub(crate) fn pushes_and_pops(queue: i64, operations: u64) -> Vec<u8> {
    let action = |number| match number % 2 {
        0 => Action::Push { queue, item: number as i64 * 1_000 },
        _ => Action::Pop { queue },
    };
    payload((0..operations).map(action))
}

/// A message's operations.
pub(crate) fn payload(actions: impl Iterator<Item = Action>) -> Vec<u8> {
    let mut payload = Vec::new();
    for action in actions {
        Operation::new(action, None).encode(&mut payload);
    }
    payload
}

/// The log of one replica that is stopped.
pub(crate) struct LongLog {
    storage: Storage<Folder>,
    view: ViewNumber,
    /// Of a life of its own: nothing of the last one's is numbered twice.
    member: Member,
    last: Seq,
    /// How many entries were written, and about how many bytes.
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl LongLog {
    /// Opens a replica's log; what is written is of the last view's first member.
    pub(crate) fn open(cluster: &Cluster, id: usize) -> Self {
        let (mut view, mut last) = (None, Seq(0));
        let folder = Folder::new(&cluster.replicas[id].data);
        let opened = Storage::open(folder, owner(id), SEGMENT_LENGTH, &mut |record| match record {
            Record::Append(entry) => {
                last = entry.seq;
                if let Body::View(members) = &entry.body {
                    view = Some((entry.view, members[0]));
                }
            }
            Record::Drop { after } => last = after,
            _ => {}
        });
        let (storage, _) = opened.unwrap();
        let (view, member) = view.expect("a view was formed");
        let incarnation = Incarnation(member.incarnation.0 + 1);
        let member = Member { id: ReplicaId(0), incarnation };
        Self { storage, view, member, last, entries: 0, bytes: 0 }
    }

    /// Appends entries of these operations until so many bytes were written.
    pub(crate) fn append_until(&mut self, bytes: u64, payload: &Bytes) {
        while self.bytes < bytes {
            self.append((0..BATCH).map(|_| payload.clone()));
        }
    }

    /// Appends an entry for each payload, delivered, and syncs.
    pub(crate) fn append(&mut self, payloads: impl Iterator<Item = Bytes>) {
        let mut records = Vec::new();
        for payload in payloads {
            self.last = self.last.next();
            self.entries += 1;
            self.bytes += payload.len() as u64 + 20;
            let Member { id: origin, incarnation } = self.member;
            let name = MessageName { origin, incarnation, local: LocalSeq(self.entries) };
            let body = Body::Message { name, payload };
            records.push(Record::Append(Entry { seq: self.last, view: self.view, body }));
        }
        records.push(Record::Delivered(self.last));
        assert_eq!(self.storage.append(&records).unwrap(), Append::Written);
        self.storage.sync().unwrap();
    }
}

/// Whose log it is, as its files say.
fn owner(id: usize) -> u64 {
    let digest = digest(&SHA256, format!("{id}\nftqueue").as_bytes());
    digest.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}
