//! The end of standard input, as a sign that whoever started this process is gone.

use std::io::{self, Read as _};

use tokio::sync::oneshot;

/// Watches standard input from now on; what is returned is ready when it ends. What comes before the end is ignored.
///
/// Reading blocks, and cannot be called off: the thread that does it ends with the process.
pub(crate) fn ended() -> oneshot::Receiver<()> {
    let (end, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 256];
        while matches!(io::stdin().read(&mut bytes), Ok(1..)) {}
        // Nobody may be waiting any more.
        end.send(()).ok();
    });
    ended
}
