//! How long syncs of a file of its own take, beside all else: where calls are slow and these are, too, it is the disk.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long it waits between two syncs: it must not be a load of its own.
const PAUSE: Duration = Duration::from_millis(5);

/// A thread that syncs until this is dropped.
pub(crate) struct DiskWatch {
    /// When each sync ended, and how long it took.
    syncs: Arc<Mutex<Vec<(Instant, Duration)>>>,
}

impl DiskWatch {
    /// Starts it, on the disk of temporary files, where the replicas' are.
    pub(crate) fn start() -> Self {
        let syncs = Arc::new(Mutex::new(Vec::new()));
        let watched = Arc::downgrade(&syncs);
        let mut file: File = tempfile::tempfile().unwrap();
        thread::spawn(move || {
            loop {
                file.write_all(&[0; 100]).unwrap();
                let since = Instant::now();
                file.sync_data().unwrap();
                let took = since.elapsed();
                let Some(syncs) = watched.upgrade() else {
                    return;
                };
                syncs.lock().unwrap().push((Instant::now(), took));
                drop(syncs);
                thread::sleep(PAUSE);
            }
        });
        Self { syncs }
    }

    /// The slowest sync between two points in time.
    pub(crate) fn slowest(&self, from: Instant, until: Instant) -> Duration {
        let syncs = self.syncs.lock().unwrap();
        let inside = syncs.iter().filter(|(at, _)| (from..until).contains(at));
        inside.map(|(_, took)| *took).max().unwrap_or_default()
    }
}
