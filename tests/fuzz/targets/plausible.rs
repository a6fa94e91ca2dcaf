//! Headers and chunks that keep the rules of the wire, mostly with numbers that matter to the receiver: what lies deep
//! in the replica is reached only by those.

use arbitrary::Unstructured;
use ftqueue::testing::{
    Action, Body, Boundary, Chunk, CopyPlace, DiskId, Entry, Header, Heard, Incarnation, Known,
    LocalSeq, LogEnd, MAX_BOUNDARIES, MAX_NAMES, MAX_NUMBER, MAX_RANGES, Member, MessageName,
    MessageRange, Operation, ReplicaId, Seq, SeqRange, ViewNumber,
};

/// The largest payload that is made up: some of a datagram's length, most short.
const LARGE_PAYLOAD: usize = 1_000;

/// What is known of a receiver.
pub(crate) struct Plausible {
    /// The replicas' incarnations, by id.
    pub(crate) lives: Vec<Incarnation>,
    /// Its view, or the highest that it promised.
    pub(crate) view: ViewNumber,
    /// Who lies.
    pub(crate) liar: ReplicaId,
    /// Numbers near which others matter: sequence numbers and local ones.
    pub(crate) marks: Vec<u64>,
}

impl Plausible {
    /// Nothing is known but how many replicas there are.
    pub(crate) fn unknowing(replicas: usize) -> Self {
        let view = ViewNumber { round: 1, proposer: ReplicaId(0) };
        let liar = ReplicaId(0);
        Self { lives: vec![Incarnation(7); replicas], view, liar, marks: vec![0, MAX_NUMBER] }
    }

    /// A header of this sender.
    pub(crate) fn header(
        &self,
        input: &mut Unstructured<'_>,
        sender: ReplicaId,
        life: Incarnation,
    ) -> Header {
        let view = match byte(input) % 24 {
            0 => ViewNumber::NONE,
            1 => self.view_number(input),
            _ => self.view,
        };
        Header {
            sender,
            incarnation: life,
            view,
            promised: view,
            highest_seq: Seq(self.number(input)),
            highest_local: LocalSeq(self.number(input)),
        }
    }

    /// Any chunk.
    pub(crate) fn chunk(&self, input: &mut Unstructured<'_>) -> Chunk {
        match byte(input) % 16 {
            0 | 1 => Chunk::Data { name: self.name(input), payload: payload(input).into() },
            2 | 3 => {
                let count = 1 + self.count(input, MAX_NAMES - 1);
                let first = self.positive(input).min(MAX_NUMBER - MAX_NAMES as u64);
                Chunk::Sequence {
                    first: Seq(first),
                    names: (0..count).map(|_| self.name(input)).collect(),
                }
            }
            4 => Chunk::Ack {
                through: Seq(self.number(input)),
                reply: byte(input).is_multiple_of(2),
            },
            5 => self.nack(input),
            6 => Chunk::Heartbeat {
                sent_at: number32(input),
                delivered: Seq(self.number(input)),
                leaving: byte(input).is_multiple_of(8),
                heard: self.some_replicas(input).map(|id| self.heard(input, id)).collect(),
            },
            7 | 8 => self.new_view(input),
            9 => Chunk::Prepare { number: self.view_number(input) },
            10 => Chunk::Promise {
                number: self.view_number(input),
                log: Box::new(self.log_end(input)),
            },
            11 => {
                let (one, other) = (self.positive(input), self.positive(input));
                Chunk::Fetch { from: Seq(one.min(other)), to: Seq(one.max(other)) }
            }
            12 => Chunk::Inquiry { from: Seq(self.positive(input)) },
            13 => Chunk::Summary {
                through: Seq(self.number(input)),
                held_from: Seq(self.positive(input)),
                boundaries: self.boundaries(input),
            },
            14 => Chunk::CopyRequest { at: self.place(input) },
            15 => Chunk::Copy {
                at: self.place(input),
                length: self.number(input),
                last_segment: self.number(input),
                bytes: vec![byte(input); usize::from(byte(input))].into(),
            },
            16 => Chunk::Known { lives: self.known(input) },
            17 => Chunk::NewDisks { disks: self.disks(input, 1) },
            18 => Chunk::Formatted { disks: self.disks(input, 0) },
            19 => Chunk::Recover,
            20 => {
                let LogEnd { last_view, last, fences, .. } = self.log_end(input);
                Chunk::Recovery { last_view, last, fences }
            }
            _ => Chunk::Entry(self.entry(input)),
        }
    }

    fn place(&self, input: &mut Unstructured<'_>) -> CopyPlace {
        CopyPlace {
            snapshot: u64::from(byte(input) % 3),
            segment: u64::from(byte(input) % 4),
            offset: self.number(input),
        }
    }

    /// Boundaries whose numbers and views rise; most often few.
    fn boundaries(&self, input: &mut Unstructured<'_>) -> Vec<Boundary> {
        let most = if byte(input).is_multiple_of(16) { MAX_BOUNDARIES } else { 3 };
        let mut boundaries: Vec<Boundary> = (0..self.count(input, most))
            .map(|_| Boundary { view: self.view_number(input), first: Seq(self.positive(input)) })
            .collect();
        boundaries.sort_by_key(|boundary| boundary.first);
        boundaries.dedup_by_key(|boundary| boundary.first);
        let mut last = ViewNumber::NONE;
        boundaries.retain(|boundary| {
            let rises = boundary.view > last;
            last = last.max(boundary.view);
            rises
        });
        boundaries
    }

    fn log_end(&self, input: &mut Unstructured<'_>) -> LogEnd {
        let boundaries = self.boundaries(input);
        let Some(end) = boundaries.last().copied() else {
            let (last, delivered) = (Seq(0), Seq(0));
            let held_from = Seq(1);
            return LogEnd {
                last_view: ViewNumber::NONE,
                last,
                delivered,
                held_from,
                boundaries,
                fences: self.members(input),
            };
        };
        let last = Seq(self.number(input).max(end.first.0));
        let delivered = Seq(self.number(input).min(last.0));
        let held_from = Seq(self.number(input).clamp(1, delivered.0 + 1));
        let fences = self.members(input);
        LogEnd { last_view: end.view, last, delivered, held_from, boundaries, fences }
    }

    fn known(&self, input: &mut Unstructured<'_>) -> Vec<Known> {
        let ids: Vec<_> = self.some_replicas(input).collect();
        let known = |id| Known {
            life: Member { id, incarnation: self.life(input, id) },
            view: self.view_number(input),
            in_life: self.life(input, id),
            acked: Seq(self.number(input)),
            promised: self.view_number(input),
            promised_in: self.life(input, id),
        };
        ids.into_iter().map(known).collect()
    }

    fn disks(&self, input: &mut Unstructured<'_>, least: usize) -> Vec<DiskId> {
        let count = least + self.count(input, self.lives.len() - least);
        (0..count).map(|_| DiskId(u64::from(byte(input)))).collect()
    }

    fn entry(&self, input: &mut Unstructured<'_>) -> Entry {
        let body = if byte(input).is_multiple_of(4) {
            Body::View(self.members(input))
        } else {
            Body::Message { name: self.name(input), payload: payload(input).into() }
        };
        Entry { seq: Seq(self.positive(input)), view: self.view_number(input), body }
    }

    fn members(&self, input: &mut Unstructured<'_>) -> Vec<Member> {
        let mut ids: Vec<_> = self.some_replicas(input).collect();
        if ids.is_empty() {
            ids.push(ReplicaId(0));
        }
        let member = |id| Member { id, incarnation: self.life(input, id) };
        ids.into_iter().map(member).collect()
    }

    fn nack(&self, input: &mut Unstructured<'_>) -> Chunk {
        let ranges = 1 + self.count(input, MAX_RANGES - 1);
        let of_numbers = self.count(input, ranges);
        let span = |input: &mut Unstructured<'_>| {
            let (one, other) = (self.positive(input), self.positive(input));
            (one.min(other), one.max(other))
        };
        let sequences = (0..of_numbers).map(|_| span(input));
        let sequences =
            sequences.map(|(from, to)| SeqRange { from: Seq(from), to: Seq(to) }).collect();
        let message_range = |input: &mut Unstructured<'_>| {
            let MessageName { origin, incarnation, .. } = self.name(input);
            let (from, to) = span(input);
            MessageRange { origin, incarnation, from: LocalSeq(from), to: LocalSeq(to) }
        };
        let messages = (of_numbers..ranges).map(|_| message_range(input)).collect();
        Chunk::Nack { sequences, messages }
    }

    fn new_view(&self, input: &mut Unstructured<'_>) -> Chunk {
        let boundaries = self.boundaries(input);
        let least = boundaries.last().map_or(1, |last| last.first.0 + 1);
        Chunk::NewView {
            number: self.view_number(input),
            members: self.members(input),
            start: Seq(self.positive(input).clamp(least.min(MAX_NUMBER), MAX_NUMBER)),
            source: ReplicaId(byte(input) % u8::try_from(self.lives.len()).expect("few")),
            boundaries: if least > MAX_NUMBER { Vec::new() } else { boundaries },
        }
    }

    fn heard(&self, input: &mut Unstructured<'_>, replica: ReplicaId) -> Heard {
        let incarnation = self.life(input, replica);
        Heard { replica, incarnation, echo: number32(input), held_for: number32(input) }
    }

    /// Most often all replicas, in order; otherwise each or not.
    fn some_replicas(
        &self,
        input: &mut Unstructured<'_>,
    ) -> impl Iterator<Item = ReplicaId> + use<> {
        let chosen =
            if byte(input).is_multiple_of(4) { u16::from(byte(input)) << 1 } else { u16::MAX };
        (0_u8..).take(self.lives.len()).filter(move |id| chosen >> id & 1 == 1).map(ReplicaId)
    }

    fn name(&self, input: &mut Unstructured<'_>) -> MessageName {
        let origin = ReplicaId(byte(input) % u8::try_from(self.lives.len()).expect("few"));
        let incarnation = self.life(input, origin);
        MessageName { origin, incarnation, local: LocalSeq(self.positive(input)) }
    }

    fn life(&self, input: &mut Unstructured<'_>, id: ReplicaId) -> Incarnation {
        match byte(input) % 16 {
            0 => Incarnation(self.number(input)),
            1 => Incarnation(self.lives[id.index()].0.saturating_add(1).min(MAX_NUMBER)),
            _ => self.lives[id.index()],
        }
    }

    fn view_number(&self, input: &mut Unstructured<'_>) -> ViewNumber {
        match byte(input) % 4 {
            0 => ViewNumber { round: self.positive(input), proposer: self.liar },
            1 => ViewNumber {
                round: self.view.round.clamp(1, MAX_NUMBER - 1) + 1,
                proposer: self.liar,
            },
            _ => ViewNumber { round: self.view.round.max(1), ..self.view },
        }
    }

    fn count(&self, input: &mut Unstructured<'_>, most: usize) -> usize {
        usize::from(byte(input)) % (most + 1)
    }

    fn positive(&self, input: &mut Unstructured<'_>) -> u64 {
        self.number(input).max(1)
    }

    /// Mostly a number next to a mark; now and then one within a window of it, or any.
    fn number(&self, input: &mut Unstructured<'_>) -> u64 {
        let mark = self.marks[usize::from(byte(input)) % self.marks.len()];
        let kind = byte(input);
        let number = match kind % 16 {
            0 => input.arbitrary().unwrap_or(0) >> (kind / 16 * 4),
            1 => mark.saturating_add(input.arbitrary::<u16>().unwrap_or(0).into()),
            2..5 => mark.saturating_sub(u64::from(kind / 16)),
            5..9 => mark,
            9..14 => mark.saturating_add(1),
            _ => mark.saturating_add(u64::from(kind / 16)),
        };
        number.min(MAX_NUMBER)
    }
}

/// The next byte; 0 past the end.
pub(crate) fn byte(input: &mut Unstructured<'_>) -> u8 {
    input.arbitrary().unwrap_or(0)
}

fn number32(input: &mut Unstructured<'_>) -> u32 {
    input.arbitrary().unwrap_or(0)
}

/// An operation: on queues that there may be.
pub(crate) fn operation(input: &mut Unstructured<'_>) -> Operation {
    let kind = byte(input);
    let (label, queue, item) = (i64::from(kind / 64), i64::from(kind / 64), i64::from(kind));
    let action = match kind % 7 {
        0 => Action::Create { label },
        1 => Action::Destroy { queue },
        2 => Action::Id { label },
        3 => Action::Push { queue, item },
        4 => Action::Pop { queue },
        5 => Action::Top { queue },
        _ => Action::Size { queue },
    };
    Operation::new(action, None)
}

/// A payload: operations, or anything.
fn payload(input: &mut Unstructured<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    match byte(input) % 8 {
        0 => payload.resize(1 + LARGE_PAYLOAD * usize::from(byte(input)) / 255, byte(input)),
        1 => payload.extend(input.arbitrary::<[u8; 4]>().unwrap_or_default()),
        _ => operation(input).encode(&mut payload),
    }
    payload
}
