//! `ftqueue restore`: the data directory of a replica of a new cluster, from a backup.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::arguments::OutputArguments;
use super::backup_summary::Summary;
use super::exit::Exit;
use super::paste::{quoted, typed};
use super::serve::{cluster_name, unix_milliseconds};
use crate::entry::Replacement;
use crate::queue::{Limits, Queues};
use crate::replica::Snapshot;
use crate::storage::{self, BackupReader, Owner};
use crate::types::{MAX_REPLICAS, ReplicaId, ViewNumber};

/// The arguments of `restore`.
#[derive(Args, Debug)]
#[command(after_help = "\
Run it once for every replica of the new cluster, each with its own --id and directory, all with the same file and \
the same --cluster-name; then start them. No server is needed. The whole file is checked before anything is made.

The new cluster has the backup's queues, with their ids, labels and items; sequences and queue ids go on from there, \
and a request that was answered before the backup is answered again, not executed again. What was answered after \
the backup is not there. The new name keeps its replicas and those of the old cluster, should one still run, from \
each other; so does a new key.

A replica that was not restored may start with an empty directory once a majority was: it recovers from the others.

Exits with 6 if the file is damaged, with 3 if it cannot be read or DIR cannot be used.

Examples:
  ftqueue restore monday.backup --id 0 --data data/r0 --cluster-name after-monday
  ftqueue restore monday.backup --id 1 --data data/r1 --cluster-name after-monday
  ftqueue restore monday.backup --id 2 --data data/r2 --cluster-name after-monday")]
pub(crate) struct RestoreArguments {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The data directory to make; it is missing, or empty
    #[arg(long, env = "FTQUEUE_DATA", value_name = "DIR")]
    data: PathBuf,

    /// The replica whose directory it is: its number in the new cluster
    #[arg(long, env = "FTQUEUE_ID", value_parser = clap::value_parser!(u8).range(..MAX_REPLICAS as i64))]
    id: u8,

    /// The new cluster's name, not that of the cluster in the backup
    #[arg(long, env = "FTQUEUE_CLUSTER_NAME", value_name = "NAME", value_parser = cluster_name)]
    cluster_name: String,

    /// Take the old name. Only where no replica of the old cluster will ever run again: with the same name and key it
    /// would take part in the new one
    #[arg(long)]
    same_name: bool,

    #[command(flatten)]
    output: OutputArguments,
}

/// Why nothing was made.
struct NotMade {
    exit: Exit,
    why: String,
}

impl From<storage::Error> for NotMade {
    fn from(error: storage::Error) -> Self {
        let exit = match &error {
            storage::Error::Damaged { .. } => Exit::Damaged,
            _ => Exit::Unreachable,
        };
        Self { exit, why: error.to_string() }
    }
}

/// Runs the command.
///
/// # Errors
/// When its output cannot be written.
pub(crate) fn run(arguments: &RestoreArguments) -> io::Result<Exit> {
    let (made, mut out) = (make(arguments), io::stdout().lock());
    let RestoreArguments { data, id, cluster_name, output, .. } = arguments;
    match made {
        Ok(summary) if output.json => {
            let object = json!({
                "backup": summary.object(),
                "data": data,
                "replica": id,
                "cluster": cluster_name,
            });
            writeln!(out, "{object}")?;
            Ok(Exit::Ok)
        }
        Ok(summary) => {
            let (directory, text) = (data.display(), summary.text());
            writeln!(
                out,
                "{text}\nrestored as replica {id} of cluster {cluster_name}, in {directory}"
            )?;
            writeln!(out, "next     {}", serve_line(arguments))?;
            Ok(Exit::Ok)
        }
        Err(NotMade { exit, why }) => {
            if output.json {
                writeln!(out, "{}", json!({ "error": why, "damaged": exit == Exit::Damaged }))?;
            } else {
                writeln!(io::stderr(), "error: {why}")?;
            }
            Ok(exit)
        }
    }
}

fn make(arguments: &RestoreArguments) -> Result<Summary, NotMade> {
    let RestoreArguments { file, data, id, cluster_name, same_name, .. } = arguments;
    let (summary, queues) = read(file)?;
    if *cluster_name == summary.header.cluster && !same_name {
        let why = format!(
            "the backup is of a cluster that is called {cluster_name}, too: give the new one another name, so that \
             the replicas of both keep apart (or see --same-name)"
        );
        return Err(NotMade { exit: Exit::Usage, why });
    }
    let owner = Owner { cluster: cluster_name.clone(), replica: ReplicaId(*id) };
    let replacement = replacement(queues, summary.check);
    storage::restore(data, &owner, unix_milliseconds(), &replacement)?;
    Ok(summary)
}

/// Reads a whole backup, all of which must be right.
fn read(file: &Path) -> Result<(Summary, Queues), storage::Error> {
    let (mut backup, header) = BackupReader::open(file)?;
    let mut queues = Queues::new(Limits::DEFAULT);
    while let Some(part) = backup.part()? {
        queues.read_part(&part).map_err(|malformed| backup.bad(malformed.0))?;
    }
    queues.parts_end().map_err(|malformed| backup.bad(malformed.0))?;
    if (queues.sequence(), queues.counts()) != (header.sequence, (header.queues, header.items)) {
        return Err(backup.bad("it is not what its header says"));
    }
    let summary =
        Summary { file: file.to_owned(), header, bytes: backup.bytes(), check: backup.check() };
    Ok((summary, queues))
}

/// The log of a cluster that begins with these queues.
///
/// Its first view's number is the backup's: of two logs whose entries have one number and one view, replicas believe
/// that they are the same. So they are only if both are from the same backup, and no cluster that began with nothing,
/// whose views are numbered from 1, has such an entry.
fn replacement(queues: Queues, check: [u8; 16]) -> Replacement {
    let [one, two, three, four, ..] = check;
    let round = u64::from(u32::from_be_bytes([one, two, three, four])) + (1 << 32);
    Snapshot::beginning(queues, ViewNumber { round, proposer: ReplicaId(0) }).to_replacement()
}

/// The line that starts the replica, but for what the backup cannot know.
fn serve_line(arguments: &RestoreArguments) -> String {
    let RestoreArguments { data, id, cluster_name, .. } = arguments;
    let program = std::env::current_exe().map_or_else(|_| "ftqueue".to_owned(), |it| typed(&it));
    let data = quoted(&data.to_string_lossy());
    format!(
        "{program} serve --id {id} --cluster-name {cluster_name} --data {data} --cluster 0=HOST:PORT,… \
         --listen HOST:PORT"
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::queue::{Action, Operation, RequestName};
    use crate::storage::{BackupHeader, BackupWriter, Error};

    fn queues() -> Queues {
        let mut queues = Queues::new(Limits::DEFAULT);
        let request = Some(RequestName { client: "me".into(), number: 1 });
        queues.apply(&Operation::new(Action::Create { label: -7 }, request));
        for item in [3, -4, i64::MAX] {
            let action = Action::Push { queue: 1, item };
            queues.apply(&Operation::new(action, None));
        }
        queues
    }

    fn backup(queues: &Queues, change: impl FnOnce(&mut BackupHeader)) -> Vec<u8> {
        let (count, items) = queues.counts();
        let mut header = BackupHeader {
            cluster: "old".to_owned(),
            replica: ReplicaId(2),
            unix_milliseconds: 7,
            sequence: queues.sequence(),
            queues: count,
            items,
        };
        change(&mut header);
        let mut bytes = Vec::new();
        let mut backup = BackupWriter::begin(&mut bytes, &header).unwrap();
        queues.encode(&mut |part| backup.part(part)).unwrap();
        backup.end().unwrap();
        bytes
    }

    fn read_bytes(bytes: &[u8]) -> Result<(Summary, Queues), Error> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("backup");
        fs::write(&file, bytes).unwrap();
        read(&file)
    }

    #[test]
    fn what_is_read_is_what_was_backed_up() {
        let (summary, read) = read_bytes(&backup(&queues(), |_| {})).unwrap();
        assert_eq!(read.digest(), queues().digest());
        assert_eq!((summary.header.sequence, summary.header.items), (4, 3));
    }

    #[test]
    fn a_file_with_any_byte_changed_or_cut_is_refused() {
        let good = backup(&queues(), |_| {});
        let refused = |bytes: &[u8], what: String| {
            let error = read_bytes(bytes).map(|_| ()).expect_err(&what);
            assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}");
        };
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            refused(&bad, format!("byte {at}"));
            refused(&good[..at], format!("cut at {at}"));
        }
        refused(&[&good[..], b"x"].concat(), "one more".to_owned());
    }

    #[test]
    fn a_header_that_says_something_else_is_refused() {
        let changes: [fn(&mut BackupHeader); 3] = [
            |header| header.sequence += 1,
            |header| header.queues += 1,
            |header| header.items -= 1,
        ];
        for change in changes {
            let error = read_bytes(&backup(&queues(), change)).map(|_| ()).unwrap_err();
            assert!(error.to_string().ends_with("it is not what its header says"), "{error}");
        }
    }

    #[test]
    fn one_backup_is_one_beginning_and_another_is_another() {
        let check = |change: fn(&mut BackupHeader)| {
            let (summary, queues) = read_bytes(&backup(&queues(), change)).unwrap();
            replacement(queues, summary.check)
        };
        let (one, again) = (check(|_| {}), check(|_| {}));
        assert_eq!(one, again);
        let later = check(|header| header.unix_milliseconds += 1);
        assert_ne!(one.promised, later.promised);
        assert_eq!(one.boundaries.last().map(|last| last.view), Some(one.promised));
        assert!(one.promised.round >= 1 << 32);
    }
}
