//! Bugs that are planted on purpose, to see that the simulator's checks catch them. They exist only in builds with the
//! feature `planted-bugs`, which nothing but the test suite turns on.

/// One planted bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlantedBug {
    /// A number is given out by another member than the one whose turn it is.
    NumberOutOfTurn,
    /// Numbers run as far ahead of the delivered one as they like.
    NoUndeliveredWindow,
    /// Numbers run as far ahead of the one that all hold as they like.
    NoUnstableWindow,
    /// Messages are multicast however many before them have no number.
    NoUnnumberedWindow,
    /// All that is asked for is resent at once.
    NoResendBudget,
    /// What is durable here is delivered, majority or not.
    DeliverAtMinority,
    /// Nothing that is missing is asked for.
    NoNacks,
    /// Nothing is repeated when nobody goes on.
    NoHandoverTimer,
    /// A member that acks nothing is not suspected.
    NoAckTimeout,
    /// Promises are waited for as if all disks were fast.
    HastyProposer,
    /// A replica that is to stop waits for others, though they are too few for a view.
    LeaveInVain,
    /// What is resent is the message before the one asked for.
    ResendWrongMessage,
    /// An entry is passed over in delivery.
    DeliverGap,
    /// A message that has a number is given another.
    NumberTwice,
    /// An origin's second waiting message is numbered before its first.
    BreakOriginOrder,
    /// A push is answered when it is multicast.
    AnswerBeforeDelivery,
    /// A read is answered from this replica's queues at once.
    ReadLocally,
    /// What is known to be numbered is acked, held or not.
    AckUnheld,
    /// A datagram that came before is taken in again.
    AcceptReplays,
    /// What is appended is acked before it is durable.
    AckBeforeSync,
    /// A view is acked before its beginning is durable here.
    AckBeforeStart,
    /// A promise is told before it is durable.
    PromiseBeforeSync,
    /// A view is proposed before the promise of its number is durable.
    PrepareBeforeSync,
    /// Promises are not written down.
    ForgetPromise,
    /// A proposal takes the next number after the present view, used or not.
    ViewNumberTwice,
    /// A view is formed of the first promise.
    MinorityPromises,
    /// At install all that is not delivered is dropped, though the chosen log has it.
    DropTooMuch,
    /// At install entries stay that the chosen log does not have.
    KeepOwnTail,
    /// Who catches up is told that more was delivered than was.
    TeachUndelivered,
    /// Who catches up does not promise the view it learns of.
    LearnWithoutPromise,
    /// A majority of the view's members commits.
    MajorityOfMembers,
    /// Acks of an earlier view count in the next.
    CountEarlierAcks,
    /// Who promised goes on in the view that it is in.
    GoOnAfterPromise,
    /// The longest log is chosen, of whatever view its end is.
    LongestLog,
    /// When entries are dropped their messages still count as numbered.
    KeepNumbered,
    /// A promise that comes late makes a second NEWVIEW of one number.
    SecondNewView,
    /// What was copied of a member counts as delivered, all of it.
    CopyUndelivered,
    /// A snapshot gets its name, and what it stands for goes, before it is durable.
    SnapshotNotSynced,
    /// What a snapshot stands for goes before the snapshot's name is durable.
    SnapshotNameNotSynced,
    /// A named request is executed each time that it comes.
    ExecuteAgain,
    /// A name gets the answer that is kept for it, whatever else is asked by it now.
    AnswerAnotherAction,
    /// A number of a client that is not known is executed, whatever it is.
    BeginAnywhere,
    /// A client's first request is executed however late it comes.
    BeginLate,
    /// A number that is forgotten is executed.
    ExecuteForgotten,
    /// What is known of clients is not in a snapshot.
    TableNotInSnapshot,
    /// The replica that was asked notes the name, and no other does.
    NoteOwnNames,
    /// A replica answers one that lost its disk before it holds durably that its earlier lives do not count.
    FenceNotSynced,
    /// One whose disk is an old copy takes no heed of what others know of it.
    TrustOldCopy,
    /// A new disk takes part at once, though the cluster may have been started with another, whatever others know of that.
    TrustEmptyDisk,
    /// A log that is written anew lacks what was not delivered.
    RewriteDeliveredOnly,
    /// What is set aside of a disk that is not trusted goes piece by piece, and nothing says so meanwhile.
    DistrustNotMarked,
}

impl PlantedBug {
    /// All of them.
    pub const ALL: [Self; 51] = [
        Self::NumberOutOfTurn,
        Self::NoUndeliveredWindow,
        Self::NoUnstableWindow,
        Self::NoUnnumberedWindow,
        Self::NoResendBudget,
        Self::DeliverAtMinority,
        Self::NoNacks,
        Self::NoHandoverTimer,
        Self::NoAckTimeout,
        Self::LeaveInVain,
        Self::HastyProposer,
        Self::ResendWrongMessage,
        Self::DeliverGap,
        Self::NumberTwice,
        Self::BreakOriginOrder,
        Self::AnswerBeforeDelivery,
        Self::ReadLocally,
        Self::AckUnheld,
        Self::AcceptReplays,
        Self::AckBeforeSync,
        Self::AckBeforeStart,
        Self::PromiseBeforeSync,
        Self::PrepareBeforeSync,
        Self::ForgetPromise,
        Self::ViewNumberTwice,
        Self::MinorityPromises,
        Self::DropTooMuch,
        Self::KeepOwnTail,
        Self::TeachUndelivered,
        Self::LearnWithoutPromise,
        Self::MajorityOfMembers,
        Self::CountEarlierAcks,
        Self::GoOnAfterPromise,
        Self::LongestLog,
        Self::KeepNumbered,
        Self::SecondNewView,
        Self::CopyUndelivered,
        Self::SnapshotNotSynced,
        Self::SnapshotNameNotSynced,
        Self::ExecuteAgain,
        Self::AnswerAnotherAction,
        Self::BeginAnywhere,
        Self::BeginLate,
        Self::ExecuteForgotten,
        Self::TableNotInSnapshot,
        Self::NoteOwnNames,
        Self::FenceNotSynced,
        Self::TrustOldCopy,
        Self::TrustEmptyDisk,
        Self::RewriteDeliveredOnly,
        Self::DistrustNotMarked,
    ];
}

/// Whether a bug is planted in this replica, or is the one that was handed down: always false without the feature.
macro_rules! planted {
    (in $planted:expr, $bug:ident) => {
        cfg!(feature = "planted-bugs") && $planted == Some($crate::planted::PlantedBug::$bug)
    };
    ($replica:expr, $bug:ident) => {
        $crate::planted::planted!(in $replica.config.planted, $bug)
    };
}
pub(crate) use planted;
