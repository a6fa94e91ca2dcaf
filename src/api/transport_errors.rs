//! What tonic refuses before the service sees it, said as the service says its own refusals: with a code that tells
//! whose fault it was, and an ErrorInfo.

use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Status};

use super::errors::{Failure, Unread};

/// The header that says which compressions the server knows.
const ACCEPTED: &str = "grpc-accept-encoding";
/// How tonic begins to say that it does not know a request's compression.
const COMPRESSED: &str = "Content is compressed with";

/// Replaces a refusal of tonic's; leaves everything else as it is.
pub(super) fn explain(response: http::Response<Body>) -> http::Response<Body> {
    // An answer has its status in the trailers: for it this is one look for a header.
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    match unread(&status) {
        Some(unread) => {
            let mut explained = Status::from(Failure::Unread(unread)).into_http();
            if let Some(known) = response.headers().get(ACCEPTED) {
                explained.headers_mut().insert(ACCEPTED, known.clone());
            }
            explained
        }
        None => response,
    }
}

/// What kept tonic from reading the request, if that is what the status says. Our own refusals carry details.
fn unread(status: &Status) -> Option<Unread> {
    if !status.details().is_empty() {
        return None;
    }
    let said = status.message().to_owned();
    match status.code() {
        Code::OutOfRange => Some(Unread::TooLarge),
        Code::Internal => Some(Unread::Malformed { said }),
        Code::Unimplemented if said.is_empty() => Some(Unread::UnknownMethod),
        Code::Unimplemented if said.starts_with(COMPRESSED) => Some(Unread::Compressed { said }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    fn explained(status: Status) -> Status {
        let response = explain(status.into_http());
        Status::from_header_map(response.headers()).unwrap()
    }

    #[test]
    fn refusals_before_the_service_get_a_code_and_a_reason() {
        let compressed = "Content is compressed with `zstd` which isn't supported";
        for (status, code, reason) in [
            (Status::out_of_range("large"), Code::InvalidArgument, "REQUEST_TOO_LARGE"),
            (Status::internal("bad"), Code::InvalidArgument, "REQUEST_MALFORMED"),
            (Status::unimplemented(""), Code::Unimplemented, "METHOD_UNKNOWN"),
            (Status::unimplemented(compressed), Code::Unimplemented, "COMPRESSION_UNSUPPORTED"),
        ] {
            let status = explained(status);
            assert_eq!(status.code(), code);
            assert_eq!(status.get_details_error_info().unwrap().reason, reason);
        }
    }

    #[test]
    fn what_the_service_said_is_left_alone() {
        for status in [
            Status::from(Failure::Unread(Unread::Malformed { said: "x".to_owned() })),
            Status::not_found("service not registered"),
            Status::with_details(Code::Internal, "ours", bytes::Bytes::from_static(b"details")),
        ] {
            let same = explained(status.clone());
            assert_eq!(same.code(), status.code());
            assert_eq!(same.message(), status.message());
            assert_eq!(same.details(), status.details());
        }
    }
}
