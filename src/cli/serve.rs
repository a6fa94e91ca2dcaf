//! `ftqueue serve`: one replica.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::exit::Exit;
use super::members::Members;
use super::secret::{self, Secret};
use super::signals::Signals;
use super::stdin;
use crate::api;
use crate::config::Config;
use crate::metrics;
use crate::runtime;
use crate::runtime::{Address, Backups, DRAIN_TIME, Durability, NotStarted, Start};
use crate::storage::{self, DataDirectory, Owner, SEGMENT_LENGTH};
use crate::types::{Incarnation, ReplicaId};
use crate::wire::{ClusterId, ClusterKey, MAX_DATAGRAM, MIN_MAX_DATAGRAM};

/// How long connections may take to close once all calls are answered.
const CLOSE_TIME: Duration = Duration::from_secs(1);
/// The key id of the only key that a cluster has so far.
const KEY_ID: u8 = 0;
/// The longest name of a cluster, in bytes.
const MAX_NAME: usize = 64;

const LONG_ABOUT: &str = "\
Runs one replica of a cluster: its gRPC API for callers, and its part of the ring over UDP.

Every replica of a cluster is started with the same --cluster list, --cluster-name and key. They may be started in \
any order; a replica answers calls (and its health service says SERVING) once it and the others have found each \
other. For a cluster's first start all are needed, later a majority. SIGTERM or Ctrl-C stops it: calls that wait are \
answered first, within 5 seconds. With --durability async it then waits until its disk has all, however long that takes: \
without that the disk counts as lost. A second signal stops it at once.";

const AFTER_HELP: &str = "\
Examples:
  One replica, to try things out:
    ftqueue serve --id 0 --cluster 0=127.0.0.1:7101 \\
      --listen 127.0.0.1:7001 --data data/r0
  The second of three, each on its own machine:
    ftqueue serve --id 1 --cluster 0=q0:7101,1=q1:7101,2=q2:7101 \\
      --listen 0.0.0.0:7001 --data /var/lib/ftqueue

The cluster's key:
  It seals the datagrams between the replicas: 32 bytes as 64 hexadecimal digits,
  in the file that --cluster-key-file names or in the environment variable
  FTQUEUE_CLUSTER_KEY. Make one with: openssl rand -hex 32
  Without one a well-known key is used: datagrams are then checked for damage,
  but anyone can forge them.

Exit codes:
  0        stopped when asked to
  1        failed while running
  2        bad arguments
  3        cannot start: an address in use, the data directory locked or another's
  4        storage failed: nothing that is not durable is answered
  6        storage is damaged, and there is no other replica to ask what it held
  128 + n  stopped at once by a second signal n";

/// Run one replica
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub(crate) struct ServeArguments {
    /// This replica's id: its number in the --cluster list
    #[arg(long, env = "FTQUEUE_ID")]
    id: u8,

    /// Where the ring of every replica listens (UDP), this one's too; an odd number of them
    #[arg(long, env = "FTQUEUE_CLUSTER", value_name = "0=HOST:PORT,1=HOST:PORT,…")]
    cluster: Members,

    /// Where gRPC is served to callers
    #[arg(long, env = "FTQUEUE_LISTEN", value_name = "HOST:PORT")]
    listen: Address,

    /// Where metrics are served, over HTTP at /metrics, in the text format of OpenMetrics; nowhere by default
    #[arg(long, env = "FTQUEUE_METRICS", value_name = "HOST:PORT")]
    metrics: Option<Address>,

    /// The replica's data directory; made where it is missing
    #[arg(long, env = "FTQUEUE_DATA", value_name = "DIR")]
    data: PathBuf,

    /// Where the own ring listens (UDP), if not at its address in the --cluster list
    ///
    /// By default that is: the address itself where the list has an IP address of this machine or localhost; all
    /// addresses of this machine where it has another name.
    #[arg(long, env = "FTQUEUE_RING_LISTEN", value_name = "HOST:PORT")]
    ring_listen: Option<Address>,

    /// The largest datagram of the ring, in bytes; the same for all replicas, and no larger than the network carries
    #[arg(long, env = "FTQUEUE_MAX_DATAGRAM", value_name = "BYTES", default_value_t = 1_400)]
    #[arg(value_parser = datagram_size)]
    max_datagram: usize,

    /// When a write counts as durable, and so an operation may be answered
    #[arg(long, env = "FTQUEUE_DURABILITY", value_enum, default_value_t = Durability::Fsync)]
    durability: Durability,

    /// How long a segment of the log is before another one follows, in bytes. Once four are whole, or as much as the
    /// last snapshot has, a snapshot takes their place
    #[arg(long, env = "FTQUEUE_SEGMENT_LENGTH", value_name = "BYTES", default_value_t = SEGMENT_LENGTH)]
    #[arg(hide_short_help = true, value_parser = clap::value_parser!(u64).range(65_536..=1 << 30))]
    segment_length: u64,

    /// The cluster's name: replicas of differently named clusters ignore each other
    #[arg(long, env = "FTQUEUE_CLUSTER_NAME", value_name = "NAME", default_value = "ftqueue")]
    #[arg(value_parser = cluster_name)]
    cluster_name: String,

    /// The file that holds the cluster's key
    #[arg(long, env = "FTQUEUE_CLUSTER_KEY_FILE", value_name = "FILE")]
    cluster_key_file: Option<PathBuf>,

    /// What is logged, to standard error: error, warn, info, debug, trace, or by module: info,ftqueue=debug
    #[arg(long, env = "FTQUEUE_LOG", value_name = "FILTER", default_value = "info")]
    #[arg(value_parser = log_filter)]
    log: String,

    /// Stop when standard input ends: whoever started this replica is gone
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

/// Why the replica did not run, or did not end well.
#[derive(Debug)]
enum Failure {
    Running(String),
    Usage(String),
    Start(String),
    Storage(String),
    Damaged(String),
    Outlived(Incarnation),
}

/// Runs a replica until it is told to stop.
pub(crate) fn run(arguments: ServeArguments) -> Exit {
    match serve(arguments) {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            let (exit, message) = match failure {
                Failure::Running(message) => (Exit::Refused, message),
                Failure::Usage(message) => (Exit::Usage, message),
                Failure::Start(message) => (Exit::Unreachable, message),
                Failure::Storage(message) => (Exit::Storage, message),
                Failure::Damaged(message) => (Exit::Damaged, message),
                Failure::Outlived(life) => {
                    let outlived = runtime::Failure::Outlived(life);
                    (
                        Exit::Refused,
                        format!("{outlived}; the next start of this one will be after it"),
                    )
                }
            };
            // Nobody may be there to read it; the exit code tells it, too.
            drop(writeln!(io::stderr(), "error: {message}"));
            exit
        }
    }
}

fn serve(arguments: ServeArguments) -> Result<(), Failure> {
    let Members(addresses) = arguments.cluster;
    let mut config =
        Config::new(ReplicaId(arguments.id), addresses.len()).map_err(Failure::Usage)?;
    config.max_datagram = arguments.max_datagram;
    let secret = Secret::find(arguments.cluster_key_file.as_deref(), key_variable()?)
        .map_err(Failure::Usage)?;
    log_to_standard_error(&arguments.log)?;
    if secret == Secret::Development {
        warn!(
            "no cluster key is set: datagrams are protected against damage with a well-known key, not against \
             forgery; see --cluster-key-file"
        );
    }

    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Start(format!("no runtime: {error}")))?;
    let result = tokio.block_on(async {
        let listeners = Listeners {
            grpc: listen("gRPC", &arguments.listen).await?,
            metrics: match &arguments.metrics {
                Some(address) => Some(listen("metrics", address).await?),
                None => None,
            },
        };
        let directory = DataDirectory::open(&arguments.data)?;
        let owner = Owner { cluster: arguments.cluster_name, replica: config.id };
        let (last, distrusted) = match directory.last_life(&owner) {
            Ok(last) => (last, None),
            // There are others to ask what it held.
            Err(damage @ storage::Error::Damaged { .. }) if config.replicas > 1 => {
                (Incarnation(0), Some(damage))
            }
            Err(error) => return Err(error.into()),
        };
        if distrusted.is_some() {
            // Before the directory looks as if all were well.
            storage::distrust(&mut directory.folder()).map_err(|source| {
                let path = directory.path().to_owned();
                storage::Error::Failed { doing: "marking what is in", path, source }
            })?;
        }
        let incarnation = directory.begin_life(&owner, last, unix_milliseconds())?;
        let cluster = ClusterId::from_name(&owner.cluster);
        let start = Start {
            config,
            incarnation,
            directory: directory.path().to_owned(),
            distrusted,
            owner: owner.hash(),
            durability: arguments.durability,
            segment_length: arguments.segment_length,
            key: ClusterKey::new(KEY_ID, secret.bytes(), cluster),
            addresses,
            listen: arguments.ring_listen,
            seed: seed()?,
        };
        let backups = Backups::new(&arguments.data, owner.cluster.clone(), owner.replica);
        let ended = run_until_told(start, listeners, backups, arguments.stop_with_stdin).await;
        if let Err(Failure::Outlived(life)) = &ended {
            // The next start is after that one.
            directory.begin_life(&owner, *life, unix_milliseconds())?;
        }
        ended
    });
    // A look-up of a name may still hang; nobody waits for it.
    tokio.shutdown_background();
    result
}

/// Where the process is called.
struct Listeners {
    grpc: TcpListener,
    metrics: Option<TcpListener>,
}

/// Runs the replica and its API until a signal comes, and then ends both: calls first, connections after.
async fn run_until_told(
    start: Start,
    listeners: Listeners,
    backups: Backups,
    stop_with_stdin: bool,
) -> Result<(), Failure> {
    let mut signals =
        Signals::new().map_err(|error| Failure::Start(format!("no signals: {error}")))?;
    let (stop, stopping) = watch::channel(false);
    let durability = start.durability;
    let (handle, event_loop) = match runtime::start(start, stopping.clone()).await {
        Ok(started) => started,
        Err(NotStarted::Other(why)) => return Err(Failure::Start(why)),
        Err(NotStarted::Storage(error)) => return Err(error.into()),
    };
    if let Ok(address) = listeners.grpc.local_addr() {
        info!(grpc = %address, version = env!("CARGO_PKG_VERSION"), "serving");
    }
    let mut ring = tokio::spawn(event_loop.run());
    if let Some(listener) = listeners.metrics {
        if let Ok(address) = listener.local_addr() {
            info!(metrics = %address, "serving metrics");
        }
        tokio::spawn(metrics::serve(listener, handle.clone(), durability));
    }
    let mut api = tokio::spawn(api::serve(
        listeners.grpc,
        handle,
        backups,
        durability,
        told_to_stop(stopping),
    ));

    tokio::select! {
        signal = signals.next() => info!(signal = signal, "told to stop"),
        () = stdin_ended(stop_with_stdin) => info!("standard input ended: stopping"),
        ended = &mut ring => return match joined(ended) {
            Ok(()) => Err(Failure::Running("the event loop ended".to_owned())),
            Err(failure) => Err(failure.into()),
        },
        ended = &mut api => return Err(ended_early("the gRPC server", ended)),
    }
    stop.send_replace(true);
    tokio::select! {
        ended = end(ring, api, durability) => ended,
        signal = signals.next() => {
            match durability {
                Durability::Fsync => warn!("told to stop again: at once"),
                Durability::Async => warn!(
                    "told to stop again: at once, perhaps before the disk has all that was acked (--durability async): \
                     the next start may find that it counts as lost, and ask the others what was on it"
                ),
            }
            std::process::exit(128 + signal);
        }
    }
}

/// Waits for the event loop, which bounds its own end but for the disk's, and a little for the connections.
async fn end<A>(
    mut ring: JoinHandle<Result<(), runtime::Failure>>,
    api: JoinHandle<A>,
    durability: Durability,
) -> Result<(), Failure> {
    // The bound is the event loop's; this one holds if that fails to keep it.
    match (tokio::time::timeout(DRAIN_TIME + CLOSE_TIME, &mut ring).await, durability) {
        (Ok(ended), _) => joined(ended)?,
        (Err(_), Durability::Fsync) => {
            return Err(Failure::Running("the replica did not stop".to_owned()));
        }
        (Err(_), Durability::Async) => {
            warn!(
                "waiting until the disk has all that was acked (--durability async): without that it counts as lost; a \
                 second signal stops at once"
            );
            joined(ring.await)?;
        }
    }
    if tokio::time::timeout(CLOSE_TIME, api).await.is_err() {
        info!("connections cut off");
    }
    Ok(())
}

fn ended_early<E: std::fmt::Display>(
    what: &str,
    ended: Result<Result<(), E>, JoinError>,
) -> Failure {
    match joined(ended) {
        Ok(()) => Failure::Running(format!("{what} ended")),
        Err(error) => Failure::Running(format!("{what} failed: {error}")),
    }
}

/// A task's result. A panic in a task is a broken invariant: it ends the process.
fn joined<T>(ended: Result<T, JoinError>) -> T {
    match ended {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The end of standard input; never, where it is not to be watched.
async fn stdin_ended(watched: bool) {
    if watched {
        // An error means that nothing more comes: the end too.
        stdin::ended().await.unwrap_or_default();
    } else {
        std::future::pending().await
    }
}

async fn told_to_stop(mut stopping: watch::Receiver<bool>) {
    // An error means that nobody is left to tell: that is a stop too.
    stopping.wait_for(|stop| *stop).await.map(|_| ()).unwrap_or_default();
}

async fn listen(what: &str, address: &Address) -> Result<TcpListener, Failure> {
    let cannot =
        |error: io::Error| Failure::Start(format!("{what} cannot be served on {address}: {error}"));
    let found = address.resolve().await.map_err(cannot)?;
    TcpListener::bind(found.as_slice()).await.map_err(cannot)
}

fn key_variable() -> Result<Option<String>, Failure> {
    match std::env::var(secret::VARIABLE) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::Usage(format!("{} is not text", secret::VARIABLE)))
        }
    }
}

fn datagram_size(text: &str) -> Result<usize, String> {
    let sizes = MIN_MAX_DATAGRAM..=MAX_DATAGRAM;
    let size = text.parse().ok().filter(|size| sizes.contains(size));
    size.ok_or_else(|| format!("a size is {} to {} bytes", sizes.start(), sizes.end()))
}

/// Reads a cluster's name.
///
/// # Errors
/// Says what was expected.
pub(super) fn cluster_name(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(known) {
        return Err(format!("a name has 1 to {MAX_NAME} letters, digits, '-', '_' and '.'"));
    }
    Ok(text.to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// Logs from now on. A line that cannot be written, since the disk is full or whoever read it is gone, is lost, and nothing
/// else is: to say so on standard error would fail as the line did, and end the replica.
fn log_to_standard_error(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| Failure::Usage(error.to_string()))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .try_init()
        .map_err(|error| Failure::Start(format!("no log: {error}")))
}

/// The wall clock, for the incarnation's sake only; zero before 1970.
pub(super) fn unix_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn seed() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::Start("the system gives no random numbers".to_owned()))?;
    Ok(u64::from_le_bytes(bytes))
}

impl From<runtime::Failure> for Failure {
    fn from(failure: runtime::Failure) -> Self {
        match failure {
            runtime::Failure::System(_) => Self::Running(failure.to_string()),
            runtime::Failure::Storage(_) => Self::Storage(failure.to_string()),
            runtime::Failure::Outlived(life) => Self::Outlived(life),
        }
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        use storage::Error::{Damaged, Failed, Foreign, Locked, Unusable};
        match error {
            Locked { .. } | Foreign { .. } | Unusable { .. } => Self::Start(error.to_string()),
            Damaged { .. } => {
                Self::Damaged(format!("{error}; there is no other replica to ask what it held"))
            }
            Failed { .. } => Self::Storage(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event loop that waits for its disk as long as this, and connections that are closed.
    async fn end_with_disk_that_takes(time: Duration, durability: Durability) -> bool {
        let ring = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            Ok(())
        });
        end(ring, tokio::spawn(async {}), durability).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_acks_ran_ahead_of_is_waited_for() {
        let (soon, late) = (Duration::from_secs(4), Duration::from_secs(600));
        assert!(end_with_disk_that_takes(soon, Durability::Fsync).await);
        assert!(!end_with_disk_that_takes(late, Durability::Fsync).await);
        assert!(end_with_disk_that_takes(late, Durability::Async).await);
    }
}
