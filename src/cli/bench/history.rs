//! What a load asked and was answered, call by call, as a file of JSON lines.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cli::record::{error, sequence};
use crate::client::{Answered, Endpoint, Failure, FailureCause};
use crate::history::{Record, op_name};
use crate::queue::Action;

/// A call that ended.
#[derive(Debug)]
pub(super) struct Entry {
    /// The client that called: a number of the run.
    pub client: u32,
    /// What it asked.
    pub action: Action,
    /// When the call began, in nanoseconds of the machine's monotonic clock.
    pub invoked_ns: u64,
    /// When it ended, likewise.
    pub returned_ns: u64,
    /// How it ended.
    pub result: Result<Answered, Failure>,
    /// Whom it asked: an index into the run's endpoints.
    pub endpoint: usize,
}

/// How many calls may wait to be written. Beyond, the load waits: a history is complete or it is worth nothing.
const WAITING: usize = 16_384;
/// How long a call may stay out of the file, so that others can follow the load by it.
const LATE: Duration = Duration::from_millis(50);

/// A history that is being written, on a thread of its own.
pub(super) struct History {
    recorder: Recorder,
    writer: JoinHandle<io::Result<u64>>,
}

/// Takes calls for a history.
#[derive(Clone)]
pub(super) struct Recorder {
    entries: SyncSender<Entry>,
}

impl Recorder {
    /// Adds a call. If it cannot be written, [`History::finish`] says so.
    pub(super) fn add(&self, entry: Entry) {
        drop(self.entries.send(entry));
    }
}

impl History {
    /// Starts a history in `file`, which is overwritten.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn start(file: &Path, endpoints: Vec<Endpoint>) -> io::Result<Self> {
        Ok(Self::writing_to(BufWriter::with_capacity(1 << 20, File::create(file)?), endpoints))
    }

    fn writing_to(out: impl Write + Send + 'static, endpoints: Vec<Endpoint>) -> Self {
        let (entries, written) = sync_channel(WAITING);
        let writer = std::thread::spawn(move || write_all(out, &endpoints, &written));
        Self { recorder: Recorder { entries }, writer }
    }

    /// What takes calls for it.
    pub(super) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Waits until all calls are written and all other recorders dropped; gives the number of calls.
    ///
    /// # Errors
    /// When a call could not be written: the history is not complete then.
    pub(super) fn finish(self) -> io::Result<u64> {
        drop(self.recorder);
        self.writer.join().unwrap_or_else(|_| Err(io::Error::other("its writer panicked")))
    }
}

fn write_all(
    mut out: impl Write,
    endpoints: &[Endpoint],
    entries: &Receiver<Entry>,
) -> io::Result<u64> {
    let (mut written, mut flushed) = (0, Instant::now());
    loop {
        match entries.recv_timeout(LATE) {
            Ok(entry) => {
                serde_json::to_writer(&mut out, &record(&entry, endpoints))?;
                out.write_all(b"\n")?;
                written += 1;
                if flushed.elapsed() < LATE {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        out.flush()?;
        flushed = Instant::now();
    }
    out.flush()?;
    Ok(written)
}

/// A call as it is written.
fn record<'a>(entry: &'a Entry, endpoints: &'a [Endpoint]) -> Record<'a> {
    let answered = match &entry.result {
        Ok(_) => true,
        Err(failure) => {
            !matches!(failure.cause, FailureCause::NoAnswer | FailureCause::ConnectionLost)
        }
    };
    Record {
        client: entry.client.into(),
        op: op_name(entry.action).into(),
        arguments: entry.action.into(),
        invoked_ns: entry.invoked_ns,
        // Where no answer came the operation may be executed at any later time.
        returned_ns: answered.then_some(entry.returned_ns),
        result: entry.result.as_ref().ok().map(|answered| answered.answer.into()),
        error: entry.result.as_ref().err().map(error),
        sequence: sequence(&entry.result),
        duplicate: entry.result.as_ref().is_ok_and(|answered| answered.duplicate),
        tries: 1,
        endpoint: endpoints[entry.endpoint].as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Outcome;
    use crate::queue::Answer;

    fn entry(result: Result<Answered, Failure>) -> Entry {
        let action = Action::Push { queue: 1, item: 17 };
        Entry { client: 3, action, invoked_ns: 123, returned_ns: 456, result, endpoint: 1 }
    }

    fn line(entry: &Entry) -> String {
        let endpoints = ["127.0.0.1:7001", "127.0.0.1:7002"].map(|text| text.parse().unwrap());
        serde_json::to_string(&record(entry, &endpoints)).unwrap()
    }

    #[test]
    fn a_call_is_a_line_in_the_form_that_checkers_read() {
        let answered = Answered { answer: Answer::Pushed, sequence: 9, duplicate: false };
        assert_eq!(
            line(&entry(Ok(answered))),
            r#"{"client":3,"op":"push","arguments":{"queue_id":1,"item":17},"invoked_ns":123,"returned_ns":456,"result":{},"sequence":9,"endpoint":"127.0.0.1:7002"}"#
        );
    }

    #[test]
    fn a_failure_has_an_outcome_and_a_time_only_if_it_was_answered() {
        let error = |failure| line(&entry(Err(failure)));
        assert_eq!(
            error(Failure::no_answer()),
            r#"{"client":3,"op":"push","arguments":{"queue_id":1,"item":17},"invoked_ns":123,"returned_ns":null,"error":{"code":"DEADLINE_EXCEEDED","reason":"NO_ANSWER","outcome":"unknown"},"endpoint":"127.0.0.1:7002"}"#
        );
        let not_connected = error(Failure::not_connected("refused".to_owned()));
        assert!(not_connected.contains(r#""returned_ns":456,"error":{"code":"UNAVAILABLE","reason":"NOT_CONNECTED","outcome":"not_executed"}"#), "{not_connected}");
        let mut refused = Failure::from_status(&tonic::Status::not_found("no queue"));
        refused.outcome = Outcome::Executed { sequence: 12 };
        let refused = error(refused);
        assert!(refused.contains(r#""returned_ns":456,"error":{"code":"NOT_FOUND","reason":"NOT_FOUND","outcome":"executed"},"sequence":12"#), "{refused}");
    }

    /// Takes so many bytes and then fails, as a full disk does.
    struct FullDisk(usize);

    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_history_that_could_not_be_written_is_not_called_complete() {
        for (room, complete) in [(1_000_000, true), (500, false)] {
            let endpoints = ["127.0.0.1:7001", "127.0.0.1:7002"].map(|text| text.parse().unwrap());
            let history = History::writing_to(FullDisk(room), endpoints.to_vec());
            let recorder = history.recorder();
            for _ in 0..100 {
                recorder.add(entry(Err(Failure::no_answer())));
            }
            drop(recorder);
            let finished = history.finish();
            assert_eq!(finished.is_ok(), complete);
            assert!(!complete || finished.unwrap() == 100);
        }
    }
}
