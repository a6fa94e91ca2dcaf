//! The messages that are held, by origin: in arrival out of order, handed out in local order, kept for repair.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::types::{LocalSeq, ReplicaId};

/// What came of a message that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// It was not held and is now.
    New,
    /// It was held already, or is past need.
    Duplicate,
    /// It is further ahead than the window lets an origin be.
    BeyondWindow,
}

/// One origin's messages.
#[derive(Debug)]
struct Origin {
    /// Messages through this one are past need.
    trimmed_through: LocalSeq,
    /// All messages through this one are held, or past need.
    received_through: LocalSeq,
    /// The origin is known to have sent messages through this one.
    highest: LocalSeq,
    /// `held[i]` is message `trimmed_through + 1 + i`.
    held: VecDeque<Option<Bytes>>,
}

/// The messages of all origins in one view.
#[derive(Debug)]
pub(super) struct Messages {
    origins: Vec<Origin>,
    window: u64,
}

impl Messages {
    /// Of `replicas` origins, each at most `window` messages ahead of what is numbered.
    pub(super) fn new(replicas: usize, window: u64) -> Self {
        let none = || Origin {
            trimmed_through: LocalSeq(0),
            received_through: LocalSeq(0),
            highest: LocalSeq(0),
            held: VecDeque::new(),
        };
        Self { origins: (0..replicas).map(|_| none()).collect(), window }
    }

    /// Begins anew for a view: the origin's messages through `past` are past need. What is held of later ones stays, if
    /// `keep`: the origin is in the same incarnation.
    pub(super) fn begin(&mut self, origin: ReplicaId, past: LocalSeq, keep: bool) {
        let window = self.window;
        let messages = &mut self.origins[origin.index()];
        let back = messages.trimmed_through.0.saturating_sub(past.0);
        if !keep || back > window {
            (messages.highest, messages.held) = (past, VecDeque::new());
        } else if back > 0 {
            // Entries were dropped: messages that were numbered are not any more, and wanted again.
            for _ in 0..back {
                messages.held.push_front(None);
            }
        } else {
            let forward =
                usize::try_from(past.0 - messages.trimmed_through.0).unwrap_or(usize::MAX);
            messages.held.drain(..forward.min(messages.held.len()));
        }
        messages.trimmed_through = past;
        messages.highest = messages.highest.max(past);
        messages.received_through = past;
        messages.receive();
    }

    /// Takes a message in. `next` is the origin's next one to be numbered: the window counts from there.
    pub(super) fn insert(
        &mut self,
        origin: ReplicaId,
        local: LocalSeq,
        next: LocalSeq,
        payload: Bytes,
    ) -> Arrival {
        let window = self.window;
        let messages = &mut self.origins[origin.index()];
        if local <= messages.received_through {
            return Arrival::Duplicate;
        }
        if local.0 >= next.0 + window {
            return Arrival::BeyondWindow;
        }
        let place = usize::try_from(local.0 - messages.trimmed_through.0 - 1)
            .expect("the window bounds the place");
        if messages.held.len() <= place {
            messages.held.resize(place + 1, None);
        }
        if messages.held[place].is_some() {
            return Arrival::Duplicate;
        }
        messages.held[place] = Some(payload);
        messages.highest = messages.highest.max(local);
        messages.receive();
        Arrival::New
    }

    /// Takes in that the origin has sent messages through `local`.
    pub(super) fn note_highest(&mut self, origin: ReplicaId, local: LocalSeq) {
        let messages = &mut self.origins[origin.index()];
        messages.highest = messages.highest.max(local);
    }

    /// A held message.
    pub(super) fn get(&self, origin: ReplicaId, local: LocalSeq) -> Option<&Bytes> {
        self.origins[origin.index()].get(local)
    }

    /// Forgets the origin's messages through `local`: nobody needs them.
    pub(super) fn trim(&mut self, origin: ReplicaId, local: LocalSeq) {
        let messages = &mut self.origins[origin.index()];
        let past = local.0.saturating_sub(messages.trimmed_through.0);
        if past == 0 {
            return;
        }
        // All of them are held, unless a member lied about what has a number: then it may be any.
        let held = usize::try_from(past).unwrap_or(usize::MAX).min(messages.held.len());
        messages.held.drain(..held);
        messages.trimmed_through = local;
        messages.received_through = messages.received_through.max(local);
        messages.highest = messages.highest.max(local);
        messages.receive();
    }

    /// The origin's messages that were sent and are not held, at most `most`, lowest first.
    pub(super) fn missing(
        &self,
        origin: ReplicaId,
        most: usize,
    ) -> impl Iterator<Item = LocalSeq> + '_ {
        let messages = &self.origins[origin.index()];
        let ahead = messages.received_through.0 + self.window;
        (messages.received_through.0 + 1..=messages.highest.0.min(ahead))
            .map(LocalSeq)
            .filter(|local| messages.get(*local).is_none())
            .take(most)
    }

    /// The first and the last of the origin's messages that may be held.
    pub(super) fn span(&self, origin: ReplicaId) -> (LocalSeq, LocalSeq) {
        let messages = &self.origins[origin.index()];
        let last = messages.trimmed_through.0 + messages.held.len() as u64;
        (messages.trimmed_through.next(), LocalSeq(last))
    }

    /// How many messages are held.
    pub(super) fn held(&self) -> usize {
        self.origins.iter().map(|messages| messages.held.len()).sum()
    }
}

impl Origin {
    /// Moves `received_through` past what is held without a gap.
    fn receive(&mut self) {
        while self.get(self.received_through.next()).is_some() {
            self.received_through = self.received_through.next();
        }
    }

    fn get(&self, local: LocalSeq) -> Option<&Bytes> {
        let place = local.0.checked_sub(self.trimmed_through.0 + 1)?;
        self.held.get(usize::try_from(place).ok()?)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: ReplicaId = ReplicaId(1);

    fn insert(messages: &mut Messages, local: u64) -> Arrival {
        messages.insert(ORIGIN, LocalSeq(local), LocalSeq(1), Bytes::from_static(b"m"))
    }

    #[test]
    fn a_gap_is_missing_until_it_is_filled() {
        let mut messages = Messages::new(3, 8);
        assert_eq!(insert(&mut messages, 1), Arrival::New);
        assert_eq!(insert(&mut messages, 4), Arrival::New);
        assert_eq!(insert(&mut messages, 4), Arrival::Duplicate);
        let missing = |messages: &Messages| {
            messages.missing(ORIGIN, 9).map(|local| local.0).collect::<Vec<_>>()
        };
        assert_eq!(missing(&messages), [2, 3]);
        messages.note_highest(ORIGIN, LocalSeq(6));
        assert_eq!(missing(&messages), [2, 3, 5, 6]);
        for local in [3, 2, 6, 5] {
            assert_eq!(insert(&mut messages, local), Arrival::New);
        }
        assert_eq!(missing(&messages), [0_u64; 0]);
        assert_eq!(insert(&mut messages, 3), Arrival::Duplicate);
    }

    #[test]
    fn an_origin_cannot_run_beyond_the_window() {
        let mut messages = Messages::new(3, 8);
        assert_eq!(insert(&mut messages, 9), Arrival::BeyondWindow);
        assert_eq!(insert(&mut messages, 8), Arrival::New);
        messages.note_highest(ORIGIN, LocalSeq(u64::MAX));
        assert_eq!(messages.missing(ORIGIN, usize::MAX).count(), 7);
    }

    #[test]
    fn trimmed_messages_are_gone_and_stay_duplicates() {
        let mut messages = Messages::new(3, 8);
        for local in 1..=3 {
            insert(&mut messages, local);
        }
        messages.trim(ORIGIN, LocalSeq(2));
        assert_eq!(messages.get(ORIGIN, LocalSeq(2)), None);
        assert!(messages.get(ORIGIN, LocalSeq(3)).is_some());
        assert_eq!(insert(&mut messages, 1), Arrival::Duplicate);
        assert_eq!(messages.held(), 1);
    }
}
