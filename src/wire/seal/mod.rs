//! Seals: only holders of the cluster's secret can read a datagram or make one, and each counts once.
//!
//! ```text
//! version 1 | key id 1 | cluster id 8 | sender 1 | incarnation 8 | counter 8 | ciphertext | tag 16
//! '----------------------- 27 bytes, authenticated -----------------------'
//! ```
//!
//! A sender numbers its datagrams 1, 2, 3 … (the counter). AES-256-GCM is an AEAD in the sense of RFC 5116: it is
//! secure as long as no nonce is used twice under one key, and a key seals far fewer than 2^32 datagrams. Both hold
//! without randomness:
//!
//! * The key comes from the cluster's secret by HKDF-SHA256 (RFC 5869), whose info names sender, incarnation and
//!   counter / 2^22. Different infos give independent keys, so no two senders share one, nor two lives of one
//!   sender, and one key seals at most 2^22 datagrams. The cluster's id is in the salt: clusters that were given the
//!   same secret by mistake share no key either.
//! * The nonce is the counter, which never repeats within an incarnation; and an incarnation never repeats, because
//!   it rises (durably, before anything is sent) with every start. **Two running replicas with one id, or a replica
//!   put back to an old copy of its disk whose clock also went back, would break this**: the incarnation's rule in
//!   DESIGN section 3 is a rule of secrecy, too.
//!
//! The receiver takes each counter once (see [`Window`]), and remembers the highest incarnation of each sender. It
//! believes nothing before the tag verified: forged datagrams move no window, raise no incarnation, and neither put
//! a key into the cache nor drive one out. What a flood of them costs is one key derivation each.
//!
//! What a seal does not say, and what the replica must therefore ask of the view: that a datagram is fresh to a
//! receiver that has just started (its window is empty, so it can be fed a recording of what its peers once sent,
//! until the first datagram of a peer's present life arrives), and that it was meant for this receiver (one
//! sealed datagram may be sent to all). Nor does it hide who sends how much to whom.

mod window;

use std::cmp::Ordering;

use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{digest, hkdf};

use window::{Seen, Window};

use super::dropped::Dropped;
use crate::codec::{Malformed, Reader, Writer};
use crate::types::{Incarnation, ReplicaId};

/// The version of the datagram format: of the seal and of everything in it.
const VERSION: u8 = 6;

const PREFIX_LEN: usize = 1 + 1 + 8 + 1 + 8 + 8;
const TAG_LEN: usize = 16;

/// How many bytes a seal adds.
pub(super) const SEAL_LEN: usize = PREFIX_LEN + TAG_LEN;

/// The largest datagram: what UDP over IPv4 can carry.
pub const MAX_DATAGRAM: usize = 65_507;

/// A new key each 2^22 datagrams: below the 2^23 packets that QUIC allows a key of this AEAD (RFC 9001, section
/// 6.6) and the 2^32 of NIST SP 800-38D.
const KEY_SHIFT: u32 = 22;

/// Which cluster: datagrams of others are dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClusterId(pub u64);

impl ClusterId {
    /// The id of the cluster of this name: the first eight bytes of the name's SHA-256.
    pub fn from_name(name: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let first = hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
        Self(u64::from_le_bytes(*first))
    }
}

/// What all replicas of a cluster share. Cheap to clone.
#[derive(Clone)]
pub struct ClusterKey {
    key_id: u8,
    cluster: ClusterId,
    root: hkdf::Prk,
}

impl ClusterKey {
    /// The key of a cluster from its secret: at least 32 bytes of a random source (HKDF does not make a weak
    /// password strong). `key_id` tells the secrets of one cluster apart when they are changed.
    pub fn new(key_id: u8, secret: &[u8], cluster: ClusterId) -> Self {
        let mut salt = b"ftqueue datagram".to_vec();
        salt.extend_from_slice(&cluster.0.to_le_bytes());
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(secret);
        Self { key_id, cluster, root }
    }

    /// The key under which `sender` seals the datagrams with these counters.
    fn derive(&self, sender: ReplicaId, incarnation: Incarnation, key_number: u64) -> LessSafeKey {
        let mut info = Vec::with_capacity(17);
        let mut writer = Writer::new(&mut info);
        writer.u8(sender.0);
        writer.u64(incarnation.0);
        writer.u64(key_number);
        let info = [info.as_slice()];
        let key = self.root.expand(&info, &AES_256_GCM).expect("a key is shorter than 255 hashes");
        LessSafeKey::new(UnboundKey::from(key))
    }
}

/// What stands in clear at the head of a datagram.
#[derive(Clone, Copy)]
struct Prefix {
    version: u8,
    key_id: u8,
    cluster: ClusterId,
    sender: ReplicaId,
    incarnation: Incarnation,
    counter: u64,
}

impl Prefix {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(self.version);
        writer.u8(self.key_id);
        writer.u64(self.cluster.0);
        writer.u8(self.sender.0);
        writer.u64(self.incarnation.0);
        writer.u64(self.counter);
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            version: reader.u8()?,
            key_id: reader.u8()?,
            cluster: ClusterId(reader.u64()?),
            sender: ReplicaId(reader.u8()?),
            incarnation: Incarnation(reader.u64()?),
            counter: reader.u64()?,
        })
    }

    fn key_number(&self) -> u64 {
        self.counter >> KEY_SHIFT
    }

    fn nonce(&self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        if let Some(low) = nonce.last_chunk_mut() {
            *low = self.counter.to_be_bytes();
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Seals the datagrams of one incarnation of a replica.
pub struct Sealer {
    cluster_key: ClusterKey,
    /// The prefix of the last datagram.
    prefix: Prefix,
    /// The key of the last datagram, or of the first.
    key: LessSafeKey,
}

impl Sealer {
    /// The sealer of `sender` in this life. **At most one may ever be made for a sender and an incarnation**: two
    /// would use one nonce twice.
    pub fn new(cluster_key: &ClusterKey, sender: ReplicaId, incarnation: Incarnation) -> Self {
        Self {
            cluster_key: cluster_key.clone(),
            prefix: Prefix {
                version: VERSION,
                key_id: cluster_key.key_id,
                cluster: cluster_key.cluster,
                sender,
                incarnation,
                counter: 0,
            },
            key: cluster_key.derive(sender, incarnation, 0),
        }
    }

    /// Whose datagrams it seals.
    pub fn sender(&self) -> ReplicaId {
        self.prefix.sender
    }

    /// In which life.
    pub fn incarnation(&self) -> Incarnation {
        self.prefix.incarnation
    }

    /// The datagram of a body: as much longer than it as a seal takes.
    pub fn seal(&mut self, body: &[u8]) -> Bytes {
        let previous = self.prefix.key_number();
        self.prefix.counter += 1;
        let Prefix { sender, incarnation, .. } = self.prefix;
        if self.prefix.key_number() != previous {
            self.key = self.cluster_key.derive(sender, incarnation, self.prefix.key_number());
        }

        let mut datagram = Vec::with_capacity(body.len() + SEAL_LEN);
        self.prefix.encode(&mut datagram);
        datagram.extend_from_slice(body);
        let (prefix, body) = datagram.split_at_mut(PREFIX_LEN);
        let tag = self
            .key
            .seal_in_place_separate_tag(self.prefix.nonce(), Aad::from(&*prefix), body)
            .expect("a body is shorter than 2^36 bytes");
        datagram.extend_from_slice(tag.as_ref());
        Bytes::from(datagram)
    }
}

/// The inside of a datagram whose seal holds.
#[derive(Debug)]
pub struct Opened {
    /// Who sealed it.
    pub sender: ReplicaId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// What was sealed.
    pub body: Bytes,
}

/// Opens the datagrams of all other replicas. Its size is fixed by their number.
pub struct Opener {
    cluster_key: ClusterKey,
    own: ReplicaId,
    /// By replica; none before its first authentic datagram.
    peers: Vec<Option<Peer>>,
    /// For the planted bug: datagrams that came before are opened again.
    #[cfg(feature = "planted-bugs")]
    pub accept_replays: bool,
}

/// What is known of a sender, all of it from authentic datagrams.
struct Peer {
    /// The highest incarnation seen.
    incarnation: Incarnation,
    /// What was seen of this incarnation.
    window: Window,
    /// The keys of this incarnation last used, the one of number n at n % 2. The window is shorter than a key's
    /// life, so it never wants more than two neighbours at a time.
    keys: [Option<KeptKey>; 2],
}

struct KeptKey {
    number: u64,
    key: LessSafeKey,
}

impl Opener {
    /// The opener of replica `own` among `replicas`.
    pub fn new(cluster_key: &ClusterKey, own: ReplicaId, replicas: usize) -> Self {
        let peers = std::iter::repeat_with(|| None).take(replicas).collect();
        Self {
            cluster_key: cluster_key.clone(),
            own,
            peers,
            #[cfg(feature = "planted-bugs")]
            accept_replays: false,
        }
    }

    /// How many replicas there are.
    pub fn replicas(&self) -> usize {
        self.peers.len()
    }

    /// The inside of a datagram, once for each datagram.
    ///
    /// # Errors
    /// Says why it is to be dropped; then nothing has changed.
    pub fn open(&mut self, datagram: &[u8]) -> Result<Opened, Dropped> {
        let (prefix, sealed) = split(datagram).map_err(Dropped::Malformed)?;
        let fields = Prefix::decode(prefix).map_err(Dropped::Malformed)?;
        self.check_address(&fields)?;
        let peer = self.peers.get_mut(fields.sender.index()).ok_or(Dropped::UnknownSender)?;
        if let Some(peer) = peer {
            match peer.check_unseen(&fields) {
                #[cfg(feature = "planted-bugs")]
                Err(Dropped::Replayed) if self.accept_replays => {}
                judged => judged?,
            }
        }

        let (body, new_key) = match peer.as_ref().and_then(|peer| peer.key(&fields)) {
            Some(key) => (decrypt(key, &fields, prefix, sealed)?, None),
            None => {
                let key =
                    self.cluster_key.derive(fields.sender, fields.incarnation, fields.key_number());
                (decrypt(&key, &fields, prefix, sealed)?, Some(key))
            }
        };

        // The tag verified: from here on the datagram is its sender's, and may change what is known of it.
        if peer.as_ref().is_some_and(|peer| peer.incarnation < fields.incarnation) {
            *peer = None;
        }
        let peer = peer.get_or_insert_with(|| Peer::new(fields.incarnation));
        peer.window.record(fields.counter);
        if let Some(key) = new_key {
            peer.keep_key(&fields, key);
        }
        Ok(Opened { sender: fields.sender, incarnation: fields.incarnation, body })
    }

    /// Whether it may be for this replica from another one of its cluster, if it says the truth.
    fn check_address(&self, prefix: &Prefix) -> Result<(), Dropped> {
        if prefix.version != VERSION {
            Err(Dropped::UnknownVersion)
        } else if prefix.cluster != self.cluster_key.cluster {
            Err(Dropped::ForeignCluster)
        } else if prefix.key_id != self.cluster_key.key_id {
            Err(Dropped::UnknownKey)
        } else if prefix.sender.index() >= self.peers.len() {
            Err(Dropped::UnknownSender)
        } else if prefix.sender == self.own {
            Err(Dropped::OwnSender)
        } else {
            Ok(())
        }
    }
}

impl Peer {
    fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, window: Window::new(), keys: [None, None] }
    }

    /// Whether the datagram may be one that was not here before.
    fn check_unseen(&self, prefix: &Prefix) -> Result<(), Dropped> {
        match prefix.incarnation.cmp(&self.incarnation) {
            Ordering::Less => Err(Dropped::OldIncarnation),
            Ordering::Greater => Ok(()),
            Ordering::Equal => match self.window.look_up(prefix.counter) {
                Seen::Never => Ok(()),
                Seen::Before => Err(Dropped::Replayed),
                Seen::Unknown => Err(Dropped::Late),
            },
        }
    }

    /// The kept key of a datagram, if it is there.
    fn key(&self, prefix: &Prefix) -> Option<&LessSafeKey> {
        let [even, odd] = &self.keys;
        let kept = if prefix.key_number().is_multiple_of(2) { even } else { odd };
        kept.as_ref()
            .filter(|kept| {
                self.incarnation == prefix.incarnation && kept.number == prefix.key_number()
            })
            .map(|kept| &kept.key)
    }

    /// Keeps the key of an authentic datagram of this incarnation.
    fn keep_key(&mut self, prefix: &Prefix, key: LessSafeKey) {
        let [even, odd] = &mut self.keys;
        let place = if prefix.key_number().is_multiple_of(2) { even } else { odd };
        *place = Some(KeptKey { number: prefix.key_number(), key });
    }
}

/// A datagram as prefix and the sealed rest.
fn split(datagram: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(Malformed("longer than any datagram"));
    }
    match datagram.split_at_checked(PREFIX_LEN) {
        Some((prefix, sealed)) if sealed.len() >= TAG_LEN => Ok((prefix, sealed)),
        _ => Err(Malformed("shorter than a seal")),
    }
}

fn decrypt(
    key: &LessSafeKey,
    fields: &Prefix,
    prefix: &[u8],
    sealed: &[u8],
) -> Result<Bytes, Dropped> {
    let mut body = sealed.to_vec();
    key.open_in_place(fields.nonce(), Aad::from(prefix), &mut body).map_err(|_| Dropped::BadTag)?;
    body.truncate(body.len() - TAG_LEN);
    Ok(Bytes::from(body))
}

#[cfg(test)]
mod tests;
