//! The commands as a user meets them: real processes on loopback, their output and their exit codes.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ftqueue");

/// How long anything may take here; a matter of milliseconds when nothing is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, without what the environment of the tests says to it.
fn ftqueue(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("FTQUEUE_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    outcome(&ftqueue(arguments).output().unwrap())
}

fn outcome(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits for something that happens soon.
fn wait_for<T>(what: &str, mut happened: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = happened() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running `ftqueue cluster`; stopped when dropped.
struct Cluster {
    process: Child,
    output: BufReader<ChildStdout>,
    base_port: u16,
    /// What it printed when it served.
    introduction: String,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may have ended already. Where it has not, it takes its directory with it when it is told to stop.
        if let Ok(None) = self.process.try_wait() {
            signal(&self.process, Signal::TERM);
            drop(self.process.wait());
        }
    }
}

impl Cluster {
    /// Starts a cluster on ports that nobody uses.
    fn start(replicas: u16, further: &[&str]) -> Self {
        // Below the ports that the system gives out, and elsewhere for each process and each try, so that no two tests
        // find the same ports free at the same time.
        static TRIES: AtomicU32 = AtomicU32::new(0);
        (0..20)
            .find_map(|_| {
                let this = TRIES.fetch_add(1, Ordering::Relaxed);
                let spread = (std::process::id() % 37 * 307 + this * 509) % 15_000;
                Self::start_at(12_000 + u16::try_from(spread).unwrap(), replicas, further)
            })
            .expect("no ports are free")
    }

    fn start_at(base_port: u16, replicas: u16, further: &[&str]) -> Option<Self> {
        let (base, replicas) = (base_port.to_string(), replicas.to_string());
        let mut process = ftqueue(&["cluster", "--base-port", &base, "--replicas", &replicas])
            .args(further)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut introduction = String::new();
        // The last line has the last example.
        while !introduction.contains(" pop ") {
            if output.read_line(&mut introduction).unwrap() == 0 {
                let (exit, _, why) = outcome(&process.wait_with_output().unwrap());
                assert_eq!(exit, 3, "{why}");
                assert!(why.contains("Is a cluster running already?"), "{why}");
                return None;
            }
        }
        Some(Self { process, output, base_port, introduction })
    }

    fn endpoint(&self, id: u16) -> String {
        format!("127.0.0.1:{}", self.base_port + 1 + id)
    }

    fn endpoints(&self, replicas: u16) -> String {
        (0..replicas).map(|id| self.endpoint(id)).collect::<Vec<_>>().join(",")
    }

    fn directory(&self) -> PathBuf {
        let (_, rest) = self.introduction.split_once("data and logs in ").unwrap();
        rest.split_once(" (").unwrap().0.into()
    }

    /// The processes of its replicas.
    fn replicas(&self) -> Vec<Pid> {
        let id = self.process.id();
        let path = format!("/proc/{id}/task/{id}/children");
        let children = std::fs::read_to_string(path).unwrap();
        children
            .split_whitespace()
            .map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap())
            .collect()
    }

    /// Sends a signal, waits for the end, and gives the exit code and what was complained of.
    fn end(mut self, with: Signal) -> (i32, String) {
        signal(&self.process, with);
        let status = self.process.wait().unwrap();
        let mut complaints = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        (status.code().unwrap_or(-1), complaints)
    }
}

fn runs(pid: Pid) -> bool {
    // A zombie has ended; somebody else's business is to notice.
    std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

#[test]
fn help_is_no_failure_and_nonsense_is() {
    let commands = [
        "serve", "cluster", "create", "destroy", "id", "push", "pop", "top", "size", "shell",
        "health", "bench", "backup", "restore",
    ];
    for command in commands {
        let (exit, out, err) = run(&[command, "--help"]);
        assert_eq!((exit, err.as_str()), (0, ""), "{command}");
        assert!(out.contains(&format!("Usage: ftqueue {command}")), "{out}");
    }
    assert_eq!(run(&["--version"]).0, 0);
    for nonsense in [
        &["frobnicate"][..],
        &[],
        &["pop"],
        &["pop", "x"],
        &["pop", "0"],
        &["push", "1"],
        &["create", "7", "--endpoints", "nowhere"],
        &["create", "7", "--timeout", "0s"],
        &["cluster", "--replicas", "2"],
        &["cluster", "--base-port", "65500"],
        &["bench", "--mix", "push=0"],
    ] {
        let (exit, out, err) = run(nonsense);
        assert_eq!((exit, out.as_str()), (2, ""), "{nonsense:?}: {err}");
        assert!(!err.is_empty(), "{nonsense:?}");
    }
}

#[test]
fn flags_may_be_environment_variables() {
    let output = ftqueue(&["create", "7"])
        .env("FTQUEUE_ENDPOINTS", "127.0.0.1:1")
        .env("FTQUEUE_TIMEOUT", "200ms")
        .env("FTQUEUE_JSON", "1")
        .output()
        .unwrap();
    let (exit, out, err) = outcome(&output);
    assert_eq!((exit, err.as_str()), (3, ""));
    let call: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(call["endpoint"], "127.0.0.1:1");
    assert_eq!(call["error"]["reason"], "NOT_CONNECTED");
    assert_eq!(call["error"]["outcome"], "not_executed");
}

#[test]
fn a_cluster_serves_what_it_says_and_stops_when_told() {
    let cluster = Cluster::start(3, &[]);
    for id in 0..3 {
        let (exit, out, err) = run(&["health", "--endpoint", &cluster.endpoint(id)]);
        assert_eq!((exit, out.as_str(), err.as_str()), (0, "SERVING\n", ""));
    }

    let lines: Vec<_> = cluster
        .introduction
        .lines()
        .skip_while(|line| !line.starts_with("Paste"))
        .skip(1)
        .collect();
    assert_eq!(lines.len(), 3, "{}", cluster.introduction);
    assert!(lines[0].trim().starts_with("grpcurl -plaintext -d "), "{}", lines[0]);
    let paste = |line: &str| {
        outcome(&Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap())
    };
    assert_eq!(paste(lines[1]), (0, "ok\n".to_owned(), String::new()), "{}", lines[1]);
    let (exit, item, err) = paste(lines[2]);
    assert_eq!((exit, err.as_str()), (0, ""), "{}", lines[2]);
    item.trim().parse::<i64>().unwrap();

    let (directory, replicas) = (cluster.directory(), cluster.replicas());
    assert!(directory.join("replica-0.log").is_file());
    assert_eq!(replicas.len(), 3);
    assert_eq!(cluster.end(Signal::INT), (0, String::new()));
    assert!(!directory.exists(), "{} is still there", directory.display());
    assert!(!replicas.into_iter().any(runs));
}

#[test]
fn a_replica_that_ends_is_reported_and_the_rest_goes_on() {
    let cluster = Cluster::start(3, &[]);
    let (directory, replicas) = (cluster.directory(), cluster.replicas());
    kill_process(replicas[1], Signal::KILL).unwrap();
    let gone = || (run(&["health", "--endpoint", &cluster.endpoint(1)]).0 == 1).then_some(());
    wait_for("the end of replica 1", gone);
    assert!(runs(replicas[0]) && runs(replicas[2]));
    let (exit, complaints) = cluster.end(Signal::TERM);
    assert_eq!(exit, 1);
    assert!(complaints.contains("replica 1 ended: signal: 9 (SIGKILL)"), "{complaints}");
    assert!(complaints.contains("replica-1.log"), "{complaints}");
    assert!(!complaints.contains("replica 0"), "{complaints}");
    assert!(directory.is_dir(), "the log is gone");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_cluster_that_cannot_have_its_directory_says_so() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("replica-0"), "in the way").unwrap();
    let (exit, out, err) =
        run(&["cluster", "--base-port", "29000", "--data", data.path().to_str().unwrap()]);
    assert_eq!((exit, out.as_str()), (3, ""));
    assert!(err.contains("replica-0: File exists"), "{err}");
}

#[test]
fn no_replica_outlives_its_cluster() {
    let data = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(1, &["--data", data.path().to_str().unwrap()]);
    let replicas = cluster.replicas();
    cluster.process.kill().unwrap();
    cluster.process.wait().unwrap();
    wait_for("the end of the replica", || (!replicas.iter().copied().any(runs)).then_some(()));
    assert!(data.path().join("replica-0.log").is_file());
    assert!(data.path().join("replica-0").is_dir());
}

#[test]
fn a_port_that_is_taken_is_named() {
    // Which ports, and that each is looked at, is tested with the layout.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let base_port = (port - 1).to_string();
    let (exit, out, err) = run(&["cluster", "--replicas", "1", "--base-port", &base_port]);
    assert_eq!((exit, out.as_str()), (3, ""));
    assert!(err.contains(&format!("TCP 127.0.0.1:{port} for gRPC")), "{err}");
}

#[test]
fn the_shell_reads_a_pipe() {
    let cluster = Cluster::start(1, &[]);
    let script = "create -7\npush 1 5\nsize 1\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let output = ftqueue(&["shell", "--endpoints", &cluster.endpoint(0)])
        .stdin(std::fs::File::open(file.path()).unwrap())
        .output()
        .unwrap();
    let (exit, out, err) = outcome(&output);
    assert_eq!((exit, err.as_str()), (0, ""));
    let from = cluster.endpoint(0);
    let expected: String = ["1", "ok", "1"]
        .iter()
        .enumerate()
        .map(|(before, answer)| format!("{answer}  (sequence {}, from {from})\n", before + 1))
        .collect();
    assert_eq!(out, expected);
}

#[test]
fn a_push_of_unknown_outcome_is_repeated_by_the_line_that_is_printed() {
    let cluster = Cluster::start(1, &[]);
    let (endpoint, replica) = (cluster.endpoint(0), cluster.replicas()[0]);
    assert_eq!(run(&["create", "7", "--endpoints", &endpoint]).0, 0);
    kill_process(replica, Signal::STOP).unwrap();
    let push = ["push", "1", "5", "-6", "--endpoints", &endpoint, "--timeout", "300ms"];
    let (exit, out, err) = run(&push);
    kill_process(replica, Signal::CONT).unwrap();
    assert_eq!((exit, out.as_str()), (5, ""), "{err}");
    let line = err.lines().last().and_then(|line| line.trim().strip_prefix("repeat ")).unwrap();
    let pasted = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    let (exit, out, err) = outcome(&pasted);
    assert_eq!((exit, out.as_str()), (0, "ok\n"), "{line}: {err}");
    assert_eq!(run(&["pop", "1", "--endpoints", &endpoint]).1, "5\n");
}

/// A call to one who takes it and never answers, by a command with this input; then a signal: how the command ends.
fn interrupted(words: &[&str], input: &str, with: Signal) -> (i32, String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let further = ["--endpoints", &endpoint, "--timeout", "1h"];
    let mut command = ftqueue(&[words, &further].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.as_ref().unwrap().write_all(input.as_bytes()).unwrap();
    let _connection = wait_for("a call", || listener.accept().ok());
    signal(&process, with);
    wait_for("its end", || process.try_wait().unwrap());
    outcome(&process.wait_with_output().unwrap())
}

#[test]
fn a_call_that_is_interrupted_says_how_it_is_repeated() {
    for with in [Signal::INT, Signal::TERM] {
        let (exit, out, err) = interrupted(&["push", "1", "5", "-6"], "", with);
        assert_eq!((exit, out.as_str()), (5, ""), "{err}");
        assert!(err.contains("  outcome  unknown: it may have been executed"), "{err}");
        assert!(err.contains(" push 1 5 -6 --client "), "{err}");

        let (exit, out, err) = interrupted(&["pop", "1", "--json"], "", with);
        assert_eq!((exit, err.as_str()), (5, ""));
        let call: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(call["error"]["reason"], "INTERRUPTED");
        assert_eq!(call["request"]["number"], 1);

        // What comes after it is not read.
        let (exit, out, err) = interrupted(&["shell"], "push 1 5\nnonsense\n", with);
        assert_eq!((exit, out.as_str()), (5, ""), "{err}");
        assert!(err.contains("  repeat   push 1 5 --client "), "{err}");
        assert!(!err.contains("nonsense"), "{err}");
    }
}

#[test]
fn a_shell_that_waits_for_a_line_is_ended_by_a_signal() {
    for with in [Signal::INT, Signal::TERM] {
        let mut shell = ftqueue(&["shell"]);
        let mut shell = shell.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        shell.stdin.as_ref().unwrap().write_all(b"nonsense\n").unwrap();
        let mut complaint = [0];
        shell.stderr.as_mut().unwrap().read_exact(&mut complaint).unwrap();
        signal(&shell, with);
        let status = wait_for("its end", || shell.try_wait().unwrap());
        assert_eq!(status.code(), Some(128 + with.as_raw()));
    }
}

fn bench(cluster: &Cluster, history: &Path, further: &[&str]) -> Command {
    let mut command = ftqueue(&["bench", "--endpoints", &cluster.endpoints(3)]);
    command.args(["--clients", "6", "--json", "--history"]).arg(history).args(further);
    command
}

/// The run's report and the number of lines in its history.
fn bench_result(output: &Output, history: &Path) -> (Value, usize) {
    let (exit, out, err) = outcome(output);
    assert_eq!((exit, err.as_str()), (0, ""));
    (serde_json::from_str(&out).unwrap(), std::fs::read_to_string(history).unwrap().lines().count())
}

#[test]
fn bench_prints_one_object_and_its_ratio_to_a_bare_echo() {
    let cluster = Cluster::start(3, &[]);
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history.jsonl");
    let further = ["--echo", "--duration", "300ms", "--warmup", "100ms", "--mix", "push=2,top=1"];
    let output = bench(&cluster, &history, &further).output().unwrap();
    let (report, lines) = bench_result(&output, &history);
    for field in
        ["ops_per_second", "p50_us", "p90_us", "p99_us", "p999_us", "max_us", "ratio_to_echo"]
    {
        assert!(report[field].as_f64().unwrap() > 0.0, "{field} of {report}");
    }
    assert!(report["echo"]["ops_per_second"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(report["errors"], serde_json::json!({}));
    assert_eq!(report["settings"]["mix"], serde_json::json!({"push": 2, "top": 1}));
    assert_eq!(report["settings"]["clients"], 6);
    assert_eq!(report["history"]["complete"], true);
    assert_eq!(report["history"]["calls"], lines);
}

#[test]
fn a_history_is_right_until_it_is_changed() {
    let cluster = Cluster::start(3, &[]);
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history.jsonl");
    let output = bench(&cluster, &history, &["--duration", "300ms"]).output().unwrap();
    let (report, lines) = bench_result(&output, &history);
    assert_eq!(report["errors"], serde_json::json!({}));
    let check = |history: &Path| {
        let output = ftqueue(&["check-history", "--json"]).arg(history).output().unwrap();
        let (exit, out, err) = outcome(&output);
        assert_eq!(err, "");
        (exit, serde_json::from_str::<Value>(&out).unwrap())
    };
    let (exit, verdict) = check(&history);
    assert_eq!((exit, verdict["calls"].as_u64()), (0, Some(lines as u64)), "{verdict}");

    // Two pops of one queue that got each other's item.
    let text = std::fs::read_to_string(&history).unwrap();
    let mut calls: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let got = |call: &Value| call["op"] == "pop" && call["result"]["item"].is_number();
    let first = calls.iter().position(got).unwrap();
    let same = |call: &Value| call["arguments"] == calls[first]["arguments"] && got(call);
    let second = calls.iter().rposition(same).unwrap();
    assert_ne!(first, second);
    let item = calls[first]["result"].clone();
    calls[first]["result"] = calls[second]["result"].clone();
    calls[second]["result"] = item;
    let changed: String = calls.iter().map(|call| format!("{call}\n")).collect();
    std::fs::write(&history, changed).unwrap();
    let (exit, verdict) = check(&history);
    assert_eq!(exit, 1, "{verdict}");
    assert!(
        verdict["checks"].as_array().unwrap().iter().all(|check| {
            ["lost", "duplicated", "unexpected", "reordered", "stale"]
                .iter()
                .any(|class| check[class].as_u64().unwrap() > 0)
        }),
        "{verdict}"
    );

    // No calls prove nothing.
    std::fs::write(&history, "").unwrap();
    let (exit, _, err) = outcome(&ftqueue(&["check-history"]).arg(&history).output().unwrap());
    assert_eq!(exit, 2);
    assert!(err.contains("no calls"), "{err}");

    // A line that is none.
    std::fs::write(&history, format!("{text}pop\n")).unwrap();
    let output = ftqueue(&["check-history"]).arg(&history).output().unwrap();
    let (exit, _, err) = outcome(&output);
    assert_eq!(exit, 2);
    assert!(err.contains(&format!("line {}: ", lines + 1)), "{err}");
}

#[test]
fn bench_that_is_interrupted_still_reports_and_its_history_is_complete() {
    let cluster = Cluster::start(3, &[]);
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history.jsonl");
    let mut command = bench(&cluster, &history, &["--duration", "1h", "--echo"]);
    let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let length = || std::fs::metadata(&history).map_or(0, |file| file.len());
    wait_for("a history", || (length() > 0).then_some(()));
    signal(&process, Signal::INT);
    let output = process.wait_with_output().unwrap();
    let (report, lines) = bench_result(&output, &history);
    assert_eq!(report["interrupted"], true);
    assert_eq!(
        report["history"],
        serde_json::json!({"file": history, "calls": lines, "complete": true})
    );
}
