//! stub

/// Stub.
#[derive(Debug)]
pub struct DeterministicExecutor;
