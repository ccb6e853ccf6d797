//! Merging segments. What to merge is a pure function of the segments ([`plan`]); merging gives new segments and installs nothing.
//! Invariant: a segment outside a plan that may share a series and time with its inputs lies wholly below or above them in
//! sequence; plans hold by taking every segment whose window overlaps.

mod merge;
mod plan;

pub use merge::{MergeInput, merge_segments, room_for};
pub use plan::{Plan, plan, removable};
