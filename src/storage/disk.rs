//! What storage asks of a disk: a flat folder of files. The simulator has another one, which loses what was not synced.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

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

    /// A whole file, with zeros for what cannot be read of it. That is no more than a last resort: nothing tells those
    /// zeros from others but the checks of what is read.
    fn read_what_can_be(&self, name: &str) -> io::Result<Vec<u8>> {
        self.read(name)
    }

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

/// How often what could not be read is read again, and after how long: the way to a disk may be lost for a moment.
const READ_AGAIN: usize = 3;
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// What can be read or cannot, as a whole, in bytes.
const BLOCK: usize = 4_096;

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

    fn read_once(&self, name: &str) -> io::Result<Vec<u8>> {
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
        patiently(|| self.read_once(name))
    }

    fn read_what_can_be(&self, name: &str) -> io::Result<Vec<u8>> {
        match self.read(name) {
            Err(error) if is_unreadable(&error) => {
                let file = File::open(self.path.join(name))?;
                let length = file.metadata()?.len();
                read_blocks(length, |offset, most| read_once_at(&file, offset, most))
            }
            read => read,
        }
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.path.join(name))?;
        patiently(|| read_once_at(&file, offset, length))
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

/// Whether an error says that what was there cannot be read (EIO).
pub(super) fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Reads, a few times where that says that what is there cannot be read.
pub(super) fn patiently<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..READ_AGAIN {
        match read() {
            Err(error) if is_unreadable(&error) => thread::sleep(READ_AGAIN_AFTER),
            done => return done,
        }
    }
    read()
}

/// At most `length` bytes from `offset` on: fewer where the file ends.
fn read_once_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
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

/// `length` bytes, block by block, with zeros for those that cannot be read.
fn read_blocks(
    length: u64,
    mut read: impl FnMut(u64, usize) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    while (bytes.len() as u64) < length {
        let left = length - bytes.len() as u64;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK);
        match read(bytes.len() as u64, most) {
            Ok(block) if block.is_empty() => break,
            Ok(block) => bytes.extend(block),
            Err(error) if is_unreadable(&error) => bytes.resize(bytes.len() + most, 0),
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreadable() -> io::Error {
        io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
    }

    #[test]
    fn what_can_be_read_again_is_read() {
        let mut left = 2;
        let read = patiently(|| {
            left -= 1;
            if left > 0 { Err(unreadable()) } else { Ok(7) }
        });
        assert_eq!(read.unwrap(), 7);
        let mut tries = 0;
        let absent: io::Result<()> = patiently(|| {
            tries += 1;
            Err(io::ErrorKind::NotFound.into())
        });
        assert_eq!((absent.unwrap_err().kind(), tries), (io::ErrorKind::NotFound, 1));
    }

    #[test]
    fn what_cannot_be_read_is_zero_and_the_rest_is_there() {
        let whole: Vec<u8> = (1..=250).cycle().take(3 * BLOCK + 10).collect();
        let read = read_blocks(whole.len() as u64, |offset, most| {
            let from = usize::try_from(offset).unwrap();
            if from == BLOCK { Err(unreadable()) } else { Ok(whole[from..from + most].to_vec()) }
        });
        let mut expected = whole.clone();
        expected[BLOCK..2 * BLOCK].fill(0);
        assert_eq!(read.unwrap(), expected);
    }
}
