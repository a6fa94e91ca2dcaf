//! A file system in a file, whose power can be cut: what was not synced before is gone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk's size: more than a test's log.
const BYTES: u64 = 512 << 20;

/// A disk; unmounted when it is dropped.
pub(crate) struct Disk {
    image: PathBuf,
    root: PathBuf,
}

impl Disk {
    /// Makes a disk of files that begin with `path`, and mounts it.
    pub(crate) fn make(path: &Path) -> Self {
        let disk = Self { image: path.with_extension("ext4"), root: path.to_owned() };
        File::create(&disk.image).unwrap().set_len(BYTES).unwrap();
        fs::create_dir(&disk.root).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&disk.image)).unwrap();
        disk.mount();
        disk
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Gives it its power back; nobody uses it now.
    pub(crate) fn restore(&mut self) {
        run(Command::new("umount").arg(&self.root)).unwrap();
        self.mount();
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.root)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a test that fails may leave a replica that still uses it. The image's directory goes next.
        if let Err(why) = run(Command::new("umount").arg("--lazy").arg(&self.root)) {
            eprintln!("{why}");
        }
    }
}

/// Cuts the power of the file systems that are mounted here, one right after the other: what was not synced is gone.
///
/// Whoever uses them is to be stopped before: a sync that is under way meanwhile may succeed and have saved nothing, seen
/// with Linux 6.18 in 12 cuts of 200. A power cut leaves nobody who would hear of that.
pub(crate) fn cut(roots: &[&Path]) {
    run(python("cut").args(roots)).unwrap();
}

/// Takes a file system from under whoever uses it: what was written is there when it comes back, all else fails.
pub(crate) fn unplug(root: &Path) {
    run(python("unplug").arg(root)).unwrap();
}

/// Whether power can be cut on this machine, and why not.
pub(crate) fn possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("not root".to_owned());
    }
    run(&mut python("cut"))?;
    run(Command::new("losetup").arg("--find"))?;
    run(Command::new("mkfs.ext4").arg("-V"))
}

/// The program that does so to file systems; without any it does nothing.
fn python(how: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/cut.py")).arg(how);
    command
}

/// Runs a command to its end; says why it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {}", output.status, said.trim()))
}
