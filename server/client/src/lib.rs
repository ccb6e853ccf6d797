//! A client of Chronolith's gRPC interface. [`Client`] has the calls, [`Writer`] writes batches in a stream, each
//! once, over reconnects, [`Answer`] is a query's result as it comes.
//!
//! ```no_run
//! use chronolith_client::{Client, ScanRequest};
//!
//! # async fn example() -> Result<(), chronolith_client::ClientError> {
//! let client = Client::connect("http://127.0.0.1:7401").await?;
//! let request = ScanRequest { table: "ticks".into(), ..ScanRequest::default() };
//! let mut answer = client.scan(request).await?;
//! while let Some(batch) = answer.next().await? {
//!     let _rows = batch.num_rows();
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod client;
mod error;
mod retry;
mod writer;

pub use answer::Answer;
pub use chronolith_proto::v1;
pub use chronolith_proto::v1::{
    AggregateRequest, ErrorDetail, ScanRequest, SqlRequest, TableRows, WriteReply, WriteRequest,
};
pub use client::Client;
pub use error::{ClientError, Result};
pub use retry::Retry;
pub use writer::{Writer, WriterOptions, Written};
