//! The chronolith program's library: what its commands are made of.
//! It prints nothing; everything is written to writers that the caller hands in.

pub mod text;
