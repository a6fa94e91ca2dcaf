//! `ftqueue inspect`: what a replica's files hold, without changing them.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use crate::entry::{Body, Entry, Record};
use crate::storage::{Error, Folder, Scan, runs_ahead, scan};
use crate::types::ViewNumber;

/// The arguments of `inspect`.
#[derive(Args, Debug)]
#[command(after_help = "\
Reads the log of a replica, running or not, and changes nothing. Exits with 6 if it is damaged, with 3 if there is \
none or it cannot be read.

Examples:
  ftqueue inspect /var/lib/ftqueue
  ftqueue inspect /var/lib/ftqueue --entries")]
pub(crate) struct InspectArguments {
    /// The replica's data directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Print every record, a line each, as it was written
    #[arg(long)]
    entries: bool,

    /// Print one JSON object
    #[arg(long, conflicts_with = "entries")]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When its output cannot be written.
pub(crate) fn run(arguments: &InspectArguments) -> io::Result<Exit> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut failed = None;
    let mut print = |record: Record| {
        if arguments.entries && failed.is_none() {
            failed = writeln!(out, "{}", line(&record)).err();
        }
    };
    let folder = Folder::new(&arguments.directory);
    let scanned = scan(&folder, None, &mut print);
    if let Some(error) = failed {
        return Err(error);
    }
    let (exit, error) = match scanned {
        Ok(scan) if scan.is_empty() => {
            let error =
                format!("there is no log of a replica in {}", arguments.directory.display());
            (Exit::Unreachable, error)
        }
        Ok(scan) => {
            let ahead = runs_ahead(&folder)?;
            let told = match arguments.json {
                true => object(&scan, ahead).to_string(),
                false => describe(&scan, ahead),
            };
            writeln!(out, "{told}")?;
            out.flush()?;
            return Ok(Exit::Ok);
        }
        Err(error @ Error::Damaged { .. }) => (Exit::Damaged, error.to_string()),
        Err(error) => (Exit::Unreachable, error.to_string()),
    };
    if arguments.json {
        let damaged = exit == Exit::Damaged;
        writeln!(out, "{}", json!({ "error": error, "damaged": damaged }))?;
    }
    out.flush()?;
    if !arguments.json {
        writeln!(io::stderr(), "error: {error}")?;
    }
    Ok(exit)
}

fn line(record: &Record) -> String {
    match record {
        Record::Append(entry) => format!("append {}", entry_line(entry)),
        Record::Drop { after } => format!("drop after {after}"),
        Record::Promise(view) => format!("promise {view}"),
        Record::Delivered(through) => format!("delivered through {through}"),
        Record::Fence(life) => format!("fence {} below {}", life.id, life.incarnation),
        Record::New(disk) => format!("new disk {:016x}", disk.0),
        Record::Formatted(disks) => {
            let disks: Vec<_> = disks.iter().map(|disk| format!("{:016x}", disk.0)).collect();
            format!("formatted with disks {}", disks.join(" "))
        }
        Record::Lost => "lost".to_owned(),
        Record::Recovered => "recovered".to_owned(),
        Record::Accepted => "accepted".to_owned(),
    }
}

fn entry_line(entry: &Entry) -> String {
    let Entry { seq, view, body } = entry;
    match body {
        Body::Message { name, payload } => {
            format!("{seq} of {view}: {name}, {} bytes", payload.len())
        }
        Body::View(members) => {
            let members: Vec<_> =
                members.iter().map(|one| format!("{}.{}", one.id, one.incarnation)).collect();
            format!("{seq} of {view}: the view of {}", members.join(" "))
        }
    }
}

fn describe(scan: &Scan, ahead: bool) -> String {
    let view = |view: Option<ViewNumber>| match view {
        Some(view) => view.to_string(),
        None => "none".to_owned(),
    };
    let snapshot = match scan.snapshot {
        Some(snapshot) => {
            format!("of {} bytes, before segment {}", snapshot.bytes, snapshot.segment)
        }
        None => "none".to_owned(),
    };
    let bytes: u64 = scan.segments.iter().map(|(_, length)| length).sum();
    let mut lines = vec![
        format!("snapshot   {snapshot}"),
        format!("segments   {} of {bytes} bytes in all", scan.segments.len()),
        format!("records    {} in {} batches", scan.records, scan.batches),
        format!("last entry {} of view {}", scan.rules.last, view(scan.rules.last_view())),
        format!("delivered  through {}", scan.rules.delivered),
        format!("promised   {}", view(scan.rules.promised)),
        format!("disk       {}", scan.rules.disk.name()),
    ];
    if scan.torn > 0 {
        let torn = scan.torn;
        lines.push(format!("torn tail  {torn} bytes, which the next start cuts off"));
    }
    if ahead {
        lines.push(
            "async      acks run ahead of the disk: if the replica has ended, it was not in order, and its disk \
             counts as lost"
                .to_owned(),
        );
    }
    lines.join("\n")
}

fn object(scan: &Scan, ahead: bool) -> serde_json::Value {
    let segment = |(number, length): &(u64, u64)| json!({ "number": number, "bytes": length });
    json!({
        "snapshot": scan.snapshot.map(|snapshot| {
            json!({ "bytes": snapshot.bytes, "before_segment": snapshot.segment })
        }),
        "segments": scan.segments.iter().map(segment).collect::<Vec<_>>(),
        "batches": scan.batches,
        "records": scan.records,
        "last": scan.rules.last.0,
        "last_view": scan.rules.last_view().map(|view| view.to_string()),
        "delivered": scan.rules.delivered.0,
        "promised": scan.rules.promised.map(|view| view.to_string()),
        "torn_bytes": scan.torn,
        "disk": scan.rules.disk.name(),
        "acks_ahead_of_disk": ahead,
    })
}
