//! A replica's data directory, for one process at a time.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::disk::{Folder, is_unreadable, patiently};

/// The file that says that a directory is being restored. It is none of a replica's before that has ended.
pub(super) const UNFINISHED_RESTORE: &str = "restore-unfinished";

/// A data directory that this process holds. The lock goes with the process, however it ends.
pub(crate) struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

/// Why storage cannot be used.
#[derive(Debug)]
pub enum Error {
    /// Another process holds the directory.
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is another replica's, another cluster's, or of another format.
    Foreign {
        /// The file that says so.
        path: PathBuf,
        /// What it is and what it should be, for people.
        detail: String,
    },
    /// The directory cannot be made or entered.
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else than what was written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, for people.
        detail: String,
    },
    /// Reading, writing or syncing failed.
    Failed {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// Reading a file failed: it is damaged where the disk says that what it held cannot be read any more.
    pub(super) fn of_reading(path: PathBuf, source: io::Error) -> Self {
        if is_unreadable(&source) {
            return Self::Damaged { path, detail: source.to_string() };
        }
        Self::Failed { doing: "reading", path, source }
    }
}

impl DataDirectory {
    /// Makes the directory where it is missing, and takes its lock.
    ///
    /// # Errors
    /// [`Error::Locked`] or [`Error::Unusable`], which it is while it is being restored, too.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let unusable = |source| Error::Unusable { path: path.to_owned(), source };
        if !path.exists() {
            create(path).map_err(unusable)?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::Locked { path: path.to_owned() });
            }
            Err(errno) => return Err(unusable(errno.into())),
        }
        if path.join(UNFINISHED_RESTORE).try_exists().map_err(unusable)? {
            let why = "a restore into it did not end: empty it and restore again";
            return Err(unusable(io::Error::other(why)));
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Reads a file; none where there is no such file. A file larger than `limit` bytes is damaged.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Failed`].
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path.join(name);
        let failed = |source| Error::of_reading(path.clone(), source);
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if length > limit {
            let detail = format!("it has {length} bytes, more than the {limit} that it may have");
            return Err(Error::Damaged { path, detail });
        }
        patiently(|| fs::read(&path)).map(Some).map_err(failed)
    }

    /// Replaces a file so that after a power cut it holds the old or the new contents, and after the return the new.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub(super) fn replace(&self, name: &str, contents: &[u8]) -> Result<(), Error> {
        let path = self.path.join(name);
        let temporary = self.path.join(format!("{name}.new"));
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Failed { doing, path, source }
        };
        let mut file = File::create(&temporary).map_err(failed("creating", &temporary))?;
        file.write_all(contents).map_err(failed("writing", &temporary))?;
        file.sync_all().map_err(failed("syncing", &temporary))?;
        fs::rename(&temporary, &path).map_err(failed("renaming to", &path))?;
        sync_names(&self.path).map_err(failed("syncing", &self.path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The disk that the directory is on, for the log.
    pub(crate) fn folder(&self) -> Folder {
        Folder::new(&self.path)
    }

    /// The path of a file in the directory, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Makes a directory whose name survives a power cut.
fn create(path: &Path) -> io::Result<()> {
    let mut missing = path;
    while let Some(parent) = missing.parent()
        && !parent.as_os_str().is_empty()
        && !parent.exists()
    {
        missing = parent;
    }
    let made = path.ancestors().take_while(|made| *made != missing).count() + 1;
    fs::create_dir_all(path)?;
    fs::canonicalize(path)?.ancestors().skip(1).take(made).try_for_each(sync_names)
}

/// Makes the names in a directory durable.
fn sync_names(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path } => {
                write!(f, "the data directory {} is in use by another process", path.display())
            }
            Self::Foreign { path, detail } => write!(f, "{}: {detail}", path.display()),
            Self::Unusable { path, source } => {
                write!(f, "the data directory {} cannot be used: {source}", path.display())
            }
            Self::Damaged { path, detail } => {
                write!(f, "{} is damaged: {detail}", path.display())
            }
            Self::Failed { doing, path, source } => {
                write!(f, "{doing} {} failed: {source}", path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_and_held_by_one_at_a_time() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("deep/r0");
        let held = DataDirectory::open(&path).unwrap();
        assert!(matches!(DataDirectory::open(&path), Err(Error::Locked { .. })));
        drop(held);
        assert!(DataDirectory::open(&path).is_ok(), "the lock goes with its holder");
    }

    #[test]
    fn a_file_in_the_way_is_told() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("r0");
        fs::write(&path, "").unwrap();
        let error = DataDirectory::open(&path).err().unwrap();
        assert!(matches!(error, Error::Unusable { .. }), "{error}");
    }

    #[test]
    fn a_replaced_file_reads_back() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(temporary.path()).unwrap();
        assert_eq!(directory.read("x", 3).unwrap(), None);
        directory.replace("x", b"one").unwrap();
        directory.replace("x", b"two").unwrap();
        assert_eq!(directory.read("x", 3).unwrap().unwrap(), b"two");
        assert!(matches!(directory.read("x", 2), Err(Error::Damaged { .. })));
    }
}
