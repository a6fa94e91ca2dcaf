//! What must hold, looked at from outside the replicas, after every step and at the end.

mod answers;
mod ledger;
mod log;
mod requests;
mod said;
mod spy;

pub(crate) use answers::check_answers;
pub(crate) use ledger::Ledger;
pub(crate) use log::DiskLog;
pub(crate) use said::Said;
pub(crate) use spy::{Bounds, Sender, Spy};
