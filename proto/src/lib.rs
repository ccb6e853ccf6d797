//! The gRPC interface, generated from `proto/v1/*.proto`, where every message is documented with its limits.
//! Stands alone: knows nothing of the engine's types, which the server converts in one place.

mod status;

pub use status::{detail_of, with_detail};

/// Version 1 of the messages, clients and servers.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::cast_possible_truncation)]
pub mod v1 {
    tonic::include_proto!("chronolith.v1");
}

/// The descriptors of every file, encoded: for reflection.
pub const DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/chronolith_descriptors.bin"));

/// Bytes of one encoded message, inclusive.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Bytes of an answer's Arrow IPC stream in one message, inclusive.
pub const IPC_BYTES_MAX: usize = 1 << 20;
/// Tables of one write request, inclusive.
pub const REQUEST_TABLES_MAX: usize = 1_000;
/// Refused rows that a reply names, inclusive.
pub const REFUSED_ROWS_MAX: usize = 1_000;
/// Values of one condition on a tag, inclusive.
pub const FILTER_VALUES_MAX: usize = 100_000;
/// Conditions on tags of one request, inclusive.
pub const TAG_FILTERS_MAX: usize = 64;
/// Conditions on fields of one request, inclusive.
pub const FIELD_FILTERS_MAX: usize = 1_000;
/// Columns of one aggregate request, inclusive.
pub const AGGREGATE_COLUMNS_MAX: usize = 1_000;
/// Bytes of one SQL statement, inclusive.
pub const STATEMENT_BYTES_MAX: usize = 1 << 20;
/// Names in an error's `known`, inclusive.
pub const KNOWN_NAMES_MAX: usize = 100;
