//! Dumps that are loaded again are equal; whatever is not a whole dump is refused, and nothing of it is loaded.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chronolith_engine::model::{
    Batch, FieldType, MergeMode, RowBuilder, SchemaMode, TableOptions, Value,
};
use chronolith_engine::read::ScanRequest;
use chronolith_engine::{Db, Options};

use crate::support::{Place, Ran};

impl Place {
    /// The program on the database `db` of this place.
    fn on(&self, db: &str, args: &[&str]) -> Ran {
        let db = self.path(db);
        let args: Vec<&str> =
            args.iter().copied().chain(["--data", db.to_str().unwrap()]).collect();
        self.run(&args)
    }
}

/// Every row of every table of a database, bit for bit, and the tables' properties.
fn contents(dir: &Path) -> BTreeMap<String, (String, Vec<String>)> {
    let db = Db::open(Options::new(dir)).unwrap();
    let mut tables = BTreeMap::new();
    for name in db.table_names() {
        let schema = db.table_schema(&name).unwrap();
        let properties = format!(
            "{:?} {:?} {} {} {} {:?}",
            schema.tags.iter().map(|tag| &tag.name).collect::<Vec<_>>(),
            schema.fields.iter().map(|one| (&one.name, one.field_type)).collect::<Vec<_>>(),
            schema.merge,
            schema.mode,
            schema.history_ns,
            schema.time_name,
        );
        let mut rows = Vec::new();
        for batch in db.scan(&ScanRequest::new(&name)).unwrap() {
            let batch = batch.unwrap();
            for series in &batch.series {
                let tags: Vec<&str> = (0..schema.tags.len()).map(|at| series.key.tag(at)).collect();
                for row in series.rows.clone() {
                    let fields: Vec<String> =
                        (0..schema.fields.len()).map(|at| bits(batch.value(at, row))).collect();
                    rows.push(format!("{} {tags:?} {fields:?}", batch.time()[row]));
                }
            }
        }
        tables.insert(name, (properties, rows));
    }
    db.close().unwrap();
    tables
}

fn bits(value: Value) -> String {
    match value {
        Value::F64(value) => format!("f64 {:016x}", value.to_bits()),
        other => format!("{other:?}"),
    }
}

fn types() -> Vec<(String, FieldType)> {
    let fields = [
        ("f", FieldType::F64),
        ("i", FieldType::I64),
        ("u", FieldType::U64),
        ("b", FieldType::Bool),
        ("s", FieldType::Utf8),
        ("at", FieldType::Timestamp),
        ("d", FieldType::decimal(18, 4).unwrap()),
        ("d.1 \"x\"/ä", FieldType::decimal(5, 5).unwrap()),
        ("never", FieldType::Utf8),
    ];
    fields.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
}

fn decimal(units: i64, scale: u8) -> Value {
    Value::Decimal { units, scale }
}

/// A time, the tag `k`, and fields.
type Row = (i64, &'static str, Vec<(&'static str, Value)>);

/// A row each of values at the edges of their types.
fn edges() -> Vec<Row> {
    let text = |text: &str| Value::Utf8(text.to_owned());
    let nan = |bits: u64| Value::F64(f64::from_bits(bits));
    vec![
        (i64::MIN, "", vec![("f", nan(0x7ff8_0000_0000_0001)), ("s", text(""))]),
        (i64::MIN, "", vec![("f", nan(0xfff0_dead_beef_0001)), ("s", text("\0a\0"))]),
        (-1, "a\nb", vec![("f", Value::F64(-0.0)), ("i", Value::I64(i64::MIN))]),
        (-1, "a\nb", vec![("f", Value::F64(0.0)), ("i", Value::I64(i64::MAX))]),
        (-1, "a\nb", vec![("f", Value::F64(f64::NEG_INFINITY)), ("u", Value::U64(u64::MAX))]),
        (0, "価,\"格'", vec![("b", Value::Bool(true)), ("at", Value::Timestamp(i64::MIN))]),
        (0, "価,\"格'", vec![("b", Value::Bool(false)), ("at", Value::Timestamp(i64::MAX))]),
        (0, "価,\"格'", vec![("f", Value::F64(f64::from_bits(1))), ("s", text("ä\u{10ffff}"))]),
        (7, "x", vec![("d", decimal(999_999_999_999_999_999, 4)), ("d.1 \"x\"/ä", decimal(1, 5))]),
        (
            7,
            "x",
            vec![("d", decimal(-999_999_999_999_999_999, 4)), ("d.1 \"x\"/ä", decimal(-99_999, 5))],
        ),
        // Nothing but its time.
        (i64::MAX, "x", Vec::new()),
        (i64::MAX, "x", Vec::new()),
    ]
}

const NAMES: [&str; 12] = [
    "t",
    "T",
    "a/b",
    "..",
    "価格",
    "x.y",
    " sp ace ",
    "quote\"'`",
    "semi;colon -- no",
    "a,b",
    "CON",
    "%00%",
];

/// A database with tables of each kind.
fn odd_tables(dir: &Path) {
    let db = Db::open(Options::new(dir)).unwrap();
    let merges = [MergeMode::Append, MergeMode::LastRow, MergeMode::LastNonNull];
    for (number, name) in NAMES.iter().enumerate() {
        let options = TableOptions {
            tags: vec!["k".into(), "K ä/.".into(), "unused".into()],
            fields: types(),
            merge: merges[number % 3],
            mode: if number % 2 == 0 { SchemaMode::Dynamic } else { SchemaMode::Strict },
            history_ns: [None, Some(0), Some(7)][number % 3],
            time_name: ["", "when; 'it' was"][number % 2].to_owned(),
        };
        db.create_table(name, options).unwrap();
        for (row, (time, tag, fields)) in edges().into_iter().enumerate() {
            let tags = [("k", tag), ("K ä/.", if row % 2 == 0 { "even" } else { "" })];
            let rows = RowBuilder::new(name).row(time, &tags, &fields).build().unwrap();
            db.write(Batch::new().with(rows)).unwrap();
        }
    }
    db.create_table("no rows", TableOptions { fields: types(), ..TableOptions::default() })
        .unwrap();
    db.create_table("no columns", TableOptions::default()).unwrap();
    let times = RowBuilder::new("no columns").row(1, &[], &[]).row(1, &[], &[]).row(0, &[], &[]);
    db.write(Batch::new().with(times.build().unwrap())).unwrap();
    db.flush().unwrap();
    // Deleted and replaced rows are not there.
    let predicate = chronolith_engine::model::Predicate::tag("k", "x");
    db.delete("T", &predicate, chronolith_engine::model::TimeRange::new(7, 8)).unwrap();
    db.close().unwrap();
}

fn definitions(place: &Place, db: &str) -> Vec<String> {
    let tables: Vec<String> =
        NAMES.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let show = |table: &String| {
        place.on(db, &["sql", "--format", "csv", &format!("SHOW CREATE TABLE {table}")]).ok()
    };
    tables.iter().map(show).collect()
}

#[test]
fn every_type_and_every_name_comes_back() {
    let place = Place::new();
    odd_tables(&place.db());
    let said = place.run(&["dump", "-o", "out"]).ok();
    assert!(said.contains("no rows: 0 rows\n") && said.contains("of 14 tables"), "{said}");
    assert!(!place.path("out.partial").exists());
    let mut names: Vec<String> = std::fs::read_dir(place.path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 16, "{names:?}");
    let safe = |name: &String| {
        let mut bytes = name.bytes();
        bytes.all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
        }) && !name.starts_with('.')
    };
    assert!(names.iter().all(safe), "{names:?}");
    let mut folded: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    folded.dedup();
    assert_eq!(folded.len(), 16);

    let said = place.on("copy", &["load", "out"]).ok();
    assert!(said.contains(" of 14 tables in "), "{said}");
    let (before, after) = (contents(&place.db()), contents(&place.path("copy")));
    assert_eq!(before.len(), 14);
    for (name, (properties, rows)) in &before {
        assert_eq!(&after[name].0, properties, "{name}");
        assert_eq!(&after[name].1, rows, "{name}");
    }
    assert_eq!(before["t"].1.len(), edges().len());
    assert_eq!(before.len(), after.len());
    assert_eq!(definitions(&place, "db"), definitions(&place, "copy"));
    for table in NAMES.iter().chain(&["no rows", "no columns"]) {
        let export = |db: &str| place.on(db, &["export", "--table", table]).ok();
        assert_eq!(export("db"), export("copy"), "{table}");
    }
    // The same database, dumped again, is the same bytes.
    place.run(&["dump", "-o", "again"]).ok();
    assert_eq!(files(&place.path("out")), files(&place.path("again")));
    // And so is the copy, but for what names the database and the moment.
    place.on("copy", &["dump", "-o", "second"]).ok();
    let without_manifest = |folder: &str| {
        let mut files = files(&place.path(folder));
        files.remove("dump.json").unwrap();
        files
    };
    assert_eq!(without_manifest("out"), without_manifest("second"));
}

/// The files below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

/// `rows` rows of two series, many of one time each, in table `t`.
fn many(place: &Place, rows: usize) -> String {
    let mut csv = "ts,k,v,w\n".to_owned();
    for row in 0..rows {
        csv.push_str(&format!("{},{},{row},text {}\n", row / 50, row % 2, row % 97));
    }
    place.import("many.csv", csv, "--tags k").ok();
    place.export()
}

#[test]
fn rows_of_one_time_keep_their_order_over_files() {
    let place = Place::new();
    let before = many(&place, 10_000);
    place.run(&["dump", "-o", "out", "--file-rows", "777"]).ok();
    let parts = files(&place.path("out")).into_keys().filter(|name| name.ends_with(".parquet"));
    assert_eq!(parts.count(), 13);
    place.on("copy", &["load", "out"]).ok();
    assert_eq!(place.on("copy", &["export", "--table", "t"]).ok(), before);
}

#[test]
fn times_and_tables_are_chosen() {
    let place = Place::new();
    many(&place, 1_000);
    place.words("create u,v --fields x:i64").ok();
    place.words("create u --fields x:i64").ok();
    place.run(&["dump", "-o", "all"]).ok();
    place
        .run(&[
            "dump",
            "-o",
            "some",
            "--table",
            "t",
            "--from",
            "1970-01-01T00:00:05",
            "--to",
            "1970-01-01T00:00:07",
        ])
        .ok();
    place.on("some_db", &["load", "some"]).ok();
    let part =
        place.words("export --table t --from 1970-01-01T00:00:05 --to 1970-01-01T00:00:07").ok();
    assert_eq!(part.lines().count(), 101);
    assert_eq!(place.on("some_db", &["export", "--table", "t"]).ok(), part);
    place
        .run(&["dump", "-o", "none", "--table", "t,nope"])
        .fails(3, &["unknown table \"nope\"", "there are: t, u, u,v"]);
    assert!(!place.path("none").exists() && !place.path("none.partial").exists());
    place.on("one_db", &["load", "all", "--table", "u,v"]).ok();
    let tables = place.on("one_db", &["tables", "--format", "csv"]).ok();
    assert!(tables.lines().count() == 2 && tables.contains("\"u,v\""), "{tables}");
    place.on("one_db", &["load", "all", "--table", "nope"]).fails(3, &["unknown table \"nope\""]);
    // The rest can follow.
    place.on("one_db", &["load", "all"]).ok();
    assert_eq!(place.on("one_db", &["export", "--table", "t"]).ok(), place.export());
}

#[test]
fn a_load_that_is_done_changes_nothing_and_others_tables_are_left_alone() {
    let place = Place::new();
    let before = many(&place, 1_000);
    place.run(&["dump", "-o", "out"]).ok();
    place.on("copy", &["load", "out"]).ok();
    let said = place.on("copy", &["load", "out"]).ok();
    assert!(
        said.contains("t: already loaded: 1000 rows at 2") && said.contains("loaded 0 rows"),
        "{said}"
    );
    // The origin has such a table, which is not the dump's.
    for db in ["db", "empty"] {
        if db == "empty" {
            place.on(db, &["create", "t", "--tags", "k", "--fields", "v:i64,w:utf8"]).ok();
        }
        let tables = place.on(db, &["tables", "--format", "csv"]).ok();
        place
            .on(db, &["load", "out"])
            .fails(4, &["\"t\"", "already", "nothing was loaded", "--table"]);
        assert_eq!(place.on(db, &["tables", "--format", "csv"]).ok(), tables);
    }
    // Dropped, it is loaded anew; made anew by another, it is another's.
    place.on("copy", &["drop", "t", "--yes"]).ok();
    place.on("copy", &["load", "out"]).ok();
    assert_eq!(place.on("copy", &["export", "--table", "t"]).ok(), before);
    place.on("copy", &["drop", "t", "--yes"]).ok();
    let options = "CREATE TABLE t (k TAG, v BIGINT, w TEXT) WITH (time_name = 'ts')";
    place.on("copy", &["sql", options]).ok();
    place.on("copy", &["load", "out"]).fails(4, &["\"t\"", "already"]);
    assert_eq!(place.on("copy", &["export", "--table", "t"]).ok(), "time,k,v,w\n");
}

#[test]
fn no_dump_but_a_whole_one_is_loaded() {
    let place = Place::new();
    many(&place, 300);
    place.words("create u --fields x:i64").ok();
    place.run(&["dump", "-o", "out", "--file-rows", "100"]).ok();
    let whole = files(&place.path("out"));
    assert_eq!(whole.len(), 5);
    let refused = |code: i32, parts: &[&str]| {
        let ran = place.on("copy", &["load", "out"]);
        ran.fails(code, parts);
        assert!(!place.path("copy").exists(), "something was written");
    };
    for (name, bytes) in &whole {
        let path = place.path("out").join(name);
        let step = (bytes.len() / 40).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            refused(5, &[name, "damaged"]);
        }
        for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..len]).unwrap();
            refused(5, &[name]);
        }
        std::fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        refused(5, &[name]);
        std::fs::remove_file(&path).unwrap();
        if name == "dump.json" {
            refused(3, &["out holds no dump.json: it is no dump"]);
        } else {
            refused(5, &[name, "missing"]);
        }
        // A folder in its place.
        std::fs::create_dir(&path).unwrap();
        let ran = place.on("copy", &["load", "out"]);
        assert!(
            matches!(ran.code, Some(3 | 5 | 6)) && ran.err.contains(name.as_str()),
            "{}",
            ran.err
        );
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    for extra in ["more.parquet", "0001-t/000004.parquet", ".hidden"] {
        std::fs::write(place.path("out").join(extra), b"").unwrap();
        refused(5, &[extra, "the dump has no such file"]);
        std::fs::remove_file(place.path("out").join(extra)).unwrap();
    }
    std::fs::rename(place.path("out/0001-t/000001.parquet"), place.path("held")).unwrap();
    std::fs::rename(
        place.path("out/0001-t/000002.parquet"),
        place.path("out/0001-t/000001.parquet"),
    )
    .unwrap();
    std::fs::rename(place.path("held"), place.path("out/0001-t/000002.parquet")).unwrap();
    refused(5, &["0001-t/000001.parquet"]);
    // A table whose files are not asked for may be damaged.
    place.on("other", &["load", "out", "--table", "u"]).ok();
    place.on("copy", &["load", "nowhere"]).fails(3, &["there is no dump at nowhere"]);
    place.file("plain", "x");
    place.on("copy", &["load", "plain"]).fails(2, &["plain is a file"]);
}

/// A manifest that says something else under a hash that fits.
fn resealed(place: &Place, change: impl Fn(&str) -> String) {
    let path = place.path("out/dump.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let seal = "\"blake3\": \"";
    let at = text.rfind(seal).unwrap() + seal.len();
    let bare = change(&format!("{}{}", &text[..at], &text[at + 64..]));
    let hash = blake3::hash(bare.as_bytes()).to_hex();
    let at = bare.rfind(seal).unwrap() + seal.len();
    std::fs::write(&path, format!("{}{hash}{}", &bare[..at], &bare[at..])).unwrap();
}

/// Puts other bytes into a file of a dump, with their hash.
fn replaced(place: &Place, name: &str, bytes: &[u8]) {
    let path = place.path("out").join(name);
    let old = std::fs::read(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    resealed(place, |text| {
        let (from, to) =
            (format!("\"bytes\": {}", old.len()), format!("\"bytes\": {}", bytes.len()));
        text.replace(&hash(&old), &hash(bytes)).replace(&from, &to)
    });
}

#[test]
fn manifests_and_files_that_were_made_to_fit_are_refused() {
    let fresh = || {
        let place = Place::new();
        many(&place, 300);
        place.run(&["dump", "-o", "out"]).ok();
        place
    };
    let refused = |place: &Place, code: i32, parts: &[&str]| {
        place.on("copy", &["load", "out"]).fails(code, parts);
        assert!(!place.path("copy").exists(), "something was written");
    };
    let place = fresh();
    resealed(&place, |text| text.replace("\"format\": 1", "\"format\": 2, \"new\": {}"));
    refused(&place, 4, &["dump.json", "dump format 2", "newer program"]);
    for (from, to, said) in [
        ("\"format\"", "\"formal\"", "names no format"),
        ("\"program\"", "\"programs\"", "programs"),
        ("0001-t/000001.parquet", "../out/x.parquet", "which no dump has"),
        ("0001-t/000001.parquet", "schema.sql", "twice"),
        ("\"name\": \"t\"", "\"name\": \"u\"", "table \"u\" is missing"),
        ("\"rows\": 300", "\"rows\": 299", "299 rows"),
    ] {
        let place = fresh();
        resealed(&place, |text| text.replace(from, to));
        refused(&place, 5, &[said]);
    }
    // A sound manifest over files that are no Parquet, or another table's.
    let name = "0001-t/000001.parquet";
    let sound = std::fs::read(fresh().path("out").join(name)).unwrap();
    let mut kinds: Vec<Vec<u8>> =
        vec![b"PAR1PAR1".to_vec(), vec![0; 100], sound[4..].to_vec(), Vec::new()];
    for at in (0..sound.len()).step_by(sound.len() / 60) {
        let mut changed = sound.clone();
        changed[at] ^= 0xff;
        kinds.push(changed);
    }
    let mut refusals = 0;
    for bytes in kinds {
        let place = fresh();
        replaced(&place, name, &bytes);
        let ran = place.on("copy", &["load", "out"]);
        // A changed value is a value as well.
        assert!(matches!(ran.code, Some(0 | 5)), "{:?}: {}", ran.code, ran.err);
        refusals += usize::from(ran.code == Some(5));
        assert!(ran.code == Some(0) || ran.err.contains(name), "{}", ran.err);
    }
    assert!(refusals > 20, "{refusals}");
    let place = fresh();
    let sql = std::fs::read_to_string(place.path("out/schema.sql")).unwrap();
    replaced(&place, "schema.sql", sql.replace("v BIGINT", "v UBIGINT").as_bytes());
    refused(&place, 5, &[name, "UInt64"]);
    let place = fresh();
    replaced(&place, "schema.sql", b"DROP TABLE t;");
    refused(&place, 5, &["schema.sql", "CREATE TABLE"]);
}

#[test]
fn a_folder_that_is_there_stays_as_it_is() {
    let place = Place::new();
    many(&place, 10);
    place.file("file", "x");
    place.run(&["dump", "-o", "file"]).fails(4, &["file is there and is no folder"]);
    std::fs::create_dir(place.path("full")).unwrap();
    std::fs::write(place.path("full/x"), "x").unwrap();
    place.run(&["dump", "-o", "full"]).fails(4, &["full is not empty"]);
    assert_eq!(files(&place.path("full")).len(), 1);
    std::fs::create_dir(place.path("bare")).unwrap();
    place.run(&["dump", "-o", "bare/"]).ok();
    place.on("copy", &["load", "bare"]).ok();
    place.run(&["dump", "-o", "bare"]).fails(4, &["bare is not empty"]);
    place.run(&["dump", "-o", "absent/x"]).fails(6, &["absent/x.partial"]);
    place.run(&["dump", "-o", ".."]).fails(2, &["no name of a folder"]);
    std::fs::create_dir(place.path("y.partial")).unwrap();
    std::fs::write(place.path("y.partial/precious"), "x").unwrap();
    place.run(&["dump", "-o", "y"]).fails(4, &["y.partial is in the way"]);
    assert!(place.path("y.partial/precious").exists());
    place.on("nowhere", &["dump", "-o", "z"]).fails(3, &["there is no database at"]);
    assert!(!place.path("z.partial").exists());
}

#[test]
fn a_write_that_fails_leaves_nothing_and_says_why() {
    let place = Place::new();
    many(&place, 200_000);
    let program = env!("CARGO_BIN_EXE_chronolith");
    // A limit on the size of files stands for a full disk.
    let line = format!("trap '' XFSZ; ulimit -f 100; exec {program} dump -o out");
    let output = Command::new("sh")
        .args(["-c", &line])
        .env("CHRONOLITH_DATA", place.db())
        .current_dir(place.path(""))
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{errors}");
    for part in ["cannot write to ", "000001.parquet: File too large", "nothing was dumped"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert!(!place.path("out").exists() && !place.path("out.partial").exists());
}

/// Runs the program and kills it after `delay`; whether it was still running then.
fn kill_after(place: &Place, args: &[&str], delay: Duration) -> bool {
    let mut child =
        place.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

#[test]
fn killed_dumps_and_loads_are_run_again() {
    let place = Place::new();
    odd_tables(&place.db());
    let before = many_more(&place);
    let mut delay = Duration::from_millis(5);
    let mut kills = 0;
    while kill_after(&place, &["dump", "-o", "out"], delay) {
        kills += 1;
        assert!(!place.path("out").exists() || place.path("out/dump.json").exists());
        if kills % 3 == 0 && place.path("out.partial/INCOMPLETE").exists() {
            place
                .on("early", &["load", "out"])
                .fails(3, &["out.partial is a dump that was not finished"]);
            place.on("early", &["load", "out.partial"]).fails(5, &["was not finished"]);
        }
        delay = delay.mul_f64(1.3);
    }
    assert!(kills >= 3 && !place.path("early").exists(), "{kills} kills");
    assert!(!place.path("out.partial").exists());

    let copy = place.path("copy");
    let args = ["load", "out", "--data", copy.to_str().unwrap()];
    let (mut delay, mut kills) = (Duration::from_millis(5), 0);
    while kill_after(&place, &args, delay) {
        kills += 1;
        delay = delay.mul_f64(1.15);
        assert!(kills < 500, "a load never ends");
    }
    assert!(kills >= 8, "{kills} kills: too few to show anything");
    let said = place.run(&args).ok();
    assert_eq!(said.matches("already loaded").count(), 15, "{said}");
    assert_eq!(contents(&place.db()), contents(&copy));
    assert_eq!(place.on("copy", &["export", "--table", "many"]).ok(), before);
    assert!(place.on("copy", &["verify"]).ok().contains("no damage"));
}

/// Table `many`, large enough to be killed in the middle.
fn many_more(place: &Place) -> String {
    let mut csv = "ts,v,w\n".to_owned();
    (0..400_000).for_each(|row| csv.push_str(&format!("{},{row},text {}\n", row / 7, row % 97)));
    let file = place.file("more.csv", csv);
    place.run(&["import", "--table", "many", "--time", "ts:s", &file]).ok();
    place.words("export --table many").ok()
}

/// A server on a database of a place; killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(dir: PathBuf) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chronolith"));
        command
            .args(["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"])
            .arg(dir);
        let command = command.env("CHRONOLITH_LOG", "warn").env_remove("CHRONOLITH_DATA");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split("gRPC ").nth(1).unwrap().split([',', '\n']).next().unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn servers_are_dumped_and_loaded() {
    let place = Place::new();
    odd_tables(&place.db());
    // A table that keeps no history can be read as it is alone, while nothing is merged.
    let server = Server::start(place.db());
    place.run(&["dump", "-o", "out", "--url", &server.url]).ok();
    drop(server);
    let other = Server::start(place.path("copy"));
    place.run(&["load", "out", "--url", &other.url]).ok();
    assert!(place.run(&["load", "out", "--url", &other.url]).ok().contains("already loaded"));
    drop(other);
    assert_eq!(contents(&place.db()), contents(&place.path("copy")));
    // The same bytes as without a server, but for the moment: a server that starts and ends commits nothing.
    place.run(&["dump", "-o", "here"]).ok();
    let mut here = files(&place.path("here"));
    let mut there = files(&place.path("out"));
    here.remove("dump.json").unwrap();
    there.remove("dump.json").unwrap();
    assert_eq!(here, there);
}

#[test]
fn a_dump_shows_one_moment_while_others_write() {
    let place = Place::new();
    for table in ["a", "b", "c"] {
        place.words(&format!("create {table} --fields x:i64")).ok();
    }
    let server = Server::start(place.db());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = chronolith_client::Client::connect(&server.url).await.unwrap();
                let mut next = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    client.write(row_in_each(next)).await.unwrap();
                    next += 1;
                }
            });
        });
        for round in 0..6 {
            std::thread::sleep(Duration::from_millis(100));
            let folder = format!("out{round}");
            let said = place.run(&["dump", "-o", &folder, "--url", &server.url]);
            if said.code != Some(0) {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{}", said.err);
            }
            let counts: Vec<&str> =
                said.out.lines().take(3).map(|line| line.split(": ").nth(1).unwrap()).collect();
            if counts.iter().any(|count| *count != counts[0]) {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{}", said.out);
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// One batch with a row for each of three tables.
fn row_in_each(x: i64) -> chronolith_client::v1::WriteRequest {
    use chronolith_client::v1;
    let rows = |table: &str| v1::TableRows {
        table: table.to_owned(),
        create_if_missing: None,
        rows: Some(v1::table_rows::Rows::Packed(v1::PackedRows {
            time: vec![x],
            tags: Vec::new(),
            fields: vec![v1::PackedField {
                name: "x".to_owned(),
                values: Some(v1::packed_field::Values::I64(v1::packed_field::I64 {
                    values: vec![x],
                })),
                ..v1::PackedField::default()
            }],
        })),
    };
    v1::WriteRequest { tables: ["a", "b", "c"].map(rows).to_vec(), ..v1::WriteRequest::default() }
}
