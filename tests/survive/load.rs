//! A load that goes on through faults: `ftqueue bench`, followed by the history that it writes, which is checked at its
//! end.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use ftqueue::testing::proto::QCreateRequest;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::calls::{Call, Calls};
use crate::cluster::{Cluster, LIMIT, ftqueue};

/// How many new calls a replica answers before it is said to go on: more than it can have had under way, and more than
/// there are turns before that of any other member.
const ENOUGH: usize = 40;
/// How often is looked whether something has come.
const LOOK: Duration = Duration::from_millis(10);
/// How long a load may take to end: its last calls' timeouts, and what `--drain` takes.
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// A load that goes on until it is told to end.
pub(crate) struct Load {
    bench: Child,
    directory: TempDir,
    file: BufReader<File>,
    endpoints: Vec<String>,
    /// What was read of a line that is not whole yet.
    begun: String,
    calls: Calls,
}

impl Load {
    /// A load on all replicas, of which each has answered some of it.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        Self::start_with(cluster, &["--clients", "12"]).await
    }

    /// The same with further arguments for `bench`.
    pub(crate) async fn start_with(cluster: &Cluster, further: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let history = directory.path().join("history.jsonl");
        // So that it is there to be opened; bench begins it anew.
        File::create(&history).unwrap();
        let endpoints: Vec<_> = cluster.replicas.iter().map(|one| one.grpc.to_string()).collect();
        let mut bench = ftqueue();
        bench.args(["bench", "--endpoints", &endpoints.join(","), "--duration", "24h"]);
        bench.args(["--warmup", "0s", "--timeout", "5s", "--queues", "4", "--drain", "--json"]);
        bench.args(["--mix", "push=40,pop=40,top=10,size=10", "--history"]).arg(&history);
        let bench = bench.args(further).spawn().unwrap();
        let file = BufReader::new(File::open(&history).unwrap());
        let calls = Calls::default();
        let mut load = Self { bench, directory, file, endpoints, begun: String::new(), calls };
        load.goes_on(&cluster.all()).await;
        load
    }

    /// Waits until each of these replicas has answered enough calls that began after this one.
    pub(crate) async fn goes_on(&mut self, replicas: &[usize]) {
        self.one_goes_on(&[replicas]).await;
    }

    /// Waits until all replicas of one of these sets have.
    pub(crate) async fn one_goes_on(&mut self, sets: &[&[usize]]) {
        let since = now();
        let answered = |calls: &[Call], replica| {
            let new = |call: &&Call| call.replica == replica && call.invoked > since;
            calls.iter().rev().filter(new).filter(|call| call.succeeded()).count() >= ENOUGH
        };
        let all = |calls: &[Call], set: &[usize]| set.iter().all(|id| answered(calls, *id));
        let goes_on = |calls: &[Call]| sets.iter().any(|set| all(calls, set));
        self.wait_for(&format!("one of {sets:?} goes on"), since, goes_on).await;
    }

    /// Waits until the calls that began after `since` are as they should be.
    pub(crate) async fn wait_for(
        &mut self,
        what: &str,
        since: u64,
        come: impl Fn(&[Call]) -> bool,
    ) {
        let started = Instant::now();
        let first = self.first_after(since);
        loop {
            self.read();
            if come(&self.calls.0[first..]) {
                return;
            }
            let ended = self.bench.try_wait().unwrap();
            assert!(ended.is_none(), "the load ended: {ended:?}");
            if started.elapsed() > LIMIT {
                let last: Vec<_> = self.calls.0.iter().rev().take(8).collect();
                let status = self.status();
                panic!("not within {LIMIT:?}: {what}; the last calls: {last:#?}\n{status}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What the replicas say of themselves.
    fn status(&self) -> String {
        let mut status = ftqueue();
        status.args(["status", "--json", "--endpoints", &self.endpoints.join(",")]);
        let output = status.stdout(Stdio::piped()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// From where on calls may be later than a time: they are in the order of their ends.
    fn first_after(&self, since: u64) -> usize {
        let known = &self.calls.0;
        known.iter().rposition(|call| call.returned.is_some_and(|at| at < since)).unwrap_or(0)
    }

    /// Reads what was written since the last time.
    fn read(&mut self) {
        while self.file.read_line(&mut self.begun).unwrap() > 0 && self.begun.ends_with('\n') {
            self.calls.0.push(Call::read(&self.begun, &self.endpoints));
            self.begun.clear();
        }
    }

    /// The calls so far.
    pub(crate) fn calls(&mut self) -> &Calls {
        self.read();
        &self.calls
    }

    /// Ends the load, pops its queues empty, checks its history and that all replicas are level, and gives its calls.
    pub(crate) async fn end(mut self, cluster: &Cluster) -> Calls {
        kill_process(Pid::from_child(&self.bench), Signal::INT).unwrap();
        let told = Instant::now();
        let status = loop {
            if let Some(status) = self.bench.try_wait().unwrap() {
                break status;
            }
            assert!(told.elapsed() < ENDS_WITHIN, "the load does not end");
            tokio::time::sleep(LOOK).await;
        };
        assert!(status.success(), "bench: {status}");
        self.read();
        self.check();
        level(cluster).await;
        std::mem::take(&mut self.calls)
    }

    /// What it writes.
    fn history(&self) -> PathBuf {
        self.directory.path().join("history.jsonl")
    }

    fn check(&self) {
        let mut check = ftqueue();
        check.arg("check-history").arg(self.history());
        let output = check.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        print!("{said}");
        if !output.status.success() {
            let kept = std::env::temp_dir().join(format!("history-{}.jsonl", std::process::id()));
            std::fs::copy(self.history(), &kept).unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            panic!("the history, kept as {}, is wrong: {said}{errors}", kept.display());
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended.
        self.bench.kill().ok();
        self.bench.wait().ok();
    }
}

/// All replicas have one history, and none of them panicked.
async fn level(cluster: &Cluster) {
    let mut last = None;
    for (id, replica) in cluster.replicas.iter().enumerate() {
        replica.until(ServingStatus::Serving).await;
        let request = QCreateRequest { label: i64::MAX, request: None };
        let answer = cluster.client(id).await.q_create(request).await.unwrap().into_inner();
        let (queue, sequence) = *last.get_or_insert((answer.queue_id, answer.sequence - 1));
        assert_eq!(answer.queue_id, queue, "r{id} knows another queue");
        assert!(answer.sequence > sequence, "r{id} is behind: {answer:?}, {sequence} before");
        last = Some((queue, answer.sequence));
        assert!(!replica.log().contains("panicked at"), "r{id} panicked");
    }
}

/// The machine's monotonic clock, as histories have it.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap() * 1_000_000_000 + nanoseconds.unwrap()
}

/// Says a thing even where the output of tests that pass is not shown.
pub(crate) fn tell(what: &str) {
    // Not by a macro, whose output tests hold back.
    std::io::stderr().write_all(format!("{what}\n").as_bytes()).unwrap();
}
