//! Which of a replica's lives this is. No two lives may have the same number: messages are named by it, and
//! datagrams sealed with it.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use super::directory::{DataDirectory, Error};
use super::disk::Disk as _;
use super::foreign::refuse_other_formats;
use super::log::{SEGMENT_LENGTH, Storage};
use super::segment::{name_of, segment_of};
use super::version::{FORMAT, of_other_format};
use crate::entry::Record;
use crate::types::{Incarnation, ReplicaId};

/// The file's name.
const FILE: &str = "incarnation";
/// What the first line begins with; the format of all that is in the directory follows.
const TITLE: &str = "ftqueue incarnation ";
/// The file's bound, in bytes: with the longest cluster name it is far below.
const LIMIT: u64 = 4_096;

/// Whose directory it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    /// The cluster's name: one line.
    pub cluster: String,
    /// The replica.
    pub replica: ReplicaId,
}

impl Owner {
    /// A hash of it, which the log's files carry.
    pub(crate) fn hash(&self) -> u64 {
        let digest = digest(&SHA256, format!("{}\n{}", self.replica.0, self.cluster).as_bytes());
        digest.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }
}

impl DataDirectory {
    /// The last life that this directory has seen; 0 where it has seen none. Makes the log where there is none.
    ///
    /// # Errors
    /// [`Error::Foreign`] when the directory is another's or of another format, [`Error::Damaged`] when it lacks what a life
    /// leaves, [`Error::Failed`].
    pub(crate) fn last_life(&self, owner: &Owner) -> Result<Incarnation, Error> {
        refuse_other_formats(&self.folder())?;
        let damaged =
            |detail: &str| Error::Damaged { path: self.path_of(FILE), detail: detail.to_owned() };
        let Some(_) = self.read(FILE, LIMIT)? else {
            // The log is made before this file: where this file is there is a log, or it was lost.
            let (_, found) =
                Storage::open(self.folder(), owner.hash(), SEGMENT_LENGTH, &mut |_: Record| {})?;
            if found.records > 0 || found.snapshot.is_some() {
                return Err(damaged("it is missing, though there is a log"));
            }
            return Ok(Incarnation(0));
        };
        let (stored, last) = self.owner_and_last_life()?;
        if stored != *owner {
            let detail = format!(
                "the data directory belongs to replica {} of cluster '{}', not to replica {} of '{}'",
                stored.replica.0, stored.cluster, owner.replica.0, owner.cluster
            );
            return Err(Error::Foreign { path: self.path_of(FILE), detail });
        }
        let folder = self.folder();
        let failed = |source| {
            let path = folder.path("");
            Error::Failed { doing: "reading", path, source }
        };
        let names = folder.list().map_err(failed)?;
        if !names.iter().any(|name| segment_of(name).is_some()) {
            let detail = "it is missing, though the replica has lived before".to_owned();
            return Err(Error::Damaged { path: self.path_of(&name_of(1)), detail });
        }
        Ok(last)
    }

    /// Whose directory it is, and the last life that it has seen.
    ///
    /// # Errors
    /// [`Error::Damaged`] where that cannot be told, [`Error::Foreign`] where the directory is of another format,
    /// [`Error::Failed`].
    pub(crate) fn owner_and_last_life(&self) -> Result<(Owner, Incarnation), Error> {
        let path = self.path_of(FILE);
        let bytes = self.read(FILE, LIMIT)?;
        match bytes.as_deref().map_or(Err(Unusable::Damaged("it is missing")), parse) {
            Ok(read) => Ok(read),
            Err(Unusable::Damaged(why)) => Err(Error::Damaged { path, detail: why.to_owned() }),
            Err(Unusable::OfFormat(other)) => Err(of_other_format(&path, &other)),
        }
    }

    /// Begins a new life: above the last one, and where the clock tells the time not below those that a lost disk had seen.
    /// It is durable before this returns.
    ///
    /// # Errors
    /// [`Error::Damaged`] where there is no further life, [`Error::Failed`].
    pub(crate) fn begin_life(
        &self,
        owner: &Owner,
        last: Incarnation,
        unix_milliseconds: u64,
    ) -> Result<Incarnation, Error> {
        let next = last.0.checked_add(1).ok_or_else(|| Error::Damaged {
            path: self.path_of(FILE),
            detail: "its number has no next one".to_owned(),
        })?;
        let incarnation = Incarnation(next.max(unix_milliseconds));
        self.replace(FILE, print(owner, incarnation).as_bytes())?;
        Ok(incarnation)
    }
}

fn print(owner: &Owner, incarnation: Incarnation) -> String {
    let text = format!(
        "{TITLE}{FORMAT}\ncluster {}\nreplica {}\nincarnation {}\n",
        owner.cluster, owner.replica.0, incarnation.0
    );
    let checksum = checksum(&text);
    format!("{text}sha256 {checksum}\n")
}

/// Why the file cannot be used.
enum Unusable {
    Damaged(&'static str),
    /// It is whole, and of another format.
    OfFormat(String),
}

fn parse(bytes: &[u8]) -> Result<(Owner, Incarnation), Unusable> {
    let body = whole(bytes).map_err(Unusable::Damaged)?;
    let title = body.lines().next().unwrap_or_default();
    match title.strip_prefix(TITLE) {
        Some(format) if format == FORMAT.to_string() => {}
        Some(other) => return Err(Unusable::OfFormat(other.to_owned())),
        None => return Err(Unusable::Damaged("its first line is not its title")),
    }
    owner_and_life(body).map_err(Unusable::Damaged)
}

/// All but the checksum, which matches.
fn whole(bytes: &[u8]) -> Result<&str, &'static str> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let end = text.rfind("\nsha256 ").ok_or("it has no checksum")?;
    let (body, last) = text.split_at(end + 1);
    let matches = last.strip_prefix("sha256 ") == Some(format!("{}\n", checksum(body)).as_str());
    if matches { Ok(body) } else { Err("its checksum does not match") }
}

fn owner_and_life(body: &str) -> Result<(Owner, Incarnation), &'static str> {
    let mut lines = body.lines().skip(1);
    let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
    let cluster = value("cluster").ok_or("its second line is not the cluster")?.to_owned();
    let replica = value("replica").and_then(|id| id.parse().ok()).ok_or("its replica is no id")?;
    let incarnation = value("incarnation")
        .and_then(|number| number.parse().ok())
        .ok_or("its incarnation is no number")?;
    Ok((Owner { cluster, replica: ReplicaId(replica) }, Incarnation(incarnation)))
}

fn checksum(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::entry::Record;
    use crate::storage::{Append, distrust};
    use crate::types::ViewNumber;

    fn begin(directory: &DataDirectory, owner: &Owner, now: u64) -> Result<Incarnation, Error> {
        directory.begin_life(owner, directory.last_life(owner)?, now)
    }

    fn owner() -> Owner {
        Owner { cluster: "sha256 of queues".to_owned(), replica: ReplicaId(2) }
    }

    #[test]
    fn lives_rise_whatever_the_clock_says() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(temporary.path()).unwrap();
        let next = |now| begin(&directory, &owner(), now).unwrap().0;
        assert_eq!(next(0), 1);
        assert_eq!(next(1_000), 1_000);
        assert_eq!(next(1_000), 1_001);
        assert_eq!(next(10), 1_002);
        assert_eq!(next(2_000), 2_000);
    }

    #[test]
    fn any_changed_byte_is_found() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(temporary.path()).unwrap();
        begin(&directory, &owner(), 7).unwrap();
        let path = temporary.path().join(FILE);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let error = begin(&directory, &owner(), 7).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "byte {at}: {error}");
            fs::write(&path, &good[..at]).unwrap();
            let error = begin(&directory, &owner(), 7).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "cut at {at}: {error}");
        }
        fs::write(&path, [good.as_slice(), b"x"].concat()).unwrap();
        assert!(matches!(begin(&directory, &owner(), 7), Err(Error::Damaged { .. })));
        fs::write(&path, &good).unwrap();
        assert_eq!(begin(&directory, &owner(), 7).unwrap(), Incarnation(8));
    }

    #[test]
    fn one_without_the_other_is_damage() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(temporary.path()).unwrap();
        begin(&directory, &owner(), 7).unwrap();
        let log = temporary.path().join(name_of(1));
        let empty = fs::read(&log).unwrap();
        fs::remove_file(&log).unwrap();
        let error = begin(&directory, &owner(), 7).unwrap_err();
        assert!(matches!(&error, Error::Damaged { path, .. } if *path == log), "{error}");

        // The start may have ended before the incarnation was there, but not after anything was written.
        fs::remove_file(temporary.path().join(FILE)).unwrap();
        fs::write(&log, &empty).unwrap();
        assert_eq!(begin(&directory, &owner(), 7).unwrap(), Incarnation(7));
        let opened =
            Storage::open(directory.folder(), owner().hash(), SEGMENT_LENGTH, &mut |_: Record| {});
        let (mut storage, _) = opened.unwrap();
        let view = ViewNumber { round: 1, proposer: ReplicaId(2) };
        assert_eq!(storage.append(&[Record::Promise(view)]).unwrap(), Append::Written);
        storage.sync().unwrap();
        fs::remove_file(temporary.path().join(FILE)).unwrap();
        let error = begin(&directory, &owner(), 7).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }

    #[test]
    fn the_last_number_has_no_next() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(temporary.path()).unwrap();
        begin(&directory, &owner(), u64::MAX).unwrap();
        assert!(matches!(begin(&directory, &owner(), 7), Err(Error::Damaged { .. })));
    }

    /// Its files say which format they have, and what has another one is left as it is.
    #[test]
    fn a_directory_of_another_format_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(temporary.path()).unwrap();
        begin(&directory, &owner(), 7).unwrap();
        let path = temporary.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("ftqueue incarnation 2\n"), "{text}");
        let log = fs::read(temporary.path().join(name_of(1))).unwrap();
        assert_eq!(&log[..8], b"FTQLOG\0\x02");

        let body = text.rsplit_once("sha256").unwrap().0.replace("incarnation 2", "incarnation 1");
        let of_before = format!("{body}sha256 {}\n", checksum(&body));
        fs::write(&path, &of_before).unwrap();
        let error = begin(&directory, &owner(), 7).unwrap_err();
        let refused = "has format 1, of another version of FTQueue; this one has format 2";
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        assert!(error.to_string().ends_with(refused), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), of_before);

        // The log says so by itself, whatever became of the other file, unless it was damaged itself.
        fs::remove_file(&path).unwrap();
        let file = temporary.path().join(name_of(1));
        let mut bytes = log.clone();
        bytes[7] = 1;
        fs::write(&file, &bytes).unwrap();
        let error = begin(&directory, &owner(), 7).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        let check = digest(&SHA256, &bytes[..40]);
        bytes[40..56].copy_from_slice(&check.as_ref()[..16]);
        fs::write(&file, &bytes).unwrap();
        let error = begin(&directory, &owner(), 7).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        assert!(error.to_string().ends_with(refused), "{error}");
        for other in [text.as_str(), "damaged", ""] {
            fs::write(&path, other).unwrap();
            let error = begin(&directory, &owner(), 7).unwrap_err();
            assert!(matches!(error, Error::Foreign { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
        distrust(&mut directory.folder()).unwrap();
        let opened =
            Storage::open(directory.folder(), owner().hash(), SEGMENT_LENGTH, &mut |_: Record| {});
        assert!(matches!(opened, Err(Error::Foreign { .. })));
        assert_eq!(fs::read(&file).unwrap(), bytes);
    }

    #[test]
    fn a_directory_belongs_to_one_replica_of_one_cluster() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(temporary.path()).unwrap();
        begin(&directory, &owner(), 7).unwrap();
        for other in [
            Owner { replica: ReplicaId(1), ..owner() },
            Owner { cluster: "another".to_owned(), ..owner() },
        ] {
            let error = begin(&directory, &other, 7).unwrap_err();
            assert!(matches!(error, Error::Foreign { .. }), "{error}");
        }
    }
}
