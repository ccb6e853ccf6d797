//! Compares what the engine answers with what the model holds.

use chronolith_engine::Db;
use chronolith_engine::error::Error;
use chronolith_engine::model::{FieldType, SeriesKey, Value};
use chronolith_engine::read::{
    AggregateBatch, AggregateFunction, AggregateRequest, Bucket as EngineBucket, ScanBatch,
    ScanRequest,
};
use chronolith_engine::snapshot::Snapshot;

use crate::dice::Dice;
use crate::model::{Model, OutRow, Query, TableModel, same};
use crate::ops::{HOUR_NS, MINUTE_NS, is_import, mark, predicate, query};

/// What went wrong, for people.
pub type Outcome<T = ()> = Result<T, String>;

fn tags_of(key: &SeriesKey, count: usize) -> Vec<String> {
    let mut tags: Vec<String> = (0..count).map(|at| key.tag(at).to_owned()).collect();
    while tags.last().is_some_and(String::is_empty) {
        tags.pop();
    }
    tags
}

fn rows_of(batch: &ScanBatch, out: &mut Vec<OutRow>) {
    let tag_count = batch.schema.tags.len();
    for run in &batch.series {
        for row in run.rows.clone() {
            out.push(OutRow {
                tags: tags_of(&run.key, tag_count),
                time: batch.time()[row],
                commit: batch.sequence().get(row).map_or(0, |one| one.counter as usize),
                values: (0..batch.fields.len()).map(|field| batch.value(field, row)).collect(),
            });
        }
    }
}

/// The rows of a scan, with the numbers of their commits.
///
/// # Errors
/// The engine's.
pub fn scan(snapshot: &Snapshot, table: &str, query: &Query) -> Result<Vec<OutRow>, Error> {
    let (predicate, range) = predicate(query);
    let mut request = ScanRequest::new(table).predicate(predicate).range(range);
    request.with_sequence = true;
    let mut rows = Vec::new();
    for batch in snapshot.scan(&request)? {
        rows_of(&batch?, &mut rows);
    }
    Ok(rows)
}

fn differ(what: &str, found: &[OutRow], expected: &[OutRow]) -> Outcome {
    if found == expected {
        return Ok(());
    }
    let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    Err(format!(
        "{what}: {} rows, expected {}; row {at} is {:?}, expected {:?}",
        found.len(),
        expected.len(),
        found.get(at),
        expected.get(at)
    ))
}

/// Compares tables, schemas and every row.
///
/// # Errors
/// The first difference.
pub fn compare(snapshot: &Snapshot, model: &Model) -> Outcome {
    let expected: Vec<&str> = model.tables.keys().map(String::as_str).collect();
    let names: Vec<&str> = snapshot.catalog().names().filter(|name| !is_system(name)).collect();
    if names != expected {
        return Err(format!("tables {names:?}, expected {expected:?}"));
    }
    model.tables.keys().try_for_each(|name| compare_table(snapshot, model, name))
}

/// Compares the schema and every row of one table.
///
/// # Errors
/// The first difference.
pub fn compare_table(snapshot: &Snapshot, model: &Model, name: &str) -> Outcome {
    let table = &model.tables[name];
    schema(snapshot, name, table)?;
    let found = scan(snapshot, name, &Query::all());
    let found = found.map_err(|error| format!("scan {name}: {error}"))?;
    differ(&format!("scan {name}"), &found, table.resolved())
}

/// Compares how far imports are.
///
/// # Errors
/// The first difference.
pub fn imports(db: &Db, model: &Model) -> Outcome {
    for (id, (number, ..)) in model.producers.iter().filter(|(id, _)| is_import(id)) {
        let found = db.import_progress(id).map_err(|error| format!("progress of {id}: {error}"))?;
        let known = found.as_ref().map(|found| (found.chunk, &found.mark));
        let expected = mark(*number);
        if known != Some((*number, &expected)) {
            return Err(format!("progress of {id}: {found:?}, expected {number} {expected:?}"));
        }
    }
    Ok(())
}

fn is_system(name: &str) -> bool {
    name.starts_with(chronolith_engine::catalog::SYSTEM_TABLE_PREFIX)
}

fn schema(snapshot: &Snapshot, name: &str, table: &TableModel) -> Outcome {
    let found = snapshot.table(name).map_err(|error| error.to_string())?;
    let tags: Vec<&String> = found.tags.iter().map(|tag| &tag.name).collect();
    let fields: Vec<(String, FieldType)> =
        found.fields.iter().map(|field| (field.name.clone(), field.field_type)).collect();
    if tags != table.tags.iter().collect::<Vec<_>>() || fields != table.fields {
        return Err(format!(
            "schema of {name}: {tags:?} {fields:?}, expected {:?} {:?}",
            table.tags, table.fields
        ));
    }
    Ok(())
}

/// Compares a view of an old sequence: tables that are there still, with the columns of then. `may_be_gone` says whether a table
/// may have let go of old versions.
///
/// # Errors
/// The first difference.
pub fn compare_old(
    snapshot: &Snapshot,
    then: &Model,
    now: &Model,
    may_be_gone: &dyn Fn(&TableModel) -> bool,
    dice: &mut Dice,
) -> Outcome {
    for (name, table) in &then.tables {
        let Some(present) = now.tables.get(name) else { continue };
        if present.created != table.created {
            continue;
        }
        let mut found = match scan(snapshot, name, &Query::all()) {
            Ok(found) => found,
            Err(Error::SnapshotExpired { .. }) if may_be_gone(table) => continue,
            Err(error) => return Err(format!("scan {name} of old: {error}")),
        };
        for row in &mut found {
            let later = row.values.split_off(table.fields.len());
            if later.iter().any(|value| *value != Value::Null) {
                return Err(format!("{name} of old shows a column of later: {later:?}"));
            }
        }
        differ(&format!("scan {name} of old"), &found, table.resolved())?;
    }
    let kept = |name: &&String| {
        now.tables.get(*name).is_some_and(|one| one.created == then.tables[*name].created)
    };
    for name in then.tables.keys().filter(kept) {
        match probe_table(snapshot, name, &then.tables[name], dice) {
            Err(Probe::Refused(_, error))
                if matches!(*error, Error::SnapshotExpired { .. })
                    && may_be_gone(&then.tables[name]) => {}
            probed => probed.map_err(|one| format!("of old: {}", one.text()))?,
        }
    }
    Ok(())
}

/// How a probe failed.
enum Probe {
    /// The engine refused the read.
    Refused(String, Box<Error>),
    /// It gave another answer.
    Differs(String),
}

impl Probe {
    fn text(&self) -> String {
        match self {
            Self::Refused(text, error) => format!("{text}: {error}"),
            Self::Differs(text) => text.clone(),
        }
    }
}

/// Compares some random reads of every table.
///
/// # Errors
/// The first difference.
pub fn probe(snapshot: &Snapshot, model: &Model, dice: &mut Dice) -> Outcome {
    for (name, table) in &model.tables {
        probe_table(snapshot, name, table, dice).map_err(|probe| probe.text())?;
    }
    Ok(())
}

fn probe_table(
    snapshot: &Snapshot,
    name: &str,
    table: &TableModel,
    dice: &mut Dice,
) -> Result<(), Probe> {
    let query = query(table, dice);
    let text = format!("{name} {query:?}");
    let refused = |error: Error| Probe::Refused(text.clone(), Box::new(error));
    // Columns of later are the others' business.
    let trim = |mut rows: Vec<OutRow>| {
        rows.iter_mut().for_each(|row| row.values.truncate(table.fields.len()));
        rows
    };
    let found = trim(scan(snapshot, name, &query).map_err(refused)?);
    differ(&format!("scan {text}"), &found, &table.select(&query)).map_err(Probe::Differs)?;
    let (predicate, range) = predicate(&query);
    let mut request = ScanRequest::new(name).predicate(predicate).range(range);
    request.with_sequence = true;
    let mut found = Vec::new();
    rows_of(&snapshot.latest(&request).map_err(refused)?, &mut found);
    differ(&format!("latest {text}"), &trim(found), &table.latest(&query))
        .map_err(Probe::Differs)?;
    aggregate(snapshot, name, table, &query, dice)
}

fn aggregate(
    snapshot: &Snapshot,
    name: &str,
    table: &TableModel,
    query: &Query,
    dice: &mut Dice,
) -> Result<(), Probe> {
    let wanted = if dice.chance(70) { "price" } else { "size" };
    let Some(field) = table.fields.iter().position(|field| field.0 == wanted) else {
        return Ok(());
    };
    let width_ns = *dice.pick(&[MINUTE_NS, HOUR_NS, 7 * HOUR_NS]);
    use AggregateFunction as F;
    let functions = [F::Count, F::First, F::Last, F::Min, F::Max, F::Sum];
    let (predicate, range) = predicate(query);
    let request = AggregateRequest {
        scan: ScanRequest::new(name).predicate(predicate).range(range),
        bucket: Some(EngineBucket { width_ns, origin_ns: 0 }),
        functions: functions.iter().map(|function| (*function, wanted.to_owned())).collect(),
    };
    let text = format!("aggregate {wanted} of {name} by {width_ns} ns, {query:?}");
    let failed = |error: Error| Probe::Refused(text.clone(), Box::new(error));
    let mut found = Vec::new();
    for batch in snapshot.aggregate(&request).map_err(failed)? {
        buckets_of(&batch.map_err(failed)?, &mut found);
    }
    let expected = table.aggregate(query, width_ns, field);
    if found.len() != expected.len() {
        let counts = (found.len(), expected.len());
        return Err(Probe::Differs(format!("{text}: {} buckets, expected {}", counts.0, counts.1)));
    }
    for (found, expected) in found.iter().zip(&expected) {
        let values = [
            Value::U64(expected.count),
            expected.first.clone(),
            expected.last.clone(),
            expected.min.clone(),
            expected.max.clone(),
            expected.sum.clone(),
        ];
        let fits = tags_of(&found.key, table.tags.len()) == expected.tags
            && found.bucket_ns == expected.start_ns
            && found.row_count == expected.row_count
            && found.values.len() == values.len()
            && found.values.iter().zip(&values).enumerate().all(|(at, (a, b))| alike(at, a, b));
        if !fits {
            return Err(Probe::Differs(format!("{text}: {found:?}, expected {expected:?}")));
        }
    }
    Ok(())
}

/// A bucket that the engine gave.
#[derive(Debug)]
struct Found {
    key: SeriesKey,
    bucket_ns: i64,
    row_count: u64,
    values: Vec<Value>,
}

fn buckets_of(batch: &AggregateBatch, found: &mut Vec<Found>) {
    for run in &batch.series {
        for at in run.rows.clone() {
            found.push(Found {
                key: run.key.clone(),
                bucket_ns: batch.bucket_ns[at],
                row_count: batch.row_count[at],
                values: (0..batch.values.len()).map(|function| batch.value(function, at)).collect(),
            });
        }
    }
}

/// First and last are the rows' own values; of least, greatest and sum zeros are alike, and so are NaNs.
fn alike(at: usize, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::F64(a), Value::F64(b)) if at > 2 => a == b || (a.is_nan() && b.is_nan()),
        _ => same(a, b),
    }
}
