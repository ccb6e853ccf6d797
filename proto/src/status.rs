//! An [`ErrorDetail`] in a gRPC status, as `google.rpc.Status` in `grpc-status-details-bin`, which every language's
//! library reads.

use bytes::Bytes;
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use crate::v1::ErrorDetail;

const TYPE_URL: &str = "type.googleapis.com/chronolith.v1.ErrorDetail";

/// google.rpc.Status.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// A status that carries `detail`; its message is the detail's.
#[must_use]
pub fn with_detail(code: Code, detail: &ErrorDetail) -> Status {
    let any = Any { type_url: TYPE_URL.to_owned(), value: detail.encode_to_vec() };
    let rpc = RpcStatus { code: code as i32, message: detail.message.clone(), details: vec![any] };
    Status::with_details(code, detail.message.clone(), Bytes::from(rpc.encode_to_vec()))
}

/// The detail that a status carries, if it does.
#[must_use]
pub fn detail_of(status: &Status) -> Option<ErrorDetail> {
    let rpc = RpcStatus::decode(status.details()).ok()?;
    let any = rpc.details.iter().find(|any| any.type_url == TYPE_URL)?;
    ErrorDetail::decode(any.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_comes_back_from_its_status() {
        let detail = ErrorDetail {
            reason: "sequence_gap".into(),
            message: "expected 3".into(),
            expected_number: Some(3),
            ..ErrorDetail::default()
        };
        let status = with_detail(Code::FailedPrecondition, &detail);
        assert_eq!(status.message(), "expected 3");
        assert_eq!(detail_of(&status), Some(detail));
        assert_eq!(detail_of(&Status::internal("x")), None);
        let garbage = Status::with_details(Code::Internal, "x", Bytes::from_static(b"\xff\xff"));
        assert_eq!(detail_of(&garbage), None);
    }
}
