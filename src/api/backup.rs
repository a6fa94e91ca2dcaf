//! A backup, from the call to the stream of its pieces.

use std::pin::Pin;
use std::time::Duration;

use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::errors::Failure;
use super::service::no_time;
use crate::proto::BackupResponse;
use crate::queue::{Action, Operation};
use crate::runtime::{Backups, Handle, Pieces};

/// A backup on its way to a caller.
pub(super) type BackupStream = Pin<Box<dyn Stream<Item = Result<BackupResponse, Status>> + Send>>;

/// Has a read executed, and then a backup made of everything up to it. Whatever was answered anywhere before the call is
/// before the read; and a replica that is cut off refuses as it refuses any call.
pub(super) async fn begin(
    replica: &Handle,
    backups: &Backups,
    patience: Duration,
) -> Result<Pieces, Failure> {
    let place = backups.take_place().ok_or(Failure::BackupUnderWay)?;
    if patience.is_zero() {
        return Err(Failure::Refused(no_time()));
    }
    // Its answer does not matter, only its place.
    let read = Operation::new(Action::Id { label: 0 }, None);
    let executed = replica.submit(read, patience).await.map_err(Failure::Refused)?;
    let failed = |error| Failure::BackupFailed { why: format!("no thread for it: {error}") };
    place.begin(executed.sequence).map_err(failed)
}

/// The pieces as the caller gets them.
pub(super) fn stream(pieces: Pieces) -> BackupStream {
    let response = |piece: Result<Vec<u8>, String>| match piece {
        Ok(piece) => Ok(BackupResponse { piece }),
        Err(why) => Err(Failure::BackupFailed { why }.into()),
    };
    Box::pin(ReceiverStream::new(pieces).map(response))
}
