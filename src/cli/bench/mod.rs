//! `ftqueue bench`: load, and what a cluster makes of it.

mod caller;
mod drain;
mod echo;
mod history;
mod interrupt;
mod load;
mod measure;
mod mix;
mod plan;
mod progress;
mod report;
mod setup;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use self::echo::EchoServers;
use self::history::History;
use self::interrupt::Interrupt;
use self::load::Loaded;
use self::measure::Summary;
use self::mix::Mix;
use self::plan::Load;
use self::progress::Progress;
use self::report::{HistoryReport, Report, Settings};
use super::arguments::{ConnectionArguments, OutputArguments, duration, positive_duration};
use super::complain;
use super::exit::Exit;
use crate::client::Failure;

/// The arguments of `bench`.
#[derive(Args, Debug)]
#[command(after_help = "\
The load is closed-loop: each client calls, waits for the answer, and calls again, always at the \
same replica. A load goes on whatever fails, as long as its queues could be made: a client whose call \
fails, or whose connection is lost, pauses for 1 ms, doubled up to 100 ms, and makes its next call, with \
a new connection if need be; no call is made twice, and none has a request name. Queues are made for the run and destroyed after it. \
Every pushed item is different. Only calls that end within --duration are counted; times are those of \
answered calls. Ctrl-C ends a load early and in order.

--history writes every call, those of the setup and the warm-up included, as a line
  {\"client\":3,\"op\":\"push\",\"arguments\":{\"queue_id\":1,\"item\":17},\"invoked_ns\":123,\"returned_ns\":456,
   \"result\":{},\"sequence\":9,\"endpoint\":\"127.0.0.1:7001\"}
with \"error\":{\"code\",\"reason\",\"outcome\"} in place of \"result\" where the call failed; \
\"outcome\" is executed, not_executed or unknown, and \"returned_ns\" is null where no answer came. \
The file follows the load by 50 ms. The exit code is 1 when the history is not complete, or when \
--drain was asked for and a queue could not be popped empty.

Examples:
  ftqueue bench
  ftqueue bench --clients 256 --duration 30s --mix push=45,pop=45,size=10
  ftqueue bench --echo --json
  ftqueue bench --history history.jsonl")]
pub(crate) struct BenchArguments {
    #[command(flatten)]
    connection: ConnectionArguments,

    #[command(flatten)]
    output: OutputArguments,

    /// How many clients call at the same time
    #[arg(
        long,
        env = "FTQUEUE_CLIENTS",
        value_name = "N",
        default_value = "64",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    clients: u32,

    /// How long is measured
    #[arg(
        long,
        env = "FTQUEUE_DURATION",
        value_name = "TIME",
        default_value = "10s",
        value_parser = positive_duration
    )]
    duration: Duration,

    /// How long the load goes on before that
    #[arg(
        long,
        env = "FTQUEUE_WARMUP",
        value_name = "TIME",
        default_value = "1s",
        value_parser = duration
    )]
    warmup: Duration,

    /// How many queues the calls are spread over
    #[arg(
        long,
        env = "FTQUEUE_QUEUES",
        value_name = "N",
        default_value = "16",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    queues: u32,

    /// Which operations, by weight: of push, pop, top and size
    #[arg(long, env = "FTQUEUE_MIX", value_name = "OP=WEIGHT,…", default_value = "push=50,pop=50")]
    mix: Mix,

    /// Run the same load against bare gRPC echo servers started beside it, one for each endpoint, for a ratio
    #[arg(long, env = "FTQUEUE_ECHO", value_parser = FalseyValueParser::new())]
    echo: bool,

    /// After the load, pop the queues until they are empty: so no item can be lost unseen
    #[arg(long, env = "FTQUEUE_DRAIN", value_parser = FalseyValueParser::new())]
    drain: bool,

    /// Write every call to this file, as JSON lines
    #[arg(long, env = "FTQUEUE_HISTORY", value_name = "FILE")]
    history: Option<PathBuf>,
}

impl BenchArguments {
    fn load(&self) -> Load {
        Load {
            endpoints: self.connection.endpoints.clone(),
            clients: self.clients,
            queues: self.queues,
            mix: self.mix,
            warmup: self.warmup,
            duration: self.duration,
            timeout: self.connection.timeout,
            drain: self.drain,
        }
    }

    fn progress(&self) -> Progress {
        if self.output.json {
            Progress::hidden()
        } else {
            Progress::visible(self.warmup + self.duration)
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When the history cannot be begun or the output not be written.
pub(crate) async fn run(arguments: BenchArguments) -> io::Result<Exit> {
    let load = arguments.load();
    let mut interrupt = Interrupt::new()?;
    let history = arguments.history.as_deref().map(|file| begin(file, &load)).transpose()?;
    let recorder = history.as_ref().map(History::recorder);
    let result = load::run(&load, recorder, &arguments.progress(), &mut interrupt).await;
    // What was recorded is written, whatever came of the load.
    let written = history.map(History::finish);
    let Loaded { summary, interrupted, complete, drained } = match result {
        Ok(loaded) => loaded,
        Err(failure) => return Ok(refuse(&failure)),
    };
    let history = arguments.history.as_deref().zip(written);
    let history = history.map(|(file, written)| history_report(file, written, complete));
    let echo = if arguments.echo && !interrupted {
        echo(&load, &arguments.progress(), &mut interrupt).await
    } else {
        None
    };
    let went_well = (summary.all.operations > 0 || interrupted)
        && history.as_ref().is_none_or(|history| history.complete)
        && drained
        && (echo.is_some() || !arguments.echo || interrupted);
    if !drained {
        complain("the queues could not be popped empty");
    }
    let report = Report {
        summary: &summary,
        interrupted,
        ratio_to_echo: echo.as_ref().and_then(|echo| ratio(&summary, echo)),
        echo: echo.as_ref(),
        history,
        settings: Settings::of(&load),
    };
    let text = if arguments.output.json { report.json()? } else { report.text() };
    writeln!(io::stdout(), "{text}")?;
    Ok(if went_well { Exit::Ok } else { Exit::Refused })
}

fn begin(file: &Path, load: &Load) -> io::Result<History> {
    let history = History::start(file, load.endpoints.clone());
    history.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

fn refuse(failure: &Failure) -> Exit {
    let Failure { message, reason, .. } = failure;
    complain(&format!("no queue could be made to work on: {message} ({reason})"));
    Exit::of_failure(failure)
}

/// What became of a history: `all_ended` says whether every call was waited for.
fn history_report(file: &Path, written: io::Result<u64>, all_ended: bool) -> HistoryReport<'_> {
    let complete = all_ended && written.is_ok();
    if !complete {
        let why = written.as_ref().err().map(|error| format!(": {error}")).unwrap_or_default();
        complain(&format!("the history is NOT complete, it proves nothing{why}"));
    }
    HistoryReport { file, calls: written.unwrap_or_default(), complete }
}

/// The same load on echo servers; complains if that does not work.
async fn echo(load: &Load, progress: &Progress, interrupt: &mut Interrupt) -> Option<Summary> {
    let servers = EchoServers::start(load.endpoints.len()).await;
    let loaded = match &servers {
        Ok(servers) => {
            // An echo's queues are never empty.
            let load = Load { endpoints: servers.endpoints(), drain: false, ..load.clone() };
            let loaded = load::run(&load, None, progress, interrupt).await;
            loaded.map_err(|failure| failure.message)
        }
        Err(error) => Err(error.to_string()),
    };
    let complain = |why| complain(&format!("there is nothing to compare with: {why}"));
    loaded.map(|loaded| loaded.summary).map_err(complain).ok()
}

/// How many operations per second for each of the echo's; to three places.
fn ratio(summary: &Summary, echo: &Summary) -> Option<f64> {
    let echo = echo.all.ops_per_second;
    (echo > 0.0).then(|| (summary.all.ops_per_second / echo * 1_000.0).round() / 1_000.0)
}
