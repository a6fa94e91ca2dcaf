//! A disk that loses what was not synced, as nastily as a real one may: each 512-byte sector keeps any version that it had
//! since it last became durable, a file any length, and names that were made or removed may be undone. A sync that fails
//! leaves pages that look clean and are not on the disk.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use ftqueue::testing::{DISTRUSTED, Disk, PlantedBug};

use crate::random::Random;

/// What a disk keeps or loses as a whole.
const SECTOR: usize = 512;
/// What Linux says of what cannot be read.
const EIO: i32 = 5;

/// A disk, shared by the storage that uses it and the world that breaks it.
#[derive(Clone, Default, Debug)]
pub(crate) struct SimDisk(Rc<RefCell<State>>);

#[derive(Clone, Default, Debug)]
struct State {
    files: BTreeMap<String, File>,
    /// The names that survive a crash for sure.
    names: BTreeSet<String>,
    /// Files that were removed, until that is durable.
    removed: BTreeMap<String, File>,
    /// How many bytes there is room for; none for plenty.
    capacity: Option<u64>,
    /// After so many operations more all fail; none for never.
    fails_in: Option<u64>,
    /// The next write of more than nothing goes elsewhere: where, of the files that there are then.
    misdirects: Option<Random>,
    /// Whether one went elsewhere, and nobody has asked yet.
    misdirected: bool,
    /// A bug to see caught: what whoever uses the disk forgets to make durable.
    forgets: Option<PlantedBug>,
}

#[derive(Clone, Default, Debug)]
struct File {
    present: Vec<u8>,
    /// What sectors held since they last became durable, the present contents excepted.
    before: BTreeMap<usize, Vec<Vec<u8>>>,
    /// What lengths the file had since they last became durable, the present one excepted.
    lengths: Vec<usize>,
    /// The sectors that a sync writes.
    dirty: BTreeSet<usize>,
    /// The sectors that cannot be read until they are written anew.
    unreadable: BTreeSet<usize>,
}

impl File {
    fn sector(&self, number: usize) -> Vec<u8> {
        let to = ((number + 1) * SECTOR).min(self.present.len());
        self.present.get(number * SECTOR..to).unwrap_or_default().to_vec()
    }

    /// These bytes are about to change.
    fn note(&mut self, from: usize, to: usize) {
        self.lengths.push(self.present.len());
        for number in from / SECTOR..to.div_ceil(SECTOR) {
            let was = self.sector(number);
            self.before.entry(number).or_default().push(was);
            self.dirty.insert(number);
            self.unreadable.remove(&number);
        }
    }

    fn synced(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            self.before.remove(&number);
        }
        self.lengths.clear();
    }

    /// What a crash leaves. Says whether anything was lost.
    fn crash(&mut self, random: &mut Random) -> bool {
        let any = |random: &mut Random, count: usize| random.below(count as u64) as usize;
        let place = any(random, self.lengths.len() + 1);
        let length = self.lengths.get(place).copied().unwrap_or(self.present.len());
        let mut left = Vec::new();
        for number in 0..length.div_ceil(SECTOR) {
            let versions = self.before.get(&number).map_or(&[][..], Vec::as_slice);
            let mut kept = match versions.get(any(random, versions.len() + 1)) {
                Some(before) => before.clone(),
                None => self.sector(number),
            };
            // What never reached the disk reads as zero.
            kept.resize(SECTOR, 0);
            left.extend(kept);
        }
        left.truncate(length);
        let lost = left != self.present;
        let unreadable = std::mem::take(&mut self.unreadable);
        *self = Self { present: left, unreadable, ..Self::default() };
        lost
    }

    /// Some of the bytes, unless a sector there cannot be read.
    fn read(&self, from: usize, to: usize) -> io::Result<Vec<u8>> {
        let (from, to) = (from.min(self.present.len()), to.min(self.present.len()));
        let sectors = from / SECTOR..to.div_ceil(SECTOR);
        if self.unreadable.range(sectors).next().is_some() {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(self.present[from..to].to_vec())
    }
}

impl SimDisk {
    /// A disk whose user forgets to make something durable.
    pub(crate) fn with(planted: Option<PlantedBug>) -> Self {
        let disk = Self::default();
        disk.0.borrow_mut().forgets = planted;
        disk
    }

    /// What is on it now, to be put back later.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self(Rc::new(RefCell::new(self.0.borrow().clone())));
        let mut state = copy.0.borrow_mut();
        state.names = state.files.keys().cloned().collect();
        state.removed.clear();
        (state.fails_in, state.capacity) = (None, None);
        for file in state.files.values_mut() {
            *file = File { present: std::mem::take(&mut file.present), ..File::default() };
        }
        drop(state);
        copy
    }

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
        state.fails_in = None;
        lost
    }

    /// The next write goes elsewhere, as a disk may that loses its way: what was there is overwritten, and where the bytes
    /// belong there is nothing.
    pub(crate) fn misdirect(&self, random: Random) {
        self.0.borrow_mut().misdirects = Some(random);
    }

    /// Whether a write went elsewhere since this was asked last.
    pub(crate) fn has_misdirected(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().misdirected)
    }

    /// All writes go where they belong from now on.
    pub(crate) fn aim_well(&self) {
        self.0.borrow_mut().misdirects = None;
    }

    /// A sector of what there is cannot be read any more.
    pub(crate) fn lose_a_sector(&self, random: &mut Random) {
        let mut state = self.0.borrow_mut();
        let mut files: Vec<_> =
            state.files.values_mut().filter(|file| !file.present.is_empty()).collect();
        if files.is_empty() {
            return;
        }
        let which = random.below(files.len() as u64) as usize;
        let sectors = files[which].present.len().div_ceil(SECTOR);
        files[which].unreadable.insert(random.below(sectors as u64) as usize);
    }

    /// There is room for so many bytes from now on, or for plenty.
    pub(crate) fn limit(&self, capacity: Option<u64>) {
        let mut state = self.0.borrow_mut();
        let used: usize = state.files.values().map(|file| file.present.len()).sum();
        state.capacity = capacity.map(|free| used as u64 + free);
    }

    /// Whatever changes the disk fails from now on, after so many operations more.
    pub(crate) fn fail_after(&self, operations: u64) {
        self.0.borrow_mut().fails_in = Some(operations);
    }

    /// It works again, though the power did not go.
    pub(crate) fn work(&self) {
        self.0.borrow_mut().fails_in = None;
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
        Some((name, place))
    }

    /// Makes zeros of a sector; gives whether it had anything else.
    pub(crate) fn zero(&self, name: &str, sector: usize) -> bool {
        let mut state = self.0.borrow_mut();
        let file = state.files.get_mut(name).expect("a file");
        let to = ((sector + 1) * SECTOR).min(file.present.len());
        let part = file.present.get_mut(sector * SECTOR..to).unwrap_or_default();
        let had = part.iter().any(|byte| *byte != 0);
        part.fill(0);
        had
    }
}

impl State {
    fn operation(&mut self) -> io::Result<()> {
        match &mut self.fails_in {
            Some(0) => Err(io::Error::other("the disk fails")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Writes these bytes where they do not belong, if that is what happens next: over a part of some file, from a sector's
    /// beginning on; or nowhere. Says whether it did.
    fn elsewhere(&mut self, bytes: &[u8]) -> bool {
        let Some(mut random) = self.misdirects.take().filter(|_| !bytes.is_empty()) else {
            return false;
        };
        self.misdirected = true;
        let which = random.below(self.files.len() as u64) as usize;
        let file = self.files.values_mut().nth(which).expect("there is one that is written to");
        let sectors = file.present.len() / SECTOR;
        if sectors > 0 && random.per_mille(500) {
            let at = random.below(sectors as u64) as usize * SECTOR;
            let end = (at + bytes.len()).min(file.present.len());
            file.present[at..end].copy_from_slice(&bytes[..end - at]);
        }
        true
    }

    fn room(&self) -> Option<usize> {
        let used: usize = self.files.values().map(|file| file.present.len()).sum();
        self.capacity.map(|capacity| capacity.saturating_sub(used as u64) as usize)
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.borrow_mut().file(name)?.read(0, usize::MAX)
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.0.borrow_mut().file(name)?.read(offset as usize, offset as usize + length)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.0.borrow_mut().file(name)?.present.len() as u64)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operation()?;
        if state.forgets == Some(PlantedBug::DistrustNotMarked) && name == DISTRUSTED {
            return Ok(());
        }
        if state.room() == Some(0) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let known = state.files.insert(name.to_owned(), File::default());
        assert!(known.is_none(), "{name} is made anew");
        Ok(())
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operation()?;
        let room = state.room();
        let elsewhere = state.elsewhere(bytes);
        let file = state.file(name)?;
        let offset = offset as usize;
        assert!(offset <= file.present.len(), "{name} is written with a hole");
        let grows = (offset + bytes.len()).saturating_sub(file.present.len());
        // A write that does not fit may leave a part of it.
        let fits = room.is_none_or(|room| grows <= room);
        let written = if fits { bytes } else { &bytes[..bytes.len() / 2] };
        let end = offset + written.len();
        file.note(offset, end);
        file.present.resize(end.max(file.present.len()), 0);
        if elsewhere {
            return Ok(());
        }
        file.present[offset..end].copy_from_slice(written);
        if fits { Ok(()) } else { Err(io::Error::from(io::ErrorKind::StorageFull)) }
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operation()?;
        let file = state.file(name)?;
        file.note(length as usize, file.present.len());
        file.present.truncate(length as usize);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let works = state.operation();
        if state.forgets == Some(PlantedBug::SnapshotNotSynced) && name.starts_with("snapshot") {
            return works;
        }
        let file = state.file(name)?;
        match works {
            Ok(()) => file.synced(),
            Err(_) => file.dirty.clear(),
        }
        works
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operation()?;
        if state.forgets == Some(PlantedBug::DistrustNotMarked) && name == DISTRUSTED {
            return Ok(());
        }
        let file =
            state.files.remove(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        state.removed.insert(name.to_owned(), file);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operation()?;
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        // A crash may leave either name, or both, or, where the first one was not durable, none.
        state.removed.insert(from.to_owned(), file.clone());
        let known = state.files.insert(to.to_owned(), file);
        assert!(known.is_none(), "{to} is there already");
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operation()?;
        let snapshot = state.files.keys().any(|name| name.starts_with("snapshot"));
        if state.forgets == Some(PlantedBug::SnapshotNameNotSynced) && snapshot {
            return Ok(());
        }
        state.names = state.files.keys().cloned().collect();
        state.removed.clear();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}
