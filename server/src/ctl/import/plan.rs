//! Settles the fields' types: named by the user, given by the table, or inferred from every row of every file.
//! Pure; a clash is found here, before anything is committed.

use std::collections::HashSet;

use chronolith_engine::model::{FieldType, SchemaMode, TableSchema};

use super::super::create::field_type;
use super::super::{CtlError, CtlResult};
use super::args::Settings;
use super::format::Format;
use super::layout::Layout;
use super::layout::Placed;
use super::row::{FieldRule, RowRules};
use super::survey::SeenTable;
use crate::text::infer::{FieldParser, Guess, Inferred, Note, TextType};
use crate::text::time::TimeFormat;

/// Types that are known before a file is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    named: Vec<(String, TextType)>,
    table: Vec<(String, TextType)>,
}

/// Where a type comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// `--types`.
    Named,
    /// The table had the column.
    Table,
    /// The rows, or what the file says of them.
    Rows,
}

impl Known {
    /// What `--types` and the existing table say.
    ///
    /// # Errors
    /// `Conflict` where they contradict each other.
    pub(super) fn new(
        settings: &Settings,
        table_name: &str,
        existing: Option<&TableSchema>,
    ) -> CtlResult<Self> {
        let table: Vec<_> = existing
            .map(|schema| schema.fields.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|field| (field.name.clone(), text_type(field.field_type)))
            .collect();
        for (name, kind) in &settings.types {
            let there = table.iter().find(|(known, _)| known == name);
            if let Some((_, there)) =
                there.filter(|(_, there)| field_type(*there) != field_type(*kind))
            {
                return Err(CtlError::Conflict(format!(
                    "column {name:?} of table {table_name:?} holds {there}, but --types says {kind}; leave it out, \
                     or import into another table"
                )));
            }
        }
        Ok(Self { named: settings.types.clone(), table })
    }

    fn of(&self, column: &str) -> Option<(TextType, Origin)> {
        let find = |list: &[(String, TextType)]| {
            list.iter().find(|(name, _)| name == column).map(|(_, kind)| *kind)
        };
        let named = find(&self.named).map(|kind| (kind, Origin::Named));
        named.or_else(|| find(&self.table).map(|kind| (kind, Origin::Table)))
    }

    /// What a column's fields must be, as far as it is known.
    pub(super) fn rule(&self, placed: &Placed, settings: &Settings) -> FieldRule {
        let given = placed.given.map(|given| (given, Origin::Rows));
        match self.of(&placed.name).or(given) {
            None => FieldRule::Open,
            Some((kind, origin)) => typed(&placed.name, kind, origin, settings),
        }
    }

    /// The columns whose types are known.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.named.iter().chain(&self.table).map(|(name, _)| name.as_str())
    }
}

fn typed(column: &str, kind: TextType, origin: Origin, settings: &Settings) -> FieldRule {
    let parser = FieldParser::new(column, kind, settings.nulls.clone(), settings.zone);
    // Nobody asked for floats here: an integer that is none is not rounded in silence.
    let exact = origin == Origin::Table && kind == TextType::F64;
    FieldRule::Typed { parser, exact, origin }
}

/// The type as text knows it.
pub(super) fn text_type(kind: FieldType) -> TextType {
    match kind {
        FieldType::F64 => TextType::F64,
        FieldType::I64 => TextType::I64,
        FieldType::U64 => TextType::U64,
        FieldType::Bool => TextType::Bool,
        FieldType::Utf8 => TextType::Utf8,
        FieldType::Timestamp => TextType::Timestamp(TimeFormat::Iso),
        FieldType::Decimal { precision, scale } => TextType::Decimal { precision, scale },
    }
}

/// A field and its type.
#[derive(Debug, Clone)]
pub(super) struct PlannedField {
    pub(super) name: String,
    pub(super) kind: TextType,
    pub(super) origin: Origin,
    pub(super) note: Option<Note>,
    /// Nothing but NULL was seen, and nothing else says what it is: the table gets no column for it yet, as that would
    /// fix a type that nobody chose.
    pub(super) is_unseen: bool,
}

/// Every field of an import, in the order in which the files bring them.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) fields: Vec<PlannedField>,
}

impl Plan {
    /// Settles the types by what was seen of the table in files with these names.
    ///
    /// # Errors
    /// `Invalid` where files clash.
    pub(super) fn of(seen: &[(&str, &SeenTable)], known: &Known) -> CtlResult<Self> {
        let mut names: Vec<&str> = Vec::new();
        let mut there = HashSet::new();
        for placed in seen.iter().flat_map(|(_, seen)| &seen.layout.fields) {
            if there.insert(placed.name.as_str()) {
                names.push(&placed.name);
            }
        }
        let fields = names.into_iter().map(|name| planned(name, seen, known));
        Ok(Self { fields: fields.collect::<CtlResult<_>>()? })
    }

    /// Checks the columns against the table that is there.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for columns that the table cannot take.
    pub(super) fn check_names(
        &self,
        tags: &[String],
        existing: Option<&TableSchema>,
    ) -> CtlResult<()> {
        for field in &self.fields {
            if tags.contains(&field.name) {
                return Err(CtlError::Invalid(format!(
                    "column {:?} is a tag in one file and a field in another",
                    field.name
                )));
            }
        }
        let Some(schema) = existing else { return Ok(()) };
        let tags = tags.iter().map(String::as_str);
        let tags = tags.map(|name| (name, "tag", "field", schema.field(name).is_some()));
        let fields = self.fields.iter().map(|field| field.name.as_str());
        let fields = fields.map(|name| (name, "field", "tag", schema.tag_position(name).is_some()));
        for (name, here, there, is_other) in tags.chain(fields) {
            if is_other {
                return Err(CtlError::Conflict(format!(
                    "column {name:?} is a {there} of table {:?}, but would be imported as a {here}",
                    schema.name
                )));
            }
            let known = schema.field(name).is_some() || schema.tag_position(name).is_some();
            if schema.mode == SchemaMode::Strict && !known {
                let columns = schema.column_names().join(", ");
                return Err(CtlError::NotFound(format!(
                    "table {:?} is strict and has no column {name:?}; there are: {columns}",
                    schema.name
                )));
            }
        }
        Ok(())
    }

    /// The fields that are to be columns, with the engine's types.
    pub(super) fn typed_fields(&self) -> Vec<(String, FieldType)> {
        let fields = self.fields.iter().filter(|field| !field.is_unseen);
        fields.map(|field| (field.name.clone(), field_type(field.kind))).collect()
    }

    /// Whether the field `name` has no value that says what it is.
    pub(super) fn is_unseen(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name && field.is_unseen)
    }

    /// The type of the field `name`.
    pub(super) fn kind(&self, name: &str) -> TextType {
        let field = self.fields.iter().find(|field| field.name == name);
        field.map_or(TextType::Utf8, |field| field.kind)
    }

    /// The rules for the rows of a file.
    pub(super) fn rules(
        &self,
        name: &str,
        format: Format,
        layout: &Layout,
        settings: &Settings,
    ) -> RowRules {
        let rule = |placed: &Placed| {
            let planned = self.fields.iter().find(|field| field.name == placed.name);
            planned.map_or(FieldRule::Open, |field| {
                typed(&field.name, field.kind, field.origin, settings)
            })
        };
        RowRules::new(name, format, layout, settings, layout.fields.iter().map(rule).collect())
    }
}

fn planned(name: &str, seen: &[(&str, &SeenTable)], known: &Known) -> CtlResult<PlannedField> {
    if let Some((kind, origin)) = known.of(name) {
        let name = name.to_owned();
        return Ok(PlannedField { name, kind, origin, note: None, is_unseen: false });
    }
    let found: Vec<_> = seen
        .iter()
        .filter_map(|(file, seen)| seen.field(name).map(|(placed, guess)| (*file, placed, guess)))
        .collect();
    if let Some(given) = found.iter().find_map(|(_, placed, _)| placed.given) {
        return said(name, given, &found);
    }
    let mut whole = Guess::new();
    let mut first: Option<(&str, Inferred)> = None;
    for (file, _, guess) in found {
        whole.merge(guess);
        let Some(family) = family(guess) else { continue };
        match &first {
            Some((before, inferred)) if family != family_of(inferred.kind) => {
                return Err(clash(name, (before, inferred.kind), (file, guess.infer().kind)));
            }
            Some(_) => {}
            None => first = Some((file, guess.infer())),
        }
    }
    let Inferred { kind, note } = whole.infer();
    let is_unseen = whole.value_count() == 0;
    // The list of columns says it already.
    let note = note.filter(|_| !is_unseen);
    Ok(PlannedField { name: name.to_owned(), kind, origin: Origin::Rows, note, is_unseen })
}

/// A field whose type a file says. No row was looked at under another type, so that all files must have the same.
fn said(name: &str, given: TextType, found: &[(&str, &Placed, &Guess)]) -> CtlResult<PlannedField> {
    let mut first: Option<(&str, TextType)> = None;
    for (file, placed, guess) in found {
        let inferred = (guess.value_count() > 0).then(|| guess.infer().kind);
        let Some(kind) = placed.given.or(inferred) else { continue };
        match first {
            Some((before, of)) if field_type(of) != field_type(kind) => {
                return Err(clash(name, (before, of), (file, kind)));
            }
            Some(_) => {}
            None => first = Some((file, kind)),
        }
    }
    let name = name.to_owned();
    Ok(PlannedField { name, kind: given, origin: Origin::Rows, note: None, is_unseen: false })
}

fn clash(name: &str, first: (&str, TextType), other: (&str, TextType)) -> CtlError {
    CtlError::Invalid(format!(
        "column {name:?} is {} in {} and {} in {}; import them apart, or give \
         --types {name}=utf8 to take both as text",
        first.1, first.0, other.1, other.0
    ))
}

/// Kinds of values between which files clash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Number,
    Bool,
    Text,
}

fn family_of(kind: TextType) -> Family {
    match kind {
        TextType::Bool => Family::Bool,
        TextType::Utf8 => Family::Text,
        _ => Family::Number,
    }
}

/// The kind of values of a file; none without values.
fn family(guess: &Guess) -> Option<Family> {
    let inferred = guess.infer();
    match inferred.note {
        _ if guess.value_count() == 0 => None,
        // Integers that only text keeps are numbers still.
        Some(Note::TooWide { .. }) => Some(Family::Number),
        _ => Some(family_of(inferred.kind)),
    }
}
