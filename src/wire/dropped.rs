//! Why a datagram was dropped.

use std::fmt;

use crate::codec::Malformed;

/// Why a datagram was dropped. Dropping changes nothing but a counter; whatever the cause, a sender that is alive
/// will send again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// It is too short or too long to be a datagram of ours.
    Malformed(Malformed),
    /// Its format version is not ours.
    UnknownVersion,
    /// It is of another cluster.
    ForeignCluster,
    /// It is sealed under a key that this replica does not have.
    UnknownKey,
    /// Its sender is not one of the configured replicas.
    UnknownSender,
    /// Its sender calls itself by this replica's id: a reflection, or two replicas configured alike.
    OwnSender,
    /// Its sender has started anew since.
    OldIncarnation,
    /// It is so old that nobody remembers whether it was here before.
    Late,
    /// It was here before.
    Replayed,
    /// Its seal does not hold: not from a holder of the cluster's secret, or damaged on its way.
    BadTag,
    /// Its seal holds but what is inside is not chunks: its sender has a bug, or speaks a newer format.
    MalformedBody(Malformed),
}

impl Dropped {
    /// The names of all causes, for counters.
    pub const NAMES: [&'static str; 11] = [
        "malformed",
        "unknown_version",
        "foreign_cluster",
        "unknown_key",
        "unknown_sender",
        "own_sender",
        "old_incarnation",
        "late",
        "replayed",
        "bad_tag",
        "malformed_body",
    ];

    /// The cause's name; one of [`Self::NAMES`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownVersion => "unknown_version",
            Self::ForeignCluster => "foreign_cluster",
            Self::UnknownKey => "unknown_key",
            Self::UnknownSender => "unknown_sender",
            Self::OwnSender => "own_sender",
            Self::OldIncarnation => "old_incarnation",
            Self::Late => "late",
            Self::Replayed => "replayed",
            Self::BadTag => "bad_tag",
            Self::MalformedBody(_) => "malformed_body",
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) | Self::MalformedBody(malformed) => {
                write!(f, "{}: {}", self.name(), malformed.0)
            }
            _ => f.write_str(self.name()),
        }
    }
}
