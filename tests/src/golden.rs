//! A database with something of everything in it: every type and encoding, every section of a segment, several log files, checkpoints,
//! commit times, deletions, producers, an import. Made anew from a seed each time, the same for one seed.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronolith_engine::catalog::SYSTEM_TABLE_PREFIX;
use chronolith_engine::clock::ManualClock;
use chronolith_engine::error::Error;
use chronolith_engine::model::{
    Batch, CommitMetadata, ImportMark, MergeMode, Predicate, RowBuilder, Sequence, TableOptions,
    TimeRange, Value,
};
use chronolith_engine::read::{
    AggregateFunction, AggregateRequest, Bucket, ScanBatch, ScanRequest,
};
use chronolith_engine::rng::SeededRng;
use chronolith_engine::snapshot::Snapshot;
use chronolith_engine::vfs::sim::SimVfs;
use chronolith_engine::{Db, Environment, Options};

use crate::dice::Dice;
use crate::executor::LabelledExecutor;
use crate::ops::{HOUR_NS, MINUTE_NS};
use crate::world::START_NS;

/// The tables, with how rows of one time are resolved.
const TABLES: [(&str, MergeMode); 3] =
    [("bars", MergeMode::LastRow), ("state", MergeMode::LastNonNull), ("ticks", MergeMode::Append)];
/// Rows of one batch.
const BATCH_ROWS: i64 = 540;

/// The database and what it answers.
pub struct Golden {
    /// The disk, of a database that was closed.
    pub disk: SimVfs,
    /// The last commit.
    pub last: Sequence,
    /// What each table answers to each question.
    pub answers: Answers,
    /// The table of each segment file.
    pub table_of: BTreeMap<PathBuf, String>,
    /// Log files as they were earlier, each with its later path.
    pub older: Vec<(PathBuf, Vec<u8>)>,
}

/// How the database on `disk` is opened.
#[must_use]
pub fn options(disk: &SimVfs, clock: &Arc<ManualClock>, salt: u64) -> Options {
    Options {
        memory_bytes: Some(64 << 20),
        flush_bytes: Some(16 << 20),
        log_file_bytes: 96 << 10,
        log_prepare_bytes: 4_096,
        reserve_bytes: 8_192,
        window_rows_min: 2_000,
        checkpoint_edit_count: 4,
        background: false,
        environment: Environment {
            vfs: Arc::new(disk.clone()),
            clock: Arc::clone(clock) as _,
            rng: Arc::new(SeededRng::new(salt)),
            executor: Arc::new(LabelledExecutor::new(salt)),
        },
        ..Options::new("/db")
    }
}

fn fields(at: i64, dice: &mut Dice) -> Vec<(&'static str, Value)> {
    let random = dice.bits();
    let noise = i64::from(random as u32 % 97);
    let skewed = if random.is_multiple_of(50) { random as i64 >> 20 } else { noise % 3 };
    vec![
        ("constant", Value::I64(7)),
        ("runs", Value::I64(at / 300)),
        ("small", Value::I64(noise)),
        ("counter", Value::I64(at * 1_000 + noise)),
        ("jitter", Value::I64(at * 1_000_000 + (random as i64 >> 50))),
        ("skewed", Value::I64(skewed)),
        ("wild", Value::I64(random as i64)),
        ("pattern", Value::I64([5, 1 << 40, -3, 99][at as usize % 4])),
        ("unsigned", Value::U64(random)),
        ("when", Value::Timestamp(START_NS + at * 250_000_000)),
        ("price", Value::F64(100.0 + (random % 10_000) as f64 / 100.0)),
        ("double", Value::F64(f64::from_bits(0x3ff0_0000_0000_0000 | random >> 12))),
        ("level", Value::F64(if random.is_multiple_of(9) { f64::NAN } else { 2.5 })),
        ("fee", Value::Decimal { units: (random % 5_000) as i64, scale: 2 }),
        ("smooth", Value::F64((at as f64 * 1e-5).sin())),
        ("yes", Value::Bool(true)),
        ("no", Value::Bool(false)),
        ("flag", Value::Bool(random.is_multiple_of(2))),
        ("phase", Value::Bool(at / 200 % 2 == 0)),
        ("word", Value::Utf8(["buy", "sell", "hold"][random as usize % 3].to_owned())),
        ("path", Value::Utf8(format!("exchange/instrument/{:06}", at * 3))),
        ("note", Value::Utf8(noise_text(random))),
    ]
}

/// Text that nothing makes smaller.
fn noise_text(random: u64) -> String {
    let letter = |at: u32| char::from(33 + (random.rotate_left(at * 7) % 93) as u8);
    (0..7).map(letter).collect()
}

fn batch(table: &str, merge: MergeMode, first: i64, dice: &mut Dice) -> Batch {
    let options = TableOptions {
        tags: vec!["symbol".into(), "venue".into(), "desk".into()],
        merge,
        ..TableOptions::default()
    };
    let mut builder = RowBuilder::new(table).create_if_missing(options);
    for at in first..first + BATCH_ROWS {
        let series = at % 9;
        let (symbol, venue) = (format!("S{series}"), ["x", "y", ""][series as usize % 3]);
        let desk = format!("d{}", series / 2);
        let tags = [("symbol", symbol.as_str()), ("venue", venue), ("desk", desk.as_str())];
        let mut fields = fields(at, dice);
        // NULLs here and there, and columns that come late.
        fields.retain(|(name, _)| at % 7 != 0 || *name != "small");
        if first >= 2 * BATCH_ROWS {
            fields.push(("late", Value::I64(at)));
        }
        let time = 400_000 * HOUR_NS + at % (BATCH_ROWS * 2) * 2 * 1_000_000_000;
        builder.push(time, &tags, &fields);
    }
    Batch::new().with(builder.build().expect("the columns have one type each"))
}

impl Golden {
    /// The database of `seed`.
    ///
    /// # Panics
    /// Where the engine refuses something.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let (disk, clock) = (SimVfs::new(seed), Arc::new(ManualClock::at(START_NS)));
        let mut dice = Dice::new(seed);
        let open = |salt: u64| Db::open(options(&disk, &clock, salt)).expect("it opens");
        let mut older = Vec::new();
        for round in 0..4 {
            let db = open(seed ^ (round << 8));
            for (table, merge) in TABLES {
                clock.advance_ns(130_000_000);
                let first = round as i64 * BATCH_ROWS;
                let mut batch = batch(table, merge, first, &mut dice);
                batch.metadata = CommitMetadata {
                    principal: "builder".into(),
                    source: format!("round {round}"),
                    ..CommitMetadata::default()
                };
                batch = batch.producer(&format!("producer-{table}"), round + 1);
                db.write(batch).expect("it writes");
            }
            let range = TimeRange::new(i64::MIN, 400_000 * HOUR_NS + MINUTE_NS);
            db.delete("state", &Predicate::tag("symbol", "S1"), range).expect("it deletes");
            match round {
                0 => db.flush().expect("it flushes"),
                1 => _ = db.compact().expect("it merges"),
                2 => db.flush().expect("it flushes"),
                // The last round stays in the log.
                _ => {
                    for chunk in 1..=6 {
                        let first = (10 + chunk as i64) * BATCH_ROWS;
                        let mut batch = batch("ticks", MergeMode::Append, first, &mut dice);
                        let (row_count, file) = (chunk * 10, "golden.csv".to_owned());
                        batch.import = Some(ImportMark {
                            file,
                            row_count,
                            source_row_count: row_count,
                            finished: chunk == 6,
                        });
                        db.write(batch.producer("import:golden", chunk)).expect("it writes");
                        for path in disk.paths().into_iter().filter(|path| is_log(path)) {
                            let bytes = disk.read_raw(&path).expect("it is there");
                            older.push((path, bytes));
                        }
                    }
                }
            }
            db.close().expect("it closes");
        }
        let db = Db::open_read_only(options(&disk, &clock, 99)).expect("it opens");
        let answers = answers(&db.snapshot(), &|_| true).expect("it reads");
        let mut table_of = BTreeMap::new();
        for path in disk.paths().into_iter().filter(|path| is_segment(path)) {
            let bytes = disk.read_raw(&path).expect("it is there");
            let named = |name: &&String| {
                let id = db.table_schema(name).map_or(0, |schema| schema.id.0);
                bytes.get(48..52) == Some(&id.to_le_bytes())
            };
            let mut names = answers.keys().map(|(name, _)| name);
            let name = names.find(named).cloned().unwrap_or_default();
            table_of.insert(path, name);
        }
        let last = db.snapshot().sequence();
        drop(db);
        older.retain(|(path, bytes)| disk.read_raw(path).is_ok_and(|now| now != *bytes));
        Self { disk, last, answers, table_of, older }
    }

    /// The database as it is.
    ///
    /// # Errors
    /// The engine's.
    pub fn open(&self, disk: &SimVfs, writable: bool) -> Result<Db, Error> {
        let options = options(disk, &Arc::new(ManualClock::at(START_NS + HOUR_NS)), 7);
        if writable { Db::open(options) } else { Db::open_read_only(options) }
    }

    /// What it answers of the first `count` commits.
    #[must_use]
    pub fn answers_at(&self, count: u64) -> Option<Answers> {
        let db = self.open(&self.disk.clone_running(), false).ok()?;
        let incarnations = (0..=self.last.incarnation).rev();
        let named = |incarnation| db.snapshot_at(Sequence { incarnation, counter: count }).ok();
        answers(&incarnations.filter_map(named).next()?, &is_users).ok()
    }

    /// All files, without those that mean nothing.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let counts = |path: &PathBuf| !path.ends_with("LOCK") && !path.ends_with("RESERVE");
        self.disk.paths().into_iter().filter(counts).collect()
    }
}

/// Whether the path is a log file's.
#[must_use]
pub fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

/// Whether the path is a segment's.
#[must_use]
pub fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// Whether a table is one of users.
#[must_use]
pub fn is_users(name: &str) -> bool {
    !name.starts_with(SYSTEM_TABLE_PREFIX)
}

/// A question to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// All rows.
    Rows,
    /// The last rows.
    Latest,
    /// Aggregates by minute.
    Aggregates,
}

impl Question {
    /// Every question.
    pub const ALL: [Self; 3] = [Self::Rows, Self::Latest, Self::Aggregates];
}

/// Hashes of what tables answer.
pub type Answers = BTreeMap<(String, Question), u64>;

/// What the tables that `wanted` takes answer.
///
/// # Errors
/// The first that is refused.
pub fn answers(snapshot: &Snapshot, wanted: &dyn Fn(&str) -> bool) -> Result<Answers, Error> {
    let mut found = Answers::new();
    for name in snapshot.catalog().names().filter(|name| wanted(name)) {
        for question in Question::ALL {
            found.insert((name.to_owned(), question), answer(snapshot, name, question)?);
        }
    }
    Ok(found)
}

/// The hash of what the table `name` answers.
///
/// # Errors
/// The engine's.
pub fn answer(snapshot: &Snapshot, name: &str, question: Question) -> Result<u64, Error> {
    let mut hasher = DefaultHasher::new();
    let mut request = ScanRequest::new(name);
    request.with_sequence = true;
    match question {
        Question::Rows => {
            for batch in snapshot.scan(&request)? {
                add(&batch?, &mut hasher);
            }
        }
        Question::Latest => add(&snapshot.latest(&request)?, &mut hasher),
        Question::Aggregates => aggregates(snapshot, name, &mut hasher)?,
    }
    Ok(hasher.finish())
}

fn aggregates(snapshot: &Snapshot, name: &str, hasher: &mut DefaultHasher) -> Result<(), Error> {
    if snapshot.table(name)?.field("price").is_none() {
        return Ok(());
    }
    use AggregateFunction as F;
    let functions = [F::Count, F::First, F::Last, F::Min, F::Max, F::Sum];
    let request = AggregateRequest {
        scan: ScanRequest::new(name),
        bucket: Some(Bucket { width_ns: MINUTE_NS, origin_ns: 0 }),
        functions: functions.iter().map(|function| (*function, "price".to_owned())).collect(),
    };
    for batch in snapshot.aggregate(&request)? {
        let batch = batch?;
        batch.bucket_ns.hash(hasher);
        batch.row_count.hash(hasher);
        for at in 0..batch.bucket_ns.len() {
            (0..batch.values.len()).for_each(|one| value(&batch.value(one, at), hasher));
        }
    }
    Ok(())
}

fn add(batch: &ScanBatch, hasher: &mut DefaultHasher) {
    for run in &batch.series {
        run.key.as_bytes().hash(hasher);
        run.rows.hash(hasher);
    }
    batch.time().hash(hasher);
    for sequence in batch.sequence() {
        (sequence.incarnation, sequence.counter).hash(hasher);
    }
    for field in 0..batch.fields.len() {
        (0..batch.row_count()).for_each(|row| value(&batch.value(field, row), hasher));
    }
}

fn value(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0_u8.hash(hasher),
        Value::F64(value) => (1_u8, value.to_bits()).hash(hasher),
        Value::I64(value) | Value::Timestamp(value) => (2_u8, value).hash(hasher),
        Value::U64(value) => (3_u8, value).hash(hasher),
        Value::Bool(value) => (4_u8, value).hash(hasher),
        Value::Utf8(value) => (5_u8, value).hash(hasher),
        Value::Decimal { units, scale } => (6_u8, units, scale).hash(hasher),
    }
}
