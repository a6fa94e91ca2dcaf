//! Code generated from `proto/` by build.rs: messages, the client and the server trait.

#![allow(missing_docs, unreachable_pub, clippy::all, unused_qualifications)]

tonic::include_proto!("ftqueue.v1");

/// The encoded `FileDescriptorSet` of `proto/`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ftqueue_descriptor.bin"));
