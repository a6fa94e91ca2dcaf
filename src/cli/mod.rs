//! The commands: what `ftqueue` does when it is called from a shell.

mod arguments;
mod backup;
mod backup_summary;
mod bench;
mod call;
mod check_history;
mod cluster;
mod echo_server;
mod exit;
mod health;
mod inspect;
mod members;
mod paste;
mod record;
mod recover;
mod restore;
mod secret;
mod serve;
mod shell;
mod signals;
mod status;
mod stdin;
mod utc;
mod whole_file;

use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use call::{Call, CallArguments};
use exit::{EXIT_CODES, Exit};

/// Queues of 64-bit integers, kept by a group of replicas that execute every call in one order.
///
/// Any replica may be called. Every call is answered with its sequence, its position in the order of all calls.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100, after_help = after_help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn after_help() -> String {
    format!(
        "\
Try it:
  ftqueue cluster                  three replicas on this machine, until Ctrl-C
  ftqueue create 7                 in another terminal: the queue labelled 7, by its id
  ftqueue push 1 17 18 19          push three items to the queue with id 1
  ftqueue pop 1                    17
  ftqueue shell                    the same calls at a prompt

Most flags may be given as environment variables instead: `ftqueue COMMAND --help` names them.

{EXIT_CODES}"
    )
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run one replica
    Serve(serve::ServeArguments),

    /// Run a whole cluster on this machine, until Ctrl-C
    Cluster(cluster::ClusterArguments),

    #[command(flatten)]
    Call(Call<CallArguments>),

    /// The same calls at a prompt
    Shell(shell::ShellArguments),

    /// Exit with 0 if a replica can answer calls, with 1 if not
    Health(health::HealthArguments),

    /// Say how all replicas are: views, whom they suspect, how far each has delivered
    Status(status::StatusArguments),

    /// Say what a replica's files hold, without changing them
    Inspect(inspect::InspectArguments),

    /// Write all queues of a running cluster into a file
    Backup(backup::BackupArguments),

    /// Make the data directory of a replica of a new cluster from a backup
    Restore(restore::RestoreArguments),

    /// Let a replica take part whose disk is lost, with what can be read of it
    Recover(recover::RecoverArguments),

    /// Put load on a cluster and measure it
    Bench(bench::BenchArguments),

    /// Say whether a history of calls can be that of a correct service
    CheckHistory(check_history::CheckHistoryArguments),

    /// What `bench --echo` compares with
    #[command(hide = true)]
    EchoServer(echo_server::EchoServerArguments),
}

/// Runs the command that the arguments name and gives its exit code.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(arguments) => Ok(serve::run(arguments)),
        Command::Cluster(arguments) => block_on(cluster::run(arguments)),
        Command::Call(call) => block_on(call::run(call)),
        Command::Shell(arguments) => block_on(shell::run(arguments)),
        Command::Health(arguments) => block_on(health::run(arguments)),
        Command::Status(arguments) => block_on(status::run(arguments)),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Backup(arguments) => block_on(backup::run(arguments)),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Recover(arguments) => recover::run(&arguments),
        Command::Bench(arguments) => block_on(bench::run(arguments)),
        Command::CheckHistory(arguments) => check_history::run(&arguments),
        Command::EchoServer(arguments) => block_on(echo_server::run(arguments)),
    };
    match result {
        Ok(exit) => exit.into(),
        // Whoever reads the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok.into(),
        Err(error) => {
            complain(&error.to_string());
            Exit::Unreachable.into()
        }
    }
}

/// Runs a command's future on this thread: a client has nothing to do on a second one.
fn block_on(command: impl Future<Output = io::Result<Exit>>) -> io::Result<Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Tells a person what is wrong. Nobody may be there to read it, and nothing can be done about that.
fn complain(message: &str) {
    drop(writeln!(io::stderr(), "ftqueue: {message}"));
}

#[cfg(test)]
mod tests;
