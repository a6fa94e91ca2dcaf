//! A file that is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// A file under another name, until it is whole. Dropped before that, it goes.
pub(crate) struct WholeFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    kept: bool,
}

impl WholeFile {
    /// Begins the file that will be at `path`.
    ///
    /// # Errors
    /// As the operating system says; and where another of that name is being written.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let create = File::options().write(true).create_new(true).open(&unfinished);
        let file = create.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let left = "is being written, or was left when that was killed: then remove it";
                io::Error::other(format!("{} {left}", unfinished.display()))
            }
            _ => error,
        })?;
        Ok(Self { path: path.to_owned(), unfinished, file, kept: false })
    }

    /// Where it is while it is not whole.
    pub(crate) fn unfinished(&self) -> &Path {
        &self.unfinished
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// As the operating system says.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives it its name, durably; in the place of another file only if told to.
    ///
    /// # Errors
    /// As the operating system says; the file goes then.
    pub(crate) fn keep(mut self, replace: bool) -> io::Result<()> {
        if replace {
            fs::rename(&self.unfinished, &self.path)?;
        } else {
            rename_new(&self.unfinished, &self.path)?;
        }
        self.kept = true;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

/// Renames a file to a name that no file has.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot look and rename in one step.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if !to.try_exists()? => {
            fs::rename(from, to)
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(Errno::EXIST.into()),
        renamed => Ok(renamed?),
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.kept {
            // Whoever sees it will see by its name that it is not whole.
            fs::remove_file(&self.unfinished).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn begun(path: &Path, text: &str) -> WholeFile {
        let mut file = WholeFile::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = begun(&path, "one");
        assert_eq!(names(directory.path()), ["file.new"]);
        let second = WholeFile::create(&path).err().unwrap().to_string();
        assert!(second.contains("file.new is being written"), "{second}");
        drop(file);
        assert!(names(directory.path()).is_empty());
        begun(&path, "one").keep(false).unwrap();
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    fn another_file_is_replaced_only_on_demand() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "mine").unwrap();
        let error = begun(&path, "one").keep(false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(directory.path()), ["file"]);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        begun(&path, "two").keep(true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
