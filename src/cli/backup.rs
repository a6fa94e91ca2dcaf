//! `ftqueue backup`: all queues of a running cluster, in a file.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tonic::{Request, Streaming};

use super::arguments::{OutputArguments, positive_duration};
use super::backup_summary::Summary;
use super::exit::Exit;
use super::signals::Signals;
use super::whole_file::WholeFile;
use crate::client::{Endpoint, Failure, FailureCause, code_name, connect};
use crate::proto::ft_queue_admin_client::FtQueueAdminClient;
use crate::proto::{BackupRequest, BackupResponse};
use crate::storage::{self, BackupReader};

/// The arguments of `backup`.
#[derive(Args, Debug)]
#[command(after_help = "\
A backup has all queues and what named requests were answered, as of one place in the order of all operations: \
everything that any replica had answered before the backup was called for, and perhaps some of what came later. \
The replica reads it from its own files, beside the calls; it takes the memory of the queues once more until the \
backup is made. A replica that does not reach a majority refuses.

The file is there once it is whole, durable and checked; until then it is called FILE.new. Keep it as you keep the \
data itself: it is not encrypted. `ftqueue restore --help` says how a new cluster begins with it.

Examples:
  ftqueue backup monday.backup
  ftqueue backup monday.backup --endpoint q2:7001 --force --json")]
pub(crate) struct BackupArguments {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The replica that makes the backup, as HOST:PORT; any one will do
    #[arg(
        long,
        env = "FTQUEUE_ENDPOINT",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7001"
    )]
    endpoint: Endpoint,

    /// How long the replica may take to begin, which it does once a read was executed; at most 60s. The rest takes as
    /// long as it takes
    #[arg(
        long,
        env = "FTQUEUE_TIMEOUT",
        value_name = "TIME",
        default_value = "5s",
        value_parser = positive_duration
    )]
    timeout: Duration,

    /// Put it in the place of a file that is there
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    output: OutputArguments,
}

/// Why there is no backup.
enum NotMade {
    /// By a replica, or on the way to one.
    Call(Failure),
    /// By this side, for people.
    Here(String),
    /// What came, or what this side's disk made of it, is no backup: why, for people.
    Damaged(String),
}

impl From<io::Error> for NotMade {
    fn from(error: io::Error) -> Self {
        Self::Here(error.to_string())
    }
}

/// Runs the command.
///
/// # Errors
/// When its output cannot be written.
pub(crate) async fn run(arguments: BackupArguments) -> io::Result<Exit> {
    let mut signals = Signals::new()?;
    // What it has written so far goes with it.
    let made = tokio::select! {
        made = back_up(&arguments) => made,
        _ = signals.next() => Err(NotMade::Here("interrupted".to_owned())),
    };
    let mut out = io::stdout().lock();
    let (exit, told) = match made {
        Ok(summary) if arguments.output.json => (Exit::Ok, summary.object()),
        Ok(summary) => {
            writeln!(out, "{}", summary.text())?;
            return Ok(Exit::Ok);
        }
        Err(not_made) if arguments.output.json => {
            let error = object(&not_made);
            let endpoint = arguments.endpoint.as_str();
            let object = json!({ "file": arguments.file, "endpoint": endpoint, "error": error });
            (not_made.exit(), object)
        }
        Err(not_made) => {
            writeln!(io::stderr(), "{}", text(&not_made, &arguments))?;
            return Ok(not_made.exit());
        }
    };
    writeln!(out, "{told}")?;
    Ok(exit)
}

async fn back_up(arguments: &BackupArguments) -> Result<Summary, NotMade> {
    let BackupArguments { file, endpoint, timeout, force, output } = arguments;
    if !force && file.try_exists()? {
        return Err(NotMade::Here("the file is there; --force replaces it".to_owned()));
    }
    // Before a replica is troubled.
    let mut unfinished = WholeFile::create(file)?;
    let pieces = call(endpoint, *timeout).await.map_err(NotMade::Call)?;
    let progress = if output.json { ProgressBar::hidden() } else { bar() };
    let taken = take(pieces, &mut unfinished, &progress).await;
    progress.finish_and_clear();
    taken?;
    unfinished.sync()?;
    let summary = check(unfinished.unfinished(), file)?;
    unfinished.keep(*force)?;
    Ok(summary)
}

/// Asks for a backup, whose pieces come once the replica has begun.
async fn call(
    endpoint: &Endpoint,
    patience: Duration,
) -> Result<Streaming<BackupResponse>, Failure> {
    let asking = async {
        let channel = connect(endpoint, patience).await?;
        let mut request = Request::new(BackupRequest {});
        request.set_timeout(patience);
        let answer = FtQueueAdminClient::new(channel).backup(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| Failure::from_status(&status))
    };
    tokio::time::timeout(patience, asking).await.unwrap_or_else(|_| Err(Failure::no_answer()))
}

/// Writes the pieces as they come.
async fn take(
    mut pieces: Streaming<BackupResponse>,
    file: &mut WholeFile,
    progress: &ProgressBar,
) -> Result<(), NotMade> {
    let failed = |status| NotMade::Call(Failure::from_status(&status));
    while let Some(BackupResponse { piece }) = pieces.message().await.map_err(failed)? {
        file.write_all(&piece)?;
        progress.inc(piece.len() as u64);
    }
    Ok(())
}

/// Reads what was written from beginning to end, and says what it is.
fn check(written: &Path, file: &Path) -> Result<Summary, NotMade> {
    let read = || {
        let (mut backup, header) = BackupReader::open(written)?;
        while backup.part()?.is_some() {}
        Ok(Summary { file: file.to_owned(), header, bytes: backup.bytes(), check: backup.check() })
    };
    read().map_err(|error: storage::Error| {
        let why = format!("what came is no backup: {error}");
        match error {
            storage::Error::Damaged { .. } => NotMade::Damaged(why),
            _ => NotMade::Here(why),
        }
    })
}

/// Shows on a terminal that something is going on; how much is to come is not known.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {bytes} written, {bytes_per_sec}");
    let bar = ProgressBar::new_spinner().with_style(style.expect("the template is sound"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl NotMade {
    fn exit(&self) -> Exit {
        match self {
            Self::Call(failure) => match failure.cause {
                FailureCause::NotConnected | FailureCause::NotSent => Exit::Unreachable,
                // Whether the read was executed makes no difference to anybody.
                _ => Exit::Refused,
            },
            Self::Here(_) => Exit::Unreachable,
            Self::Damaged(_) => Exit::Damaged,
        }
    }
}

fn text(not_made: &NotMade, arguments: &BackupArguments) -> String {
    let file = arguments.file.display();
    match not_made {
        NotMade::Here(why) | NotMade::Damaged(why) => format!("backup failed: {file}: {why}"),
        NotMade::Call(Failure { message, reason, code, .. }) => {
            let (code, endpoint) = (code_name(*code), &arguments.endpoint);
            format!(
                "backup failed: {message}\n  reason   {reason} ({code}), {endpoint} was called\n  \
                 file     {file} was not written"
            )
        }
    }
}

fn object(not_made: &NotMade) -> Value {
    match not_made {
        NotMade::Here(why) | NotMade::Damaged(why) => json!({ "message": why }),
        NotMade::Call(Failure { code, reason, message, metadata, .. }) => json!({
            "code": code_name(*code),
            "reason": reason,
            "message": message,
            "metadata": metadata,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::Server;
    use tonic::{Response, Status};

    use super::*;
    use crate::proto::ft_queue_admin_server::{FtQueueAdmin, FtQueueAdminServer};
    use crate::proto::{StatusRequest, StatusResponse};
    use crate::storage::{BackupHeader, BackupWriter};
    use crate::types::ReplicaId;

    type Piece = Result<BackupResponse, Status>;

    /// A replica that sends these pieces, whatever they are.
    struct Sends(Vec<Piece>);

    #[tonic::async_trait]
    impl FtQueueAdmin for Sends {
        type BackupStream = tokio_stream::Iter<std::vec::IntoIter<Piece>>;

        async fn status(
            &self,
            _: Request<StatusRequest>,
        ) -> Result<Response<StatusResponse>, Status> {
            Err(Status::unimplemented("it only makes backups"))
        }

        async fn backup(
            &self,
            _: Request<BackupRequest>,
        ) -> Result<Response<Self::BackupStream>, Status> {
            Ok(Response::new(tokio_stream::iter(self.0.clone())))
        }
    }

    fn pieces(bytes: &[u8]) -> Vec<Piece> {
        bytes.chunks(10).map(|piece| Ok(BackupResponse { piece: piece.to_vec() })).collect()
    }

    /// What comes of a backup of these pieces, and of the file.
    async fn back_up_from(sent: Vec<Piece>) -> (Result<Summary, NotMade>, Vec<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
        let server = Server::builder().add_service(FtQueueAdminServer::new(Sends(sent)));
        let served = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let directory = tempfile::tempdir().unwrap();
        let arguments = BackupArguments {
            file: directory.path().join("backup"),
            endpoint,
            timeout: Duration::from_secs(30),
            force: false,
            output: OutputArguments { json: true },
        };
        let made = back_up(&arguments).await;
        served.abort();
        let files = fs::read_dir(directory.path()).unwrap();
        (made, files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect())
    }

    fn whole() -> Vec<u8> {
        let header = BackupHeader {
            cluster: "queues".to_owned(),
            replica: ReplicaId(2),
            unix_milliseconds: 7,
            sequence: 300,
            queues: 2,
            items: 5,
        };
        let mut bytes = Vec::new();
        let mut backup = BackupWriter::begin(&mut bytes, &header).unwrap();
        backup.part(b"some of the state").unwrap();
        backup.end().unwrap();
        bytes
    }

    #[tokio::test]
    async fn only_what_came_whole_becomes_a_file() {
        let good = whole();
        let (made, files) = back_up_from(pieces(&good)).await;
        assert!(made.is_ok_and(|summary| summary.bytes == good.len() as u64));
        assert_eq!(files, std::slice::from_ref(&good));

        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        let further = [&good[..], b"x"].concat();
        for bad in [&good[..good.len() - 1], &good[..good.len() - 20], &[], &flipped, &further] {
            let (made, files) = back_up_from(pieces(bad)).await;
            let Err(NotMade::Damaged(why)) = made else { panic!("{bad:?} became a backup") };
            assert!(why.starts_with("what came is no backup: "), "{why}");
            assert!(files.is_empty());
        }

        // An error in the middle, or when all has come but the word that this was all.
        for sent in [20, good.len()] {
            let mut ends_badly = pieces(&good[..sent]);
            ends_badly.push(Err(Status::unavailable("its disk is gone")));
            let (made, files) = back_up_from(ends_badly).await;
            let Err(NotMade::Call(failure)) = made else { panic!("it became a backup") };
            assert_eq!(failure.message, "its disk is gone");
            assert!(files.is_empty());
        }
    }

    #[test]
    fn what_is_no_backup_is_told_from_what_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("backup");
        let exit = || check(&file, &file).err().unwrap().exit();
        assert_eq!(exit(), Exit::Unreachable);
        fs::write(&file, "no backup").unwrap();
        assert_eq!(exit(), Exit::Damaged);
        // Each read of it fails as one of a bad sector does.
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/proc/self/mem", &file).unwrap();
        assert_eq!(exit(), Exit::Damaged);
    }
}
