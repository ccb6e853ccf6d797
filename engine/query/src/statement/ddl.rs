//! Tables as text and back: types, `CREATE TABLE`'s columns and options, `SHOW CREATE TABLE`. What SHOW CREATE TABLE gives, CREATE TABLE
//! reads back to the same table.

use chronolith_engine::model::{FieldType, MergeMode, SchemaMode, TableOptions, TableSchema};
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, DataType, ExactNumberInfo, Ident, TimezoneInfo, Value, ValueWithSpan,
};

use super::bind::at_span;
use super::{duration, parse::CreateTable};
use crate::convert::TIME;
use crate::error::{Result, SqlError};
use crate::identifier::quote;

/// What a column of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    Tag,
    Field(FieldType),
}

/// A type as statements spell it.
#[must_use]
pub(crate) fn type_name(field_type: FieldType) -> String {
    match field_type {
        FieldType::F64 => "DOUBLE".into(),
        FieldType::I64 => "BIGINT".into(),
        FieldType::U64 => "UBIGINT".into(),
        FieldType::Bool => "BOOLEAN".into(),
        FieldType::Utf8 => "TEXT".into(),
        FieldType::Timestamp => "TIMESTAMP".into(),
        FieldType::Decimal { precision, scale } => format!("DECIMAL({precision}, {scale})"),
    }
}

/// The type that a column of this SQL type has here; narrower numbers are widened.
pub(super) fn column_type(data_type: &DataType) -> Result<ColumnType> {
    let plain = |info: &ExactNumberInfo| *info == ExactNumberInfo::None;
    let field = match data_type {
        DataType::Double(info) | DataType::Float(info) if plain(info) => FieldType::F64,
        DataType::DoublePrecision
        | DataType::Real
        | DataType::Float4
        | DataType::Float8
        | DataType::Float32
        | DataType::Float64 => FieldType::F64,
        DataType::BigInt(None)
        | DataType::Int(None)
        | DataType::Integer(None)
        | DataType::SmallInt(None)
        | DataType::TinyInt(None)
        | DataType::Int2(None)
        | DataType::Int4(None)
        | DataType::Int8(None)
        | DataType::Int64
        | DataType::Int32
        | DataType::Int16 => FieldType::I64,
        DataType::UBigInt
        | DataType::UInt64
        | DataType::UInt32
        | DataType::UInt16
        | DataType::UInt8
        | DataType::BigIntUnsigned(None)
        | DataType::IntUnsigned(None)
        | DataType::UnsignedInteger => FieldType::U64,
        DataType::Boolean | DataType::Bool => FieldType::Bool,
        DataType::Text
        | DataType::String(None)
        | DataType::Varchar(None)
        | DataType::Char(None) => FieldType::Utf8,
        DataType::Timestamp(
            None | Some(9),
            TimezoneInfo::None | TimezoneInfo::WithTimeZone | TimezoneInfo::Tz,
        ) => FieldType::Timestamp,
        DataType::Decimal(info) | DataType::Numeric(info) => {
            return decimal(info).map(ColumnType::Field);
        }
        DataType::Varchar(Some(_)) | DataType::Char(Some(_)) | DataType::String(Some(_)) => {
            return Err(SqlError::refused(format!(
                "type {data_type}: lengths of text are not enforced, write TEXT"
            )));
        }
        DataType::Date => {
            return Err(SqlError::refused("type DATE is not stored: write TIMESTAMP"));
        }
        DataType::Timestamp(..) => {
            return Err(SqlError::refused("timestamps are nanoseconds in UTC: write TIMESTAMP"));
        }
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            match name.to_string().to_ascii_uppercase().as_str() {
                "TAG" => return Ok(ColumnType::Tag),
                "SYMBOL" => {
                    return Err(SqlError::refused(
                        "type SYMBOL: write TAG, for text that tells series apart",
                    ));
                }
                "UINTEGER" | "USMALLINT" | "UTINYINT" => FieldType::U64,
                "HUGEINT" => {
                    return Err(SqlError::refused(
                        "type HUGEINT: integers have 64 bits, write BIGINT or DECIMAL(18, 0)",
                    ));
                }
                _ => return Err(no_type(data_type)),
            }
        }
        other => return Err(no_type(other)),
    };
    Ok(ColumnType::Field(field))
}

fn no_type(data_type: &DataType) -> SqlError {
    SqlError::refused(format!(
        "type {data_type} is not supported; there are: DOUBLE, BIGINT, UBIGINT, BOOLEAN, TEXT, TIMESTAMP, DECIMAL(p, s) with p up to 18, and TAG"
    ))
}

fn decimal(info: &ExactNumberInfo) -> Result<FieldType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => {
            return Err(SqlError::refused(
                "DECIMAL needs its digits: write DECIMAL(p, s), p up to 18",
            ));
        }
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let digits = u8::try_from(precision).ok().zip(u8::try_from(scale).ok());
    digits.and_then(|(precision, scale)| FieldType::decimal(precision, scale)).ok_or_else(|| {
        SqlError::refused(format!("DECIMAL({precision}, {scale}) does not exist: 1 to 18 digits, at most all behind the point"))
    })
}

/// A column with its type; columns take no options.
pub(super) fn column(definition: &ColumnDef) -> Result<(String, ColumnType)> {
    let ColumnDef { name, data_type, options } = definition;
    let place = |error| at_span(error, name.span);
    for option in options {
        let text = match &option.option {
            // Says what is so anyway.
            ColumnOption::Null => continue,
            ColumnOption::NotNull if name.value.eq_ignore_ascii_case(TIME) => continue,
            ColumnOption::NotNull => "NOT NULL is not enforced: leave it out",
            ColumnOption::Default(_) => "DEFAULT is not supported: absent values are NULL",
            ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) => {
                "keys are not supported: WITH (merge = 'last_row') keeps one row a series and time"
            }
            _ => "columns take no options",
        };
        return Err(place(SqlError::refused(format!("column {:?}: {text}", name.value))));
    }
    let kind = column_type(data_type).map_err(place)?;
    Ok((name.value.clone(), kind))
}

/// The table that a statement describes. Columns of a query come later.
pub(super) fn table_options(create: &CreateTable) -> Result<TableOptions> {
    let mut options = TableOptions::default();
    let mut tags: Option<Vec<String>> = None;
    for (place, (key, value)) in create.options.iter().enumerate() {
        let name = key.value.to_ascii_lowercase();
        let mut before = create.options.iter().take(place);
        if before.any(|(other, _)| other.value.eq_ignore_ascii_case(&name)) {
            return Err(at_span(
                SqlError::invalid(format!("option {name} is given twice")),
                key.span,
            ));
        }
        let text = option_text(key, value)?;
        let invalid = |what: &str| {
            at_span(SqlError::invalid(format!("option {name} = '{text}': {what}")), value.span)
        };
        match name.as_str() {
            "tags" => {
                tags =
                    Some(split(text).ok_or_else(|| invalid("names between commas are expected"))?)
            }
            "merge" => {
                options.merge = MergeMode::parse(text).ok_or_else(|| {
                    invalid("'append', 'last_row' or 'last_non_null' is expected")
                })?;
            }
            "schema" => {
                options.mode = match text {
                    "dynamic" => SchemaMode::Dynamic,
                    "strict" => SchemaMode::Strict,
                    _ => return Err(invalid("'dynamic' or 'strict' is expected")),
                };
            }
            "history" => {
                let ns = duration::parse(text);
                options.history_ns =
                    Some(ns.ok_or_else(|| {
                        invalid("a span such as '24h', '90m' or '7d' is expected")
                    })?);
            }
            "time_name" => text.clone_into(&mut options.time_name),
            _ => {
                let text = format!(
                    "unknown option {:?}; there are: tags, merge, schema, history, time_name",
                    key.value
                );
                return Err(at_span(SqlError::refused(text), key.span));
            }
        }
    }
    columns(create, tags, options)
}

fn columns(
    create: &CreateTable,
    listed: Option<Vec<String>>,
    mut options: TableOptions,
) -> Result<TableOptions> {
    let is_listed =
        |name: &str| listed.as_ref().is_some_and(|tags| tags.iter().any(|tag| tag == name));
    for definition in &create.columns {
        let place = |error| at_span(error, definition.name.span);
        let (name, kind) = column(definition)?;
        if name.eq_ignore_ascii_case(TIME) {
            if name != TIME || kind != ColumnType::Field(FieldType::Timestamp) {
                return Err(place(SqlError::invalid("the column of times is `time TIMESTAMP`")));
            }
            continue;
        }
        match kind {
            ColumnType::Tag if listed.is_some() && !is_listed(&name) => {
                let text = format!(
                    "column {name:?} is a TAG and is missing from WITH (tags = ...): name every tag there, or none"
                );
                return Err(place(SqlError::invalid(text)));
            }
            ColumnType::Tag => options.tags.push(name),
            ColumnType::Field(FieldType::Utf8) if is_listed(&name) => {}
            ColumnType::Field(_) if is_listed(&name) => {
                return Err(place(SqlError::invalid(format!(
                    "tag {name:?} holds text: write TAG or TEXT"
                ))));
            }
            ColumnType::Field(field_type) => options.fields.push((name, field_type)),
        }
    }
    // The list gives the order.
    if let Some(listed) = listed {
        options.tags = listed;
    }
    Ok(options)
}

fn option_text<'a>(key: &Ident, value: &'a ValueWithSpan) -> Result<&'a str> {
    match &value.value {
        Value::SingleQuotedString(text) => Ok(text),
        _ => Err(at_span(
            SqlError::invalid(format!("option {}: a text in quotes is expected", key.value)),
            value.span,
        )),
    }
}

/// Names between commas; a name in double quotes may hold one.
fn split(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let name;
        if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut unquoted = String::new();
            loop {
                let (before, after) = quoted.split_once('"')?;
                unquoted.push_str(before);
                match after.strip_prefix('"') {
                    Some(more) => {
                        unquoted.push('"');
                        quoted = more;
                    }
                    None => {
                        rest = after.trim_start();
                        break;
                    }
                }
            }
            name = unquoted;
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (before, after) = rest.split_at_checked(end)?;
            name = before.trim_end().to_owned();
            rest = after;
        }
        if name.is_empty() {
            return None;
        }
        names.push(name);
        if rest.is_empty() {
            return Some(names);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// The statement that makes such a table, as `SHOW CREATE TABLE` gives it, without a semicolon.
#[must_use]
pub fn show_create(schema: &TableSchema) -> String {
    let mut lines = vec![format!("  {} TIMESTAMP", quote(TIME))];
    lines.extend(schema.tags.iter().map(|tag| format!("  {} TAG", quote(&tag.name))));
    let fields = schema.fields.iter();
    lines.extend(fields.map(|one| format!("  {} {}", quote(&one.name), type_name(one.field_type))));
    let mut options = vec![
        format!("merge = '{}'", schema.merge),
        format!("schema = '{}'", schema.mode),
        format!("history = '{}'", duration::format(schema.history_ns)),
    ];
    if !schema.time_name.is_empty() {
        options.push(format!("time_name = '{}'", schema.time_name.replace('\'', "''")));
    }
    format!(
        "CREATE TABLE {} (\n{}\n) WITH ({})",
        quote(&schema.name),
        lines.join(",\n"),
        options.join(", ")
    )
}
