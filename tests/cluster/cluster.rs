//! Starts replicas as processes of their own and ends them.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ftqueue::testing::proto::ft_queue_client::FtQueueClient;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long anything may take that is waited for: far more than it takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// How often is looked whether it has come.
const LOOK: Duration = Duration::from_millis(10);
/// The exit code of a replica that finds its address in use.
const CANNOT_START: i32 = 3;
/// The exit code of a replica whose storage failed.
pub(crate) const STORAGE_FAILED: i32 = 4;

/// A cluster's processes; they end with it.
pub(crate) struct Cluster {
    pub(crate) replicas: Vec<Replica>,
    _directory: TempDir,
}

/// One replica, running or not.
pub(crate) struct Replica {
    id: usize,
    /// Its `--cluster` list.
    pub(crate) members: String,
    ring: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) data: PathBuf,
    /// Where its log is written.
    pub(crate) log_file: PathBuf,
    process: Option<Child>,
}

impl Cluster {
    /// A cluster of `size` replicas that all answer calls.
    pub(crate) async fn start(size: usize) -> Self {
        Self::start_with(size, &[]).await
    }

    /// The same, with settings by environment variables.
    pub(crate) async fn start_with(size: usize, settings: &[(&str, &str)]) -> Self {
        // Between the choice of a port and its use another program may take it.
        for _ in 0..5 {
            let mut cluster = Self::start_some(size, &[]);
            cluster.start_all_with(settings);
            if cluster.all_serve().await {
                return cluster;
            }
        }
        panic!("ports were taken again and again");
    }

    /// A cluster of which only some replicas were started. They are not waited for.
    pub(crate) fn start_some(size: usize, started: &[usize]) -> Self {
        Self::start_listed(size, started, |_| "127.0.0.1".to_owned())
    }

    /// The same, with the hosts that stand for the replicas' rings in the list.
    pub(crate) fn start_listed(
        size: usize,
        started: &[usize],
        host: impl Fn(usize) -> String,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let ports: Vec<_> = free_ports(size).into_iter().zip(free_ports(size)).collect();
        let members: Vec<_> = ports
            .iter()
            .enumerate()
            .map(|(id, (ring, _))| format!("{id}={}:{ring}", host(id)))
            .collect();
        let replica = |(id, &(ring, grpc)): (usize, &(u16, u16))| Replica {
            id,
            members: members.join(","),
            ring: loopback(ring),
            grpc: loopback(grpc),
            data: directory.path().join(format!("r{id}")),
            log_file: directory.path().join(format!("r{id}.log")),
            process: None,
        };
        let mut replicas: Vec<_> = ports.iter().enumerate().map(replica).collect();
        for &id in started {
            replicas[id].start();
        }
        Self { replicas, _directory: directory }
    }

    /// Waits until all replicas serve; false where one could not have its ports.
    pub(crate) async fn all_serve(&mut self) -> bool {
        let started = Instant::now();
        for replica in &mut self.replicas {
            while replica.health("").await != Some(ServingStatus::Serving) {
                match replica.ended() {
                    Some(status) if status.code() == Some(CANNOT_START) => return false,
                    Some(status) => panic!("r{} ended: {status}", replica.id),
                    None => assert!(started.elapsed() < LIMIT, "r{} does not serve", replica.id),
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        true
    }

    /// The ids of all replicas.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.replicas.len()).collect()
    }

    /// Ends all processes as a power cut does: none has time to do anything about another's end.
    pub(crate) async fn kill_all(&mut self) {
        self.replicas.iter().for_each(|replica| replica.signal(Signal::KILL));
        for replica in &mut self.replicas {
            assert_eq!(replica.exit_code().await, None, "it was killed");
        }
    }

    /// Starts all processes.
    pub(crate) fn start_all(&mut self) {
        self.start_all_with(&[]);
    }

    /// The same, with settings by environment variables.
    pub(crate) fn start_all_with(&mut self, settings: &[(&str, &str)]) {
        self.replicas.iter_mut().for_each(|replica| replica.start_with(settings));
    }

    /// Where the replicas' rings listen.
    pub(crate) fn ring_addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.ring).collect()
    }

    /// A client of one replica.
    pub(crate) async fn client(&self, id: usize) -> FtQueueClient<Channel> {
        FtQueueClient::new(self.replicas[id].channel().await)
    }

    /// A client of each replica.
    pub(crate) async fn clients(&self) -> Vec<FtQueueClient<Channel>> {
        let mut clients = Vec::new();
        for id in 0..self.replicas.len() {
            clients.push(self.client(id).await);
        }
        clients
    }
}

impl Replica {
    /// Starts the process; the log goes on.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts the process with environment variables.
    pub(crate) fn start_with(&mut self, settings: &[(&str, &str)]) {
        let mut command = self.command();
        command.envs(settings.iter().copied());
        self.spawn(command);
    }

    /// Starts the process with at most so many descriptors.
    pub(crate) fn start_with_descriptors(&mut self, most: usize) {
        let command = self.command();
        let mut shell = bare_command("/bin/sh");
        shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &most.to_string()]);
        shell.arg(command.get_program()).args(command.get_args());
        self.spawn(shell);
    }

    fn spawn(&mut self, mut command: Command) {
        let log = File::options().create(true).append(true).open(&self.log_file).unwrap();
        command.stderr(log);
        self.run(command);
    }

    /// Starts the process by this command, whose log goes where it says.
    pub(crate) fn run(&mut self, mut command: Command) {
        let process = command.spawn().unwrap();
        assert!(self.process.replace(process).is_none(), "it was running");
    }

    /// The command that runs this replica.
    pub(crate) fn command(&self) -> Command {
        let mut command = ftqueue();
        command
            .args(["serve", "--log", "info,ftqueue=debug"])
            .args(["--id", &self.id.to_string()])
            .args(["--cluster", &self.members])
            .args(["--listen", &self.grpc.to_string()])
            .args([Path::new("--data"), &self.data]);
        command
    }

    /// A connection to it, once it listens.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        let started = Instant::now();
        loop {
            match endpoint.connect().await {
                Ok(channel) => return channel,
                Err(error) => {
                    assert!(started.elapsed() < LIMIT, "r{} cannot be reached: {error}", self.id);
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// What its health service says of a service; none where it does not listen.
    pub(crate) async fn health(&self, service: &str) -> Option<ServingStatus> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        let mut client = HealthClient::new(endpoint.connect().await.ok()?);
        let request = HealthCheckRequest { service: service.to_owned() };
        Some(client.check(request).await.ok()?.into_inner().status())
    }

    /// Waits until its health service says `expected`.
    pub(crate) async fn until(&self, expected: ServingStatus) {
        let started = Instant::now();
        while self.health("").await != Some(expected) {
            assert!(started.elapsed() < LIMIT, "r{} is not {expected:?}", self.id);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where its ring listens.
    pub(crate) fn ring(&self) -> SocketAddr {
        self.ring
    }

    /// The process.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// Ends the process as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.exit_code().await, None, "it was killed");
    }

    /// Its exit status, if it has ended.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().expect("it was started").try_wait().unwrap()
    }

    /// Waits for its end and gives its exit code; none where a signal ended it.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                self.process = None;
                return status.code();
            }
            assert!(started.elapsed() < LIMIT, "r{} does not end", self.id);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log_file).unwrap_or_default()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            process.kill().ok();
            process.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- log of r{}\n{}", self.id, self.log());
        }
    }
}

/// The command under test, without settings of whoever runs the tests.
pub(crate) fn ftqueue() -> Command {
    bare_command(program())
}

/// The program under test: `FTQUEUE_BINARY`, else the one that was built with the test, else the one of the same build
/// as the example that asks.
fn program() -> PathBuf {
    let built = || match option_env!("CARGO_BIN_EXE_ftqueue") {
        Some(program) => PathBuf::from(program),
        None => env::current_exe().unwrap().ancestors().nth(2).unwrap().join("ftqueue"),
    };
    env::var_os("FTQUEUE_BINARY").map_or_else(built, PathBuf::from)
}

fn bare_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("RUST_BACKTRACE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Ports that are free for TCP and UDP on the loopback, that no other test is given, and that no program gets that asks for
/// any: a replica that is down has to find its ports again.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    /// Below those that the system gives to whoever asks for any.
    const RANGE: Range<u16> = 10_000..32_000;
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap();
    let span = u32::from(RANGE.end - RANGE.start);
    let own = u16::try_from(std::process::id() % span).unwrap();
    let next = next.get_or_insert(RANGE.start + own);
    let mut ports = Vec::new();
    while ports.len() < count {
        let port = *next;
        *next = if port + 1 < RANGE.end { port + 1 } else { RANGE.start };
        let tcp = TcpListener::bind(("127.0.0.1", port));
        if tcp.is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    ports
}
