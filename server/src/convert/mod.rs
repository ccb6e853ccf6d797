//! Messages to the engine's model ([`write`], [`read`]) and back ([`message`]). Bounds of repeated fields are checked here,
//! before anything is made of them.

mod message;
mod read;
mod write;

use chronolith_engine::limits::{FIELD_COUNT_MAX, TAG_COUNT_MAX};
use chronolith_engine::model::{FieldType, MergeMode, SchemaMode, Sequence, TableOptions};
use chronolith_proto::v1;
use tonic::Status;

pub(crate) use message::{
    deletion, field_type_message, logged_rows, metadata_message, packed_field_message, table,
    table_stats, tag_filter_message, time_range_message,
};
pub(crate) use read::{aggregate_request, scan_request, tag_predicate, time_range};
#[cfg(feature = "fuzz")]
pub(crate) use write::packed;
pub(crate) use write::{batch, write_reply};

use crate::status;

type Converted<T> = Result<T, Status>;

fn check_count(what: &str, found: usize, limit: usize) -> Converted<()> {
    if found > limit { Err(status::over_limit(what, found, limit, "entries")) } else { Ok(()) }
}

/// Properties of a new table; `mode` where none is given.
///
/// # Errors
/// `INVALID_ARGUMENT` for a type that is none.
pub(crate) fn table_options(from: v1::TableOptions, mode: SchemaMode) -> Converted<TableOptions> {
    check_count("tags of a table", from.tags.len(), TAG_COUNT_MAX)?;
    check_count("fields of a table", from.fields.len(), FIELD_COUNT_MAX)?;
    let merge = match from.merge() {
        v1::MergeMode::Unspecified | v1::MergeMode::Append => MergeMode::Append,
        v1::MergeMode::LastRow => MergeMode::LastRow,
        v1::MergeMode::LastNonNull => MergeMode::LastNonNull,
    };
    let mode = match from.mode() {
        v1::SchemaMode::Unspecified => mode,
        v1::SchemaMode::Dynamic => SchemaMode::Dynamic,
        v1::SchemaMode::Strict => SchemaMode::Strict,
    };
    let field = |field: v1::Field| Ok((field.name.clone(), field_type(&field.name, field.r#type)?));
    let fields = from.fields.into_iter().map(field).collect::<Converted<_>>()?;
    let (history_ns, time_name) = (from.history_ns, from.time_name);
    Ok(TableOptions { tags: from.tags, fields, merge, mode, history_ns, time_name })
}

/// A field's type.
///
/// # Errors
/// `INVALID_ARGUMENT` for a type that is none.
pub(crate) fn field_type(name: &str, from: Option<v1::FieldType>) -> Converted<FieldType> {
    use v1::field_type::Kind;
    let from = from.unwrap_or_default();
    let digits = |count: u32| u8::try_from(count).unwrap_or(u8::MAX);
    let found = match from.kind() {
        Kind::Unspecified => None,
        Kind::F64 => Some(FieldType::F64),
        Kind::I64 => Some(FieldType::I64),
        Kind::U64 => Some(FieldType::U64),
        Kind::Bool => Some(FieldType::Bool),
        Kind::Utf8 => Some(FieldType::Utf8),
        Kind::Timestamp => Some(FieldType::Timestamp),
        Kind::Decimal => FieldType::decimal(digits(from.precision), digits(from.scale)),
    };
    found.ok_or_else(|| {
        status::invalid(format!(
            "the type of field {name:?} is none: kind {}, precision {}, scale {}",
            from.kind, from.precision, from.scale
        ))
    })
}

/// A sequence as a message.
pub(crate) fn sequence(from: Sequence) -> v1::Sequence {
    v1::Sequence { incarnation: from.incarnation, counter: from.counter }
}
