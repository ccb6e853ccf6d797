//! `INSERT INTO`, one atomic batch, and `CREATE TABLE ... AS SELECT`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use chronolith_engine::limits::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use chronolith_engine::model::{Batch, FieldType, TableOptions, TableRows, TableSchema};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    self, CastKind, ExactNumberInfo, Expr, Ident, ObjectName, Query, SetExpr, TimezoneInfo,
    UnaryOperator, Value, ValueWithSpan,
};
use futures::StreamExt;

use super::change::{blocking, make};
use super::{bind, plan, time_text};
use crate::answer::Answer;
use crate::convert::{Mapping, TIME, UTC, field_type_of, rows_of};
use crate::error::{Result, SqlError, Unknown};
use crate::identifier::{self, Found};
use crate::run::Run;

/// Rows, and bytes, at which `CREATE TABLE ... AS SELECT` commits what it has.
const PART_ROWS: usize = 1 << 20;
const PART_BYTES: usize = 16 << 20;

/// A column that is written.
#[derive(Debug, Clone)]
struct Target {
    name: String,
    /// None for tags; the time is a timestamp.
    field_type: Option<FieldType>,
}

pub(super) async fn insert(
    run: &Arc<Run>,
    table: &ObjectName,
    columns: Vec<Ident>,
    mut source: Box<Query>,
) -> Result<Answer> {
    let schema = bind::user_table(table, run.snapshot().catalog())?.clone();
    let targets = targets(&schema, &columns)?;
    read_values(&mut source, &targets)?;
    let plan = plan(run, source).await?;
    let found = plan.schema().fields().len();
    if found != targets.len() {
        let names: Vec<&str> = targets.iter().map(|one| one.name.as_str()).collect();
        return Err(SqlError::invalid(format!(
            "INSERT INTO {:?} writes {} columns ({}), the rows have {found}",
            schema.name,
            targets.len(),
            names.join(", ")
        )));
    }
    let mapping = Mapping::of(&schema);
    let mut parts = Parts::open(run, plan, targets, mapping).await?;
    while let Some(rows) = parts.next().await? {
        parts.keep(rows)?;
    }
    let (rows, row_count) = parts.take();
    if row_count > 0 {
        write(run, rows).await?;
    }
    Ok(run.written(Some(row_count as u64)))
}

async fn write(run: &Run, tables: Vec<TableRows>) -> Result<()> {
    let batch = Batch { tables, ..Batch::default() };
    blocking(run, move |db| db.write(batch)).await.map(|_| ())
}

/// The columns of the table that are written, in the order of the rows' columns.
fn targets(schema: &TableSchema, columns: &[Ident]) -> Result<Vec<Target>> {
    let known = schema.column_names();
    let target = |name: &str| Target {
        name: name.to_owned(),
        field_type: if name == TIME {
            Some(FieldType::Timestamp)
        } else {
            schema.field(name).map(|field| field.field_type)
        },
    };
    if columns.is_empty() {
        return Ok(known.iter().map(|name| target(name)).collect());
    }
    let mut targets: Vec<Target> = Vec::new();
    for ident in columns {
        let names = || known.iter().map(String::as_str);
        let name = match identifier::find(&ident.value, names()) {
            Found::One(name) => name,
            Found::Several(names) => return Err(bind::ambiguous("column", ident, &names)),
            Found::None => return Err(bind::unknown(Unknown::Column, "column", ident, names())),
        };
        if targets.iter().any(|one| one.name == name) {
            let text = format!("column {name:?} is written twice");
            return Err(bind::at_span(SqlError::invalid(text), ident.span));
        }
        targets.push(target(&name));
    }
    if targets.iter().any(|one| one.name == TIME) {
        return Ok(targets);
    }
    Err(SqlError::invalid("every row needs its time: add the column `time`"))
}

/// Literals of VALUES, read for the columns that they go to: texts as times of the session's zone, decimals digit by digit.
fn read_values(source: &mut Query, targets: &[Target]) -> Result<()> {
    let SetExpr::Values(values) = source.body.as_mut() else { return Ok(()) };
    for row in &mut values.rows {
        for (expr, target) in row.content.iter_mut().zip(targets) {
            match target.field_type {
                Some(FieldType::Timestamp) if is_text(expr) => {
                    *expr =
                        cast_of(expr.clone(), ast::DataType::Timestamp(None, TimezoneInfo::None));
                }
                // Numbers beyond BIGINT and others have no type in common but a float.
                Some(FieldType::U64) if digits(expr).is_some_and(|text| !text.contains('.')) => {
                    *expr = cast_of(expr.clone(), ast::DataType::BigIntUnsigned(None));
                }
                Some(FieldType::Decimal { precision, scale }) => {
                    if let Some(digits) = digits(expr) {
                        check_digits(&digits, precision, scale, &target.name)
                            .map_err(|error| bind::at(error, expr))?;
                        let info = ExactNumberInfo::PrecisionAndScale(
                            u64::from(precision),
                            i64::from(scale),
                        );
                        let text = Expr::value(Value::SingleQuotedString(digits));
                        *expr = cast_of(text, ast::DataType::Decimal(info));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }))
}

fn cast_of(expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// The text of a plain number.
fn digits(expr: &Expr) -> Option<String> {
    let plain = |text: &str| {
        let text: String = text.chars().filter(|c| *c != '_').collect();
        text.chars().all(|c| c.is_ascii_digit() || c == '.').then_some(text)
    };
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => plain(text),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match &**expr {
            Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => {
                Some(format!("-{}", plain(text)?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Refuses a number that the column would round or cannot hold.
fn check_digits(text: &str, precision: u8, scale: u8, column: &str) -> Result<()> {
    let (whole, fraction) =
        text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
    let whole = whole.trim_start_matches('0').len();
    let fraction = fraction.trim_end_matches('0').len();
    if fraction > usize::from(scale) {
        return Err(SqlError::invalid(format!(
            "column {column:?} keeps {scale} digits after the point, {text} has {fraction}: round it"
        )));
    }
    if whole > usize::from(precision - scale) {
        return Err(SqlError::overflow(format!(
            "{text} does not fit column {column:?}, DECIMAL({precision}, {scale})"
        )));
    }
    Ok(())
}

/// The rows of a query as they come, for a table.
struct Parts<'a> {
    run: &'a Run,
    stream: datafusion::execution::SendableRecordBatchStream,
    schema: Arc<Schema>,
    targets: Vec<Target>,
    mapping: Mapping,
    kept: Vec<TableRows>,
    row_count: usize,
    bytes: usize,
}

impl<'a> Parts<'a> {
    async fn open(
        run: &'a Run,
        plan: LogicalPlan,
        targets: Vec<Target>,
        mapping: Mapping,
    ) -> Result<Self> {
        let stream = run.stream(plan).await?;
        let given = stream.schema();
        let fields = targets.iter().zip(given.fields()).map(|(target, field)| {
            let data_type = match (target.field_type, field.data_type()) {
                (Some(FieldType::Timestamp), text) if text_type(text) => {
                    crate::convert::timestamp_type()
                }
                (_, other) => other.clone(),
            };
            Field::new(&target.name, data_type, true)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { run, stream, schema, targets, mapping, kept: Vec::new(), row_count: 0, bytes: 0 })
    }

    /// The next rows; none at the end.
    async fn next(&mut self) -> Result<Option<TableRows>> {
        loop {
            self.run.control().check()?;
            let Some(batch) = self.stream.next().await else { return Ok(None) };
            let batch = batch?;
            if batch.num_rows() > 0 {
                return self.rows(&batch).map(Some);
            }
        }
    }

    fn rows(&self, batch: &RecordBatch) -> Result<TableRows> {
        let zone = self.run.time_zone();
        let columns = self.targets.iter().zip(batch.columns()).map(|(target, column)| match target
            .field_type
        {
            Some(FieldType::Timestamp) if text_type(column.data_type()) => {
                times(column, zone, &target.name)
            }
            _ => Ok(Arc::clone(column)),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        rows_of(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?, &self.mapping)
    }

    /// Keeps rows for one batch.
    fn keep(&mut self, rows: TableRows) -> Result<()> {
        self.add(rows);
        if self.row_count <= BATCH_ROWS_MAX && self.bytes <= BATCH_BYTES_MAX {
            return Ok(());
        }
        Err(SqlError::refused(format!(
            "INSERT is one atomic batch of at most {BATCH_ROWS_MAX} rows and {BATCH_BYTES_MAX} bytes, and there are more: write them in \
             several statements, or with `chronolith import` or CREATE TABLE ... AS SELECT, which commit part by part"
        )))
    }

    fn add(&mut self, rows: TableRows) {
        self.row_count += rows.time.len();
        let fields = rows.fields.iter().map(|field| field.column.data.memory_bytes());
        self.bytes += rows.time.len() * 8 + fields.sum::<usize>();
        self.kept.push(rows);
    }

    fn take(&mut self) -> (Vec<TableRows>, usize) {
        self.bytes = 0;
        (std::mem::take(&mut self.kept), std::mem::take(&mut self.row_count))
    }
}

fn text_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => text_type(value),
        _ => false,
    }
}

/// Texts as times of the session's zone.
fn times(column: &ArrayRef, zone: &str, name: &str) -> Result<ArrayRef> {
    let zone = time_text::zone(zone)?;
    let texts = cast(column, &DataType::Utf8)?;
    let times = texts
        .as_string::<i32>()
        .iter()
        .map(|text| text.map(|text| time_text::parse(text, zone)).transpose());
    let times: TimestampNanosecondArray = times
        .collect::<Result<Vec<_>>>()
        .map_err(|error| SqlError {
            message: format!("column {name:?}: {}", error.message),
            ..error
        })?
        .into();
    Ok(Arc::new(times.with_timezone(UTC)))
}

/// `CREATE TABLE ... AS SELECT`. What fits one batch appears whole, table and rows together; more is committed part by part, and the
/// table is dropped again where that fails.
pub(super) async fn create_as(
    run: &Arc<Run>,
    name: String,
    mut options: TableOptions,
    source: Box<Query>,
) -> Result<Answer> {
    if !options.fields.is_empty() {
        return Err(SqlError::refused(
            "CREATE TABLE ... AS SELECT takes its columns from the query: leave the list out",
        ));
    }
    let plan = plan(run, source).await?;
    let targets = fields_of(&plan, &mut options)?;
    let mapping = Mapping {
        table: name.clone(),
        create_if_missing: Some(options.clone()),
        time: TIME.to_owned(),
        tags: options.tags.clone(),
        constant_tags: Vec::new(),
    };
    let mut parts = Parts::open(run, plan, targets, mapping).await?;
    let mut written = 0;
    loop {
        let next = parts.next().await;
        let more = match next {
            Ok(Some(rows)) => {
                parts.add(rows);
                true
            }
            Ok(None) => false,
            Err(error) => return Err(give_up(run, name, written, error).await),
        };
        if more && parts.row_count < PART_ROWS && parts.bytes < PART_BYTES {
            continue;
        }
        let (rows, row_count) = parts.take();
        if row_count > 0
            && let Err(error) = write(run, rows).await
        {
            return Err(give_up(run, name, written, error).await);
        }
        written += row_count;
        if more {
            continue;
        }
        if written == 0 {
            make(run, name, options).await?;
        }
        return Ok(run.written(Some(written as u64)));
    }
}

/// Drops a table of which only a part was written.
async fn give_up(run: &Run, name: String, written: usize, error: SqlError) -> SqlError {
    if written == 0 {
        return error;
    }
    let db = run.db().clone();
    let dropped = tokio::task::spawn_blocking(move || db.drop_table(&name)).await;
    match dropped {
        Ok(Ok(_)) => error,
        _ => SqlError {
            message: format!(
                "{}; {written} rows were committed before and are still there",
                error.message
            ),
            ..error
        },
    }
}

/// The columns of the new table: tags are those that the options name, else those that are tags where they come from.
fn fields_of(plan: &LogicalPlan, options: &mut TableOptions) -> Result<Vec<Target>> {
    let columns = plan.schema().fields();
    let mut targets: Vec<Target> = Vec::new();
    for name in &options.tags {
        if !columns.iter().any(|column| column.name() == name) {
            return Err(SqlError::invalid(format!("tag {name:?} is no column of the query")));
        }
    }
    let chosen = !options.tags.is_empty();
    for column in columns {
        let name = column.name();
        if targets.iter().any(|one| one.name == *name) {
            return Err(SqlError::invalid(format!(
                "the query gives two columns {name:?}: name them apart"
            )));
        }
        let is_tag = if chosen {
            options.tags.contains(name)
        } else {
            matches!(column.data_type(), DataType::Dictionary(_, value) if text_type(value))
        };
        let field_type = if name == TIME {
            Some(FieldType::Timestamp)
        } else if is_tag {
            None
        } else {
            let field_type = field_type_of(column.data_type());
            Some(field_type.ok_or_else(|| {
                SqlError::invalid(format!(
                    "column {name:?} is {}, which no table can hold: cast it",
                    column.data_type()
                ))
            })?)
        };
        match field_type {
            None if !chosen => options.tags.push(name.clone()),
            Some(field_type) if name != TIME => options.fields.push((name.clone(), field_type)),
            _ => {}
        }
        targets.push(Target { name: name.clone(), field_type });
    }
    if targets.iter().any(|one| one.name == TIME) {
        return Ok(targets);
    }
    Err(SqlError::invalid(
        "the query gives no column `time`, which every table has: name one so (`... AS time`)",
    ))
}
