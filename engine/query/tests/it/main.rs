//! SQL on real databases in temporary folders; one scenario a file.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_precision_loss)]

mod ends;
mod floats;
mod functions;
mod imports;
mod pushdown;
mod scans;
mod support;
