//! Random operations, drawn from a seed and from what the model holds.

use chronolith_engine::model::{
    Batch, Comparison, Durability, ImportMark, MergeMode, Predicate, RowBuilder, TableOptions,
    TableRows, TagFilter, TimeRange, Value,
};

use crate::dice::Dice;
use crate::model::{
    Change, FieldCondition, Model, Query, RowIn, TableDef, TableModel, TableWrite, TagCondition,
};

/// Nanoseconds of an hour.
pub const HOUR_NS: i64 = 3_600_000_000_000;
/// Nanoseconds of a minute.
pub const MINUTE_NS: i64 = 60_000_000_000;

/// One step of a workload.
#[derive(Debug, Clone)]
pub enum Op {
    /// Rows, by one call or queued.
    Write {
        /// What is committed.
        change: Change,
        /// Whether it must survive a power cut.
        fsync: bool,
        /// Whether the caller waits.
        waits: bool,
    },
    /// A producer's last number again.
    Repeat(String),
    /// A producer's number too far ahead.
    Gap(String),
    /// DDL or a deletion.
    Change(Change),
    /// Writes memory to segments.
    Flush,
    /// Merges segments.
    Compact,
    /// Closes and opens.
    Reopen,
    /// Kills the process, nothing of the disk is lost, and opens.
    Kill,
    /// Cuts the power and opens.
    Cut,
    /// Lets background jobs run for at most so many steps.
    Steps(u64),
    /// Lets timers run out.
    Timers,
    /// Moves the wall clock, perhaps back.
    Clock(i64),
    /// Keeps a snapshot.
    Keep,
    /// Reads kept snapshots and old sequences again.
    Reread,
}

/// What a workload may do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Profile {
    /// Whether tables may keep no history, and the clock may move by days.
    pub forgets: bool,
    /// Whether the power may be cut and the process killed.
    pub crashes: bool,
    /// Whether I/O fails: then every batch must stand alone.
    pub fails: bool,
    /// What happens more often than it would.
    pub focus: Focus,
}

/// What a workload does more often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Focus {
    /// Nothing.
    #[default]
    Usual,
    /// Tables come and go while snapshots are kept, and little is read in between.
    Tables,
    /// Rows are deleted and merged away, and old sequences are read.
    History,
    /// Rows are flushed in the background, and the process is killed.
    Flushes,
}

impl Profile {
    /// A workload of any kind, without failing I/O.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let focus = match seed % 8 {
            3 => Focus::Tables,
            5 => Focus::Flushes,
            6 => Focus::History,
            _ => Focus::Usual,
        };
        let forgets = seed.is_multiple_of(3) || focus == Focus::History;
        Self { forgets, crashes: true, fails: false, focus }
    }
}

/// How the table `name` is made.
#[must_use]
pub fn definition(name: &str, profile: Profile, dice: &mut Dice) -> TableDef {
    let merge = match name {
        "ticks" => MergeMode::Append,
        "bars" => MergeMode::LastRow,
        "state" => MergeMode::LastNonNull,
        _ => *dice.pick(&[MergeMode::Append, MergeMode::LastRow, MergeMode::LastNonNull]),
    };
    let history_ns = if profile.forgets && dice.chance(60) { Some(0) } else { None };
    TableDef { tags: vec!["symbol".into()], merge, history_ns }
}

const TABLES: [&str; 3] = ["ticks", "bars", "state"];

fn value(field: &str, dice: &mut Dice) -> Value {
    match field {
        "price" => Value::F64(match dice.below(20) {
            0 => *dice.pick(&[f64::NAN, f64::INFINITY, -0.0, 0.0]),
            1 => dice.between(1_000, 9_000) as f64,
            _ => dice.between(-40, 400) as f64 * 0.25,
        }),
        "size" => Value::I64(dice.between(-5, 1_000)),
        "note" => Value::Utf8((*dice.pick(&["", "a", "buy", "sell", "\u{e9}t\u{e9}"])).to_owned()),
        "flag" => Value::Bool(dice.chance(50)),
        "qty" => Value::U64(dice.below(50)),
        "seen" => Value::Timestamp(dice.between(0, 1 << 40)),
        "fee" => Value::Decimal { units: dice.between(-500, 500), scale: 2 },
        _ => Value::F64(dice.between(0, 9) as f64),
    }
}

fn row(dice: &mut Dice, wide: bool, few: bool) -> RowIn {
    if few {
        // Every version of a handful of rows counts.
        let mut row = row(dice, false, false);
        row.time = 400_000 * HOUR_NS + dice.between(0, 1) * MINUTE_NS;
        row.tags = vec![("symbol".into(), (*dice.pick(&["A", "B"])).to_owned())];
        return row;
    }
    let hour = *dice.pick(&[0, 0, 0, 1, 1, 2, 5, 40]);
    let time = 400_000 * HOUR_NS + hour * HOUR_NS + dice.between(0, 3) * MINUTE_NS;
    let mut tags = vec![("symbol".into(), (*dice.pick(&["A", "A", "AB", "B", ""])).to_owned())];
    if wide && dice.chance(50) {
        tags.push(("venue".into(), (*dice.pick(&["x", "y", ""])).to_owned()));
    }
    let mut fields = Vec::new();
    let extra = format!("x{}", dice.below(4));
    let odds = [("price", 75), ("size", 50), ("note", 25), ("flag", 15), ("qty", 10), ("seen", 5)];
    for (name, percent) in odds.into_iter().chain([("fee", 10), (extra.as_str(), 3)]) {
        if dice.chance(percent) {
            let value = if dice.chance(8) { Value::Null } else { value(name, dice) };
            fields.push((name.to_owned(), value));
        }
    }
    RowIn { time, tags, fields }
}

/// Many rows of one series, enough that its last row is kept apart.
fn dense(dice: &mut Dice) -> Vec<RowIn> {
    let start = 400_000 * HOUR_NS + 7 * HOUR_NS + dice.between(0, 20) * MINUTE_NS;
    let count = dice.between(64, 90);
    let mut row = |at: i64| RowIn {
        time: start + at * 1_000_000_000,
        tags: vec![("symbol".into(), "D".into())],
        fields: vec![("price".into(), value("price", dice)), ("size".into(), value("size", dice))],
    };
    (0..count).map(&mut row).collect()
}

/// Some decimals with fewer digits than their column; not where the write that made the column may fail after this one.
fn shorten(tables: &mut [TableWrite], model: &Model, profile: Profile, dice: &mut Dice) {
    for write in tables {
        let Some(table) = model.tables.get(&write.table) else { continue };
        if !table.fields.iter().any(|field| field.0 == "fee") || !dice.chance(30) || profile.fails {
            continue;
        }
        for (_, value) in write.rows.iter_mut().flat_map(|row| &mut row.fields) {
            if let Value::Decimal { scale, .. } = value {
                *scale = 1;
            }
        }
    }
}

/// A write of one to three tables.
#[must_use]
pub fn write(model: &Model, profile: Profile, dice: &mut Dice) -> Change {
    let count = *dice.pick(&[1, 1, 1, 2, 3]);
    let mut tables = Vec::new();
    for _ in 0..count {
        let extra = model.tables.contains_key("extra") && dice.chance(20);
        let name = if extra { "extra" } else { *dice.pick(&TABLES) };
        let rows = if dice.chance(10) { dice.between(10, 40) } else { dice.between(1, 5) };
        let wide = dice.chance(15);
        let few = profile.forgets && dice.chance(70);
        let mut rows: Vec<RowIn> = (0..rows).map(|_| row(dice, wide, few)).collect();
        if dice.chance(3) {
            rows = dense(dice);
        }
        let create = definition(name, profile, dice);
        let create = (!extra || profile.fails).then_some(create);
        tables.push(TableWrite { table: name.to_owned(), create, rows });
    }
    if dice.chance(5) && !profile.fails {
        // Whole numbers for a column of doubles.
        for write in &mut tables {
            let Some(table) = model.tables.get(&write.table) else { continue };
            if !table.fields.iter().any(|field| field.0 == "price") {
                continue;
            }
            let fields = write.rows.iter_mut().flat_map(|row| &mut row.fields);
            for (_, value) in fields.filter(|field| field.0 == "price") {
                *value = Value::I64(dice.between(-9, 99));
            }
        }
    }
    shorten(&mut tables, model, profile, dice);
    let producer = dice.chance(30).then(|| {
        let id = (*dice.pick(&["p1", "p2", "p3", "import:a"])).to_owned();
        let number = model.producers.get(&id).map_or(1, |last| last.0 + 1);
        (id, number)
    });
    Change::Write { tables, producer }
}

fn tag_condition(table: &TableModel, dice: &mut Dice) -> TagCondition {
    let tag = dice.pick(&table.tags).clone();
    let all: &[&str] = if tag == "symbol" { &["A", "AB", "B", "", "C"] } else { &["x", "y", ""] };
    let count = 1 + dice.below(2);
    let values = (0..count).map(|_| (*dice.pick(all)).to_owned()).collect();
    TagCondition { tag, values, is_in: dice.chance(70) }
}

fn times(query: &mut Query, dice: &mut Dice) {
    let base = 400_000 * HOUR_NS;
    let edge =
        |dice: &mut Dice| base + dice.between(0, 6) * HOUR_NS + dice.between(0, 3) * MINUTE_NS;
    let (one, other) = (edge(dice), edge(dice));
    (query.from, query.to) = (one.min(other), one.max(other) + dice.between(0, 1) * MINUTE_NS);
    if dice.chance(20) {
        query.from = i64::MIN;
    }
    if dice.chance(20) {
        query.to = i64::MAX;
    }
}

/// A deletion in `table`.
fn delete(name: &str, table: &TableModel, dice: &mut Dice) -> Change {
    let mut query = Query::all();
    if dice.chance(80) {
        query.tags.push(tag_condition(table, dice));
    }
    if dice.chance(70) {
        times(&mut query, dice);
    }
    Change::Delete { table: name.to_owned(), query }
}

/// A read of `table`.
#[must_use]
pub fn query(table: &TableModel, dice: &mut Dice) -> Query {
    let mut query = Query::all();
    if dice.chance(40) {
        query.tags.push(tag_condition(table, dice));
    }
    if dice.chance(50) {
        times(&mut query, dice);
    }
    if dice.chance(70) && !table.fields.is_empty() {
        let (field, field_type) = dice.pick(&table.fields).clone();
        let mut constant = value(&field, dice);
        if crate::model::type_of(&constant) != Some(field_type) {
            return query;
        }
        if let (Value::F64(number), true) = (&mut constant, dice.chance(50)) {
            *number = 50.0;
        }
        use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
        let comparison = *dice.pick(&[Eq, Ne, Lt, Le, Gt, Gt, Ge]);
        query.fields.push(FieldCondition { field, comparison, value: constant });
    }
    query
}

/// The next operation.
#[must_use]
pub fn next(model: &Model, profile: Profile, dice: &mut Dice) -> Op {
    let table = model.tables.iter().nth(dice.below(3) as usize);
    if profile.focus != Focus::Usual
        && dice.chance(60)
        && let Some((name, _)) = table
    {
        let name = name.clone();
        match (profile.focus, dice.below(9)) {
            (Focus::Tables, 0) => return Op::Change(Change::Drop(name)),
            (Focus::Tables, 1 | 2) => return Op::Keep,
            (Focus::Tables, 3) => return Op::Reread,
            (Focus::Tables, 4 | 5) => return Op::Flush,
            (Focus::History, 0) => {
                return Op::Change(Change::Delete { table: name, query: Query::all() });
            }
            (Focus::History, 1) => return Op::Compact,
            (Focus::History, 2 | 3) => {
                return Op::Clock(*dice.pick(&[25 * HOUR_NS, 25 * HOUR_NS, -60 * HOUR_NS]));
            }
            (Focus::History, 4) => return Op::Reread,
            (Focus::Flushes, 0..4) => return Op::Steps(6),
            (Focus::Flushes, 4) if profile.crashes => return Op::Kill,
            _ => {
                let change = write(model, profile, dice);
                return Op::Write { change, fsync: dice.chance(55), waits: dice.chance(65) };
            }
        }
    }
    match dice.below(100) {
        0..44 => Op::Write {
            change: write(model, profile, dice),
            fsync: dice.chance(55),
            waits: dice.chance(65),
        },
        44..50 => match model.tables.iter().nth(dice.below(4) as usize) {
            Some((name, table)) => Op::Change(delete(name, table, dice)),
            None => Op::Steps(2),
        },
        50..53 => {
            if model.tables.contains_key("extra") {
                Op::Change(Change::Drop("extra".into()))
            } else {
                Op::Change(Change::Create("extra".into(), definition("extra", profile, dice)))
            }
        }
        53 => match model.tables.keys().nth(dice.below(3) as usize) {
            Some(name) => Op::Change(Change::Drop(name.clone())),
            None => Op::Steps(1),
        },
        54..57 => repeat(model, dice, Op::Repeat),
        57 => repeat(model, dice, Op::Gap),
        58..68 => Op::Flush,
        68..74 => Op::Compact,
        74..76 => Op::Reopen,
        76 if profile.crashes => Op::Kill,
        77 if profile.crashes => Op::Cut,
        76..84 => Op::Steps(1 + dice.below(6)),
        84..87 => Op::Timers,
        87..91 => Op::Clock(match dice.below(4) {
            0 => -dice.between(1, 100) * 1_000_000_000,
            1 if profile.forgets => *dice.pick(&[25 * HOUR_NS, 25 * HOUR_NS, -30 * HOUR_NS]),
            _ => dice.between(1, 5_000) * 1_000_000,
        }),
        91..95 => Op::Keep,
        _ => Op::Reread,
    }
}

fn repeat(model: &Model, dice: &mut Dice, op: fn(String) -> Op) -> Op {
    let known: Vec<&String> = model.producers.keys().collect();
    if known.is_empty() { Op::Steps(1) } else { op((*dice.pick(&known)).clone()) }
}

/// The options of a table.
#[must_use]
pub fn table_options(def: &TableDef) -> TableOptions {
    TableOptions {
        tags: def.tags.clone(),
        merge: def.merge,
        history_ns: def.history_ns,
        ..TableOptions::default()
    }
}

fn table_rows(write: &TableWrite) -> TableRows {
    let mut builder = RowBuilder::new(&write.table);
    if let Some(def) = &write.create {
        builder = builder.create_if_missing(table_options(def));
    }
    for row in &write.rows {
        let tags: Vec<(&str, &str)> =
            row.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let fields: Vec<(&str, Value)> =
            row.fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        builder.push(row.time, &tags, &fields);
    }
    builder.build().expect("the values of a column have one type")
}

/// The engine's batch of a write.
#[must_use]
pub fn batch(tables: &[TableWrite], producer: Option<&(String, u64)>, fsync: bool) -> Batch {
    let durability = if fsync { Durability::Fsync } else { Durability::Os };
    let mut batch = Batch::new().durability(durability);
    for write in tables {
        batch = batch.with(table_rows(write));
    }
    match producer {
        Some((id, number)) if is_import(id) => {
            batch.import = Some(mark(*number));
            batch.producer(id, *number)
        }
        Some((id, number)) => batch.producer(id, *number),
        None => batch,
    }
}

/// Whether a producer is an import.
#[must_use]
pub fn is_import(producer: &str) -> bool {
    producer.starts_with("import:")
}

/// What an import notes beside chunk `number`.
#[must_use]
pub fn mark(number: u64) -> ImportMark {
    ImportMark {
        file: format!("file-{number}"),
        row_count: number * 10,
        source_row_count: number * 11,
        finished: number.is_multiple_of(4),
    }
}

/// The engine's predicate and range of a query.
#[must_use]
pub fn predicate(query: &Query) -> (Predicate, TimeRange) {
    let mut predicate = Predicate::all();
    for condition in &query.tags {
        let values = condition.values.clone();
        let filter = if condition.is_in { TagFilter::In(values) } else { TagFilter::NotIn(values) };
        predicate.tags.push((condition.tag.clone(), filter));
    }
    for condition in &query.fields {
        predicate =
            predicate.and_field(&condition.field, condition.comparison, condition.value.clone());
    }
    (predicate, TimeRange::new(query.from, query.to))
}
