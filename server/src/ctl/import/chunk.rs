//! Builds the rows of one chunk from records.

use chronolith_engine::model::{
    FieldColumn, FieldType, TableRows, TagColumn, TagValues, Value as ModelValue,
};

use super::super::create::field_type;
use super::super::remark;
use super::cell::{Cell, Row};
use super::columns::{FieldBuilder, TagBuilder};
use super::duplicates::Duplicates;
use super::plan::Plan;
use super::refusals::Refusal;
use super::row::RowRules;
use crate::text::csv::Field;
use crate::text::infer::{FieldParser, Guess, Place, Value, ValueError};

/// Bytes that a row takes beside its texts, for each of its columns.
const VALUE_BYTES: usize = 9;

/// A field under construction.
struct ChunkField {
    field_type: FieldType,
    /// Says what type a column has of which no value was seen before rows were committed. It is a column only in chunks that have a
    /// value of it: the first one settles its type and adds it to the table.
    settling: Option<Settling>,
    builder: FieldBuilder,
}

/// The type of a column, from the first chunk that has a value of it.
#[derive(Default)]
struct Settling {
    /// The rows of the chunk that have a value, their lines, and whether it is a string of a format that tells; until
    /// it is settled.
    lines: Vec<(usize, u64, bool)>,
    /// Reads texts as the type, once it is settled.
    parser: Option<FieldParser>,
}

/// Rows under construction.
pub(super) struct ChunkBuilder<'a> {
    table: &'a str,
    rules: &'a RowRules,
    time: Vec<i64>,
    tags: Vec<TagBuilder>,
    fields: Vec<ChunkField>,
}

impl<'a> ChunkBuilder<'a> {
    /// No rows yet.
    pub(super) fn new(table: &'a str, rules: &'a RowRules, plan: &Plan) -> Self {
        let layout = rules.layout();
        let fields = layout.fields.iter().map(|placed| {
            let name = &placed.name;
            let field_type = field_type(plan.kind(name));
            let builder = FieldBuilder::new(field_type);
            let settling = plan.is_unseen(name).then(Settling::default);
            ChunkField { field_type, settling, builder }
        });
        Self {
            table,
            rules,
            time: Vec::new(),
            tags: layout.tags.iter().map(|_| TagBuilder::default()).collect(),
            fields: fields.collect(),
        }
    }

    /// Adds a row, and gives the bytes that it takes, roughly; or refuses it and stays as it was.
    pub(super) fn push<R: Row>(&mut self, record: &R) -> Result<usize, Refusal> {
        let rows = self.time.len();
        let time = self.rules.time(record)?;
        let pushed = self.push_columns(record);
        match pushed {
            Ok(()) => self.time.push(time),
            Err(refusal) => {
                self.tags.iter_mut().for_each(|tag| tag.truncate(rows));
                self.fields.iter_mut().for_each(|field| field.truncate(rows));
                return Err(refusal);
            }
        }
        let columns = 2 + self.tags.len() + self.fields.len();
        Ok(columns * VALUE_BYTES + record.text_bytes())
    }

    fn push_columns<R: Row>(&mut self, record: &R) -> Result<(), Refusal> {
        let (tags, fields, rules) = (&mut self.tags, &mut self.fields, self.rules);
        let mut refusal = None;
        self.rules.tags(record, |index, value| {
            if let Some(tag) = tags.get_mut(index) {
                tag.push(value);
            }
        })?;
        self.rules.values(record, |index, value| {
            let Some(field) = fields.get_mut(index) else { return };
            match (&mut field.settling, value) {
                (Some(settling), Some(Value::Utf8(text))) => {
                    let at = rules.layout().fields.get(index).map_or(0, |placed| placed.at);
                    let is_string = matches!(record.cell(at), Cell::String(_));
                    let place = (field.builder.len(), record.number(), is_string);
                    match settling.take(text, place) {
                        Ok(value) => field.builder.push(value),
                        Err(error) => refusal = Some(rules.refuse(record, error)),
                    }
                }
                (_, value) => field.builder.push(value),
            }
        })?;
        refusal.map_or(Ok(()), Err)
    }

    /// Tells `duplicates` of the row that was added last.
    pub(super) fn note_duplicate(&self, duplicates: &mut Duplicates) {
        let Some(&time) = self.time.last() else { return };
        let layout = self.rules.layout();
        let columns = layout.tags.iter().zip(&self.tags);
        let tags = columns.map(|((name, _), tag)| (name.as_str(), tag.last()));
        let constants =
            layout.constants.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        duplicates.add(self.table, tags.chain(constants), time);
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.time.is_empty()
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
        let rules = self.rules;
        let fields = layout.fields.iter().zip(&mut self.fields).filter_map(|(placed, field)| {
            let name = &placed.name;
            let has_value = field.builder.has_value();
            let is_column = has_value || field.settling.is_none();
            if has_value {
                field.settle(name, rules);
            }
            let column = field.builder.take();
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
        (times, rows)
    }
}

impl Settling {
    /// A value, as the type has it where that is settled, else as text.
    fn take<'r>(
        &mut self,
        text: &'r str,
        place: (usize, u64, bool),
    ) -> Result<Option<Value<'r>>, ValueError> {
        if let Some(parser) = &self.parser {
            return parser.parse(value_field(text));
        }
        self.lines.push(place);
        Ok(Some(Value::Utf8(text)))
    }
}

/// The field of a text that is not NULL: the empty one was in quotes.
fn value_field(text: &str) -> Field<'_> {
    Field { bytes: text.as_bytes(), quoted: true }
}

impl ChunkField {
    /// Takes back what lies behind the first `len` values.
    fn truncate(&mut self, len: usize) {
        self.builder.truncate(len);
        if let Some(settling) = &mut self.settling {
            settling.lines.retain(|(row, ..)| *row < len);
        }
    }

    /// Settles the type by the values of this chunk, and reads them as it.
    fn settle(&mut self, name: &str, rules: &RowRules) {
        let Some(settling) = self.settling.as_mut().filter(|one| one.parser.is_none()) else {
            return;
        };
        let texts = self.builder.take();
        let text = |row: usize| match texts.value(row, FieldType::Utf8) {
            ModelValue::Utf8(text) => text,
            _ => String::new(),
        };
        let lines = std::mem::take(&mut settling.lines);
        let mut guess = Guess::new();
        for (row, line, is_string) in &lines {
            let place = Place { file: 0, line: *line };
            match is_string {
                true => guess.observe_string(&text(*row), rules.nulls(), place),
                false => guess.observe(value_field(&text(*row)), rules.nulls(), place),
            }
        }
        let inferred = guess.infer();
        let parser = rules.parser(name, inferred.kind);
        self.field_type = field_type(inferred.kind);
        self.builder = FieldBuilder::new(self.field_type);
        for (row, ..) in &lines {
            (self.builder.len()..*row).for_each(|_| self.builder.push(None));
            // A type that was inferred from these very texts reads each of them.
            let text = text(*row);
            self.builder.push(parser.parse(value_field(&text)).ok().flatten());
        }
        (self.builder.len()..texts.len()).for_each(|_| self.builder.push(None));
        remark(&format!(
            "note: column {name:?} has its first value in line {}: it becomes {}, by the values read with it; \
             --types {name}=TYPE names another",
            lines.first().map_or(0, |(_, line, _)| *line),
            inferred.kind
        ));
        if let Some(note) = inferred.note {
            remark(&format!("note: column {name:?}: {note}"));
        }
        settling.parser = Some(parser);
    }
}
