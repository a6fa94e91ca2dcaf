//! `ftqueue create`, `destroy`, `id`, `push`, `pop`, `top`, `size`: one call, or a few of a kind.

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::arguments::{ConnectionArguments, OutputArguments};
use super::exit::Exit;
use super::record::CallRecord;
use crate::client::{Called, Client, Failure, FailureCause, Outcome, code_name};
use crate::history::op_name;
use crate::queue::{Action, Answer, QueueId};

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
Each item is a call of its own; the first that fails ends the command. A push whose outcome is \
unknown is not sent again: the exit code is 5 then.

Examples:
  ftqueue push 1 17
  ftqueue push 1 -5 0 5 --json")]
    Push {
        /// The queue's id
        #[arg(value_name = "ID", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
        queue: QueueId,
        /// The items, 64-bit integers, in this order
        #[arg(value_name = "ITEM", required = true, allow_negative_numbers = true)]
        items: Vec<i64>,
        #[command(flatten)]
        further: Further,
    },

    /// Remove the item at the head of a queue and print it, or (empty)
    #[command(after_help = "\
A pop whose outcome is unknown is not sent again: the exit code is 5 then.

Examples:
  ftqueue pop 1
  ftqueue pop 1 --endpoints 127.0.0.1:7003 --json")]
    Pop {
        /// The queue's id
        #[arg(value_name = "ID", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
        queue: QueueId,
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
    /// The operations to execute, in order.
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

/// What the command line says besides.
#[derive(Args, Debug)]
pub(crate) struct CallArguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Runs the command.
///
/// # Errors
/// When its output cannot be written.
pub(crate) async fn run(call: Call<CallArguments>) -> io::Result<Exit> {
    let CallArguments { connection, output } = call.further();
    let mut client = connection.client();
    let (out, err) = (&mut io::stdout(), &mut io::stderr());
    if output.json {
        call_for_machines(&call.actions(), &mut client, out).await
    } else {
        call_for_people(&call.actions(), &mut client, out, err).await
    }
}

/// One object a line for each call, whatever came of it.
async fn call_for_machines(
    actions: &[Action],
    client: &mut Client,
    out: &mut impl Write,
) -> io::Result<Exit> {
    for &action in actions {
        let called = client.call(action).await;
        writeln!(out, "{}", serde_json::to_string(&CallRecord::new(action, &called))?)?;
        if let Err(failure) = &called.result {
            return Ok(Exit::of_failure(failure));
        }
    }
    Ok(Exit::Ok)
}

/// The value alone, so that it can be used by another command; what went wrong goes to `err`.
async fn call_for_people(
    actions: &[Action],
    client: &mut Client,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let mut last = None;
    for (done, &action) in actions.iter().enumerate() {
        let called = client.call(action).await;
        match &called.result {
            Ok(answered) => last = Some(answered.answer),
            Err(failure) => {
                writeln!(err, "{}", failure_for_people(action, &called, failure))?;
                if actions.len() > 1 {
                    writeln!(err, "  before   {done} of {} were done", actions.len())?;
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
        FailureCause::NotConnected => String::new(),
    };
    let outcome = match outcome {
        Outcome::Executed { sequence } => {
            format!("executed, changed nothing; its sequence is {sequence}")
        }
        Outcome::NotExecuted => "not executed".to_owned(),
        Outcome::Unknown => {
            "unknown: it may have been executed, or may be still; it was not sent again".to_owned()
        }
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
    use std::time::Duration;

    use super::*;
    use crate::client::test_replica::{Behaviour, Nobody, Queues, TestReplica};

    const CREATE: Action = Action::Create { label: 7 };

    async fn people(client: &mut Client, actions: &[Action]) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = call_for_people(actions, client, &mut out, &mut err).await.unwrap();
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn client(replica: &TestReplica) -> Client {
        Client::new(vec![replica.endpoint.clone()], Duration::from_millis(500))
    }

    #[tokio::test]
    async fn people_see_the_value_alone() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let mut client = client(&replica);
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
            let (exit, out, err) = people(&mut client, actions).await;
            assert_eq!((exit, out.as_str(), err.as_str()), (Exit::Ok, expected, ""), "{actions:?}");
        }
    }

    #[tokio::test]
    async fn people_see_why_a_call_failed_and_what_became_of_it() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let push = [1, 2].map(|item| Action::Push { queue: 9, item });
        let (exit, out, err) = people(&mut client(&replica), &push).await;
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
        let (exit, out, err) = people(&mut client(&replica), &[CREATE]).await;
        assert_eq!((exit, out.as_str()), (Exit::Unknown, ""));
        assert!(err.contains("outcome  unknown: it may have been executed"), "{err}");

        let nobody = Nobody::new();
        let mut client = Client::new(vec![nobody.endpoint.clone()], Duration::from_secs(5));
        let (exit, out, err) = people(&mut client, &[CREATE]).await;
        assert_eq!((exit, out.as_str()), (Exit::Unreachable, ""));
        assert!(err.contains("outcome  not executed\n  try      `ftqueue cluster`"), "{err}");
    }

    #[tokio::test]
    async fn machines_see_an_object_for_each_call_up_to_the_first_failure() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let pop = |queue| Action::Pop { queue };
        let mut out = Vec::new();
        let actions = [CREATE, pop(1), pop(2), pop(1)];
        let exit = call_for_machines(&actions, &mut client(&replica), &mut out).await.unwrap();
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
