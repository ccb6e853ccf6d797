//! What a row must satisfy, the same in both passes: its width, its time, its tags' and texts' limits, its types.

use chronolith_engine::limits::{SERIES_KEY_LEN_BYTES_MAX, TEXT_LEN_BYTES_MAX};
use chronolith_engine::model::check_tag_value;

use super::args::Settings;
use super::layout::Layout;
use super::refusals::Refusal;
use crate::text::csv::{Field, Record};
use crate::text::infer::{FieldParser, NullWords, TextType, Value};
use crate::text::shown;
use crate::text::time::{TimeParser, Zone};

/// Every integer of a lower magnitude is exact in an `f64`, and none of a greater one is read as one of those.
const EXACT_IN_F64_MAX: f64 = 9_007_199_254_740_992.0;

/// What a field must be.
#[derive(Debug, Clone)]
pub(super) enum FieldRule {
    /// Of this type. `exact`: an integer that the type would round is refused.
    Typed { parser: FieldParser, exact: bool },
    /// Text of any kind, whose type is found later.
    Open,
}

/// What the rows of one file must be.
#[derive(Debug, Clone)]
pub(super) struct RowRules {
    name: String,
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
        layout: &Layout,
        settings: &Settings,
        fields: Vec<FieldRule>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            layout: layout.clone(),
            time: TimeParser::new(settings.time.clone(), settings.zone),
            nulls: settings.nulls.clone(),
            zone: settings.zone,
            fields,
        }
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

    pub(super) fn refuse(&self, record: &Record, reason: impl std::fmt::Display) -> Refusal {
        Refusal::at(&self.name, record.line(), reason)
    }

    /// Checks the width, and gives the time.
    pub(super) fn time(&self, record: &Record) -> Result<i64, Refusal> {
        record.check_width(self.layout.width, &self.name).map_err(|e| Refusal(e.to_string()))?;
        let field = record.get(self.layout.time).unwrap_or(Field::unquoted(b""));
        if field.bytes.is_empty() {
            let column = &self.time.spec().column;
            return Err(self.refuse(record, format_args!("column {column:?}: the time is missing")));
        }
        self.time.parse(field.bytes).map_err(|error| self.refuse(record, error))
    }

    /// Gives each tag that is a column to `take`, then checks the series' key.
    pub(super) fn tags<'r>(
        &self,
        record: &'r Record,
        mut take: impl FnMut(usize, &'r str),
    ) -> Result<(), Refusal> {
        let constants = self.layout.constants.iter();
        let mut key_bytes: usize = constants.map(|(_, value)| value.len() + 1).sum();
        for (index, (name, at)) in self.layout.tags.iter().enumerate() {
            let bytes = record.get(*at).map_or(&b""[..], |field| field.bytes);
            let value = std::str::from_utf8(bytes).map_err(|_| {
                let text = shown(bytes);
                self.refuse(record, format_args!("tag {name:?}: {text:?} is not valid UTF-8"))
            })?;
            check_tag_value(value)
                .map_err(|error| self.refuse(record, format_args!("tag {name:?}: {error}")))?;
            key_bytes += value.len() + 1;
            take(index, value);
        }
        if key_bytes > SERIES_KEY_LEN_BYTES_MAX {
            return Err(self.refuse(
                record,
                format_args!(
                    "the tags take {key_bytes} bytes, the limit is {SERIES_KEY_LEN_BYTES_MAX} bytes"
                ),
            ));
        }
        Ok(())
    }

    /// Gives each field's value to `take`: NULL, or the value of a typed field, or nothing but a check of an open one.
    pub(super) fn values<'r>(
        &self,
        record: &'r Record,
        mut take: impl FnMut(usize, Option<Value<'r>>),
    ) -> Result<(), Refusal> {
        for (index, ((name, at), rule)) in self.layout.fields.iter().zip(&self.fields).enumerate() {
            let field = record.get(*at).unwrap_or(Field::unquoted(b""));
            if field.bytes.len() > TEXT_LEN_BYTES_MAX {
                let len = field.bytes.len();
                return Err(self.refuse(
                    record,
                    format_args!(
                        "column {name:?}: a text of {len} bytes, the limit is {TEXT_LEN_BYTES_MAX} bytes"
                    ),
                ));
            }
            match rule {
                FieldRule::Typed { parser, exact } => {
                    let value = parser.parse(field).map_err(|error| self.refuse(record, error))?;
                    if *exact && rounds(field.bytes, value) {
                        let text = shown(field.bytes);
                        return Err(self.refuse(
                            record,
                            format_args!("column {name:?} holds f64, which would round {text}"),
                        ));
                    }
                    take(index, value);
                }
                FieldRule::Open => {
                    if std::str::from_utf8(field.bytes).is_err() {
                        let text = shown(field.bytes);
                        return Err(self.refuse(
                            record,
                            format_args!("column {name:?}: {text:?} is not valid UTF-8"),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks a whole row, and gives its time.
    pub(super) fn check(&self, record: &Record) -> Result<i64, Refusal> {
        let time = self.time(record)?;
        self.tags(record, |_, _| ())?;
        self.values(record, |_, _| ())?;
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
