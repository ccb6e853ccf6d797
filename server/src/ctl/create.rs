//! `chronolith create`: a table of declared columns.

use chronolith_engine::model::{FieldType, MergeMode, SchemaMode, TableOptions};
use clap::Args;

use super::place::{self, PlaceArg};
use super::{CtlResult, print};
use crate::text::infer::{TextType, TypeError, parse_typed_names};

/// Create a table with given tags and fields
///
/// Its columns stay these until ALTER TABLE adds some (strict). `import`, and writers that say so, make tables by
/// themselves, which then gain columns from what is written.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chronolith create --data ./db trades --tags venue,symbol --fields price:f64,size:i64 --merge last_row")]
pub(super) struct CreateArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// The table
    table: String,
    /// The tags, in sort order
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    tags: Vec<String>,
    /// The fields and their types: f64, i64, u64, bool, utf8, timestamp, decimal(precision,scale)
    #[arg(long, value_name = "NAME:TYPE,...", value_parser = typed_fields)]
    fields: Option<TypedNames>,
    /// What becomes of rows of one series and time: append (all are kept), last_row (the later one replaces
    /// the earlier), last_non_null (the later one replaces the fields that it carries)
    #[arg(long, value_name = "MODE", default_value = "append", value_parser = merge_mode)]
    merge: MergeMode,
}

/// Names with types, as they were given.
#[derive(Debug, Clone, Default)]
pub(super) struct TypedNames(pub(super) Vec<(String, TextType)>);

fn typed_fields(text: &str) -> Result<TypedNames, TypeError> {
    parse_typed_names(text, ':').map(TypedNames)
}

/// Reads a merge mode.
///
/// # Errors
/// A message for clap.
pub(super) fn merge_mode(text: &str) -> Result<MergeMode, String> {
    MergeMode::parse(text)
        .ok_or_else(|| format!("{text:?} is none of append, last_row, last_non_null"))
}

/// The engine's type for a type of text.
pub(super) fn field_type(kind: TextType) -> FieldType {
    match kind {
        TextType::F64 => FieldType::F64,
        TextType::I64 => FieldType::I64,
        TextType::U64 => FieldType::U64,
        TextType::Bool => FieldType::Bool,
        TextType::Utf8 => FieldType::Utf8,
        TextType::Timestamp(_) => FieldType::Timestamp,
        TextType::Decimal { precision, scale } => FieldType::Decimal { precision, scale },
    }
}

pub(super) fn run(args: &CreateArgs) -> CtlResult<()> {
    let fields = args.fields.clone().unwrap_or_default().0;
    let options = TableOptions {
        tags: args.tags.clone(),
        fields: fields.into_iter().map(|(name, kind)| (name, field_type(kind))).collect(),
        merge: args.merge,
        mode: SchemaMode::Strict,
        ..TableOptions::default()
    };
    let db = place::or_create(&args.place)?;
    db.create_table(&args.table, options)?;
    db.close()?;
    print(&format!("created table {}\n", args.table))
}
