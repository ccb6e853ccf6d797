//! Committing: validate, queue, log, publish. The path: submit, prepare, queue, leader, log, apply, ticket; `durable` and `tail` follow it.

mod apply;
mod convert;
mod durable;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod imports;
mod leader;
mod log;
mod pipeline;
mod prepare;
mod producers;
mod queue;
mod submit;
mod tail;
mod ticket;

#[cfg(test)]
mod tests;

pub use apply::apply;
pub use imports::{IMPORT_PREFIX, IMPORTS_TABLE, imports_table, progress};
pub use log::{Log, LogSizes};
pub use pipeline::{Changes, Parts, Pipeline, log_folder};
pub use prepare::RefusedRow;
pub use tail::{Committed, Tail};
pub use ticket::{Ticket, WriteOutcome};
