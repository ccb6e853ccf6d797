//! The log's tail: durable records in commit order.

use chronolith_proto::v1;
use chronolith_proto::v1::log_service_server::LogService;
use tonic::{Request, Response, Status};

use super::Answers;
use crate::status;

/// The log service.
pub(crate) struct Log;

#[tonic::async_trait]
impl LogService for Log {
    type TailStream = Answers<v1::TailReply>;

    async fn tail(
        &self,
        _: Request<v1::TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        Err(status::unimplemented("this server does not give the log's tail yet"))
    }
}
