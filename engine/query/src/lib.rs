//! SQL on the engine: the only crate that knows DataFusion. Read docs/ARCHITECTURE.md first, then [`session`], [`run`], [`table`].

pub mod answer;
mod catalog;
pub mod control;
pub mod convert;
pub mod error;
mod files;
pub mod format;
pub mod functions;
pub mod identifier;
pub mod memory;
mod partition;
mod pushdown;
pub mod run;
mod scan;
mod sequence_column;
pub mod session;
mod statement;
mod sugar;
mod system;
pub mod table;
mod watch;

pub use answer::{Answer, AnswerStream, SnapshotId};
pub use control::CancelHandle;
pub use error::{Result, SqlError, SqlErrorKind, Unknown};
pub use session::{Session, SqlEngine, SqlOptions, Writes, statements};
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub use statement::fuzz;
pub use statement::{caret, definition, show_create, writes, written_name};
