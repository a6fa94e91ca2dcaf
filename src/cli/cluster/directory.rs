//! Where a cluster's data and logs are.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The directory of a cluster: the user's, or one for this run only.
pub(super) struct Directory {
    path: PathBuf,
    /// Made for this run, and removed after it unless there is something in it to look at.
    temporary: bool,
}

impl Directory {
    /// Makes the directory that the user named, or a new one below the system's temporary directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn prepare(named: Option<PathBuf>) -> io::Result<Self> {
        let temporary = named.is_none();
        let path = match named {
            Some(path) => path,
            None => std::env::temp_dir().join(format!("ftqueue-cluster-{}", std::process::id())),
        };
        // Others have no business with a user's queues. A temporary one must be new: whoever made it first would own it.
        let made = DirBuilder::new().recursive(!temporary).mode(0o700).create(&path);
        made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(Self { path: fs::canonicalize(path)?, temporary })
    }

    /// Its absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is for this run only.
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// Removes it if it is for this run only.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn remove_if_temporary(self) -> io::Result<()> {
        if self.temporary { fs::remove_dir_all(self.path) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_directory_stays_and_may_be_there_already() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        for _ in 0..2 {
            let directory = Directory::prepare(Some(path.clone())).unwrap();
            assert!(!directory.is_temporary());
            directory.remove_if_temporary().unwrap();
            assert!(path.is_dir());
        }
    }

    #[test]
    fn one_for_this_run_is_new_and_goes() {
        let directory = Directory::prepare(None).unwrap();
        let path = directory.path().to_owned();
        assert!(Directory::prepare(None).is_err());
        directory.remove_if_temporary().unwrap();
        assert!(!path.exists());
    }
}
