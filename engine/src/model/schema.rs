//! Tables, columns and their types.

use std::fmt;
use std::sync::Arc;

use crate::limits::HISTORY_DEFAULT_NS;

/// A table's number, never reused in its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// A column's number, never reused in its table. Tags and fields share the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId(pub u32);

/// The random 128-bit identity of a file, written in its header and bound into its checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileId(pub u128);

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// IEEE 754 double.
    F64,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 64-bit integer.
    U64,
    /// True or false.
    Bool,
    /// UTF-8 text.
    Utf8,
    /// Nanoseconds since the Unix epoch, UTC.
    Timestamp,
    /// An exact decimal: an i64 that counts units of 10^-scale.
    Decimal {
        /// Digits in all, 1 to 18.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F64 => f.write_str("f64"),
            Self::I64 => f.write_str("i64"),
            Self::U64 => f.write_str("u64"),
            Self::Bool => f.write_str("bool"),
            Self::Utf8 => f.write_str("utf8"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
        }
    }
}

impl FieldType {
    /// The type named `text`: `f64`, `i64`, `u64`, `bool`, `utf8`, `timestamp`, `decimal(p,s)`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "f64" => Self::F64,
            "i64" => Self::I64,
            "u64" => Self::U64,
            "bool" => Self::Bool,
            "utf8" => Self::Utf8,
            "timestamp" => Self::Timestamp,
            other => {
                let inner = other.strip_prefix("decimal(")?.strip_suffix(')')?;
                let (precision, scale) = inner.split_once(',')?;
                let (precision, scale) =
                    (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
                return Self::decimal(precision, scale);
            }
        })
    }

    /// The decimal type of these digits, where it exists.
    #[must_use]
    pub fn decimal(precision: u8, scale: u8) -> Option<Self> {
        ((1..=18).contains(&precision) && scale <= precision)
            .then_some(Self::Decimal { precision, scale })
    }

    /// Whether there is such a type: a decimal's digits can be set by hand, and codes exist only for those in bounds.
    #[must_use]
    pub fn is_defined(self) -> bool {
        Self::from_code(self.code()) == Some(self)
    }

    /// Code of the type in files: (id, precision, scale). Ids 8 to 11 are reserved for json, uuid, decimal128 and vector.
    #[must_use]
    pub fn code(self) -> [u8; 3] {
        match self {
            Self::F64 => [1, 0, 0],
            Self::I64 => [2, 0, 0],
            Self::U64 => [3, 0, 0],
            Self::Bool => [4, 0, 0],
            Self::Utf8 => [5, 0, 0],
            Self::Timestamp => [6, 0, 0],
            Self::Decimal { precision, scale } => [7, precision, scale],
        }
    }

    /// The type of a code, if there is one.
    #[must_use]
    pub fn from_code(code: [u8; 3]) -> Option<Self> {
        Some(match code {
            [1, 0, 0] => Self::F64,
            [2, 0, 0] => Self::I64,
            [3, 0, 0] => Self::U64,
            [4, 0, 0] => Self::Bool,
            [5, 0, 0] => Self::Utf8,
            [6, 0, 0] => Self::Timestamp,
            [7, precision, scale] => return Self::decimal(precision, scale),
            _ => return None,
        })
    }
}

/// What becomes of rows of one series and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MergeMode {
    /// Every row is kept, ties in commit order.
    #[default]
    Append,
    /// The later row replaces the earlier.
    LastRow,
    /// The later row replaces only the fields that it carries.
    LastNonNull,
}

impl MergeMode {
    /// The mode named `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "append" => Self::Append,
            "last_row" => Self::LastRow,
            "last_non_null" => Self::LastNonNull,
            _ => return None,
        })
    }

    /// Whether rows of one series and time replace one another.
    #[must_use]
    pub fn replaces(self) -> bool {
        self != Self::Append
    }
}

impl fmt::Display for MergeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append => "append",
            Self::LastRow => "last_row",
            Self::LastNonNull => "last_non_null",
        })
    }
}

/// How a table gains columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SchemaMode {
    /// From what is written.
    #[default]
    Dynamic,
    /// By DDL alone.
    Strict,
}

impl fmt::Display for SchemaMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dynamic => "dynamic",
            Self::Strict => "strict",
        })
    }
}

/// A tag column; its position in [`TableSchema::tags`] is its place in series keys for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagDef {
    /// The column's number.
    pub id: ColumnId,
    /// The present name.
    pub name: String,
}

/// A field column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDef {
    /// The column's number.
    pub id: ColumnId,
    /// The present name.
    pub name: String,
    /// What it holds.
    pub field_type: FieldType,
}

/// A table as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// The table's number.
    pub id: TableId,
    /// The present name.
    pub name: String,
    /// What the `time` column was called where the rows came from; empty when not known.
    pub time_name: String,
    /// The tags, in sort order.
    pub tags: Vec<TagDef>,
    /// The fields, by creation.
    pub fields: Vec<FieldDef>,
    /// What becomes of rows of one series and time; fixed at creation.
    pub merge: MergeMode,
    /// How the table gains columns.
    pub mode: SchemaMode,
    /// Nanoseconds of commit time for which superseded versions are kept.
    pub history_ns: i64,
    /// The next column's number.
    pub next_column: u32,
}

impl TableSchema {
    /// An empty table.
    #[must_use]
    pub fn new(id: TableId, name: &str) -> Self {
        Self {
            id,
            name: name.into(),
            time_name: String::new(),
            tags: Vec::new(),
            fields: Vec::new(),
            merge: MergeMode::default(),
            mode: SchemaMode::default(),
            history_ns: HISTORY_DEFAULT_NS,
            next_column: 1,
        }
    }

    /// The position of the tag `name`.
    #[must_use]
    pub fn tag_position(&self, name: &str) -> Option<usize> {
        self.tags.iter().position(|tag| tag.name == name)
    }

    /// The field `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldDef> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field with the number `id`.
    #[must_use]
    pub fn field_by_id(&self, id: ColumnId) -> Option<&FieldDef> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// The names of time, tags and fields, in this order.
    #[must_use]
    pub fn column_names(&self) -> Vec<String> {
        let tags = self.tags.iter().map(|tag| tag.name.clone());
        let fields = self.fields.iter().map(|field| field.name.clone());
        std::iter::once("time".to_owned()).chain(tags).chain(fields).collect()
    }

    /// The tag names, shared.
    #[must_use]
    pub fn tag_names(&self) -> Arc<[String]> {
        self.tags.iter().map(|tag| tag.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_read_back_and_others_are_none() {
        let decimal = |precision, scale| FieldType::Decimal { precision, scale };
        for kind in [
            FieldType::F64,
            FieldType::I64,
            FieldType::U64,
            FieldType::Bool,
            FieldType::Utf8,
            FieldType::Timestamp,
            decimal(1, 0),
            decimal(18, 18),
        ] {
            assert_eq!(FieldType::parse(&kind.to_string()), Some(kind));
            assert_eq!(FieldType::from_code(kind.code()), Some(kind));
            assert!(kind.is_defined());
        }
        assert_eq!(FieldType::parse(" decimal( 9 , 2 ) "), Some(decimal(9, 2)));
        for bad in
            ["", "f32", "decimal", "decimal(19,2)", "decimal(2,3)", "decimal(0,0)", "decimal(1)"]
        {
            assert_eq!(FieldType::parse(bad), None, "{bad}");
        }
        for mode in [MergeMode::Append, MergeMode::LastRow, MergeMode::LastNonNull] {
            assert_eq!(MergeMode::parse(&mode.to_string()), Some(mode));
        }
        assert_eq!(MergeMode::parse("last"), None);
        assert!(!decimal(19, 0).is_defined() && FieldType::from_code([1, 1, 0]).is_none());
    }
}
