//! The names of a client's requests: which number comes next, and when.
//!
//! The replicas keep a client's last answers, so they can judge a number only while it is near the highest: a number
//! is given out once all that are [`WINDOW`] or more below it have ended. Of a client they do not know they take
//! number 1 alone: until that one was answered, nothing else is under way.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

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
}

impl Names {
    /// Names of a client that nobody else is.
    pub(super) fn random() -> Self {
        Self::of(State::random())
    }

    /// Names of this client, the next of which has this number. With 1 it is new to the replicas.
    pub(super) fn given(client: Box<str>, next: u64) -> Self {
        Self::of(State { client, given: true, next, known: next > 1, open: BTreeSet::new() })
    }

    fn of(state: State) -> Self {
        Self { state: Mutex::new(state), ended: Notify::new() }
    }

    /// The name of the next request, once it may be sent.
    pub(super) async fn take(&self) -> Ticket<'_> {
        loop {
            let ended = self.ended.notified();
            if let Some(request) = self.state().take() {
                return Ticket { names: self, request, ended: false };
            }
            ended.await;
        }
    }

    /// The client of the next request.
    pub(super) fn client(&self) -> Box<str> {
        self.state().client.clone()
    }

    fn end(&self, request: &RequestName, ended: Ended) {
        self.state().end(request, ended);
        self.ended.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn random() -> Self {
        let client = random::name().into();
        Self { client, given: false, next: 1, known: false, open: BTreeSet::new() }
    }

    fn take(&mut self) -> Option<RequestName> {
        let free = match self.open.first() {
            Some(oldest) => self.known && self.next - oldest < WINDOW,
            None => true,
        };
        free.then(|| {
            let number = self.next;
            self.open.insert(number);
            self.next += 1;
            RequestName { client: self.client.clone(), number }
        })
    }

    fn end(&mut self, request: &RequestName, ended: Ended) {
        // The request may be of a client that this one was before.
        if request.client != self.client || !self.open.remove(&request.number) {
            return;
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
            Ended::Unknown | Ended::Forgotten if !self.given => *self = Self::random(),
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
        for names in [Names::random(), Names::given("me".into(), 1)] {
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
        open.remove(0).end(Ended::Unknown);
        assert_eq!(take(&names).request().number, 34);
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
            let names = Names::given("me".into(), 7);
            let (seventh, eighth) = (take(&names), take(&names));
            assert_eq!(*seventh.request(), RequestName { client: "me".into(), number: 7 });
            eighth.end(ended);
            assert_eq!(*take(&names).request(), RequestName { client: "me".into(), number: 9 });
        }
    }
}
