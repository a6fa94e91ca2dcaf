//! Bare gRPC servers beside the bench, to compare with.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::Endpoint;

/// Running echo servers, each a process. They end when this is dropped, and with this process in any case.
pub(super) struct EchoServers {
    endpoints: Vec<Endpoint>,
    _processes: Vec<Child>,
}

/// How long a server may take to say where it listens.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// The longest line it may say it in.
const MAX_LINE: u64 = 128;

impl EchoServers {
    /// Starts `count` of them on free ports of loopback.
    ///
    /// # Errors
    /// When one does not start.
    pub(super) async fn start(count: usize) -> io::Result<Self> {
        let (mut endpoints, mut processes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut process = Command::new(std::env::current_exe()?)
                .args(["echo-server", "--listen", "127.0.0.1:0", "--stop-with-stdin"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            endpoints.push(tokio::time::timeout(START_PATIENCE, address(&mut process)).await??);
            processes.push(process);
        }
        Ok(Self { endpoints, _processes: processes })
    }

    /// Where they serve.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints.clone()
    }
}

/// Reads the first line of a server's output.
async fn address(process: &mut Child) -> io::Result<Endpoint> {
    let output = process.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let mut line = String::new();
    BufReader::new(output.take(MAX_LINE)).read_line(&mut line).await?;
    line.trim_end().parse().map_err(io::Error::other)
}
