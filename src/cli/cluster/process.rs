//! One replica's process: started, watched, stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};

/// What a replica's process is started with.
pub(super) struct Start<'a> {
    /// The program that has the `serve` command.
    pub program: &'a Path,
    /// The replica.
    pub id: u8,
    /// What `--cluster` takes.
    pub cluster: &'a str,
    /// What `--listen` takes.
    pub listen: String,
    /// The cluster key, 64 hex digits: by the environment, since anyone may list a process's arguments.
    pub key: &'a str,
    /// Where the replica's directory and log are made.
    pub directory: &'a Path,
}

/// A replica's process.
pub(super) struct Process {
    /// The replica.
    pub id: u8,
    /// Where its output goes.
    pub log: PathBuf,
    child: Child,
    /// How it ended, once it has.
    ended: Option<ExitStatus>,
    /// Held open: `serve --stop-with-stdin` ends with its standard input, so no replica outlives this process, however
    /// this process ends.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts a replica.
    ///
    /// # Errors
    /// When its directory, its log or its process cannot be made.
    pub(super) fn start(start: &Start<'_>) -> io::Result<Self> {
        let data = start.directory.join(format!("replica-{}", start.id));
        let log = start.directory.join(format!("replica-{}.log", start.id));
        fs::create_dir_all(&data).map_err(|error| at(&data, &error))?;
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output = output.map_err(|error| at(&log, &error))?;
        let mut child = Command::new(start.program)
            .arg("serve")
            .args(["--id", &start.id.to_string()])
            .args(["--cluster", start.cluster])
            .args(["--listen", &start.listen])
            .arg("--data")
            .arg(&data)
            .arg("--stop-with-stdin")
            .env("FTQUEUE_CLUSTER_KEY", start.key)
            // Meant for one replica that a person starts; here they would clash.
            .env_remove("FTQUEUE_CLUSTER_KEY_FILE")
            .env_remove("FTQUEUE_RING_LISTEN")
            .env_remove("FTQUEUE_METRICS")
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A group of its own: Ctrl-C comes to this process alone, which then stops the replicas in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        Ok(Self { id: start.id, log, child, ended: None, _stdin: stdin })
    }

    /// Looks whether the process has ended; tells it once.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub(super) fn newly_ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_some() {
            return Ok(None);
        }
        self.ended = self.child.try_wait()?;
        Ok(self.ended)
    }

    /// Whether it still runs, as far as is known.
    pub(super) fn runs(&self) -> bool {
        self.ended.is_none()
    }

    /// Asks it to stop. One that has just ended needs no asking.
    pub(super) fn ask_to_stop(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let (true, Some(pid)) = (self.runs(), pid) {
            kill_process(pid, Signal::TERM).ok();
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.ended = Some(status);
        Ok(status)
    }

    /// Ends it now.
    ///
    /// # Errors
    /// When the operating system cannot say that it ended.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        if self.runs() {
            self.child.kill().await?;
            self.wait().await?;
        }
        Ok(())
    }

    /// Where its log is and how it ends; for people, so it is as good as can be had.
    pub(super) fn end_of_log(&self) -> String {
        let tail = File::open(&self.log).and_then(tail).unwrap_or_default();
        let lines: Vec<_> = tail.lines().rev().take(LOG_LINES).collect();
        let lines: String = lines.iter().rev().map(|line| format!("\n    {line}")).collect();
        format!("its log is {}:{lines}", self.log.display())
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// How many lines of a log are shown when its replica ends …
const LOG_LINES: usize = 8;
/// … within this many bytes.
const LOG_BYTES: u64 = 4096;

fn tail(mut file: File) -> io::Result<String> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
