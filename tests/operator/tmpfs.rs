//! A small file system in memory, which is soon full and can be made larger.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system; unmounted when it is dropped.
pub(crate) struct Tmpfs {
    root: PathBuf,
}

impl Tmpfs {
    /// Makes a folder and mounts one there.
    ///
    /// # Errors
    /// When it cannot be mounted: what the system said.
    pub(crate) fn mount(root: &Path, size: &str) -> Result<Self, String> {
        fs::create_dir(root).unwrap();
        let options = format!("size={size},mode=700");
        mount(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(root))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes it larger, under whoever uses it.
    pub(crate) fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        mount(Command::new("mount").args(["-o", &options]).arg(&self.root)).unwrap();
    }

    /// Takes all room that is left.
    pub(crate) fn fill(&self) {
        self.append_all(&mut File::create(self.ballast()).unwrap());
    }

    /// Takes the room that is left at the end of a file here, once there is no other.
    pub(crate) fn fill_last_page(&self, file: &Path) {
        self.append_all(&mut File::options().append(true).open(file).unwrap());
    }

    fn append_all(&self, file: &mut File) {
        loop {
            match file.write_all(&[b'\n'; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{}: {error}", self.root.display()),
            }
        }
    }

    /// Gives back what [`Self::fill`] took.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a test that fails may leave a replica that still uses it.
        if let Err(why) = mount(Command::new("umount").arg("--lazy").arg(&self.root)) {
            eprintln!("{why}");
        }
    }
}

/// Runs a command of `mount`'s; says why it failed.
fn mount(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {}", output.status, said.trim()))
}
