//! stub

/// Stub.
#[derive(Debug)]
pub struct ThreadExecutor;
