//! A person's wish to end a run early.

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and SIGTERM: the first ends the load, a second does not wait for answers.
pub(super) struct Interrupt {
    signals: Option<(Signal, Signal)>,
}

impl Interrupt {
    /// Minds the signals from now on.
    ///
    /// # Errors
    /// When they cannot be minded.
    pub(super) fn new() -> io::Result<Self> {
        let signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { signals: Some(signals) })
    }

    /// One that never comes.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        Self { signals: None }
    }

    /// Waits for the next one.
    pub(super) async fn wait(&mut self) {
        match &mut self.signals {
            Some((interrupt, terminate)) => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            },
            None => pending().await,
        }
    }
}
