//! Immutable segments: sorted rows of one table and partition in row groups, blocks and pages, with a series dictionary, a tag
//! index and zone maps. Format: docs/format/segment.md; decisions: docs/decisions/0004-segment.md, 0005-tag-index.md.

mod buffer;
mod commits;
mod dictionary;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod group;
mod index;
mod info;
mod last_rows;
mod layout;
mod order;
mod output;
mod page;
mod parts;
mod pick;
mod read;
mod reader;
mod salvage;
mod source;
mod tag_index;
#[cfg(test)]
mod tests;
mod verify;
mod writer;
mod zone;

pub use group::BlockId;
pub use info::SegmentInfo;
pub use pick::SeriesBlock;
pub use reader::SegmentReader;
pub use salvage::LostRows;
pub use verify::{Damage, verify};
pub use writer::{SegmentSpec, SegmentWriter};
pub use zone::{Stats, Zone, ZoneValues};
