//! Files of this machine as tables: `read_csv`, `read_parquet`, and `FROM 'file'`. The binder opens them, so that their columns are
//! known by name as those of tables are; the planner finds them in a schema that no statement can name. Rows stream from one file
//! after the other, in the order in which they stand there.

mod csv;
mod glob;
mod options;
mod parquet;
mod prune;
mod quotes;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::StreamingTableExec;
use parking_lot::Mutex;

pub(crate) use self::options::OptionValue;

use self::options::CsvOptions;
use self::prune::Pruning;
use self::stream::FileRows;
use crate::convert::{arrow_type, field_type_of, tag_type, timestamp_type};
use crate::error::{Result, SqlError};

/// The schema of the files of a statement. The binder lets nobody name it.
pub(crate) const FILES: &str = "files";

/// A function that reads files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// `read_csv`.
    Csv,
    /// `read_parquet`.
    Parquet,
}

impl Function {
    /// The function called `name`, in lower case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "read_csv" => Some(Self::Csv),
            "read_parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// What reads the file that stands in place of a table's name.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let lower = path.to_ascii_lowercase();
        let plain = lower.trim_end_matches(".gz").trim_end_matches(".zst");
        if plain.ends_with(".csv") {
            Some(Self::Csv)
        } else {
            lower.ends_with(".parquet").then_some(Self::Parquet)
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Csv => "read_csv",
            Self::Parquet => "read_parquet",
        }
    }
}

/// The files that one statement reads.
#[derive(Debug)]
pub(crate) struct FileTables {
    is_allowed: bool,
    tables: Mutex<Vec<Arc<FileTable>>>,
}

impl FileTables {
    /// None yet. `is_allowed`: whether statements may read files at all.
    pub(crate) fn new(is_allowed: bool) -> Arc<Self> {
        Arc::new(Self { is_allowed, tables: Mutex::new(Vec::new()) })
    }

    /// Opens files as a table; gives its name in [`FILES`], and its columns.
    ///
    /// # Errors
    /// `Refused` where files are not read; `Invalid` for options, and files that are none of the kind.
    pub(crate) fn open(
        &self,
        function: Function,
        path: &str,
        options: &[(String, OptionValue)],
    ) -> Result<(String, Vec<String>)> {
        if !self.is_allowed {
            return Err(SqlError::refused(format!(
                "{} reads files of the machine on which it runs, and a server gives its files to nobody: import the file with \
                 `chronolith import --url`, or run the statement where the database is open with --data",
                function.name()
            )));
        }
        let kind = match function {
            Function::Csv => Kind::Csv(CsvOptions::of(options)?),
            Function::Parquet => {
                if let Some((name, _)) = options.first() {
                    let text = format!("unknown option {name:?}: read_parquet has none");
                    return Err(SqlError::invalid(text));
                }
                Kind::Parquet
            }
        };
        let table = Arc::new(FileTable::open(kind, glob::expand(path)?)?);
        let columns = table.schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut tables = self.tables.lock();
        tables.push(table);
        Ok(((tables.len() - 1).to_string(), columns))
    }

    fn get(&self, name: &str) -> Option<Arc<FileTable>> {
        self.tables.lock().get(name.parse::<usize>().ok()?).cloned()
    }
}

#[async_trait]
impl SchemaProvider for FileTables {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        Ok(self.get(name).map(|table| table as _))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// How files are read.
#[derive(Debug, Clone)]
enum Kind {
    Csv(CsvOptions),
    Parquet,
}

/// Files of the same columns.
#[derive(Debug)]
struct FileTable {
    kind: Kind,
    files: Vec<PathBuf>,
    /// The columns as statements see them.
    schema: SchemaRef,
}

impl FileTable {
    fn open(kind: Kind, files: Vec<PathBuf>) -> Result<Self> {
        let mut schema: Option<Schema> = None;
        for path in &files {
            let found = match &kind {
                Kind::Csv(options) => csv::columns(path, options)?,
                Kind::Parquet => parquet::columns(path)?,
            };
            schema = Some(match schema {
                None => found,
                Some(before) => common(before, &found, files.first(), path)?,
            });
        }
        let schema = schema.ok_or_else(|| SqlError::internal("no file and no error"))?;
        let mut names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
            let path = files.first().map(|path| path.display().to_string()).unwrap_or_default();
            return Err(SqlError::invalid(format!("{path} has two columns {twice:?}")));
        }
        // A column of which no value was seen.
        let fields = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Null => Field::new(field.name(), DataType::Utf8View, true),
            other => Field::new(field.name(), other.clone(), true),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { kind, files, schema })
    }
}

/// The columns of two files.
fn common(
    a: Schema,
    b: &Schema,
    first: Option<&PathBuf>,
    path: &std::path::Path,
) -> Result<Schema> {
    let differ = |what: &str| {
        let first = first.map(|path| path.display().to_string()).unwrap_or_default();
        SqlError::invalid(format!("{} has other columns than {first}: {what}", path.display()))
    };
    if a.fields().len() != b.fields().len() {
        return Err(differ(&format!("{} and {}", b.fields().len(), a.fields().len())));
    }
    let fields = a.fields().iter().zip(b.fields()).map(|(a, b)| {
        if a.name() != b.name() {
            return Err(differ(&format!("{:?} in place of {:?}", b.name(), a.name())));
        }
        let data_type = match (a.data_type(), b.data_type()) {
            (one, other) if one == other => one.clone(),
            (DataType::Null, other) | (other, DataType::Null) => other.clone(),
            (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
                DataType::Float64
            }
            (one, other) => {
                return Err(differ(&format!("{:?} is {other} and {one}", a.name())));
            }
        };
        Ok(Field::new(a.name(), data_type, true))
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>>>()?))
}

/// The type in which values of a file's column are given: that of the engine's column which holds them (docs/TYPES.md); dates,
/// long decimals, and what no column holds, stay as they are.
fn given(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(..) => timestamp_type(),
        DataType::Dictionary(_, value) if is_text(value) => tag_type(),
        DataType::Dictionary(_, value) => given(value),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::Float16
        | DataType::Float32
        | DataType::Utf8
        | DataType::LargeUtf8 => {
            field_type_of(data_type).map_or_else(|| data_type.clone(), arrow_type)
        }
        other => other.clone(),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// `batch` in the types of `schema`. A value that has none in its type is refused.
fn cast_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(ArrayRef::clone(column));
        }
        cast_with_options(column, field.data_type(), &options).map_err(|error| {
            SqlError::invalid(format!(
                "column {:?}: {}",
                field.name(),
                SqlError::from(error).message
            ))
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)?)
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let narrows = |filter: &&Expr| match self.kind {
            Kind::Parquet if prune::narrows(&self.schema, filter) => {
                TableProviderFilterPushDown::Inexact
            }
            _ => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(narrows).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.schema.fields().len()).collect();
        let positions: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let schema = Arc::new(self.schema.project(&positions)?);
        let rows = FileRows {
            kind: self.kind.clone(),
            files: self.files.clone(),
            all: Arc::clone(&self.schema),
            positions,
            schema: Arc::clone(&schema),
            batch_rows: state.config().batch_size(),
            pruning: Pruning::of(&self.schema, filters, state).map(Arc::new),
        };
        // A filter that only narrows is applied above, after which the limit counts.
        let limit = limit.filter(|_| filters.is_empty());
        let plan =
            StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, None, false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// An error about a file.
fn of_file(path: &std::path::Path, error: impl Into<SqlError>) -> SqlError {
    let error = error.into();
    SqlError { message: format!("{}: {}", path.display(), error.message), ..error }
}

/// The system's error about a file.
fn of_system(path: &std::path::Path, error: &std::io::Error) -> SqlError {
    SqlError::invalid(format!("cannot read {}: {error}", path.display()))
}
