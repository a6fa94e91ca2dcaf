//! `ftqueue shell`: the same calls at a prompt, or from a pipe.

mod line;
mod lines;

use std::io::{self, Write};
use std::pin::{Pin, pin};

use clap::Args;
use tokio::signal::unix::SignalKind;

use self::line::Line;
use self::lines::Lines;
use super::arguments::ConnectionArguments;
use super::call::{answer_for_people, execute, failure_for_people, words_to_repeat};
use super::exit::Exit;
use super::signals::Signals;
use crate::client::{Called, Client};
use crate::queue::{Action, RequestName};

/// The arguments of `shell`.
#[derive(Args, Debug)]
#[command(after_help = "\
At the prompt, `help` lists the commands, Tab completes them, and the arrow keys bring back earlier \
lines, which are kept in $XDG_STATE_HOME/ftqueue/shell_history (~/.local/state without that \
variable). The prompt is the replica that is called next; `use HOST:PORT` calls another. Each answer \
comes with its sequence and the replica that gave it. A call whose outcome is unknown is repeated by \
the line that is printed with it; Ctrl-C ends a call that way, too.

Without a terminal the lines are read from standard input; all are executed, and the exit code is \
that of the first that failed. Lines that start with # are comments.

Examples:
  ftqueue shell
  ftqueue shell --endpoints 127.0.0.1:7002
  printf 'create 7\\npush 1 17 18\\npop 1\\n' | ftqueue shell")]
pub(crate) struct ShellArguments {
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Runs the command.
///
/// # Errors
/// When its input cannot be read or its output not be written.
pub(crate) async fn run(arguments: ShellArguments) -> io::Result<Exit> {
    let lines = Lines::of_stdin(&arguments.connection.endpoints)?;
    let mut signals = Signals::new()?;
    let signal = async || signals.next().await;
    converse(&arguments.connection, lines, signal, &mut io::stdout(), &mut io::stderr()).await
}

/// Executes line after line. At a terminal a failure is the person's business; from a pipe it decides the exit code. A
/// `signal`, which gives its number, ends the call that is under way with what is known by then, and the shell; at a
/// terminal an interrupt ends the call alone.
async fn converse(
    connection: &ConnectionArguments,
    mut lines: Lines,
    mut signal: impl AsyncFnMut() -> i32,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let mut client = connection.client();
    let mut first_failure = None;
    let interactive = lines.interactive();
    let goes_on = |signal| interactive && signal == SignalKind::interrupt().as_raw_value();
    loop {
        let mut next = pin!(lines.next(format!("{}> ", client.endpoint())));
        let text = loop {
            tokio::select! {
                text = &mut next => break text?,
                number = signal() => {
                    // An interrupt at a terminal came when a call had just ended.
                    if !goes_on(number) {
                        std::process::exit(128 + number);
                    }
                }
            }
        };
        let Some(text) = text else { break };
        let mut signalled = None;
        let exit = match line::parse(&text) {
            Ok(None) => continue,
            Ok(Some(Line::Quit)) => break,
            Ok(Some(Line::Use { endpoint })) => {
                let endpoints =
                    endpoint.map_or_else(|| connection.endpoints.clone(), |one| vec![one]);
                client = ConnectionArguments { endpoints, ..connection.clone() }.client();
                Exit::Ok
            }
            Ok(Some(Line::Call(call))) => {
                let stop = pin!(async { signalled = Some(signal().await) });
                execute_all(&call.requests(), &client, stop, out, err).await?
            }
            Err(line::NotACommand { help: true, text }) => {
                write!(out, "{text}")?;
                Exit::Ok
            }
            Err(line::NotACommand { help: false, text }) => {
                write!(err, "{text}")?;
                Exit::Usage
            }
        };
        if exit != Exit::Ok {
            first_failure.get_or_insert(exit);
        }
        if signalled.is_some_and(|signal| !goes_on(signal)) {
            return Ok(first_failure.filter(|_| !interactive).unwrap_or(exit));
        }
    }
    Ok(first_failure.filter(|_| !interactive).unwrap_or(Exit::Ok))
}

/// Has operations executed, up to the first that fails; prints what came of each.
async fn execute_all(
    requests: &[(Action, Option<RequestName>)],
    client: &Client,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    for (done, request) in requests.iter().enumerate() {
        let called = execute(request, client, stop.as_mut()).await;
        let Called { endpoint, result, .. } = &called;
        match result {
            Ok(answered) => {
                let (answer, sequence) = (answer_for_people(answered.answer), answered.sequence);
                let duplicate = if answered.duplicate { ", duplicate" } else { "" };
                writeln!(out, "{answer}  (sequence {sequence}{duplicate}, from {endpoint})")?;
            }
            Err(failure) => {
                writeln!(err, "{}", failure_for_people(request.0, &called, failure))?;
                if let Some(words) = words_to_repeat(&requests[done..], &called) {
                    writeln!(err, "  repeat   {words}")?;
                }
                return Ok(Exit::of_failure(failure));
            }
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;
    use crate::client::test_replica::{Behaviour, Queues, TestReplica};

    async fn shell(replica: &TestReplica, input: &'static str) -> (Exit, String, String) {
        let connection = ConnectionArguments {
            endpoints: vec![replica.endpoint.clone()],
            timeout: Duration::from_secs(5),
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let lines = Lines::of(input.as_bytes());
        let exit = converse(&connection, lines, async || pending().await, &mut out, &mut err);
        let exit = exit.await.unwrap();
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[tokio::test]
    async fn each_line_prints_its_answer_with_sequence_and_replica() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let (exit, out, err) =
            shell(&replica, "create 7\n\n # why\npush 1 -5 6\npop 1\nsize 1\nquit\npop 1").await;
        let from = &replica.endpoint;
        let expected = format!(
            "1  (sequence 1, from {from})\nok  (sequence 2, from {from})\nok  (sequence 3, from {from})\n\
             -5  (sequence 4, from {from})\n1  (sequence 5, from {from})\n"
        );
        assert_eq!((exit, out, err.as_str()), (Exit::Ok, expected, ""));
    }

    #[tokio::test]
    async fn a_line_that_fails_is_told_and_the_rest_goes_on() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let (exit, out, err) = shell(&replica, "pop 3\nfrobnicate\npush 1\ncreate 7\n").await;
        assert_eq!(exit, Exit::Refused);
        assert_eq!(out, format!("1  (sequence 2, from {})\n", replica.endpoint));
        for expected in ["QUEUE_NOT_FOUND", "unrecognized subcommand 'frobnicate'", "<ITEM>..."] {
            assert!(err.contains(expected), "{expected} is not in {err}");
        }
    }

    #[tokio::test]
    async fn a_call_can_be_repeated_by_its_name() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let line = "create 7 --client me --number 1\n";
        let (exit, out, err) = shell(&replica, [line, line].concat().leak()).await;
        let from = &replica.endpoint;
        let expected =
            format!("1  (sequence 1, from {from})\n1  (sequence 1, duplicate, from {from})\n");
        assert_eq!((exit, out, err.as_str()), (Exit::Ok, expected, ""));
    }

    #[tokio::test]
    async fn use_switches_replicas_and_back() {
        let queues = Queues::default();
        let first = TestReplica::start(&queues, Behaviour::Serve).await;
        let second = TestReplica::start(&queues, Behaviour::Serve).await;
        let input = format!("create 7\nuse {}\nid 7\nuse\nid 7\nuse nowhere\n", second.endpoint);
        let (exit, out, err) = shell(&first, input.leak()).await;
        let (first, second) = (&first.endpoint, &second.endpoint);
        let expected = format!(
            "1  (sequence 1, from {first})\n1  (sequence 2, from {second})\n1  (sequence 3, from {first})\n"
        );
        assert_eq!((exit, out), (Exit::Usage, expected));
        assert!(err.contains("`nowhere` is not HOST:PORT"), "{err}");
    }

    #[tokio::test]
    async fn help_lists_the_commands_and_is_no_failure() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let (exit, out, err) = shell(&replica, "help\nhelp push\n").await;
        assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
        for expected in ["create", "use", "quit", "push [OPTIONS] <ID> <ITEM>..."] {
            assert!(out.contains(expected), "{expected} is not in {out}");
        }
    }
}
