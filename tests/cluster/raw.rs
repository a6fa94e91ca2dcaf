//! HTTP/2 by hand: frames that no library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::LIMIT;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The reason of a GOAWAY: the peer does too much of something.
const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The whole frames at the beginning of these bytes: their kinds and payloads.
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        bytes = rest;
        Some((head[3], payload))
    })
}

/// The header block of a call of `QId` (RFC 7541: the static table, and literals that are not indexed).
pub(crate) fn call_headers() -> Vec<u8> {
    const POST: u8 = 0x83;
    const HTTP: u8 = 0x86;
    let mut block = vec![POST, HTTP];
    // :path and :authority, whose names are 4 and 1 in the static table; content-type, which is 31.
    for (name, value) in [
        (&[0x04][..], "/ftqueue.v1.FTQueue/QId"),
        (&[0x01], "localhost"),
        (&[0x0f, 0x10], "application/grpc"),
    ] {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    block.extend(b"\x00\x02te\x08trailers");
    block
}

/// A connection that has begun: preface and settings are sent. A window of 0 lets the server answer nothing.
pub(crate) async fn begin(address: SocketAddr, window: Option<u32>) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut settings = Vec::new();
    if let Some(window) = window {
        settings.extend([0, 4]);
        settings.extend(window.to_be_bytes());
    }
    let beginning = [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat();
    stream.write_all(&beginning).await.unwrap();
    stream
}

/// Sends and reads until the server closes; panics when it never does, or says that it does for another reason than too
/// much of a thing (its last words may be lost on the way).
pub(crate) async fn until_closed(stream: TcpStream, bytes: impl Fn(u32) -> Vec<u8>) {
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        // A server that has closed makes the writing fail.
        for turn in 0.. {
            if writer.write_all(&bytes(turn)).await.is_err() {
                break;
            }
        }
    };
    let mut said = Vec::new();
    let both = async {
        tokio::select! {
            () = write => {}
            _ = reader.read_to_end(&mut said) => {}
        }
    };
    tokio::time::timeout(LIMIT, both).await.expect("the server never cuts this off");
    for (kind, payload) in frames(&said) {
        if kind == GOAWAY {
            assert_eq!(payload[4..8], ENHANCE_YOUR_CALM.to_be_bytes(), "{payload:?}");
        }
    }
}
