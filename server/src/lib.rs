//! The chronolith program's library: its commands (`ctl`) and what they are made of (`text`).
//! `ctl` alone writes to standard output and standard error.

pub mod ctl;
pub mod text;
