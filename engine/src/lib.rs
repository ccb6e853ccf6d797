//! The storage engine.
pub mod clock;
pub mod error;
pub mod executor;
pub mod limits;
pub mod model;
pub mod rng;
pub mod vfs;
