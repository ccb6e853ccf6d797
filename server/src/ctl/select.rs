//! Arguments that several commands share: which rows, and where results go.

use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use chronolith_engine::model::{Predicate, TableSchema, TagFilter, TimeRange};
use chronolith_engine::read::ScanRequest;
use clap::Args;

use super::cells::TIME_COLUMN;
use super::place::{Place, PlaceArg};
use super::{CtlError, CtlResult};
use crate::text::output::Output;
use crate::text::table::RowFormat;
use crate::text::time::parse_bound;

/// Which rows.
#[derive(Debug, Clone, Args)]
pub(super) struct SelectArgs {
    /// Only rows from this time on (inclusive): ISO-8601, UTC unless it has an offset
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    from: Option<i64>,
    /// Only rows before this time (exclusive)
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    to: Option<i64>,
    /// Only rows of this tag value; an empty value means rows without the tag. Repeated for one tag: any of
    /// the values; for several tags: all of them. Fields cannot be asked for
    #[arg(long = "where", value_name = "TAG=VALUE", value_parser = tag_equals)]
    tags: Vec<(String, String)>,
}

impl SelectArgs {
    /// `[from, to)`.
    pub(super) fn range(&self) -> TimeRange {
        let all = TimeRange::ALL;
        TimeRange::new(self.from.unwrap_or(all.from), self.to.unwrap_or(all.to))
    }

    /// Refuses conditions on what is no tag of `schema` but a field.
    ///
    /// # Errors
    /// `Invalid`.
    pub(super) fn check(&self, schema: &TableSchema) -> CtlResult<()> {
        let field = self.tags.iter().find(|(name, _)| schema.field(name).is_some());
        let Some((name, _)) = field else { return Ok(()) };
        let tags: Vec<&str> = schema.tags.iter().map(|tag| tag.name.as_str()).collect();
        let tags = if tags.is_empty() { "none".to_owned() } else { tags.join(", ") };
        Err(CtlError::Invalid(format!(
            "{name:?} is a field, not a tag: --where takes tags only; the tags of table {:?}: {tags}",
            schema.name
        )))
    }

    /// The conditions on tags.
    pub(super) fn predicate(&self) -> Predicate {
        let mut predicate = Predicate::all();
        for (tag, value) in &self.tags {
            let known = predicate.tags.iter_mut().find(|(name, _)| name == tag);
            match known {
                Some((_, TagFilter::In(values))) => values.push(value.clone()),
                _ => predicate = predicate.and_tag(tag, value),
            }
        }
        predicate
    }
}

/// Which rows and fields of which table.
#[derive(Debug, Clone, Args)]
pub(super) struct RowsArgs {
    #[command(flatten)]
    pub(super) place: PlaceArg,
    /// The table
    #[arg(long)]
    pub(super) table: String,
    #[command(flatten)]
    select: SelectArgs,
    /// Only these fields, in this order; time and tags are always there
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    columns: Option<Vec<String>>,
}

impl RowsArgs {
    /// The table's schema, and the request for what is asked of it.
    ///
    /// # Errors
    /// `UnknownTable`; `Invalid`.
    pub(super) fn request(&self, place: &Place) -> CtlResult<(Arc<TableSchema>, ScanRequest)> {
        let schema = place.table_schema(&self.table)?;
        self.select.check(&schema)?;
        let request = ScanRequest {
            columns: field_names(self.columns.as_deref(), &schema),
            ..ScanRequest::new(&self.table)
                .predicate(self.select.predicate())
                .range(self.select.range())
        };
        Ok((schema, request))
    }
}

/// The fields among `names`; time and tags may be named, and are there anyway.
fn field_names(names: Option<&[String]>, schema: &TableSchema) -> Option<Vec<String>> {
    let is_key = |name: &str| name == TIME_COLUMN || schema.tag_position(name).is_some();
    let mut fields: Vec<String> = Vec::new();
    for name in names?.iter().filter(|name| !is_key(name)) {
        if !fields.contains(name) {
            fields.push(name.clone());
        }
    }
    Some(fields)
}

fn tag_equals(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((tag, value)) if !tag.is_empty() => Ok((tag.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not TAG=VALUE")),
    }
}

/// How results are written, and where to.
#[derive(Debug, Clone, Args)]
pub(super) struct ResultArgs {
    /// table, csv or json
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = row_format)]
    pub(super) format: RowFormat,
    #[command(flatten)]
    pub(super) file: FileArg,
}

fn row_format(text: &str) -> Result<RowFormat, String> {
    RowFormat::parse(text).ok_or_else(|| format!("{text:?} is none of table, csv, json"))
}

/// Where results go.
#[derive(Debug, Clone, Args)]
pub(super) struct FileArg {
    /// Write to this file, which appears whole or not at all, instead of standard output
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
}

impl FileArg {
    /// Opens the file or standard output.
    ///
    /// # Errors
    /// `Output`.
    pub(super) fn open(&self) -> CtlResult<Output> {
        let standard = Box::new(BufWriter::new(std::io::stdout()));
        Ok(Output::open(self.output.as_deref(), standard)?)
    }

    /// Whether results go to standard output.
    pub(super) fn is_standard(&self) -> bool {
        self.output.as_ref().is_none_or(|path| path.as_os_str() == "-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tag_twice_is_either_value_and_two_tags_are_both() {
        let tags = ["a=1", "b=2=3", "a="].map(|text| tag_equals(text).unwrap());
        let args = SelectArgs { from: None, to: Some(7), tags: tags.to_vec() };
        let predicate = args.predicate();
        let values = |list: &[&str]| TagFilter::In(list.iter().map(|v| (*v).to_owned()).collect());
        assert_eq!(predicate.tags[0], ("a".to_owned(), values(&["1", ""])));
        assert_eq!(predicate.tags[1], ("b".to_owned(), values(&["2=3"])));
        assert_eq!(args.range(), TimeRange::new(i64::MIN, 7));
        assert!(tag_equals("=1").is_err() && tag_equals("a").is_err());
    }
}
