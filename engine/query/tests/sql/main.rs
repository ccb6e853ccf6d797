//! Statements against a database on disk. Scripts in sqllogictest's form: `tests/slt`; the rest is what scripts cannot say.

mod limits;
mod round_trip;
mod slt;
mod support;
