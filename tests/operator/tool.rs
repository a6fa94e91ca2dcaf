//! The commands as an operator runs them, and what came of them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, LIMIT, ftqueue};

/// How often is looked whether something has come.
const LOOK: Duration = Duration::from_millis(20);

/// How a command ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    let mut command = ftqueue();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let exit = output.status.code().unwrap_or(-1);
    Ran { exit, out: text(output.stdout), err: text(output.stderr) }
}

impl Ran {
    /// What it printed as one JSON object.
    pub(crate) fn object(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

/// The replicas' addresses as `--endpoints` takes them.
pub(crate) fn endpoints(cluster: &Cluster) -> String {
    let all: Vec<_> = cluster.replicas.iter().map(|replica| replica.grpc.to_string()).collect();
    all.join(",")
}

/// A call at one replica, by the command: the exit code, and one JSON object.
pub(crate) fn call(cluster: &Cluster, id: usize, arguments: &[&str]) -> (i32, Value) {
    call_within("5s", cluster, id, arguments)
}

/// The same with a deadline.
pub(crate) fn call_within(
    timeout: &str,
    cluster: &Cluster,
    id: usize,
    arguments: &[&str],
) -> (i32, Value) {
    let endpoint = cluster.replicas[id].grpc.to_string();
    let further = ["--endpoints", &endpoint, "--timeout", timeout, "--json"];
    let ran = run(&[arguments, &further].concat());
    assert_eq!(ran.err, "");
    (ran.exit, ran.object())
}

/// `ftqueue status` of all replicas: the exit code, and for each what it says.
pub(crate) fn status(cluster: &Cluster) -> (i32, Value) {
    let ran = run(&["status", "--json", "--endpoints", &endpoints(cluster)]);
    assert_eq!(ran.err, "");
    (ran.exit, ran.object())
}

/// Waits until `status` of all replicas is as wanted.
pub(crate) fn until_status(
    cluster: &Cluster,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> (i32, Value) {
    wait_for(what, || {
        let (exit, all) = status(cluster);
        if wanted(&all["replicas"]) { Ok((exit, all)) } else { Err(all) }
    })
}

/// Waits for something that happens soon; says what there was instead when it does not.
pub(crate) fn wait_for<T, E: std::fmt::Debug>(
    what: &str,
    mut happened: impl FnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    loop {
        match happened() {
            Ok(value) => return value,
            Err(instead) => {
                assert!(started.elapsed() < LIMIT, "{what} did not happen: {instead:#?}");
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// The replicas of a status that serve.
pub(crate) fn serving(replicas: &Value) -> usize {
    replicas.as_array().unwrap().iter().filter(|one| one["serving"] == true).count()
}
