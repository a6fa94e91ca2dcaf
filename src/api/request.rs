//! What a request must keep to before it becomes an operation.

use crate::proto;
use crate::queue::{QueueId, RequestName};

/// What is wrong with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Violation {
    /// `queue_id` is zero or negative.
    QueueIdNotPositive { queue: i64 },
    /// `request.client` is empty or too long.
    ClientLength { bytes: usize },
    /// `request.number` is zero.
    NumberZero,
}

/// Collects what is wrong with a request, all of it.
#[derive(Default)]
pub(super) struct Check {
    violations: Vec<Violation>,
}

impl Check {
    /// A queue's id.
    pub(super) fn queue(&mut self, queue: i64) -> QueueId {
        if queue <= 0 {
            self.violations.push(Violation::QueueIdNotPositive { queue });
        }
        queue
    }

    /// A request's name, where it has one.
    pub(super) fn name(&mut self, name: Option<proto::RequestName>) -> Option<RequestName> {
        let proto::RequestName { client, number } = name?;
        let bytes = client.len();
        if bytes == 0 || bytes > RequestName::MAX_CLIENT_BYTES {
            self.violations.push(Violation::ClientLength { bytes });
        }
        if number == 0 {
            self.violations.push(Violation::NumberZero);
        }
        Some(RequestName { client: client.into(), number })
    }

    /// Gives what is wrong, if anything.
    pub(super) fn finish(self) -> Result<(), Vec<Violation>> {
        if self.violations.is_empty() { Ok(()) } else { Err(self.violations) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(client: &str, number: u64) -> Option<proto::RequestName> {
        Some(proto::RequestName { client: client.to_owned(), number })
    }

    #[test]
    fn what_keeps_to_the_rules_passes() {
        let mut check = Check::default();
        assert_eq!(check.queue(i64::MAX), i64::MAX);
        assert_eq!(check.name(None), None);
        let longest = "x".repeat(64);
        assert_eq!(check.name(name(&longest, u64::MAX)).unwrap().client.len(), 64);
        assert_eq!(check.finish(), Ok(()));
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let mut check = Check::default();
        check.queue(0);
        check.queue(-1);
        check.name(name("", 0));
        // 65 bytes in 33 characters: the limit counts bytes.
        check.name(name(&format!("x{}", "é".repeat(32)), 1));
        assert_eq!(
            check.finish().unwrap_err(),
            [
                Violation::QueueIdNotPositive { queue: 0 },
                Violation::QueueIdNotPositive { queue: -1 },
                Violation::ClientLength { bytes: 0 },
                Violation::NumberZero,
                Violation::ClientLength { bytes: 65 },
            ]
        );
    }
}
