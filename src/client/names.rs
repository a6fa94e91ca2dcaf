//! The names of a client's requests: which number comes next, and when.
//!
//! The replicas keep a client's last answers, so they can judge a number only while it is near the highest: a number
//! is given out once all that are [`WINDOW`] or more below it have ended. Of a client they do not know they take
//! number 1 alone: until that one was answered, nothing else is under way.
//!
//! Nor is a number given out so far above one of unknown outcome, which may be asked for again: a client with a random
//! name goes on under another one instead, so that the replicas keep what they know of this one; a name that was given
//! stays, and the next number waits for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::random;
use crate::queue::RequestName;

/// How many numbers may be under way: as many answers as the replicas keep of a client.
const WINDOW: u64 = 32;

/// What became of a named request, as far as names care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// It was executed: the replicas know the client.
    Executed,
    /// It was not executed and never will be.
    NotExecuted,
    /// It may have been executed, or may be later.
    Unknown,
    /// The replicas know nothing of its name any more.
    Forgotten,
}

/// Gives out the names.
pub(super) struct Names {
    state: Mutex<State>,
    /// Told whenever a request ends.
    ended: Notify,
    /// How long a number of unknown outcome holds back others, where the name cannot be another.
    grace: Duration,
}

struct State {
    client: Box<str>,
    /// Whether the name is the caller's: then another must not take its place.
    given: bool,
    next: u64,
    /// Whether a request was executed under this name.
    known: bool,
    /// The numbers under way.
    open: BTreeSet<u64>,
    /// The numbers of unknown outcome, and until when they hold back others of a given name.
    unknown: BTreeMap<u64, Instant>,
}

impl Names {
    /// Names of a client that nobody else is.
    pub(super) fn random() -> Self {
        Self::of(State::new(random::name().into(), 1), Duration::ZERO)
    }

    /// Names of this client, the next of which has this number. With 1 it is new to the replicas. For as long as `grace`
    /// a number whose outcome is unknown can be asked for again before those after it are too far above.
    pub(super) fn given(client: Box<str>, next: u64, grace: Duration) -> Self {
        Self::of(State { given: true, known: next > 1, ..State::new(client, next) }, grace)
    }

    fn of(state: State, grace: Duration) -> Self {
        Self { state: Mutex::new(state), ended: Notify::new(), grace }
    }

    /// The name of the next request, once it may be sent.
    pub(super) async fn take(&self) -> Ticket<'_> {
        loop {
            let ended = self.ended.notified();
            let taken = self.state().take(Instant::now());
            match taken {
                Ok(request) => return Ticket { names: self, request, ended: false },
                // Either will do.
                Err(Some(until)) => drop(timeout_at(until, ended).await),
                Err(None) => ended.await,
            }
        }
    }

    /// A request of unknown outcome is asked for again: it holds back others meanwhile, and as long as before after it.
    pub(super) fn again(&self, request: &RequestName, patience: Duration) {
        let mut state = self.state();
        if request.client == state.client
            && let Some(until) = state.unknown.get_mut(&request.number)
        {
            *until = Instant::now() + patience + self.grace;
        }
    }

    /// What became of such a request.
    pub(super) fn end_again(&self, request: &RequestName, ended: Ended) {
        let mut state = self.state();
        if request.client == state.client && ended != Ended::Unknown {
            state.unknown.remove(&request.number);
            drop(state);
            self.ended.notify_waiters();
        }
    }

    /// The client of the next request.
    pub(super) fn client(&self) -> Box<str> {
        self.state().client.clone()
    }

    fn end(&self, request: &RequestName, ended: Ended) {
        self.state().end(request, ended, Instant::now() + self.grace);
        self.ended.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(client: Box<str>, next: u64) -> Self {
        let (open, unknown) = (BTreeSet::new(), BTreeMap::new());
        Self { client, given: false, next, known: false, open, unknown }
    }

    /// Another client, of which the replicas know nothing.
    fn renew(&mut self) {
        *self = Self::new(random::name().into(), 1);
    }

    /// The next name; or until when there is none, if no request ends before, where that is known.
    fn take(&mut self, now: Instant) -> Result<RequestName, Option<Instant>> {
        let free = match self.open.first() {
            Some(oldest) => self.known && self.next - oldest < WINDOW,
            None => true,
        };
        if !free {
            return Err(None);
        }
        if self.given {
            self.unknown.retain(|_, until| *until > now);
        }
        if let Some((oldest, until)) = self.unknown.first_key_value()
            && self.next - oldest >= WINDOW
        {
            if self.given {
                return Err(Some(*until));
            }
            self.renew();
        }
        let number = self.next;
        self.open.insert(number);
        self.next += 1;
        Ok(RequestName { client: self.client.clone(), number })
    }

    /// A request has ended; where nobody knows how, it holds back others `until` then.
    fn end(&mut self, request: &RequestName, ended: Ended, until: Instant) {
        // The request may be of a client that this one was before.
        if request.client != self.client || !self.open.remove(&request.number) {
            return;
        }
        if ended == Ended::Unknown {
            self.unknown.insert(request.number, until);
        }
        match ended {
            Ended::Executed => self.known = true,
            // The replicas still take nothing but the first number.
            Ended::NotExecuted if !self.known => self.next = request.number,
            Ended::NotExecuted => {}
            // Whether they know the client cannot be told: they will.
            Ended::Unknown if self.given => self.known = true,
            Ended::Unknown if self.known => {}
            // A new client costs nothing, and is sure to be taken.
            Ended::Unknown | Ended::Forgotten if !self.given => self.renew(),
            Ended::Unknown | Ended::Forgotten => {}
        }
    }
}

/// The name of one request. When it is dropped before it ended, the request's outcome is unknown.
pub(super) struct Ticket<'a> {
    names: &'a Names,
    request: RequestName,
    ended: bool,
}

impl Ticket<'_> {
    pub(super) fn request(&self) -> &RequestName {
        &self.request
    }

    /// Says what became of the request.
    pub(super) fn end(mut self, ended: Ended) {
        self.ended = true;
        self.names.end(&self.request, ended);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.names.end(&self.request, Ended::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// The next name, if it may be sent now.
    fn now(names: &Names) -> Option<Ticket<'_>> {
        let mut taking = Box::pin(names.take());
        match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ticket) => Some(ticket),
            Poll::Pending => None,
        }
    }

    fn take(names: &Names) -> Ticket<'_> {
        now(names).expect("a name that may be sent")
    }

    fn known() -> Names {
        let names = Names::random();
        take(&names).end(Ended::Executed);
        names
    }

    #[test]
    fn numbers_rise_from_one_under_one_name() {
        let names = Names::random();
        let client = names.client();
        for number in 1..100 {
            let ticket = take(&names);
            assert_eq!(*ticket.request(), RequestName { client: client.clone(), number });
            ticket.end(Ended::Executed);
        }
    }

    #[test]
    fn the_first_request_is_alone_until_it_is_executed() {
        for names in [Names::random(), Names::given("me".into(), 1, Duration::ZERO)] {
            let first = take(&names);
            assert!(now(&names).is_none());
            first.end(Ended::NotExecuted);
            let first = take(&names);
            assert_eq!(first.request().number, 1);
            assert!(now(&names).is_none());
            first.end(Ended::Executed);
            let (second, third) = (take(&names), take(&names));
            assert_eq!((second.request().number, third.request().number), (2, 3));
        }
    }

    #[test]
    fn no_number_is_32_beyond_one_that_is_under_way() {
        let names = known();
        let mut open: Vec<_> = (0..32).map(|_| take(&names)).collect();
        assert_eq!(open[31].request().number, 33);
        assert!(now(&names).is_none());
        // A later one's end is no help to the oldest.
        open.remove(5).end(Ended::Executed);
        assert!(now(&names).is_none());
        open.remove(0).end(Ended::Executed);
        assert_eq!(take(&names).request().number, 34);
    }

    #[test]
    fn no_number_is_32_beyond_one_of_unknown_outcome() {
        let names = known();
        let client = names.client();
        let mut last = take(&names);
        assert_eq!(last.request().number, 2);
        last.end(Ended::Unknown);
        for number in 3..=33 {
            last = take(&names);
            assert_eq!(*last.request(), RequestName { client: client.clone(), number });
            last.end(Ended::Executed);
        }
        // It can still be asked for: the replicas hear no more of this client.
        let next = take(&names);
        assert_ne!(next.request().client, client);
        assert_eq!(next.request().number, 1);
    }

    #[test]
    fn one_that_was_asked_for_again_and_answered_holds_back_nobody() {
        let names = known();
        let second = take(&names);
        let request = second.request().clone();
        second.end(Ended::Unknown);
        names.again(&request, Duration::ZERO);
        names.end_again(&request, Ended::Executed);
        for number in 3..100 {
            let ticket = take(&names);
            assert_eq!(*ticket.request(), RequestName { client: request.client.clone(), number });
            ticket.end(Ended::Executed);
        }
    }

    /// A caller's own name stays: the number waits, and is asked for again meanwhile, or not.
    #[tokio::test(start_paused = true)]
    async fn one_of_unknown_outcome_holds_back_others_of_a_given_name_for_a_while() {
        let second = Duration::from_secs(1);
        for again in [false, true] {
            let names = Names::given("me".into(), 7, second);
            let seventh = take(&names);
            let request = seventh.request().clone();
            let started = Instant::now();
            seventh.end(Ended::Unknown);
            (8..39).for_each(|_| take(&names).end(Ended::Executed));
            assert!(now(&names).is_none());
            if again {
                names.again(&request, 2 * second);
            }
            assert_eq!(names.take().await.request().number, 39);
            assert_eq!(started.elapsed().as_secs(), if again { 3 } else { 1 });
        }
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_a_request_ends() {
        let names = Names::random();
        let first = take(&names);
        let (second, ()) = tokio::join!(names.take(), async { first.end(Ended::Executed) });
        assert_eq!(second.request().number, 2);
    }

    #[test]
    fn a_first_request_of_unknown_outcome_leaves_its_client_behind() {
        let names = Names::random();
        let before = names.client();
        drop(take(&names));
        let next = take(&names);
        assert_ne!(next.request().client, before);
        assert_eq!(next.request().number, 1);
        next.end(Ended::Executed);
        // The replicas know this one: a later unknown outcome is no reason.
        let client = names.client();
        take(&names).end(Ended::Unknown);
        assert_eq!(*take(&names).request(), RequestName { client, number: 3 });
    }

    #[test]
    fn a_forgotten_client_is_left_behind_and_its_requests_end_in_peace() {
        let names = known();
        let (one, other) = (take(&names), take(&names));
        one.end(Ended::Forgotten);
        let first = take(&names);
        assert_eq!(first.request().number, 1);
        assert_ne!(first.request().client, other.request().client);
        other.end(Ended::Executed);
        assert!(now(&names).is_none(), "the new client's first request is not answered yet");
    }

    #[test]
    fn a_given_name_stays() {
        for ended in [Ended::Unknown, Ended::Forgotten] {
            let names = Names::given("me".into(), 7, Duration::ZERO);
            let (seventh, eighth) = (take(&names), take(&names));
            assert_eq!(*seventh.request(), RequestName { client: "me".into(), number: 7 });
            eighth.end(ended);
            assert_eq!(*take(&names).request(), RequestName { client: "me".into(), number: 9 });
        }
    }
}
