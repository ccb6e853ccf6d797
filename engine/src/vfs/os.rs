//! stub

/// Stub.
#[derive(Debug)]
pub struct OsVfs;
