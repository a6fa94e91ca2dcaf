//! A replica without its socket, disk and clock.

mod event;

pub(crate) use event::{CallId, Effect, Entry, Event, Readiness, Refusal, Unavailable};
