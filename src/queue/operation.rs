//! What callers ask of the queues and what they are answered.

/// A queue's id: positive, unique, never used again.
pub(crate) type QueueId = i64;

/// A caller's name for a request, so that a retry can be told from a new one (DESIGN section 1, Once).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RequestName {
    /// The caller: 1 to [`Self::MAX_CLIENT_BYTES`] bytes.
    pub client: Box<str>,
    /// The caller's request number, from 1.
    pub number: u64,
}

impl RequestName {
    /// The longest client name, in bytes.
    pub(crate) const MAX_CLIENT_BYTES: usize = 64;
}

/// One of the seven operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// The label's queue, made if there is none.
    Create { label: i64 },
    /// Destroy a queue and what is in it.
    Destroy { queue: QueueId },
    /// The label's queue, if any.
    Id { label: i64 },
    /// Append an item at the tail.
    Push { queue: QueueId, item: i64 },
    /// Remove the item at the head.
    Pop { queue: QueueId },
    /// Read the item at the head.
    Top { queue: QueueId },
    /// Count the items.
    Size { queue: QueueId },
}

/// An action and, where the caller gave one, its request name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Operation {
    /// What to do.
    pub action: Action,
    /// The request's name.
    pub request: Option<RequestName>,
}

/// What an executed operation answers when it could be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Create: the label's queue.
    Queue(QueueId),
    /// Destroy.
    Destroyed,
    /// Id: the label's queue, if any.
    Label(Option<QueueId>),
    /// Push.
    Pushed,
    /// Pop and top: the item, none where the queue was empty.
    Item(Option<i64>),
    /// Size.
    Size(u64),
}

/// Why the state machine could not do an operation. It was executed all the same: it has its place in the order
/// and changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rejection {
    /// No queue has this id.
    QueueNotFound { queue: QueueId },
    /// There are as many queues as there may be.
    QueuesFull { limit: u64 },
    /// There are as many items, in all queues together, as there may be.
    ItemsFull { limit: u64 },
}

/// The result of an operation that was executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Executed {
    /// Its position in the order of all operations, from 1.
    pub sequence: u64,
    /// Whether the answer is that of an earlier execution under the same request name. Always false until the
    /// request table is there.
    pub duplicate: bool,
    /// What came of it.
    pub result: Result<Answer, Rejection>,
}
