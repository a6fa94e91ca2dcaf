//! What a backup is, as the commands say it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::utc::utc;
use crate::storage::BackupHeader;

/// A backup that was read from beginning to end.
pub(crate) struct Summary {
    /// Where it is.
    pub(crate) file: PathBuf,
    /// What it is of.
    pub(crate) header: BackupHeader,
    /// Its length.
    pub(crate) bytes: u64,
    /// What tells it from all others.
    pub(crate) check: [u8; 16],
}

impl Summary {
    /// The check as both forms have it.
    pub(crate) fn check_in_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.check))
    }

    /// Lines for people.
    pub(crate) fn text(&self) -> String {
        let BackupHeader { cluster, replica, unix_milliseconds, sequence, queues, items } =
            &self.header;
        format!(
            "backup   {} of {} bytes, check {}\nmade     by replica {} of cluster {cluster}, at {}\n\
             holds    queues {queues}, items {items}, through operation {sequence}",
            self.file.display(),
            self.bytes,
            self.check_in_hex(),
            replica.0,
            utc(*unix_milliseconds),
        )
    }

    /// The same for machines.
    pub(crate) fn object(&self) -> Value {
        let BackupHeader { cluster, replica, unix_milliseconds, sequence, queues, items } =
            &self.header;
        json!({
            "file": self.file,
            "bytes": self.bytes,
            "check": self.check_in_hex(),
            "cluster": cluster,
            "replica": replica.0,
            "unix_ms": unix_milliseconds,
            "sequence": sequence,
            "queues": queues,
            "items": items,
        })
    }
}
