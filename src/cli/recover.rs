//! `ftqueue recover`: an operator's word that what a disk lost is lost.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::arguments::OutputArguments;
use super::exit::Exit;
use super::serve::{cluster_name, unix_milliseconds};
use crate::entry::DiskState;
use crate::replica::Snapshot;
use crate::storage::{self, Accepted, DataDirectory, Owner, accept_loss};
use crate::types::{Incarnation, MAX_REPLICAS, ReplicaId, Seq, ViewNumber};

/// The arguments of `recover`.
#[derive(Args, Debug)]
#[command(after_help = "\
A replica whose disk was lost or damaged recovers by itself as long as a majority of the replicas has theirs: do \
nothing then. This command is for when more are lost than that, or when there is but one replica: `ftqueue status` \
shows replicas that stay `recovering`, or a replica does not start and exits with 6.

It makes what can be read of the directory all that its replica is to hold. Answered operations that were on lost \
disks alone are gone for good, and some that were answered may be executed again. So, before it:
  - try everything to get the disks back, of any replica;
  - keep copies of all data directories;
  - start all replicas, with empty directories where theirs are gone, and wait until they are `recovering`: an empty \
directory alone does not say that anything was lost;
  - stop the replica whose directory it is, and leave those running whose disks are sound: what they have is kept.
Then run it for as few replicas as a majority needs, counting those whose disks are sound. The others recover by \
themselves. Where the cluster never was started as a whole, so that the other replicas are `new`, empty the directory \
instead.

Where the file that says whose directory it is is missing or damaged, --id and --cluster-name say it, and the file \
is written anew. Nothing is lost if the log is sound.

Exits with 1 if the disk is not lost, with 3 if DIR cannot be used.

Example:
  ftqueue recover --accept-loss --data /var/lib/ftqueue")]
pub(crate) struct RecoverArguments {
    /// Yes, what cannot be read is to be lost for good
    #[arg(long, required = true)]
    accept_loss: bool,

    /// The data directory of a replica that does not run
    #[arg(long, env = "FTQUEUE_DATA", value_name = "DIR")]
    data: PathBuf,

    /// Whose directory it is, where that cannot be read
    #[arg(long, env = "FTQUEUE_ID", value_parser = clap::value_parser!(u8).range(..MAX_REPLICAS as i64))]
    id: Option<u8>,

    /// The cluster's name, where that cannot be read
    #[arg(long, env = "FTQUEUE_CLUSTER_NAME", value_name = "NAME", value_parser = cluster_name)]
    cluster_name: Option<String>,

    #[command(flatten)]
    output: OutputArguments,
}

/// What came of it.
enum Recovered {
    /// What can be read is all that counts from now on.
    Accepted { held: Box<Snapshot>, end: (ViewNumber, Seq) },
    /// The log is sound; the file that says whose it is was not, and is written anew.
    OwnerWritten,
    /// There is nothing to do.
    NotLost(DiskState),
}

/// Why there was none.
enum Failure {
    Storage(storage::Error),
    /// Nothing says whose directory it is.
    Ownerless(storage::Error),
}

/// Runs the command.
///
/// # Errors
/// When its output cannot be written.
pub(crate) fn run(arguments: &RecoverArguments) -> io::Result<Exit> {
    let mut out = io::stdout().lock();
    let (exit, why) = match recover(arguments) {
        Ok((owner, Recovered::Accepted { held, end: (view, last) })) => {
            let (delivered, sequence) = (held.delivered_through(), held.queues().sequence());
            if arguments.output.json {
                let object = json!({
                    "replica": owner.replica.0,
                    "cluster": owner.cluster,
                    "last": last.0,
                    "view": view.to_string(),
                    "delivered": delivered.0,
                    "sequence": sequence,
                });
                writeln!(out, "{object}")?;
            } else {
                writeln!(
                    out,
                    "{} of cluster {} holds entries through {last}, delivered through {delivered}: sequence {sequence}\n\
                     start it: it takes part with that, and what no other replica has beyond it is lost",
                    owner.replica, owner.cluster
                )?;
            }
            return Ok(Exit::Ok);
        }
        Ok((Owner { cluster, replica }, Recovered::OwnerWritten)) => {
            if arguments.output.json {
                let object = json!({ "replica": replica.0, "cluster": cluster, "lost": false });
                writeln!(out, "{object}")?;
            } else {
                writeln!(
                    out,
                    "the log is sound, and nothing is lost: the file `incarnation` says again that it is of {replica} of \
                     cluster {cluster}\nstart it: it takes part with all that it had"
                )?;
            }
            return Ok(Exit::Ok);
        }
        Ok((_, Recovered::NotLost(DiskState::Empty | DiskState::New))) => {
            (Exit::Refused, "the disk is new: there is nothing to accept the loss of".to_owned())
        }
        Ok((_, Recovered::NotLost(_))) => {
            (Exit::Refused, "the disk is sound: there is nothing to accept the loss of".to_owned())
        }
        Err(Failure::Storage(error)) => (Exit::Unreachable, error.to_string()),
        Err(Failure::Ownerless(error)) => (
            Exit::Unreachable,
            format!("{error}; --id and --cluster-name say whose directory it is"),
        ),
    };
    if arguments.output.json {
        writeln!(out, "{}", json!({ "error": why }))?;
    } else {
        writeln!(io::stderr(), "error: {why}")?;
    }
    Ok(exit)
}

fn recover(arguments: &RecoverArguments) -> Result<(Owner, Recovered), Failure> {
    if !arguments.data.is_dir() {
        let (path, source) = (arguments.data.clone(), io::ErrorKind::NotFound.into());
        return Err(storage::Error::Unusable { path, source }.into());
    }
    let directory = DataDirectory::open(&arguments.data)?;
    let told = arguments.id.zip(arguments.cluster_name.clone());
    let (owner, last, found) = match (directory.owner_and_last_life(), told) {
        (Ok((owner, last)), _) => (owner, last, true),
        (Err(storage::Error::Damaged { .. }), Some((id, cluster))) => {
            (Owner { cluster, replica: ReplicaId(id) }, Incarnation(0), false)
        }
        (Err(error @ storage::Error::Damaged { .. }), None) => {
            return Err(Failure::Ownerless(error));
        }
        (Err(error), _) => return Err(error.into()),
    };
    let recovered = match accept_loss(&directory, owner.hash())? {
        Accepted::Sound { state, end } => Recovered::Accepted { held: Box::new(state), end },
        Accepted::NotLost(DiskState::Sound | DiskState::Accepted) if !found => {
            Recovered::OwnerWritten
        }
        Accepted::NotLost(state) => return Ok((owner, Recovered::NotLost(state))),
    };
    directory.begin_life(&owner, last, unix_milliseconds())?;
    Ok((owner, recovered))
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        Self::Storage(error)
    }
}
