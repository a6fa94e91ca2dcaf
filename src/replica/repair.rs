//! Repair, the receiver's half: what is missing, whom to ask for it, when to ask again (DESIGN section 2, rule 6).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Replica;
use super::backoff::Backoff;
use crate::planted::planted;
use crate::types::{Instant, MessageName, ReplicaId, Seq};
use crate::wire::{Chunk, MAX_RANGES, MessageRange, SeqRange};

/// How many missing things are asked for at a time, lowest first: what lies behind them comes later.
const MOST_WANTED: usize = 256;

/// Something that exists and is not held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Want {
    /// Which message has this number.
    Numbering(Seq),
    /// A message.
    Message(MessageName),
}

/// What is wanted, and when each thing is asked for next.
#[derive(Debug, Default)]
pub(super) struct Repair {
    wanted: BTreeMap<Want, Backoff>,
}

impl Repair {
    /// When something is to be asked for next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.wanted.values().filter_map(Backoff::due).min()
    }

    /// How many things are wanted.
    pub(super) fn wanted(&self) -> usize {
        self.wanted.len()
    }
}

impl Replica {
    /// Compares what is known to exist with what is held, and wants the difference: newly missing things are asked
    /// for after a quarter of a round trip (most of them are only reordered), those that have come no more.
    pub(super) fn watch_for_gaps(&mut self, now: Instant) {
        let missing = self.missing();
        if missing.is_empty() && self.repair.wanted.is_empty() {
            return;
        }
        let mut before = std::mem::take(&mut self.repair.wanted);
        for want in missing {
            let backoff = before.remove(&want).unwrap_or_else(|| {
                self.counters.gaps_seen += 1;
                let mut backoff = Backoff::default();
                backoff.start(now + self.detector.round_trip_to(self.source(want)).smoothed() / 4);
                backoff
            });
            self.repair.wanted.insert(want, backoff);
        }
    }

    /// The shortest and the longest wait before something is tried again that takes `round_trip`: less than that would
    /// be a try before the last one can have worked.
    pub(super) fn backoff_bounds(&self, round_trip: Duration) -> (Duration, Duration) {
        (round_trip, self.config.longest_repair_wait.max(round_trip))
    }

    /// What exists and is not held, numberings first, at most `MOST_WANTED`.
    fn missing(&self) -> Vec<Want> {
        let Some(view) = self.status.view() else {
            return Vec::new();
        };
        let mut missing = Vec::new();
        let window = usize::try_from(self.known_window()).unwrap_or(usize::MAX);
        for (seq, name) in self.order.beyond_log().take(window) {
            if name.is_none() && missing.len() < MOST_WANTED / 2 {
                missing.push(Want::Numbering(seq));
            }
        }
        for (place, member) in view.members.iter().enumerate() {
            // What is left is shared, so that one origin's many losses do not keep another's from being asked for.
            let room = (MOST_WANTED - missing.len()) / (view.members.len() - place);
            missing.extend(
                self.messages
                    .missing(member.id, room)
                    .map(|local| Want::Message(view.name(member.id, local))),
            );
        }
        missing
    }

    /// Asks for everything whose time has come: first the one who made it, then the other members in turn.
    pub(super) fn ask_for_missing(&mut self, now: Instant) {
        if self.repair.due().is_none_or(|due| now < due) {
            return;
        }
        let mut asked: Vec<(ReplicaId, Want)> = Vec::new();
        let mut wanted = std::mem::take(&mut self.repair.wanted);
        for (want, backoff) in &mut wanted {
            let Some(holder) = self.holder(*want, backoff.attempt()) else {
                continue;
            };
            let bounds = self.backoff_bounds(self.detector.round_trip_to(holder).bound());
            if backoff.take_due(now, bounds, &mut self.jitter) {
                asked.push((holder, *want));
            }
        }
        self.repair.wanted = wanted;
        if planted!(self, NoNacks) {
            asked.clear();
        }
        asked.sort_unstable();
        for group in asked.chunk_by(|one, other| one.0 == other.0) {
            let wants: Vec<Want> = group.iter().map(|(_, want)| *want).collect();
            for nack in nacks(&wants) {
                self.counters.nacks_sent += 1;
                self.outbox.for_one(group[0].0, nack);
            }
        }
    }

    /// Who surely had it.
    fn source(&self, want: Want) -> ReplicaId {
        match want {
            Want::Numbering(seq) => {
                self.status.view().expect("only members want numberings").sequencer_of(seq)
            }
            Want::Message(name) => name.origin,
        }
    }

    /// Whom to ask at the `attempt`-th try: all members but this one in turn, from the one who surely had it.
    fn holder(&self, want: Want, attempt: u32) -> Option<ReplicaId> {
        let view = self.status.view()?;
        let source = self.source(want);
        let others = view.members.iter().map(|member| member.id).filter(|id| *id != self.me.id);
        let (after, before): (Vec<_>, Vec<_>) = others.partition(|id| *id >= source);
        let candidates: Vec<ReplicaId> = after.into_iter().chain(before).collect();
        candidates.get(attempt as usize % candidates.len().max(1)).copied()
    }
}

/// The NACK chunks that ask for `wants`, which are sorted: neighbours become ranges.
fn nacks(wants: &[Want]) -> Vec<Chunk> {
    let mut sequences: Vec<SeqRange> = Vec::new();
    let mut messages: Vec<MessageRange> = Vec::new();
    for want in wants {
        match *want {
            Want::Numbering(seq) => match sequences.last_mut() {
                Some(range) if range.to.next() == seq => range.to = seq,
                _ => sequences.push(SeqRange { from: seq, to: seq }),
            },
            Want::Message(MessageName { origin, incarnation, local }) => {
                match messages.last_mut() {
                    Some(range) if (range.origin, range.to.next()) == (origin, local) => {
                        range.to = local
                    }
                    _ => {
                        messages.push(MessageRange { origin, incarnation, from: local, to: local })
                    }
                }
            }
        }
    }
    let mut nacks = Vec::new();
    let (mut sequences, mut messages) = (sequences.as_slice(), messages.as_slice());
    while !sequences.is_empty() || !messages.is_empty() {
        let (some, others) = sequences.split_at(sequences.len().min(MAX_RANGES));
        let room = MAX_RANGES - some.len();
        let (named, unnamed) = messages.split_at(messages.len().min(room));
        nacks.push(Chunk::Nack { sequences: some.to_vec(), messages: named.to_vec() });
        (sequences, messages) = (others, unnamed);
    }
    nacks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Incarnation, LocalSeq};

    #[test]
    fn neighbours_are_asked_for_as_ranges() {
        let message = |local| {
            let (origin, incarnation) = (ReplicaId(2), Incarnation(7));
            Want::Message(MessageName { origin, incarnation, local: LocalSeq(local) })
        };
        let wants: Vec<Want> = [3, 4, 5, 9]
            .map(|seq| Want::Numbering(Seq(seq)))
            .into_iter()
            .chain([1, 2].map(message))
            .collect();
        let chunks = nacks(&wants);
        let [Chunk::Nack { sequences, messages }] = chunks.as_slice() else {
            panic!("one NACK");
        };
        let range = |from, to| SeqRange { from: Seq(from), to: Seq(to) };
        assert_eq!(sequences.as_slice(), [range(3, 5), range(9, 9)]);
        assert_eq!((messages[0].from, messages[0].to), (LocalSeq(1), LocalSeq(2)));
    }

    #[test]
    fn many_gaps_are_split_over_chunks() {
        let wants: Vec<Want> = (0..100).map(|place| Want::Numbering(Seq(1 + 2 * place))).collect();
        let asked: usize = nacks(&wants)
            .iter()
            .map(|nack| match nack {
                Chunk::Nack { sequences, messages } => {
                    assert!((1..=MAX_RANGES).contains(&(sequences.len() + messages.len())));
                    sequences.len()
                }
                _ => panic!("a NACK"),
            })
            .sum();
        assert_eq!(asked, 100);
    }
}
