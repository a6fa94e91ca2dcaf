//! A disk that loses what was not synced: any subset of its 512-byte sectors, and names that were made or removed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use ftqueue::testing::Disk;

use crate::random::Random;

/// What a disk keeps or loses as a whole.
const SECTOR: usize = 512;

/// A disk, shared by the storage that uses it and the world that breaks it.
#[derive(Clone, Default, Debug)]
pub(crate) struct SimDisk(Rc<RefCell<State>>);

#[derive(Default, Debug)]
struct State {
    files: BTreeMap<String, File>,
    /// The names that survive a crash for sure.
    names: BTreeSet<String>,
    /// Files that were removed, until that is durable.
    removed: BTreeMap<String, File>,
    /// How many bytes there is room for; none for plenty.
    capacity: Option<u64>,
    /// Writes and syncs fail from now on.
    broken: bool,
}

#[derive(Clone, Default, Debug)]
struct File {
    present: Vec<u8>,
    durable: Vec<u8>,
}

impl File {
    /// What a crash leaves: of each sector the present or the durable contents.
    fn crash(&mut self, random: &mut Random) -> bool {
        let longest = self.present.len().max(self.durable.len());
        let mut left = Vec::new();
        let mut lost = false;
        for from in (0..longest).step_by(SECTOR) {
            let part = |bytes: &[u8]| {
                let to = (from + SECTOR).min(bytes.len());
                bytes.get(from..to).map(<[u8]>::to_vec)
            };
            let (present, durable) = (part(&self.present), part(&self.durable));
            let kept = if present == durable || random.per_mille(500) {
                present
            } else {
                lost = true;
                durable
            };
            if let Some(kept) = kept {
                // What lies before and was lost reads as zero.
                left.resize(from, 0);
                left.extend(kept);
            }
        }
        (self.present, self.durable) = (left.clone(), left);
        lost
    }
}

impl SimDisk {
    /// The power goes. Gives whether anything was lost.
    pub(crate) fn crash(&self, random: &mut Random) -> bool {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        let mut lost = false;
        for (name, file) in std::mem::take(&mut state.removed) {
            if random.per_mille(500) {
                state.files.entry(name).or_insert(file);
            }
        }
        let names = state.names.clone();
        state.files.retain(|name, _| names.contains(name) || random.per_mille(500));
        for file in state.files.values_mut() {
            lost |= file.crash(random);
        }
        state.names = state.files.keys().cloned().collect();
        state.broken = false;
        lost
    }

    /// There is room for so many bytes from now on, or for plenty.
    pub(crate) fn limit(&self, capacity: Option<u64>) {
        let mut state = self.0.borrow_mut();
        let used: usize = state.files.values().map(|file| file.present.len()).sum();
        state.capacity = capacity.map(|free| used as u64 + free);
    }

    /// Writes and syncs fail until the next crash.
    pub(crate) fn fail(&self) {
        self.0.borrow_mut().broken = true;
    }

    /// Flips a bit of what is durable; gives the file's name and the place.
    pub(crate) fn flip(&self, random: &mut Random) -> Option<(String, usize)> {
        let mut state = self.0.borrow_mut();
        let names: Vec<String> = state.files.keys().cloned().collect();
        if names.is_empty() {
            return None;
        }
        let name = names[random.below(names.len() as u64) as usize].clone();
        let file = state.files.get_mut(&name)?;
        if file.present.is_empty() {
            return None;
        }
        let place = random.below(file.present.len() as u64) as usize;
        file.present[place] ^= 1 << random.below(8);
        file.durable.clone_from(&file.present);
        Some((name, place))
    }
}

impl State {
    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        if self.broken {
            return Err(io::Error::other("the disk fails"));
        }
        self.files.get_mut(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.0.borrow();
        let file = state.files.get(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(file.present.clone())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        if state.broken {
            return Err(io::Error::other("the disk fails"));
        }
        let known = state.files.insert(name.to_owned(), File::default());
        assert!(known.is_none(), "{name} is made anew");
        Ok(())
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let used: usize = state.files.values().map(|file| file.present.len()).sum();
        let room = state.capacity.map(|capacity| capacity.saturating_sub(used as u64) as usize);
        let file = state.file(name)?;
        let offset = offset as usize;
        assert!(offset <= file.present.len(), "{name} is written with a hole");
        let grows = (offset + bytes.len()).saturating_sub(file.present.len());
        // A write that does not fit may leave a part of it.
        let fits = room.is_none_or(|room| grows <= room);
        let written = if fits { bytes } else { &bytes[..bytes.len() / 2] };
        let end = (offset + written.len()).max(file.present.len());
        file.present.resize(end, 0);
        file.present[offset..offset + written.len()].copy_from_slice(written);
        if fits { Ok(()) } else { Err(io::Error::from(io::ErrorKind::StorageFull)) }
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.0.borrow_mut().file(name)?.present.truncate(length as usize);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let file = state.file(name)?;
        file.durable.clone_from(&file.present);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let file =
            state.files.remove(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        state.removed.insert(name.to_owned(), file);
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        if state.broken {
            return Err(io::Error::other("the disk fails"));
        }
        state.names = state.files.keys().cloned().collect();
        state.removed.clear();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}
