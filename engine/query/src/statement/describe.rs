//! Statements that show what tables are.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::sql::sqlparser::ast::ObjectName;

use super::{bind, ddl};
use crate::answer::Answer;
use crate::error::Result;
use crate::identifier::{self, Found};
use crate::run::Run;
use crate::system;

/// An answer of texts, column by column.
pub(super) fn texts(run: &Run, columns: Vec<(&str, Vec<Option<String>>)>) -> Result<Answer> {
    let fields = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays =
        columns.into_iter().map(|(_, values)| Arc::new(StringArray::from(values)) as ArrayRef);
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays.collect())?;
    Ok(run.rows(schema, vec![batch]))
}

pub(super) fn describe(run: &Run, table: &ObjectName) -> Result<Answer> {
    let columns = match system_columns(table) {
        Some(columns) => columns,
        None => {
            let schema = bind::user_table(table, run.snapshot().catalog())?;
            system::columns::described(schema)
        }
    };
    let column = |of: &dyn Fn(&(String, &'static str, String)) -> String| -> Vec<Option<String>> {
        columns.iter().map(|one| Some(of(one))).collect()
    };
    texts(
        run,
        vec![
            ("column_name", column(&|one| one.0.clone())),
            ("kind", column(&|one| one.1.to_owned())),
            ("data_type", column(&|one| one.2.clone())),
        ],
    )
}

/// The columns of a table of the system, where `table` names one.
fn system_columns(table: &ObjectName) -> Option<Vec<(String, &'static str, String)>> {
    let parts = identifier::parts(table)?;
    let [schema, name] = parts.as_slice() else { return None };
    if !schema.value.eq_ignore_ascii_case(system::SYSTEM) {
        return None;
    }
    let names = system::tables().iter().map(|table| table.name);
    let Found::One(found) = identifier::find(&name.value, names) else { return None };
    let table = system::tables().iter().find(|table| table.name == found)?;
    let schema = table.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| (field.name().clone(), "system", sql_type(field.data_type())));
    Some(columns.collect())
}

/// An Arrow type as statements spell it, where they have a word for it.
pub(super) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt64 => "UBIGINT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "TEXT".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            format!("DECIMAL({p}, {s})")
        }
        DataType::Dictionary(_, value) => sql_type(value),
        other => other.to_string(),
    }
}

pub(super) fn show_tables(run: &Run) -> Result<Answer> {
    let names = bind::user_names(run.snapshot().catalog());
    texts(run, vec![("table_name", names.map(|name| Some(name.to_owned())).collect())])
}

pub(super) fn show_create_table(run: &Run, table: &ObjectName) -> Result<Answer> {
    let schema = bind::user_table(table, run.snapshot().catalog())?;
    texts(run, vec![("statement", vec![Some(ddl::show_create(schema))])])
}
