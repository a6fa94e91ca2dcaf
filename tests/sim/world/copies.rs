//! Copies of what a disk holds: read for others, and what was copied of others.

use ftqueue::testing::{
    Copied, CopyPlace, Event, Piece, ReplicaId, Snapshot, pieces_of, read_copy, read_piece,
};

use super::{Happening, World};
use crate::options::MILLISECOND;

impl World {
    /// A replica reads its disk for another one, a little later.
    pub(super) fn lend(
        &mut self,
        index: usize,
        to: ReplicaId,
        at: CopyPlace,
        most: usize,
        length: usize,
    ) {
        if self.nodes[index].hangs {
            return self.probes.hit("lent_nothing");
        }
        let read = read_piece(&self.nodes[index].disk, at.snapshot, (at.segment, at.offset), most);
        let Ok(Piece { snapshot, segment, offset, length: file, last_segment, bytes }) = read
        else {
            // The file went with a newer snapshot.
            return self.probes.hit("lent_nothing");
        };
        let at = CopyPlace { snapshot, segment, offset };
        let pieces = pieces_of(at, (file, last_segment), bytes.into(), length);
        let (life, event) = (self.nodes[index].incarnation.0, Event::Lent { to, pieces });
        let later = self.now + self.random.below(MILLISECOND);
        self.schedule(later, Happening::Read { node: index, life, event });
    }

    /// A replica reads what it copied, a little later.
    pub(super) fn read_copy(&mut self, index: usize, copied: &Copied) {
        let mut state = self.empty_state()();
        let life = self.nodes[index].incarnation.0;
        let later = self.now + self.random.below(50 * MILLISECOND);
        let happening = match read_copy(copied.snapshot, copied.files.clone(), &mut state) {
            Ok(()) => Happening::TakeOver { node: index, life, state: Box::new(state) },
            Err(_) => {
                self.probes.hit("copy_unreadable");
                Happening::Read { node: index, life, event: Event::CopyUnreadable }
            }
        };
        self.schedule(later, happening);
    }

    /// What was copied takes the place of a replica's own.
    pub(super) fn take_over(&mut self, index: usize, life: u64, state: Snapshot) {
        let node = &mut self.nodes[index];
        let local = node.local(self.now);
        let Some(replica) = node.replica.as_mut().filter(|_| node.incarnation.0 == life) else {
            return;
        };
        let mut effects = Vec::new();
        replica.take_over(local, state, &mut effects);
        self.carry_out_all(index, &mut effects);
        self.check_delivered(index);
        self.wake_soon(index);
    }
}
