//! `ftqueue create`, `destroy`, `id`, `push`, `pop`, `top`, `size`: one call, or a few of a kind.

use std::future::Future;
use std::io::{self, Write};
use std::pin::{Pin, pin};

use clap::{Args, Subcommand};

use super::arguments::{ConnectionArguments, OutputArguments};
use super::exit::Exit;
use super::paste::{quoted, typed};
use super::record::CallRecord;
use super::signals::Signals;
use crate::client::{Called, Client, Endpoint, Failure, FailureCause, Outcome, code_name};
use crate::history::op_name;
use crate::queue::{Action, Answer, QueueId, RequestName};

/// What is asked of the queues, with further arguments: those of the command line, none at the shell's prompt.
#[derive(Subcommand, Debug)]
pub(crate) enum Call<Further: Args> {
    /// Print the id of the queue with a label; make the queue if there is none
    #[command(after_help = "\
Examples:
  ftqueue create 7
  ftqueue push \"$(ftqueue create 7)\" 17 18 19")]
    Create {
        /// Any 64-bit integer
        #[arg(allow_negative_numbers = true)]
        label: i64,
        #[command(flatten)]
        name: NameArguments,
        #[command(flatten)]
        further: Further,
    },

    /// Destroy a queue and what is in it
    #[command(after_help = "\
The id is never used again; the label is free.

Example:
  ftqueue destroy 1")]
    Destroy {
        /// The queue's id
        #[arg(value_name = "ID", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
        queue: QueueId,
        #[command(flatten)]
        name: NameArguments,
        #[command(flatten)]
        further: Further,
    },

    /// Print the id of the queue with a label, or -1
    #[command(after_help = "\
Example:
  ftqueue id 7")]
    Id {
        /// Any 64-bit integer
        #[arg(allow_negative_numbers = true)]
        label: i64,
        #[command(flatten)]
        further: Further,
    },

    /// Append items at the tail of a queue
    #[command(after_help = "\
Each item is a call of its own; the first that fails ends the command. Each is tried until --timeout, at \
all endpoints, and counts once. Where its outcome is still unknown then, the exit code is 5, and the line \
is printed that repeats it and what comes after it.

Scripts that want to repeat by themselves give the name: a client of their own, which nobody else is, and \
numbers from 1. Further items of a push have the numbers after its own. A named push that reaches no \
replica is of unknown outcome, too: an earlier try may have been executed. A name that the replicas have \
forgotten ends with 1: to repeat it is no use.

Examples:
  ftqueue push 1 17
  ftqueue push 1 -5 0 5 --json
  until ftqueue push 1 17 --client nightly-2026-07-01 --number 1 || [ $? != 5 ]; do sleep 1; done")]
    Push {
        /// The queue's id
        #[arg(value_name = "ID", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
        queue: QueueId,
        /// The items, 64-bit integers, in this order
        #[arg(value_name = "ITEM", required = true, allow_negative_numbers = true)]
        items: Vec<i64>,
        #[command(flatten)]
        name: NameArguments,
        #[command(flatten)]
        further: Further,
    },

    /// Remove the item at the head of a queue and print it, or (empty)
    #[command(after_help = "\
It is tried until --timeout, at all endpoints, and counts once. Where its outcome is still unknown then, \
the exit code is 5, and the line is printed that repeats it: it gets the item that was removed, if one was.

Examples:
  ftqueue pop 1
  ftqueue pop 1 --endpoints 127.0.0.1:7003 --json")]
    Pop {
        /// The queue's id
        #[arg(value_name = "ID", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
        queue: QueueId,
        #[command(flatten)]
        name: NameArguments,
        #[command(flatten)]
        further: Further,
    },

    /// Print the item at the head of a queue and leave it there, or (empty)
    #[command(after_help = "\
Example:
  ftqueue top 1")]
    Top {
        /// The queue's id
        #[arg(value_name = "ID", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
        queue: QueueId,
        #[command(flatten)]
        further: Further,
    },

    /// Print the number of items in a queue
    #[command(after_help = "\
Example:
  ftqueue size 1")]
    Size {
        /// The queue's id
        #[arg(value_name = "ID", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
        queue: QueueId,
        #[command(flatten)]
        further: Further,
    },
}

impl<Further: Args> Call<Further> {
    /// The operations to execute, in order, and their names where the caller gives them.
    pub(crate) fn requests(&self) -> Vec<(Action, Option<RequestName>)> {
        let first = match self {
            Self::Create { name, .. }
            | Self::Destroy { name, .. }
            | Self::Push { name, .. }
            | Self::Pop { name, .. } => name.request(),
            Self::Id { .. } | Self::Top { .. } | Self::Size { .. } => None,
        };
        let name = |after| {
            let RequestName { client, number } = first.clone()?;
            Some(RequestName { client, number: number.saturating_add(after) })
        };
        self.actions().into_iter().zip(0..).map(|(action, after)| (action, name(after))).collect()
    }

    /// The operations alone.
    pub(crate) fn actions(&self) -> Vec<Action> {
        match *self {
            Self::Create { label, .. } => vec![Action::Create { label }],
            Self::Destroy { queue, .. } => vec![Action::Destroy { queue }],
            Self::Id { label, .. } => vec![Action::Id { label }],
            Self::Push { queue, ref items, .. } => {
                items.iter().map(|&item| Action::Push { queue, item }).collect()
            }
            Self::Pop { queue, .. } => vec![Action::Pop { queue }],
            Self::Top { queue, .. } => vec![Action::Top { queue }],
            Self::Size { queue, .. } => vec![Action::Size { queue }],
        }
    }

    fn further(&self) -> &Further {
        match self {
            Self::Create { further, .. }
            | Self::Destroy { further, .. }
            | Self::Id { further, .. }
            | Self::Push { further, .. }
            | Self::Pop { further, .. }
            | Self::Top { further, .. }
            | Self::Size { further, .. } => further,
        }
    }
}

/// The name of a request.
#[derive(Args, Clone, Debug)]
pub(crate) struct NameArguments {
    /// Who makes the request, 1 to 64 bytes, nobody else: to repeat it, or a script's own; it is executed once under
    /// its name, however often it is made
    #[arg(long, value_name = "NAME", requires = "number", value_parser = client_name)]
    client: Option<Box<str>>,

    /// The request's number: 1 for the client's first, rising with each
    #[arg(
        long,
        value_name = "N",
        requires = "client",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    number: Option<u64>,
}

impl NameArguments {
    fn request(&self) -> Option<RequestName> {
        let (client, number) = (self.client.clone()?, self.number?);
        Some(RequestName { client, number })
    }
}

fn client_name(text: &str) -> Result<Box<str>, String> {
    let name = RequestName { client: text.into(), number: 1 };
    let expected = || format!("expected 1 to {} bytes", RequestName::MAX_CLIENT_BYTES);
    if name.is_valid() { Ok(name.client) } else { Err(expected()) }
}

/// What the command line says besides.
#[derive(Args, Debug)]
pub(crate) struct CallArguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Runs the command. A signal ends it with what is known by then.
///
/// # Errors
/// When its output cannot be written.
pub(crate) async fn run(call: Call<CallArguments>) -> io::Result<Exit> {
    let CallArguments { connection, output } = call.further();
    let client = connection.client();
    let (out, err) = (&mut io::stdout(), &mut io::stderr());
    let mut signals = Signals::new()?;
    let stop = pin!(async {
        signals.next().await;
    });
    if output.json {
        call_for_machines(&call.requests(), &client, stop, out).await
    } else {
        let line = |words: &str| line_to_paste(words, &connection.endpoints);
        call_for_people(&call.requests(), &client, stop, line, out, err).await
    }
}

/// Has one operation executed, under its name where it has one, else under the client's next; until `stop` ends.
pub(crate) async fn execute(
    (action, name): &(Action, Option<RequestName>),
    client: &Client,
    stop: impl Future<Output = ()>,
) -> Called {
    client.call_until(*action, name.clone(), stop).await
}

/// One object a line for each call, whatever came of it, up to the first that failed.
async fn call_for_machines(
    requests: &[(Action, Option<RequestName>)],
    client: &Client,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    out: &mut impl Write,
) -> io::Result<Exit> {
    for request in requests {
        let called = execute(request, client, stop.as_mut()).await;
        writeln!(out, "{}", serde_json::to_string(&CallRecord::new(request.0, &called))?)?;
        if let Err(failure) = &called.result {
            return Ok(Exit::of_failure(failure));
        }
    }
    Ok(Exit::Ok)
}

/// The value alone, so that it can be used by another command; what went wrong goes to `err`. `line` makes a whole
/// command of a command's words.
async fn call_for_people(
    requests: &[(Action, Option<RequestName>)],
    client: &Client,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    line: impl Fn(&str) -> String,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let mut last = None;
    for (done, request) in requests.iter().enumerate() {
        let called = execute(request, client, stop.as_mut()).await;
        match &called.result {
            Ok(answered) => {
                if answered.duplicate {
                    writeln!(
                        err,
                        "duplicate: it was executed by an earlier try, as answered then"
                    )?;
                }
                last = Some(answered.answer);
            }
            Err(failure) => {
                writeln!(err, "{}", failure_for_people(request.0, &called, failure))?;
                if requests.len() > 1 {
                    writeln!(err, "  before   {done} of {} were done", requests.len())?;
                }
                if let Some(words) = words_to_repeat(&requests[done..], &called) {
                    writeln!(err, "  repeat   {}", line(&words))?;
                }
                return Ok(Exit::of_failure(failure));
            }
        }
    }
    if let Some(answer) = last {
        writeln!(out, "{}", answer_for_people(answer))?;
    }
    Ok(Exit::Ok)
}

/// The words that repeat a call of unknown outcome by its name, and what was to come after it under the numbers after
/// its own; nothing where there is nothing to repeat, or no use in it.
pub(crate) fn words_to_repeat(
    requests: &[(Action, Option<RequestName>)],
    called: &Called,
) -> Option<String> {
    let (Some(RequestName { client, number }), Err(failure)) = (&called.request, &called.result)
    else {
        return None;
    };
    if failure.outcome != Outcome::Unknown || failure.is_forgotten() {
        return None;
    }
    let items: String = requests
        .iter()
        .filter_map(|(action, _)| match action {
            Action::Push { item, .. } => Some(format!(" {item}")),
            _ => None,
        })
        .collect();
    let arguments = match requests.first()?.0 {
        Action::Create { label } | Action::Id { label } => label.to_string(),
        Action::Push { queue, .. } => format!("{queue}{items}"),
        Action::Destroy { queue }
        | Action::Pop { queue }
        | Action::Top { queue }
        | Action::Size { queue } => queue.to_string(),
    };
    let (op, client) = (op_name(requests.first()?.0), quoted(client));
    Some(format!("{op} {arguments} --client {client} --number {number}"))
}

/// The line that runs this program with these words, at these endpoints.
pub(crate) fn line_to_paste(words: &str, endpoints: &[Endpoint]) -> String {
    let program = std::env::current_exe().map_or_else(|_| "ftqueue".to_owned(), |it| typed(&it));
    let endpoints: Vec<_> = endpoints.iter().map(Endpoint::as_str).collect();
    format!("{program} {words} --endpoints {}", quoted(&endpoints.join(",")))
}

/// An answer's value.
pub(crate) fn answer_for_people(answer: Answer) -> String {
    match answer {
        Answer::Queue(queue) => queue.to_string(),
        Answer::Label(queue) => queue.unwrap_or(-1).to_string(),
        Answer::Item(Some(item)) => item.to_string(),
        Answer::Item(None) => "(empty)".to_owned(),
        Answer::Size(size) => size.to_string(),
        Answer::Pushed | Answer::Destroyed => "ok".to_owned(),
    }
}

/// What went wrong, why, and what became of the operation: a line each.
pub(crate) fn failure_for_people(action: Action, called: &Called, failure: &Failure) -> String {
    let Failure { cause, code, reason, message, outcome, .. } = failure;
    let (op, code, endpoint) = (op_name(action), code_name(*code), &called.endpoint);
    let code = if reason == code { String::new() } else { format!(" ({code})") };
    let from = match cause {
        FailureCause::Replica => format!(", from {endpoint}"),
        FailureCause::NoAnswer | FailureCause::ConnectionLost => format!(", {endpoint} was called"),
        FailureCause::NotConnected | FailureCause::NotSent | FailureCause::Interrupted => {
            String::new()
        }
    };
    let outcome = match outcome {
        Outcome::Executed { sequence } => {
            format!("executed, changed nothing; its sequence is {sequence}")
        }
        Outcome::NotExecuted => "not executed".to_owned(),
        Outcome::Unknown if failure.is_forgotten() => {
            "unknown: the replicas do not remember the request any more; see what the queue holds".to_owned()
        }
        Outcome::Unknown if called.request.is_some() => {
            "unknown: it may have been executed, or may be still; repeated by its name it counts once".to_owned()
        }
        Outcome::Unknown => "unknown; it changes nothing".to_owned(),
    };
    let hint = match cause {
        FailureCause::NotConnected => {
            "\n  try      `ftqueue cluster` starts a cluster; --endpoints names another"
        }
        _ => "",
    };
    format!("{op} failed: {message}\n  reason   {reason}{code}{from}\n  outcome  {outcome}{hint}")
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;
    use crate::client::test_replica::{Behaviour, Nobody, Queues, TestReplica};

    const CREATE: Action = Action::Create { label: 7 };

    fn unnamed(actions: &[Action]) -> Vec<(Action, Option<RequestName>)> {
        actions.iter().map(|&action| (action, None)).collect()
    }

    async fn people(client: &Client, actions: &[Action]) -> (Exit, String, String) {
        people_by_name(client, &unnamed(actions)).await
    }

    async fn people_by_name(
        client: &Client,
        requests: &[(Action, Option<RequestName>)],
    ) -> (Exit, String, String) {
        people_until(client, requests, pending()).await
    }

    async fn people_until(
        client: &Client,
        requests: &[(Action, Option<RequestName>)],
        stop: impl Future<Output = ()>,
    ) -> (Exit, String, String) {
        let stop = pin!(stop);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let line = |words: &str| format!("ftqueue {words}");
        let exit = call_for_people(requests, client, stop, line, &mut out, &mut err).await.unwrap();
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn calling(endpoint: &Endpoint, timeout: Duration) -> Client {
        ConnectionArguments { endpoints: vec![endpoint.clone()], timeout }.client()
    }

    fn client(replica: &TestReplica) -> Client {
        calling(&replica.endpoint, Duration::from_millis(500))
    }

    #[tokio::test]
    async fn people_see_the_value_alone() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let client = client(&replica);
        let push = [-5, 0].map(|item| Action::Push { queue: 1, item });
        let cases: [(&[Action], &str); 9] = [
            (&[Action::Id { label: 7 }], "-1\n"),
            (&[CREATE], "1\n"),
            (&[Action::Id { label: 7 }], "1\n"),
            (&push, "ok\n"),
            (&[Action::Top { queue: 1 }], "-5\n"),
            (&[Action::Pop { queue: 1 }, Action::Pop { queue: 1 }], "0\n"),
            (&[Action::Pop { queue: 1 }], "(empty)\n"),
            (&[Action::Size { queue: 1 }], "0\n"),
            (&[Action::Destroy { queue: 1 }], "ok\n"),
        ];
        for (actions, expected) in cases {
            let (exit, out, err) = people(&client, actions).await;
            assert_eq!((exit, out.as_str(), err.as_str()), (Exit::Ok, expected, ""), "{actions:?}");
        }
    }

    #[tokio::test]
    async fn people_see_why_a_call_failed_and_what_became_of_it() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let push = [1, 2].map(|item| Action::Push { queue: 9, item });
        let (exit, out, err) = people(&client(&replica), &push).await;
        let endpoint = &replica.endpoint;
        let expected = format!(
            "push failed: no queue has id 9\n  \
             reason   QUEUE_NOT_FOUND (NOT_FOUND), from {endpoint}\n  \
             outcome  executed, changed nothing; its sequence is 1\n  \
             before   0 of 2 were done\n"
        );
        assert_eq!((exit, out.as_str(), err), (Exit::Refused, "", expected));
    }

    #[tokio::test]
    async fn an_unknown_outcome_and_an_unreachable_cluster_have_exit_codes_of_their_own() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Hang).await;
        let (exit, out, err) = people(&client(&replica), &[CREATE]).await;
        assert_eq!((exit, out.as_str()), (Exit::Unknown, ""));
        assert!(err.contains("outcome  unknown: it may have been executed"), "{err}");

        let nobody = Nobody::new();
        let client = calling(&nobody.endpoint, Duration::from_millis(100));
        let (exit, out, err) = people(&client, &[CREATE]).await;
        assert_eq!((exit, out.as_str()), (Exit::Unreachable, ""));
        assert!(err.contains("outcome  not executed\n  try      `ftqueue cluster`"), "{err}");
    }

    #[tokio::test]
    async fn a_call_of_unknown_outcome_is_repeated_by_the_line_that_is_printed() {
        let queues = Queues::default();
        let serving = TestReplica::start(&queues, Behaviour::Serve).await;
        let hangs_then =
            TestReplica::start_with(&queues, Behaviour::Serve, 1, Behaviour::Hang).await;
        people(&client(&serving), &[CREATE]).await;
        let name = |number| RequestName { client: "it's me".into(), number };
        let push = [(4, 7), (5, 8), (6, -9)]
            .map(|(number, item)| (Action::Push { queue: 1, item }, Some(name(number))));
        let (exit, out, err) = people_by_name(&client(&hangs_then), &push).await;
        assert_eq!((exit, out.as_str()), (Exit::Unknown, ""));
        assert!(err.contains("  before   1 of 3 were done\n"), "{err}");
        let line = r"  repeat   ftqueue push 1 8 -9 --client 'it'\''s me' --number 5";
        assert_eq!(err.lines().last(), Some(line), "{err}");

        let (exit, out, err) = people_by_name(&client(&serving), &push).await;
        assert_eq!((exit, out.as_str()), (Exit::Ok, "ok\n"));
        assert_eq!(err.lines().count(), 2, "{err}");
        assert!(err.lines().all(|line| line.starts_with("duplicate: ")), "{err}");
        assert_eq!(queues.items(), [7, 8, -9]);
    }

    #[tokio::test]
    async fn one_who_does_not_wait_gets_the_line_that_repeats_what_was_sent() {
        let queues = Queues::default();
        let serving = TestReplica::start(&queues, Behaviour::Serve).await;
        let hangs_then =
            TestReplica::start_with(&queues, Behaviour::Serve, 1, Behaviour::Hang).await;
        people(&client(&serving), &[CREATE]).await;
        let came_before = queues.came().len();
        let second_came = async {
            while queues.came().len() < came_before + 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let patient = calling(&hangs_then.endpoint, Duration::from_secs(60));
        let push = unnamed(&[7, 8, 9].map(|item| Action::Push { queue: 1, item }));
        let (exit, out, err) = people_until(&patient, &push, second_came).await;
        assert_eq!((exit, out.as_str()), (Exit::Unknown, ""));
        let expected = "push failed: it was interrupted before an answer came\n  \
                        reason   INTERRUPTED (CANCELLED)\n  outcome  unknown: it may have been executed";
        assert!(err.starts_with(expected), "{err}");
        let (name, number) = queues.came().pop().unwrap();
        let last = format!(
            "  before   1 of 3 were done\n  repeat   ftqueue push 1 8 9 --client {name} --number {number}\n"
        );
        assert!(err.ends_with(&last), "{err}");
    }

    #[tokio::test]
    async fn what_was_interrupted_before_it_was_sent_is_not_executed() {
        let queues = Queues::default();
        let replica = TestReplica::start(&queues, Behaviour::Serve).await;
        let (exit, out, err) =
            people_until(&client(&replica), &unnamed(&[CREATE]), ready(())).await;
        assert_eq!((exit, out.as_str()), (Exit::Unreachable, ""));
        assert!(
            err.ends_with("  reason   INTERRUPTED (CANCELLED)\n  outcome  not executed\n"),
            "{err}"
        );
        assert!(queues.came().is_empty());
    }

    #[tokio::test]
    async fn a_forgotten_request_is_told_from_others() {
        let forgets = Behaviour::Refuse {
            code: tonic::Code::FailedPrecondition,
            reason: "REQUEST_FORGOTTEN",
        };
        let replica = TestReplica::start(&Queues::default(), forgets).await;
        let named = (CREATE, Some(RequestName { client: "me".into(), number: 2 }));
        let (exit, _, err) = people_by_name(&client(&replica), &[named]).await;
        // With the code of an unknown outcome a script would repeat it for ever.
        assert_eq!(exit, Exit::Refused);
        assert!(err.contains("outcome  unknown: the replicas do not remember"), "{err}");
        assert!(!err.contains("repeat "), "{err}");
    }

    #[tokio::test]
    async fn machines_see_an_object_for_each_call_up_to_the_first_failure() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let pop = |queue| Action::Pop { queue };
        let mut out = Vec::new();
        let actions = [CREATE, pop(1), pop(2), pop(1)];
        let (requests, stop) = (unnamed(&actions), pin!(pending()));
        let exit = call_for_machines(&requests, &client(&replica), stop, &mut out).await.unwrap();
        assert_eq!(exit, Exit::Refused);
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<serde_json::Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["result"]["queue_id"], 1);
        assert_eq!(lines[1]["result"]["empty"], true);
        assert_eq!(lines[2]["error"]["reason"], "QUEUE_NOT_FOUND");
        assert_eq!(lines[2]["error"]["metadata"]["queue_id"], "2");
        assert_eq!(lines[2]["sequence"], 3);
    }
}
