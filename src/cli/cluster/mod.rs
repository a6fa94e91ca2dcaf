//! `ftqueue cluster`: a whole cluster on this machine, one process for each replica.

mod directory;
mod introduction;
mod layout;
mod process;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use self::directory::Directory;
use self::introduction::introduction;
use self::layout::Layout;
use self::process::{Process, Start};
use super::complain;
use super::exit::Exit;
use super::health::serving;
use crate::config::Config;
use crate::types::ReplicaId;

/// The arguments of `cluster`.
#[derive(Args, Debug)]
#[command(after_help = "\
Replica i serves gRPC on port base + 1 + i and the ring on UDP port base + 101 + i, all on \
127.0.0.1: for trying things out and for tests. The replicas share a key that is made anew for \
each run.

Ctrl-C stops all replicas; a second one does not wait for them. A replica that ends by itself is \
reported with the end of its log, and the rest goes on; the exit code is 1 then.

Examples:
  ftqueue cluster
  ftqueue cluster --replicas 5 --base-port 8000 --data ./data")]
pub(crate) struct ClusterArguments {
    /// How many replicas: an odd number
    #[arg(long, env = "FTQUEUE_REPLICAS", value_name = "N", default_value = "3", value_parser = replicas)]
    replicas: u8,

    /// The port below all that are used
    #[arg(long, env = "FTQUEUE_BASE_PORT", value_name = "PORT", default_value = "7000")]
    base_port: u16,

    /// Where to keep data and logs [default: a temporary directory, removed at the end]
    #[arg(long, env = "FTQUEUE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

fn replicas(text: &str) -> Result<u8, String> {
    let count: u8 = text.parse().map_err(|error| format!("{error}"))?;
    Config::new(ReplicaId(0), count.into()).map(|_| count)
}

/// How long all replicas together may take to serve. It is a matter of milliseconds when nothing is wrong.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long replicas may take to stop before they are killed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How often a starting replica is asked whether it serves, and how long it may take to answer.
const HEALTH_INTERVAL: Duration = Duration::from_millis(50);
const HEALTH_PATIENCE: Duration = Duration::from_millis(1_000);

const DID_NOT_START: &str = "the cluster did not start";

/// Runs a cluster until it is told to stop.
///
/// # Errors
/// When the operating system refuses something that a cluster needs.
pub(crate) async fn run(arguments: ClusterArguments) -> io::Result<Exit> {
    let layout = match Layout::new(arguments.replicas, arguments.base_port) {
        Ok(layout) => layout,
        Err(why) => return Ok(refuse(Exit::Usage, &why)),
    };
    if let Err(why) = layout.check_ports() {
        return Ok(refuse(Exit::Unreachable, &why));
    }
    let program = std::env::current_exe()?;
    let directory = Directory::prepare(arguments.data)?;
    let mut signals = StopSignals::new()?;
    let mut cluster = Cluster::start(layout, &program, directory.path())?;
    let served = cluster.serve(&mut signals, &introduction(layout, &program, &directory)).await;
    let stopped = cluster.stop(&mut signals).await;
    let exit = match (served?, stopped?) {
        (Exit::Ok, false) => Exit::Refused,
        (exit, _) => exit,
    };
    if exit == Exit::Ok {
        directory.remove_if_temporary()?;
    } else {
        complain(&format!("data and logs stay in {}", directory.path().display()));
    }
    Ok(exit)
}

fn refuse(exit: Exit, why: &str) -> Exit {
    complain(why);
    exit
}

/// The signals that tell a cluster to stop.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for Ctrl-C, SIGTERM, or the end of the terminal.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// A cluster's processes.
struct Cluster {
    layout: Layout,
    processes: Vec<Process>,
    /// Says that some process ended; not which.
    ended: Signal,
}

impl Cluster {
    fn start(layout: Layout, program: &Path, directory: &Path) -> io::Result<Self> {
        let ended = signal(SignalKind::child())?;
        let (key, cluster) = (random_key()?, layout.cluster());
        let start = |id| {
            let listen = layout.grpc(id).to_string();
            Process::start(&Start { program, id, cluster: &cluster, listen, key: &key, directory })
        };
        let processes = layout.ids().map(start).collect::<io::Result<_>>()?;
        Ok(Self { layout, processes, ended })
    }

    /// Runs until it is told to stop, or until no replica is left; says how it went.
    async fn serve(&mut self, signals: &mut StopSignals, introduction: &str) -> io::Result<Exit> {
        let start = tokio::select! {
            start = self.all_serve() => start?,
            () = signals.next() => return Ok(Exit::Ok),
        };
        if start != Exit::Ok {
            return Ok(start);
        }
        io::stdout().write_all(introduction.as_bytes())?;
        let mut exit = Exit::Ok;
        while self.processes.iter().any(Process::runs) {
            let told_to_stop = tokio::select! {
                () = signals.next() => true,
                _ = self.ended.recv() => false,
            };
            if self.report_ended()? {
                exit = Exit::Refused;
            }
            if told_to_stop {
                return Ok(exit);
            }
        }
        complain("no replica is left");
        Ok(exit)
    }

    /// Waits until all replicas serve; complains when they do not.
    async fn all_serve(&mut self) -> io::Result<Exit> {
        let deadline = Instant::now() + START_PATIENCE;
        for index in 0..self.processes.len() {
            let id = self.processes[index].id;
            let endpoint = self.layout.endpoint(id);
            while let Err(why) = serving(&endpoint, HEALTH_PATIENCE).await {
                if self.report_ended()? {
                    return Ok(refuse(Exit::Unreachable, DID_NOT_START));
                }
                if Instant::now() >= deadline {
                    let log = self.processes[index].end_of_log();
                    let message = format!("replica {id} does not serve: {why}; {log}");
                    return Ok(refuse(Exit::Unreachable, &message));
                }
                tokio::time::sleep(HEALTH_INTERVAL).await;
            }
        }
        // Somebody else may have taken a port since it was found free, and may be the one who answered.
        let any_ended = self.report_ended()?;
        Ok(if any_ended { refuse(Exit::Unreachable, DID_NOT_START) } else { Exit::Ok })
    }

    /// Tells of each process that ended since the last time; says whether any did.
    fn report_ended(&mut self) -> io::Result<bool> {
        let mut any = false;
        for process in &mut self.processes {
            if let Some(status) = process.newly_ended()? {
                any = true;
                report(process, status);
            }
        }
        Ok(any)
    }

    /// Stops all processes: asks them, waits, and kills those that are left, or all when it is told once more. Says
    /// whether each ended as it should.
    async fn stop(&mut self, signals: &mut StopSignals) -> io::Result<bool> {
        self.processes.iter().for_each(Process::ask_to_stop);
        let all_ended = async {
            let mut well = true;
            for process in self.processes.iter_mut().filter(|process| process.runs()) {
                let status = process.wait().await?;
                if !status.success() {
                    well = false;
                    report(process, status);
                }
            }
            io::Result::Ok(well)
        };
        let why = tokio::select! {
            well = all_ended => return well,
            () = signals.next() => "told to stop a second time",
            () = tokio::time::sleep(STOP_PATIENCE) => "it does not stop",
        };
        for process in &mut self.processes {
            if process.newly_ended()?.is_none() && process.runs() {
                complain(&format!("replica {} is killed: {why}", process.id));
            }
            process.kill().await?;
        }
        Ok(false)
    }
}

fn report(process: &Process, status: ExitStatus) {
    complain(&format!("replica {} ended: {status}; {}", process.id, process.end_of_log()));
}

/// A new cluster key: 64 hex digits.
fn random_key() -> io::Result<String> {
    let mut key = [0; 32];
    let filled = SystemRandom::new().fill(&mut key);
    filled.map_err(|_| io::Error::other("the operating system gives no random bytes"))?;
    Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
}
