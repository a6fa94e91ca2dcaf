//! What storage asks of a disk: a flat folder of files. The simulator has another one, which loses what was not synced.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A flat folder of files. What is written is durable after [`Disk::sync`] of the file, a name that was made, changed or
/// removed after [`Disk::sync_names`].
pub trait Disk {
    /// The names of all files, in order.
    ///
    /// # Errors
    /// As the operating system says; likewise below.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A whole file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// At most `length` bytes of a file from `offset` on: fewer where it ends.
    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// A file's length, in bytes.
    fn length(&self, name: &str) -> io::Result<u64>;

    /// Makes a new, empty file.
    fn create(&mut self, name: &str) -> io::Result<()>;

    /// Writes bytes at an offset, at most the file's length.
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file off.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Makes a file's contents durable.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name, which no file has.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Makes durable which files there are.
    fn sync_names(&mut self) -> io::Result<()>;

    /// A file's path, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// A folder of the operating system's.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The files that were written to.
    open: BTreeMap<String, File>,
}

impl Folder {
    /// The folder at `path`, which is there.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: BTreeMap::new() }
    }

    fn file(&mut self, name: &str) -> io::Result<&File> {
        let path = self.path.join(name);
        // A file is written to for long, and then never again.
        if !self.open.contains_key(name) {
            self.open.clear();
            let file = OpenOptions::new().write(true).open(path)?;
            self.open.insert(name.to_owned(), file);
        }
        self.open.get(name).ok_or_else(|| io::Error::other("just inserted"))
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.path.join(name);
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        // Its length says what it likes.
        bytes.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.path.join(name))?;
        let mut bytes = vec![0; length];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        fs::metadata(self.path.join(name)).map(|metadata| metadata.len())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(self.path.join(name)).map(drop)
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.file(name)?.set_len(length)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.remove(name);
        fs::remove_file(self.path.join(name))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open.remove(from);
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
