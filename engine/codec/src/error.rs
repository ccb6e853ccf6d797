//! The crate's one error type: what is wrong with bytes that should decode.

/// Why bytes did not decode, or why values do not fit a buffer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("encoded bytes end too early")]
    Truncated,
    /// The first byte of a page names no encoding that is known, or none that is allowed there.
    #[error("unknown encoding id {0:#04x}")]
    UnknownEncoding(u8),
    /// A field holds a value that no encoder writes.
    #[error("corrupt encoded bytes: {what}")]
    Corrupt {
        /// Which rule is broken.
        what: &'static str,
    },
    /// A length or count is above its bound; nothing was allocated for it.
    #[error("{what} is {value}, above the bound {max}")]
    TooLarge {
        /// What was measured, with its unit.
        what: &'static str,
        /// The value read.
        value: u64,
        /// The bound, inclusive.
        max: u64,
    },
}

/// Shorthand for [`CodecError::Corrupt`].
pub(crate) const fn corrupt(what: &'static str) -> CodecError {
    CodecError::Corrupt { what }
}

/// Checks `value <= max`.
pub(crate) fn check_max(what: &'static str, value: usize, max: usize) -> Result<(), CodecError> {
    if value <= max {
        return Ok(());
    }
    Err(CodecError::TooLarge { what, value: value as u64, max: max as u64 })
}
