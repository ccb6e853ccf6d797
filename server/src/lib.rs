//! The chronolith program's library: the server ([`run`], `service`), the commands (`ctl`), and what they are made of
//! (`text`). `ctl` alone writes to standard output and standard error.

mod blocking;
pub mod config;
mod contain;
mod convert;
pub mod ctl;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod http;
mod intake;
mod ipc;
mod meters;
mod run;
mod service;
mod shared;
pub mod shutdown;
mod sql;
mod status;
pub mod text;

pub use run::{Listeners, ServeError, run};
