//! Type inference: one [`Guess`] a column collects what all rows of all files hold, in one
//! pass, and then names the narrowest type that keeps every value.
//!
//! The lattice, from what was seen (NULLs count for nothing):
//!
//! | seen | type |
//! |---|---|
//! | nothing | `utf8`, with a note |
//! | only `true`/`false` | `bool` |
//! | integers within `i64` | `i64` |
//! | integers, none negative, within `u64` | `u64` |
//! | other integers | `f64` if each is exact in it, else `utf8`, with a note |
//! | a fraction, an exponent, `-0`, NaN, an infinity; integers besides | `f64`, with a note on an integer that it rounds |
//! | anything else, a mixture with booleans, the empty text | `utf8`, with a note where other values, or all of them, look like numbers |
//!
//! Times and decimals are never inferred.

use super::classify::{Class, EXACT_IN_F64_MAX, classify, is_exact_in_f64};
use super::types::TextType;
use super::value::NullWords;
use crate::text::csv::Field;
use crate::text::shown;
use std::fmt;

/// Where a field was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The caller's number of the file.
    pub file: u32,
    /// The record's line, counted from 1.
    pub line: u64,
}

/// A field that made the type what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its start.
    pub text: String,
    /// Where it was.
    pub place: Place,
}

/// What should be said about an inferred type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Every field is NULL.
    AllNull,
    /// Text, though some fields are numbers or booleans.
    Mixed {
        /// The first field that is text, or the first boolean among numbers.
        because: Example,
    },
    /// Text, though all of it looks like numbers: no number type would write them so.
    Spelled {
        /// The first of them.
        example: Example,
    },
    /// Floats that round an integer: beyond 2^53 not all are exact.
    Rounded {
        /// The first integer that is rounded.
        example: Example,
    },
    /// Text, as no number type keeps every integer.
    TooWide {
        /// The first integer that `f64` would round.
        example: Example,
    },
}

impl Note {
    /// Whether values change by the choice, so that it is a warning.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::Rounded { .. })
    }

    /// The field that caused it.
    #[must_use]
    pub fn example(&self) -> Option<&Example> {
        match self {
            Self::AllNull => None,
            Self::Mixed { because: example }
            | Self::Spelled { example }
            | Self::Rounded { example }
            | Self::TooWide { example } => Some(example),
        }
    }
}

impl fmt::Display for Note {
    /// Without the file, of which only the caller knows the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllNull => f.write_str("every field is NULL; it could be of any type"),
            Self::Mixed { because: Example { text, place } } => {
                write!(f, "utf8, as line {} has {text:?} among other kinds of values", place.line)
            }
            Self::Spelled { example: Example { text, place } } => write!(
                f,
                "utf8, as line {} has {text:?}, which no number type gives back as it is written",
                place.line
            ),
            Self::Rounded { example: Example { text, place } } => write!(
                f,
                "f64 rounds integers beyond 2^53, such as {text} in line {}; \
                 utf8 would keep them",
                place.line
            ),
            Self::TooWide { example: Example { text, place } } => write!(
                f,
                "utf8, as no number type keeps all its integers, such as {text} in line {}",
                place.line
            ),
        }
    }
}

/// The type that a column's fields ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// The narrowest type that keeps every value.
    pub kind: TextType,
    /// What should be said about it.
    pub note: Option<Note>,
}

/// What was seen of one column. Memory is constant: counts and a few examples.
#[derive(Debug, Clone, Default)]
pub struct Guess {
    null_count: u64,
    value_count: u64,
    int: Option<Example>,
    float: Option<Example>,
    bool: Option<Example>,
    text: Option<Example>,
    /// A string that is NaN or an infinity, of a format that tells strings from numbers.
    special: Option<Example>,
    /// Text that is not a number in any spelling.
    words: bool,
    /// The first integer that `f64` rounds.
    rounded: Option<Example>,
    has_negative: bool,
    above_i64: bool,
    /// Beyond both `i64` and `u64`.
    wide: bool,
}

impl Guess {
    /// Nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a string of a format that tells text from numbers: it is text, whatever it looks like, but for NaN and
    /// the infinities, which such formats cannot write as numbers: beside numbers they are floats.
    pub fn observe_string(&mut self, text: &str, nulls: &NullWords, place: Place) {
        let field = Field { bytes: text.as_bytes(), quoted: true };
        if nulls.is_null(field) {
            self.null_count += 1;
            return;
        }
        self.value_count += 1;
        let is_special =
            classify(field.bytes) == Class::Float && !field.bytes.iter().any(u8::is_ascii_digit);
        self.words = self.words || !is_special;
        let slot = if is_special { &mut self.special } else { &mut self.text };
        if slot.is_none() {
            *slot = Some(Example { text: shown(field.bytes), place });
        }
    }

    /// Takes in one field.
    pub fn observe(&mut self, field: Field<'_>, nulls: &NullWords, place: Place) {
        if nulls.is_null(field) {
            self.null_count += 1;
            return;
        }
        self.value_count += 1;
        let slot = match classify(field.bytes) {
            Class::Int { negative, magnitude } => {
                self.observe_int(negative, magnitude, field.bytes, place);
                &mut self.int
            }
            Class::Float => &mut self.float,
            Class::Bool => &mut self.bool,
            Class::Text => {
                // Asked only until there is one: most columns of text are words.
                self.words = self.words || !is_spelled_number(field.bytes);
                &mut self.text
            }
        };
        if slot.is_none() {
            *slot = Some(Example { text: shown(field.bytes), place });
        }
    }

    fn observe_int(&mut self, negative: bool, magnitude: Option<u64>, bytes: &[u8], place: Place) {
        self.has_negative |= negative;
        match magnitude {
            Some(m) if m <= EXACT_IN_F64_MAX => return,
            Some(m) if negative => self.wide |= m > i64::MIN.unsigned_abs(),
            Some(m) => self.above_i64 |= m > i64::MAX.unsigned_abs(),
            None => self.wide = true,
        }
        if self.rounded.is_none() && !is_exact_in_f64(bytes) {
            self.rounded = Some(Example { text: shown(bytes), place });
        }
    }

    /// Takes in what another guess saw of the same column; of two examples the earlier
    /// place stays.
    pub fn merge(&mut self, other: &Self) {
        self.null_count += other.null_count;
        self.value_count += other.value_count;
        merge_example(&mut self.int, &other.int);
        merge_example(&mut self.float, &other.float);
        merge_example(&mut self.bool, &other.bool);
        merge_example(&mut self.text, &other.text);
        merge_example(&mut self.special, &other.special);
        merge_example(&mut self.rounded, &other.rounded);
        self.has_negative |= other.has_negative;
        self.above_i64 |= other.above_i64;
        self.wide |= other.wide;
        self.words |= other.words;
    }

    /// Fields that were NULL.
    #[must_use]
    pub fn null_count(&self) -> u64 {
        self.null_count
    }

    /// Fields that were not NULL.
    #[must_use]
    pub fn value_count(&self) -> u64 {
        self.value_count
    }

    /// The type by the table above.
    #[must_use]
    pub fn infer(&self) -> Inferred {
        let number = self.int.as_ref().or(self.float.as_ref());
        // Alone, or beside truth values, they are words like any other.
        let text = self.text.as_ref().or(self.special.as_ref().filter(|_| number.is_none()));
        match (text, &self.bool, number) {
            (None, None, None) => Inferred { kind: TextType::Utf8, note: Some(Note::AllNull) },
            (None, None, Some(_)) => self.infer_number(),
            (None, Some(_), None) => plain(TextType::Bool),
            (Some(_), None, None) if self.words || self.special.is_some() => plain(TextType::Utf8),
            (Some(example), None, None) => Inferred {
                kind: TextType::Utf8,
                note: Some(Note::Spelled { example: example.clone() }),
            },
            (Some(because), ..) | (None, Some(because), Some(_)) => Inferred {
                kind: TextType::Utf8,
                note: Some(Note::Mixed { because: because.clone() }),
            },
        }
    }

    fn infer_number(&self) -> Inferred {
        let rounded = self.rounded.clone();
        if self.float.is_some() || self.special.is_some() {
            let note = rounded.map(|example| Note::Rounded { example });
            return Inferred { kind: TextType::F64, note };
        }
        if !self.wide && !self.above_i64 {
            return plain(TextType::I64);
        }
        if !self.wide && !self.has_negative {
            return plain(TextType::U64);
        }
        match rounded {
            None => plain(TextType::F64),
            Some(example) => {
                Inferred { kind: TextType::Utf8, note: Some(Note::TooWide { example }) }
            }
        }
    }
}

/// Whether text would be read as a number, though none is written so: `007`, `+1`, `1e400`.
fn is_spelled_number(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_digit)
        && std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<f64>().is_ok())
}

fn plain(kind: TextType) -> Inferred {
    Inferred { kind, note: None }
}

fn merge_example(mine: &mut Option<Example>, other: &Option<Example>) {
    let Some(theirs) = other else { return };
    if mine.as_ref().is_none_or(|m| theirs.place < m.place) {
        *mine = Some(theirs.clone());
    }
}
