use std::sync::Mutex;

use tonic::Code;

use super::*;
use crate::queue::Answer;

const ANSWER: Answered = Answered { answer: Answer::Pushed, sequence: 1, duplicate: false };

/// What one try comes to.
#[derive(Clone, Copy)]
enum Try {
    Answer,
    /// No answer within the try's share of the time.
    Hang,
    /// A refusal at once.
    Refuse(Code, &'static str, Outcome),
    /// Nobody listens.
    Nobody,
}

const NOT_EXECUTED: Try = Try::Refuse(Code::Unavailable, "NO_VIEW", Outcome::NotExecuted);
const UNKNOWN: Try = Try::Refuse(Code::Unavailable, "NO_MAJORITY", Outcome::Unknown);

/// Endpoints that do as they are told, the last thing for ever, and write down who was tried when and for how long.
struct Script {
    tries: Mutex<Vec<(usize, Duration, Duration)>>,
    started: Instant,
    what: Vec<Vec<Try>>,
}

impl Script {
    fn new(what: &[&[Try]]) -> Self {
        let what = what.iter().map(|tries| tries.to_vec()).collect();
        Self { tries: Mutex::default(), started: Instant::now(), what }
    }

    /// Calls with 4 s to go.
    async fn call(&self) -> Tried {
        let (endpoints, deadline) = (self.what.len(), self.started + Duration::from_secs(4));
        let bounds = Bounds { endpoints, first: 0, deadline, maybe_executed: false };
        call(self, bounds, std::future::pending()).await
    }

    /// Which endpoint was tried, how long after the start, and with how much time.
    fn tries(&self) -> Vec<(usize, Duration, Duration)> {
        self.tries.lock().unwrap().clone()
    }
}

impl Attempt for Script {
    async fn attempt(&self, endpoint: usize, patience: Duration) -> Result<Answered, Failure> {
        let before = self.tries().iter().filter(|(tried, ..)| *tried == endpoint).count();
        self.tries.lock().unwrap().push((endpoint, self.started.elapsed(), patience));
        let what = &self.what[endpoint];
        match what[before.min(what.len() - 1)] {
            Try::Answer => Ok(ANSWER),
            Try::Hang => {
                tokio::time::sleep(patience).await;
                Err(Failure::no_answer())
            }
            Try::Refuse(code, reason, outcome) => {
                let mut failure = Failure::bad_answer("why");
                (failure.code, failure.reason, failure.outcome) =
                    (code, reason.to_owned(), outcome);
                Err(failure)
            }
            Try::Nobody => Err(Failure::not_connected(format!("{endpoint}: refused"))),
        }
    }
}

fn reason(tried: &Tried) -> (&str, Outcome) {
    let failure = tried.result.as_ref().unwrap_err();
    (&failure.reason, failure.outcome)
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_tried_in_turn_without_a_pause() {
    let script = Script::new(&[&[NOT_EXECUTED], &[Try::Nobody], &[Try::Answer]]);
    let tried = script.call().await;
    assert_eq!((tried.endpoint, tried.result.unwrap()), (2, ANSWER));
    let tries: Vec<_> = script.tries().iter().map(|&(endpoint, at, _)| (endpoint, at)).collect();
    assert_eq!(tries, [0, 1, 2].map(|endpoint| (endpoint, Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_costs_its_share_of_the_time() {
    let script = Script::new(&[&[Try::Hang], &[Try::Hang], &[Try::Answer]]);
    let tried = script.call().await;
    assert_eq!((tried.endpoint, tried.result.unwrap(), tried.maybe_executed), (2, ANSWER, true));
    let second = Duration::from_secs(1);
    assert_eq!(script.tries(), [0, 1, 2].map(|at| (at as usize, second * at, second)));
}

#[tokio::test(start_paused = true)]
async fn rounds_go_on_to_the_deadline_with_growing_pauses() {
    let script = Script::new(&[&[NOT_EXECUTED], &[Try::Nobody]]);
    let tried = script.call().await;
    assert_eq!(reason(&tried), ("NO_VIEW", Outcome::NotExecuted));
    assert_eq!(tried.endpoint, 0);
    let ended = script.started.elapsed();
    assert!(ended <= Duration::from_secs(4) && ended > Duration::from_millis(3_970), "{ended:?}");
    let rounds: Vec<_> = script.tries().iter().step_by(2).map(|&(_, at, _)| at).collect();
    let ceilings = [50, 100, 200, 400, 800].into_iter().chain(std::iter::repeat(1_000));
    for (pause, ceiling) in rounds.windows(2).zip(ceilings) {
        // The clock of a test goes in milliseconds.
        assert!(pause[1] - pause[0] <= Duration::from_millis(ceiling + 1), "{rounds:?}");
    }
    assert!((7..100).contains(&rounds.len()), "{rounds:?}");
}

#[tokio::test(start_paused = true)]
async fn what_no_try_can_have_executed_is_not_executed() {
    let tried = Script::new(&[&[Try::Nobody], &[Try::Nobody]]).call().await;
    assert_eq!(reason(&tried), ("NOT_CONNECTED", Outcome::NotExecuted));
    assert_eq!(tried.result.unwrap_err().message, "0: refused; 1: refused");
    let full = Try::Refuse(Code::ResourceExhausted, "STORAGE_FULL", Outcome::NotExecuted);
    let tried = Script::new(&[&[full], &[Try::Nobody]]).call().await;
    assert_eq!(reason(&tried), ("STORAGE_FULL", Outcome::NotExecuted));
}

#[tokio::test(start_paused = true)]
async fn one_try_that_may_have_been_executed_makes_the_call_unknown() {
    for first in [UNKNOWN, Try::Hang] {
        let script = Script::new(&[&[first, Try::Nobody], &[Try::Nobody]]);
        let tried = script.call().await;
        assert_eq!(reason(&tried), ("NOT_CONNECTED", Outcome::Unknown));
        assert!(script.tries().len() > 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_verdict_ends_the_call() {
    let executed = Outcome::Executed { sequence: 7 };
    for (verdict, outcome) in [
        (Try::Refuse(Code::NotFound, "QUEUE_NOT_FOUND", executed), executed),
        (Try::Refuse(Code::ResourceExhausted, "QUEUES_FULL", executed), executed),
        (
            Try::Refuse(Code::InvalidArgument, "REQUEST_REUSED", Outcome::NotExecuted),
            Outcome::NotExecuted,
        ),
        (
            Try::Refuse(Code::FailedPrecondition, "REQUEST_FORGOTTEN", Outcome::Unknown),
            Outcome::Unknown,
        ),
        // It says nothing of the try before it.
        (
            Try::Refuse(Code::Unimplemented, "METHOD_UNKNOWN", Outcome::NotExecuted),
            Outcome::Unknown,
        ),
    ] {
        let script = Script::new(&[&[UNKNOWN], &[verdict]]);
        let tried = script.call().await;
        assert_eq!((tried.endpoint, reason(&tried).1), (1, outcome));
        assert!(tried.maybe_executed);
        assert_eq!(script.tries().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn no_time_is_no_try() {
    let script = Script::new(&[&[Try::Answer]]);
    let bounds = Bounds { endpoints: 1, first: 0, deadline: script.started, maybe_executed: false };
    assert_eq!(
        reason(&call(&script, bounds, std::future::pending()).await),
        ("NOT_SENT", Outcome::NotExecuted)
    );
    assert!(script.tries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_any_longer_is_told_whether_a_try_was_made() {
    let ms = Duration::from_millis;
    let nobody: &[&[Try]] = &[&[Try::Nobody]];
    for (what, after, outcome) in [
        // Before the first try; in a pause; in a try; in a try, or a pause, after one that may have been executed.
        (&[&[Try::Answer][..]][..], ms(0), Outcome::NotExecuted),
        (nobody, ms(100), Outcome::NotExecuted),
        (&[&[Try::Hang]], ms(100), Outcome::Unknown),
        (&[&[UNKNOWN, Try::Nobody]], ms(1_000), Outcome::Unknown),
    ] {
        let script = Script::new(what);
        let bounds = Bounds {
            endpoints: 1,
            first: 0,
            deadline: script.started + Duration::from_secs(4),
            maybe_executed: false,
        };
        let tried = call(&script, bounds, tokio::time::sleep(after)).await;
        assert_eq!(reason(&tried), ("INTERRUPTED", outcome));
        assert_eq!(tried.maybe_executed, outcome == Outcome::Unknown);
        // The clock of a test goes in milliseconds.
        assert!(script.started.elapsed() <= after + ms(1));
    }
}

#[test]
fn a_try_is_given_a_share_but_never_too_little() {
    let ms = Duration::from_millis;
    assert_eq!(share(ms(4_000), 3), ms(1_000));
    assert_eq!(share(ms(4_000), 1), ms(2_000));
    assert_eq!(share(ms(150), 3), ms(100));
    assert_eq!(share(ms(50), 3), ms(50));
}
