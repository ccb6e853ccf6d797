//! What a row must satisfy, the same in both passes: its width, its time, its tags' and texts' limits, its types.

use chronolith_engine::limits::{SERIES_KEY_LEN_BYTES_MAX, TEXT_LEN_BYTES_MAX};
use chronolith_engine::model::check_tag_value;

use super::super::CtlResult;
use super::args::Settings;
use super::cell::{Cell, Row};
use super::convert::{is_of, kind_name, push_text, shown_value, type_name, widened};
use super::format::Format;
use super::layout::{Layout, Placed};
use super::plan::Origin;
use super::refusals::Refusal;
use super::rows::SourceTable;
use crate::text::csv::Field;
use crate::text::infer::{FieldParser, NullWords, TextType, Value};
use crate::text::shown;
use crate::text::time::{TimeParser, Zone};

/// Every integer of a lower magnitude is exact in an `f64`, and none of a greater one is read as one of those.
const EXACT_IN_F64_MAX: f64 = 9_007_199_254_740_992.0;

/// What a field must be.
#[derive(Debug, Clone)]
pub(super) enum FieldRule {
    /// Of the parser's type. `exact`: an integer that the type would round is refused.
    Typed { parser: FieldParser, exact: bool, origin: Origin },
    /// Text of any kind, whose type is found later.
    Open,
}

/// What the rows of one table in one file must be.
#[derive(Debug, Clone)]
pub(super) struct RowRules {
    name: String,
    /// What a position in the file is called.
    position: &'static str,
    layout: Layout,
    time: TimeParser,
    nulls: NullWords,
    zone: Zone,
    fields: Vec<FieldRule>,
}

impl RowRules {
    /// Rules for the file `name`, with one of `fields` for each field of `layout`.
    pub(super) fn new(
        name: &str,
        format: Format,
        layout: &Layout,
        settings: &Settings,
        fields: Vec<FieldRule>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            position: format.position(),
            layout: layout.clone(),
            time: TimeParser::new(layout.time_spec.clone(), settings.zone),
            nulls: settings.nulls.clone(),
            zone: settings.zone,
            fields,
        }
    }

    /// Takes in columns that were met since, with the rule that each new field has.
    ///
    /// # Errors
    /// Those of the layout.
    pub(super) fn grow(
        &mut self,
        table: &SourceTable,
        rule: impl Fn(&Placed) -> FieldRule,
    ) -> CtlResult<()> {
        self.layout.grow(&table.columns, &self.name)?;
        let known = self.fields.len();
        self.fields.extend(self.layout.fields.iter().skip(known).map(rule));
        Ok(())
    }

    /// The file's columns.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The words that stand for NULL.
    pub(super) fn nulls(&self) -> &NullWords {
        &self.nulls
    }

    /// Reads the column `name` as `kind`.
    pub(super) fn parser(&self, name: &str, kind: TextType) -> FieldParser {
        FieldParser::new(name, kind, self.nulls.clone(), self.zone)
    }

    /// The rules of the fields, in the layout's order.
    pub(super) fn fields(&self) -> &[FieldRule] {
        &self.fields
    }

    pub(super) fn refuse(&self, row: &impl Row, reason: impl std::fmt::Display) -> Refusal {
        Refusal::at(&self.name, self.position, row.number(), reason)
    }

    /// Checks the width, and gives the time.
    pub(super) fn time<R: Row>(&self, row: &R) -> Result<i64, Refusal> {
        row.check_width(self.layout.width, &self.name)?;
        let column = &self.time.spec().column;
        let missing = || self.refuse(row, format_args!("column {column:?}: the time is missing"));
        let parse = |bytes: &[u8]| {
            self.time
                .parse(bytes)
                .map_err(|error| self.refuse(row, format_args!("column {column:?}: {error}")))
        };
        match row.cell(self.layout.time) {
            Cell::Null => Err(missing()),
            Cell::Text(Field { bytes: [], .. }) | Cell::String("") => Err(missing()),
            Cell::Text(field) => {
                self.time.parse(field.bytes).map_err(|error| self.refuse(row, error))
            }
            Cell::String(text) | Cell::Value(Value::Utf8(text)) => parse(text.as_bytes()),
            Cell::Value(Value::Timestamp(ns)) => Ok(ns),
            Cell::Value(value @ (Value::I64(_) | Value::U64(_))) => {
                let mut text = Vec::new();
                push_text(&mut text, value, None);
                parse(&text)
            }
            Cell::Value(other) => Err(self.refuse(
                row,
                format_args!(
                    "column {column:?}: {} is {}, which is no time: times, integers with a unit or text are",
                    shown_value(other, None),
                    type_name(other)
                ),
            )),
        }
    }

    /// Gives each tag that is a column to `take`, then checks the series' key.
    pub(super) fn tags<R: Row>(
        &self,
        row: &R,
        mut take: impl FnMut(usize, &str),
    ) -> Result<(), Refusal> {
        let constants = self.layout.constants.iter();
        let mut key_bytes: usize = constants.map(|(_, value)| value.len() + 1).sum();
        let mut written = Vec::new();
        for (index, (name, at)) in self.layout.tags.iter().enumerate() {
            let bytes = match row.cell(*at) {
                Cell::Null => b"",
                Cell::Text(field) => field.bytes,
                Cell::String(text) | Cell::Value(Value::Utf8(text)) => text.as_bytes(),
                Cell::Value(value @ (Value::I64(_) | Value::U64(_) | Value::Bool(_))) => {
                    written.clear();
                    push_text(&mut written, value, None);
                    &written
                }
                Cell::Value(value) => {
                    let what = type_name(value);
                    return Err(self.refuse(
                        row,
                        format_args!("tag {name:?}: a {what} cannot be a tag, which is text"),
                    ));
                }
            };
            let value = std::str::from_utf8(bytes).map_err(|_| {
                let text = shown(bytes);
                self.refuse(row, format_args!("tag {name:?}: {text:?} is not valid UTF-8"))
            })?;
            check_tag_value(value)
                .map_err(|error| self.refuse(row, format_args!("tag {name:?}: {error}")))?;
            key_bytes += value.len() + 1;
            take(index, value);
        }
        if key_bytes > SERIES_KEY_LEN_BYTES_MAX {
            return Err(self.refuse(
                row,
                format_args!(
                    "the tags take {key_bytes} bytes, the limit is {SERIES_KEY_LEN_BYTES_MAX} bytes"
                ),
            ));
        }
        Ok(())
    }

    /// Gives each field's value to `take`: NULL, or the value of a typed field, or nothing but a check of an open one.
    pub(super) fn values<R: Row>(
        &self,
        row: &R,
        mut take: impl FnMut(usize, Option<Value<'_>>),
    ) -> Result<(), Refusal> {
        for (index, (placed, rule)) in self.layout.fields.iter().zip(&self.fields).enumerate() {
            let field = match row.cell(placed.at) {
                Cell::Text(field) => field,
                Cell::String(text) => Field { bytes: text.as_bytes(), quoted: true },
                Cell::Value(value) => {
                    self.value(row, placed, rule, value, &mut |value| take(index, value))?;
                    continue;
                }
                Cell::Null => {
                    take(index, None);
                    continue;
                }
            };
            self.check_text(row, &placed.name, field.bytes)?;
            match rule {
                FieldRule::Typed { parser, exact, .. } => {
                    let value = parser.parse(field).map_err(|error| self.refuse(row, error))?;
                    if *exact && rounds(field.bytes, value) {
                        let (name, text) = (&placed.name, shown(field.bytes));
                        return Err(self.refuse(
                            row,
                            format_args!("column {name:?} holds f64, which would round {text}"),
                        ));
                    }
                    take(index, value);
                }
                FieldRule::Open => {
                    if std::str::from_utf8(field.bytes).is_err() {
                        let (name, text) = (&placed.name, shown(field.bytes));
                        return Err(self.refuse(
                            row,
                            format_args!("column {name:?}: {text:?} is not valid UTF-8"),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn check_text(&self, row: &impl Row, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.len() <= TEXT_LEN_BYTES_MAX {
            return Ok(());
        }
        let len = bytes.len();
        Err(self.refuse(
            row,
            format_args!(
                "column {name:?}: a text of {len} bytes, the limit is {TEXT_LEN_BYTES_MAX} bytes"
            ),
        ))
    }

    /// A field whose type the file says.
    #[inline]
    fn value<R: Row>(
        &self,
        row: &R,
        placed: &Placed,
        rule: &FieldRule,
        value: Value<'_>,
        take: &mut impl FnMut(Option<Value<'_>>),
    ) -> Result<(), Refusal> {
        if let Value::Utf8(text) = value {
            self.check_text(row, &placed.name, text.as_bytes())?;
        }
        let FieldRule::Typed { parser, origin, .. } = rule else { return Ok(()) };
        let kind = parser.kind();
        let may_widen = *origin != Origin::Rows || is_of(value, kind);
        match widened(value, placed.given, kind).filter(|_| may_widen) {
            Some(value) => {
                take(Some(value));
                Ok(())
            }
            None => self.other(row, placed, parser, *origin, value, take),
        }
    }

    /// A field of another type than its column's: as text, if the type was named, else refused.
    #[cold]
    fn other<R: Row>(
        &self,
        row: &R,
        placed: &Placed,
        parser: &FieldParser,
        origin: Origin,
        value: Value<'_>,
        take: &mut impl FnMut(Option<Value<'_>>),
    ) -> Result<(), Refusal> {
        if origin == Origin::Named {
            let mut text = Vec::new();
            push_text(&mut text, value, placed.given);
            let field = Field { bytes: &text, quoted: true };
            take(parser.parse(field).map_err(|error| self.refuse(row, error))?);
            return Ok(());
        }
        let (name, found) = (&placed.name, type_name(value));
        let (kind, text) = (kind_name(parser.kind()), shown_value(value, placed.given));
        let where_from = match origin {
            Origin::Table => "in the table",
            _ => "where it is first",
        };
        Err(self.refuse(
            row,
            format_args!(
                "column {name:?} is {kind} {where_from}, and {text} here is {found}; --types {name}=TYPE reads it as \
                 TYPE"
            ),
        ))
    }

    /// Checks a whole row, and gives its time.
    pub(super) fn check<R: Row>(&self, row: &R) -> Result<i64, Refusal> {
        let time = self.time(row)?;
        self.tags(row, |_, _| ())?;
        self.values(row, |_, _| ())?;
        Ok(time)
    }
}

/// Whether the text is an integer that the float is not.
fn rounds(text: &[u8], value: Option<Value<'_>>) -> bool {
    let Some(Value::F64(value)) = value else { return false };
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    value.abs() >= EXACT_IN_F64_MAX
        && digits.iter().all(u8::is_ascii_digit)
        && format!("{value:.0}").as_bytes() != text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_integers_beyond_a_float_are_rounded() {
        let rounded = |text: &str| rounds(text.as_bytes(), Some(Value::F64(text.parse().unwrap())));
        assert!(rounded("9007199254740993") && rounded("-9007199254740993"));
        assert!(!rounded("9007199254740994") && !rounded("9007199254740993.5"));
        assert!(!rounded("12") && !rounded("1e300"));
        assert!(!rounds(b"9007199254740993", Some(Value::I64(9_007_199_254_740_993))));
    }
}
