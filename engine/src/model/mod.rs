//! The data model: one type a file, without I/O. See docs/decisions/0001-identity.md and 0002-sequence.md.

mod batch;
mod chunk;
mod column;
mod predicate;
mod rows;
mod schema;
mod series_key;
mod text;
mod time_range;
mod value;
mod window;

pub use crate::sequence::Sequence;
pub use batch::{
    Batch, CommitMetadata, Durability, FieldColumn, ImportMark, ImportProgress, InvalidRows,
    OnPressure, Producer, RowBuilder, TableOptions, TableRows, TagColumn, TagValues,
};
pub use chunk::{RowChunk, SeriesRows};
pub use column::{Column, ColumnData};
pub use predicate::{Comparison, FieldFilter, Predicate, TagFilter};
pub use rows::{FieldValues, Rows};
pub use schema::{
    ColumnId, FieldDef, FieldType, FileId, MergeMode, SchemaMode, TableId, TableSchema, TagDef,
};
pub use series_key::{SeriesKey, check_tag_value, tag_of};
pub use text::text_from_parts;
pub use time_range::TimeRange;
pub use value::Value;
pub use window::Window;
