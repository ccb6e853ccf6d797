//! Builds the rows of one chunk from records.

use chronolith_engine::model::{FieldColumn, FieldType, TableRows, TagColumn, TagValues};

use super::super::create::field_type;
use super::CHUNK_BYTES;
use super::columns::{FieldBuilder, TagBuilder};
use super::duplicates::Duplicates;
use super::plan::Plan;
use super::refusals::Refusal;
use super::row::RowRules;
use crate::text::csv::Record;

/// Bytes that a row takes beside its texts, for each of its columns.
const VALUE_BYTES: usize = 9;

/// A field under construction.
struct ChunkField {
    field_type: FieldType,
    /// A column only in chunks that have a value of it: the first one adds it to the table.
    is_unseen: bool,
    builder: FieldBuilder,
}

/// Rows under construction.
pub(super) struct ChunkBuilder<'a> {
    table: &'a str,
    rules: &'a RowRules,
    time: Vec<i64>,
    tags: Vec<TagBuilder>,
    fields: Vec<ChunkField>,
    /// Roughly, in memory.
    bytes: usize,
}

impl<'a> ChunkBuilder<'a> {
    /// No rows yet.
    pub(super) fn new(table: &'a str, rules: &'a RowRules, plan: &Plan) -> Self {
        let layout = rules.layout();
        let fields = layout.fields.iter().map(|(name, _)| {
            let field_type = field_type(plan.kind(name));
            let builder = FieldBuilder::new(field_type);
            ChunkField { field_type, is_unseen: plan.is_unseen(name), builder }
        });
        Self {
            table,
            rules,
            time: Vec::new(),
            tags: layout.tags.iter().map(|_| TagBuilder::default()).collect(),
            fields: fields.collect(),
            bytes: 0,
        }
    }

    /// Adds a record as a row, or refuses it and stays as it was.
    pub(super) fn push(&mut self, record: &Record) -> Result<(), Refusal> {
        let rows = self.time.len();
        let time = self.rules.time(record)?;
        let pushed = self.push_columns(record);
        match pushed {
            Ok(()) => self.time.push(time),
            Err(refusal) => {
                self.tags.iter_mut().for_each(|tag| tag.truncate(rows));
                self.fields.iter_mut().for_each(|field| field.builder.truncate(rows));
                return Err(refusal);
            }
        }
        let columns = 2 + self.tags.len() + self.fields.len();
        self.bytes += columns * VALUE_BYTES + record.iter().map(|f| f.bytes.len()).sum::<usize>();
        Ok(())
    }

    fn push_columns(&mut self, record: &Record) -> Result<(), Refusal> {
        let (tags, fields) = (&mut self.tags, &mut self.fields);
        self.rules.tags(record, |index, value| {
            if let Some(tag) = tags.get_mut(index) {
                tag.push(value);
            }
        })?;
        self.rules.values(record, |index, value| {
            if let Some(field) = fields.get_mut(index) {
                field.builder.push(value);
            }
        })
    }

    /// Tells `duplicates` of the row that `record` became.
    pub(super) fn note_duplicate(&self, record: &Record, duplicates: &mut Duplicates) {
        let Some(&time) = self.time.last() else { return };
        let layout = self.rules.layout();
        let text = |at: usize| {
            let bytes = record.get(at).map_or(&b""[..], |field| field.bytes);
            std::str::from_utf8(bytes).unwrap_or_default()
        };
        let tags = layout.tags.iter().map(|(name, at)| (name.as_str(), text(*at)));
        let constants =
            layout.constants.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        duplicates.add(tags.chain(constants), time);
    }

    /// Whether the chunk is large enough in bytes.
    pub(super) fn is_large(&self) -> bool {
        self.bytes >= CHUNK_BYTES
    }

    /// The least and greatest time, and the rows; the builder is empty afterwards.
    pub(super) fn take(&mut self) -> (Option<(i64, i64)>, TableRows) {
        let layout = self.rules.layout();
        let times = self.time.iter().min().copied().zip(self.time.iter().max().copied());
        let columns = layout.tags.iter().zip(&mut self.tags);
        let mut tags: Vec<TagColumn> = columns
            .map(|((name, _), tag)| TagColumn { name: name.clone(), values: tag.take() })
            .collect();
        tags.extend(layout.constants.iter().map(|(name, value)| TagColumn {
            name: name.clone(),
            values: TagValues::Constant(value.clone()),
        }));
        let fields = layout.fields.iter().zip(&mut self.fields).filter_map(|((name, _), field)| {
            let has_value = field.builder.has_value();
            let column = field.builder.take();
            let is_column = has_value || !field.is_unseen;
            let field_type = field.field_type;
            is_column.then(|| FieldColumn { name: name.clone(), field_type, column })
        });
        let rows = TableRows {
            table: self.table.to_owned(),
            create_if_missing: None,
            time: std::mem::take(&mut self.time),
            tags,
            fields: fields.collect(),
        };
        self.bytes = 0;
        (times, rows)
    }
}
