//! The oracle: what a database holds after each commit, kept as plain lists. It shares names of types with the engine and no code.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chronolith_engine::model::{Comparison, FieldType, MergeMode, Value};

/// A table as it is created.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDef {
    /// The tags.
    pub tags: Vec<String>,
    /// What becomes of rows of one series and time.
    pub merge: MergeMode,
    /// How long versions are kept; none: the default.
    pub history_ns: Option<i64>,
}

/// A row as it is sent.
#[derive(Debug, Clone)]
pub struct RowIn {
    /// Its timestamp.
    pub time: i64,
    /// Its tags by name.
    pub tags: Vec<(String, String)>,
    /// Its fields by name.
    pub fields: Vec<(String, Value)>,
}

/// Rows for one table.
#[derive(Debug, Clone)]
pub struct TableWrite {
    /// The table.
    pub table: String,
    /// Creates the table when it is missing.
    pub create: Option<TableDef>,
    /// The rows.
    pub rows: Vec<RowIn>,
}

/// A condition on a tag.
#[derive(Debug, Clone)]
pub struct TagCondition {
    /// The tag.
    pub tag: String,
    /// The values.
    pub values: Vec<String>,
    /// Whether the tag must be one of them, or must not.
    pub is_in: bool,
}

/// A condition on a field.
#[derive(Debug, Clone)]
pub struct FieldCondition {
    /// The field.
    pub field: String,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: Value,
}

/// Which rows a read wants; times in `[from, to)`.
#[derive(Debug, Clone)]
pub struct Query {
    /// Conditions on tags.
    pub tags: Vec<TagCondition>,
    /// Conditions on fields.
    pub fields: Vec<FieldCondition>,
    /// The first time.
    pub from: i64,
    /// The end.
    pub to: i64,
}

impl Query {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self { tags: Vec::new(), fields: Vec::new(), from: i64::MIN, to: i64::MAX }
    }
}

/// One commit.
#[derive(Debug, Clone)]
pub enum Change {
    /// Rows.
    Write {
        /// By table; a table may appear twice.
        tables: Vec<TableWrite>,
        /// The producer's name and number.
        producer: Option<(String, u64)>,
    },
    /// A new table.
    Create(String, TableDef),
    /// A table goes.
    Drop(String),
    /// Rows go.
    Delete {
        /// The table.
        table: String,
        /// Which rows; without conditions on fields.
        query: Query,
    },
}

#[derive(Debug, Clone)]
struct Row {
    tags: Vec<String>,
    time: i64,
    commit: usize,
    fields: BTreeMap<String, Value>,
}

/// A row as it is read.
#[derive(Debug, Clone)]
pub struct OutRow {
    /// The tags in order, without empty ones at the end.
    pub tags: Vec<String>,
    /// The timestamp.
    pub time: i64,
    /// The number of the commit that wrote it last, from 1.
    pub commit: usize,
    /// The fields, in the table's order.
    pub values: Vec<Value>,
}

/// Whether two values are the same, floats bit for bit.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

impl PartialEq for OutRow {
    fn eq(&self, other: &Self) -> bool {
        self.tags == other.tags
            && self.time == other.time
            && self.commit == other.commit
            && self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(|(a, b)| same(a, b))
    }
}

/// A table after some commits.
#[derive(Debug)]
pub struct TableModel {
    /// The commit that created it.
    pub created: usize,
    /// How it was created.
    pub def: TableDef,
    /// The tags in order.
    pub tags: Vec<String>,
    /// The fields in order.
    pub fields: Vec<(String, FieldType)>,
    rows: Vec<Row>,
    resolved: OnceLock<Vec<OutRow>>,
}

impl Clone for TableModel {
    fn clone(&self) -> Self {
        Self {
            created: self.created,
            def: self.def.clone(),
            tags: self.tags.clone(),
            fields: self.fields.clone(),
            rows: self.rows.clone(),
            resolved: OnceLock::new(),
        }
    }
}

/// The database after some commits.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The number of commits.
    pub commits: usize,
    /// The tables by name.
    pub tables: BTreeMap<String, Arc<TableModel>>,
    /// For each producer its last number, the commit of it, and that commit's rows.
    pub producers: BTreeMap<String, (u64, usize, u64)>,
}

fn trimmed(mut tags: Vec<String>) -> Vec<String> {
    while tags.last().is_some_and(String::is_empty) {
        tags.pop();
    }
    tags
}

/// The type that a value gives to a new column.
#[must_use]
pub fn type_of(value: &Value) -> Option<FieldType> {
    Some(match value {
        Value::F64(_) => FieldType::F64,
        Value::I64(_) => FieldType::I64,
        Value::U64(_) => FieldType::U64,
        Value::Bool(_) => FieldType::Bool,
        Value::Utf8(_) => FieldType::Utf8,
        Value::Timestamp(_) => FieldType::Timestamp,
        Value::Decimal { scale, .. } => FieldType::Decimal { precision: 18, scale: *scale },
        Value::Null => return None,
    })
}

impl Model {
    /// The next state.
    #[must_use]
    pub fn after(&self, change: &Change) -> Self {
        let mut next = self.clone();
        next.commits += 1;
        match change {
            Change::Write { tables, producer } => {
                let mut rows = 0;
                for write in tables {
                    next.write(write);
                    rows += write.rows.len() as u64;
                }
                if let Some((id, number)) = producer {
                    next.producers.insert(id.clone(), (*number, next.commits, rows));
                }
            }
            Change::Create(name, def) => next.create(name, def),
            Change::Drop(name) => _ = next.tables.remove(name),
            Change::Delete { table, query } => {
                let table = Arc::make_mut(next.tables.get_mut(table).expect("the table exists"));
                let tags = table.tags.clone();
                table.rows.retain(|row| !selects(&tags, &row.tags, row.time, query));
            }
        }
        next
    }

    fn create(&mut self, name: &str, def: &TableDef) {
        let table = TableModel {
            created: self.commits,
            def: def.clone(),
            tags: def.tags.clone(),
            fields: Vec::new(),
            rows: Vec::new(),
            resolved: OnceLock::new(),
        };
        assert!(self.tables.insert(name.to_owned(), Arc::new(table)).is_none(), "{name} exists");
    }

    fn write(&mut self, write: &TableWrite) {
        if !self.tables.contains_key(&write.table) {
            self.create(&write.table, write.create.as_ref().expect("the table exists"));
        }
        let commit = self.commits;
        let table = Arc::make_mut(self.tables.get_mut(&write.table).expect("it was just made"));
        for (tag, value) in write.rows.iter().flat_map(|row| &row.tags) {
            if !value.is_empty() && !table.tags.contains(tag) {
                // Columns come in the order in which the rows name them, also those that get a value later.
                let order =
                    first_named(write.rows.iter().flat_map(|row| &row.tags).map(|one| &one.0));
                add_tags(table, &order, write);
                break;
            }
        }
        let order = first_named(write.rows.iter().flat_map(|row| &row.fields).map(|one| &one.0));
        for name in order {
            let mut values =
                write.rows.iter().flat_map(|row| &row.fields).filter(|one| one.0 == name);
            let first = values.find_map(|(_, value)| type_of(value));
            if let (Some(field_type), false) =
                (first, table.fields.iter().any(|field| field.0 == name))
            {
                table.fields.push((name, field_type));
            }
        }
        for row in &write.rows {
            let value = |tag: &String| {
                row.tags.iter().find(|one| one.0 == *tag).map_or(String::new(), |one| one.1.clone())
            };
            let tags = trimmed(table.tags.iter().map(value).collect());
            let mut fields = BTreeMap::new();
            for (name, value) in &row.fields {
                let known = table.fields.iter().find(|field| field.0 == *name);
                let value = match (known.map(|field| field.1), value) {
                    (Some(FieldType::F64), Value::I64(whole)) => Value::F64(*whole as f64),
                    (
                        Some(FieldType::Decimal { scale, .. }),
                        Value::Decimal { units, scale: found },
                    ) => Value::Decimal {
                        units: units * 10_i64.pow(u32::from(scale - found)),
                        scale,
                    },
                    _ => value.clone(),
                };
                if value != Value::Null {
                    fields.insert(name.clone(), value);
                }
            }
            table.rows.push(Row { tags, time: row.time, commit, fields });
        }
    }
}

fn first_named<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for name in names {
        if !order.contains(name) {
            order.push(name.clone());
        }
    }
    order
}

fn add_tags(table: &mut TableModel, order: &[String], write: &TableWrite) {
    for name in order {
        let mut tags = write.rows.iter().flat_map(|row| &row.tags);
        let is_given = tags.any(|(tag, value)| tag == name && !value.is_empty());
        if is_given && !table.tags.contains(name) {
            table.tags.push(name.clone());
        }
    }
}

fn selects(names: &[String], tags: &[String], time: i64, query: &Query) -> bool {
    let passes = |condition: &TagCondition| {
        let at = names.iter().position(|name| *name == condition.tag).expect("the tag exists");
        let value = tags.get(at).map_or("", String::as_str);
        condition.values.iter().any(|one| one == value) == condition.is_in
    };
    time >= query.from && (time < query.to || query.to == i64::MAX) && query.tags.iter().all(passes)
}

impl TableModel {
    /// Every row in order, after replacement.
    pub fn resolved(&self) -> &[OutRow] {
        self.resolved.get_or_init(|| self.resolve())
    }

    fn resolve(&self) -> Vec<OutRow> {
        let mut sorted: Vec<&Row> = self.rows.iter().collect();
        // A stable sort: rows of one series and time stay in commit order.
        sorted.sort_by(|a, b| (&a.tags, a.time).cmp(&(&b.tags, b.time)));
        let mut out: Vec<(OutRow, BTreeMap<String, Value>)> = Vec::new();
        for row in sorted {
            let new = OutRow {
                tags: row.tags.clone(),
                time: row.time,
                commit: row.commit,
                values: Vec::new(),
            };
            match out.last_mut() {
                Some((last, fields))
                    if self.def.merge != MergeMode::Append
                        && last.tags == row.tags
                        && last.time == row.time =>
                {
                    *last = new;
                    if self.def.merge == MergeMode::LastRow {
                        fields.clear();
                    }
                    fields.extend(row.fields.clone());
                }
                _ => out.push((new, row.fields.clone())),
            }
        }
        let values = |(row, fields): (OutRow, BTreeMap<String, Value>)| {
            let value = |(name, _): &(String, FieldType)| fields.get(name).cloned();
            let values = self.fields.iter().map(|field| value(field).unwrap_or(Value::Null));
            OutRow { values: values.collect(), ..row }
        };
        out.into_iter().map(values).collect()
    }

    /// The rows that `query` selects, in order.
    #[must_use]
    pub fn select(&self, query: &Query) -> Vec<OutRow> {
        let chosen = |row: &&OutRow| {
            selects(&self.tags, &row.tags, row.time, query)
                && query.fields.iter().all(|condition| self.holds(row, condition))
        };
        self.resolved().iter().filter(chosen).cloned().collect()
    }

    fn holds(&self, row: &OutRow, condition: &FieldCondition) -> bool {
        let at = self.fields.iter().position(|field| field.0 == condition.field);
        let value = &row.values[at.expect("the field exists")];
        let Some(order) = compare(value, &condition.value) else { return false };
        match condition.comparison {
            Comparison::Eq => order == Ordering::Equal,
            Comparison::Ne => order != Ordering::Equal,
            Comparison::Lt => order == Ordering::Less,
            Comparison::Le => order != Ordering::Greater,
            Comparison::Gt => order == Ordering::Greater,
            Comparison::Ge => order != Ordering::Less,
        }
    }

    /// The last of the selected rows of each series.
    #[must_use]
    pub fn latest(&self, query: &Query) -> Vec<OutRow> {
        let mut last: BTreeMap<Vec<String>, OutRow> = BTreeMap::new();
        for row in self.select(query) {
            last.insert(row.tags.clone(), row);
        }
        last.into_values().collect()
    }

    /// By series and bucket of `width_ns` from the epoch on: rows, and of the field at `field` count, first, last, least,
    /// greatest and sum.
    #[must_use]
    pub fn aggregate(&self, query: &Query, width_ns: i64, field: usize) -> Vec<Bucket> {
        let mut buckets: BTreeMap<(Vec<String>, i64), Vec<Value>> = BTreeMap::new();
        for row in self.select(query) {
            let start = row.time.div_euclid(width_ns) * width_ns;
            let values = buckets.entry((row.tags, start)).or_default();
            values.push(row.values[field].clone());
        }
        let bucket = |((tags, start_ns), values): ((Vec<String>, i64), Vec<Value>)| {
            let row_count = values.len() as u64;
            let known: Vec<Value> =
                values.into_iter().filter(|value| *value != Value::Null).collect();
            let extreme = |wanted| {
                let better = |a: Value, b: &Value| if beats(b, &a, wanted) { b.clone() } else { a };
                known.iter().skip(1).fold(known.first().cloned().unwrap_or(Value::Null), better)
            };
            Bucket {
                tags,
                start_ns,
                row_count,
                count: known.len() as u64,
                first: known.first().cloned().unwrap_or(Value::Null),
                last: known.last().cloned().unwrap_or(Value::Null),
                min: extreme(Ordering::Less),
                max: extreme(Ordering::Greater),
                sum: sum(&known),
            }
        };
        buckets.into_iter().map(bucket).collect()
    }
}

/// An aggregate of one series and bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The series.
    pub tags: Vec<String>,
    /// Where the bucket begins.
    pub start_ns: i64,
    /// Rows.
    pub row_count: u64,
    /// Values.
    pub count: u64,
    /// The first value.
    pub first: Value,
    /// The last value.
    pub last: Value,
    /// The least value.
    pub min: Value,
    /// The greatest value.
    pub max: Value,
    /// The sum.
    pub sum: Value,
}

/// NaN never beats a number, and any number beats NaN.
fn beats(new: &Value, old: &Value, wanted: Ordering) -> bool {
    match (new, old) {
        (Value::F64(new), _) if new.is_nan() => false,
        (_, Value::F64(old)) if old.is_nan() => true,
        _ => compare(new, old) == Some(wanted),
    }
}

/// The values of one bucket are small multiples of a quarter: their sums are exact.
fn sum(values: &[Value]) -> Value {
    match values.first() {
        Some(Value::F64(_)) => Value::F64(values.iter().map(number).sum()),
        Some(Value::I64(_)) => Value::I64(
            values.iter().map(|value| if let Value::I64(one) = value { *one } else { 0 }).sum(),
        ),
        _ => Value::Null,
    }
}

fn number(value: &Value) -> f64 {
    if let Value::F64(value) = value { *value } else { 0.0 }
}

/// Order of values of one type: zeros are alike, NaN equals NaN and is greater than every number. None where one is NULL.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    Some(match (a, b) {
        (Value::Null, _) | (_, Value::Null) => return None,
        (Value::F64(a), Value::F64(b)) => {
            if a == b || (a.is_nan() && b.is_nan()) {
                Ordering::Equal
            } else if a.is_nan() || a > b {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (Value::I64(a), Value::I64(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::U64(a), Value::U64(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Utf8(a), Value::Utf8(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Decimal { units: a, .. }, Value::Decimal { units: b, .. }) => a.cmp(b),
        _ => panic!("{a:?} and {b:?} are of different types"),
    })
}
