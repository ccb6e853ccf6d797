//! `read_csv`, `read_parquet` and `FROM 'file'`.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, TimeUnit};
use chronolith_query::{SqlErrorKind, Unknown};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;

use crate::support::Fixture;

fn fixture() -> Fixture {
    Fixture::with(|options| chronolith_query::SqlOptions { read_files: true, ..options })
}

/// Writes a file beside the database; gives its path.
fn file(fixture: &Fixture, name: &str, bytes: &[u8]) -> String {
    let path = fixture.dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

const TRADES: &str = "time,Sym,price,size,note\n\
    2024-01-02T09:15:00Z,a,1.5,10,\n\
    2024-01-02T09:15:30Z,b,2,20,\"x,\ny\"\n\
    2024-01-02T09:16:00.5Z,a,NaN,,z\n";

#[test]
fn csv_is_read_with_types_and_names_as_tables_have_them() {
    let fixture = fixture();
    let path = file(&fixture, "trades.csv", TRADES.as_bytes());
    let rows = |sql: &str| fixture.rows(&sql.replace("FILE", &path));
    assert_eq!(
        rows("SELECT * FROM read_csv('FILE')"),
        [
            "2024-01-02T09:15:00Z a 1.5 10 NULL",
            "2024-01-02T09:15:30Z b 2.0 20 x,\ny",
            "2024-01-02T09:16:00.500Z a NaN NULL z",
        ]
    );
    // Names without regard to case, conditions on times, a column alone, no column at all.
    assert_eq!(rows("SELECT SYM, Size FROM 'FILE' WHERE Time < '2024-01-02 09:15:30'"), ["a 10"]);
    assert_eq!(rows("SELECT count(*) FROM read_csv('FILE')"), ["3"]);
    assert_eq!(rows("SELECT trades.size FROM 'FILE' ORDER BY trades.PRICE DESC LIMIT 1"), ["NULL"]);
    assert_eq!(
        rows(
            "SELECT r.note, read_csv.note FROM read_csv('FILE') JOIN read_csv('FILE') AS r USING (time) WHERE r.note = 'z'"
        ),
        ["z z"]
    );
    assert_eq!(
        rows("SELECT sym, sum(size) FROM 'FILE' GROUP BY ALL ORDER BY ALL"),
        ["a 10", "b 20"]
    );
    assert_eq!(rows("FROM 'FILE' SELECT price LIMIT 1"), ["1.5"]);
    assert_eq!(rows("SUMMARIZE 'FILE'").len(), 5);
    let types: Vec<DataType> = fixture.run(&format!("SELECT * FROM '{path}'")).unwrap().0[0]
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    assert_eq!(
        types,
        [time, DataType::Utf8View, DataType::Float64, DataType::Int64, DataType::Utf8View]
    );
}

#[test]
fn csv_has_options_and_may_be_packed() {
    let fixture = fixture();
    let odd = "# odd\n'a';b\n'x;y';NA\n'z';7\n";
    let path = file(&fixture, "odd.txt", odd.as_bytes());
    for options in [
        "delim => ';', quote => '''', comment => '#', nullstr => 'NA'",
        "sep := ';', QUOTE := '''', comment := '#', null := 'no', null := 'NA'",
        "delim = ';', quote = '''', comment = '#', nullstr = 'NA', sample_size = -1, header = true",
    ] {
        let sql = format!("SELECT *, b + 1 FROM read_csv('{path}', {options})");
        assert_eq!(fixture.rows(&sql), ["x;y NULL NULL", "z 7 8"], "{options}");
    }
    let path = file(&fixture, "bare.csv", b"1\t007\n2\t8\n");
    assert_eq!(
        fixture.rows(&format!("SELECT column_1, column_2 FROM read_csv('{path}', header => false, delim => '\\t', all_varchar => true)")),
        ["1 007", "2 8"]
    );
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(TRADES.as_bytes()).unwrap();
    let zstd = zstd::encode_all(TRADES.as_bytes(), 1).unwrap();
    let marked = [b"\xef\xbb\xbf", TRADES.as_bytes()].concat();
    for (name, bytes) in
        [("t.csv.gz", gzip.finish().unwrap()), ("t.csv.zst", zstd), ("bom.csv", marked)]
    {
        let path = file(&fixture, name, &bytes);
        let sql = format!("SELECT time, sym FROM '{path}' WHERE size = 20");
        assert_eq!(fixture.rows(&sql), ["2024-01-02T09:15:30Z b"], "{name}");
    }
}

#[test]
fn several_files_are_one_table_in_the_order_of_their_names() {
    let fixture = fixture();
    for (name, rows) in [("d2.csv", "3,c"), ("d1.csv", "1,\n2,b"), ("d3.csv", "4.5,d")] {
        file(&fixture, name, format!("x,s\n{rows}\n").as_bytes());
    }
    let dir = fixture.dir.path().to_str().unwrap().to_owned();
    assert_eq!(
        fixture.rows(&format!("SELECT * FROM read_csv('{dir}/d?.csv')")),
        ["1.0 NULL", "2.0 b", "3.0 c", "4.5 d"]
    );
    file(&fixture, "d4.csv", b"x,t\n1,2\n");
    let error = fixture.error(&format!("SELECT * FROM read_csv('{dir}/d*.csv')"));
    assert!(
        error.message.contains("d4.csv has other columns than")
            && error.message.contains("\"t\" in place of \"s\""),
        "{error}"
    );
    let error = fixture.error(&format!("SELECT *\nFROM read_csv('{dir}/none*.csv')"));
    assert_eq!((error.kind, error.position), (SqlErrorKind::Unknown(Unknown::Table), Some((2, 6))));
    assert!(
        fixture.error(&format!("SELECT * FROM read_csv('{dir}')")).message.contains("is a folder")
    );
}

#[test]
fn values_of_another_type_are_errors_with_a_way_out() {
    let fixture = fixture();
    let mut csv = "x\n".to_owned();
    (0..30_000).for_each(|row| csv.push_str(&format!("{row}\n")));
    csv.push_str("late\n");
    let path = file(&fixture, "late.csv", csv.as_bytes());
    let error = fixture.error(&format!("SELECT count(x) FROM '{path}'"));
    assert_eq!(error.kind, SqlErrorKind::Invalid);
    for part in ["late.csv", "\"late\"", "'late'", "sample_size => -1"] {
        assert!(error.message.contains(part) || part.starts_with(['"', '\'']), "{part}: {error}");
    }
    assert!(error.message.contains("late"), "{error}");
    for option in ["sample_size => -1", "all_varchar => true"] {
        let sql = format!("SELECT max(x) FROM read_csv('{path}', {option})");
        assert_eq!(fixture.rows(&sql), ["late"], "{option}");
    }
    let path = file(&fixture, "ragged.csv", b"a,b\n1,2\n3\n");
    assert!(fixture.error(&format!("SELECT * FROM '{path}'")).message.contains("ragged.csv"));
    let path = file(&fixture, "empty.csv", b"");
    assert!(fixture.error(&format!("SELECT * FROM '{path}'")).message.contains("empty.csv"));
    let path = file(&fixture, "twice.csv", b"a,a\n1,2\n");
    assert!(
        fixture.error(&format!("SELECT * FROM '{path}'")).message.contains("two columns \"a\"")
    );
}

#[test]
fn statements_about_files_are_checked_with_their_places() {
    let fixture = fixture();
    let path = file(&fixture, "t.csv", TRADES.as_bytes());
    for (sql, at, text) in [
        ("SELECT * FROM read_csv()", (1, 15), "takes a path in quotes"),
        ("SELECT * FROM read_csv(1)", (1, 15), "takes a path in quotes"),
        ("SELECT * FROM read_csv('FILE', 1)", (1, 0), "`name => value`"),
        ("SELECT * FROM read_csv('FILE', delim => 'ab')", (1, 15), "one ASCII character"),
        ("SELECT * FROM read_csv('FILE', header => 1)", (1, 15), "true or false"),
        ("SELECT * FROM read_csv('FILE', sample_size => 0)", (1, 15), "-1 for all"),
        ("SELECT * FROM read_csv('FILE', nope => 1)", (1, 15), "unknown option \"nope\""),
        ("SELECT * FROM read_csv('FILE', delim => ',', Delim => ',')", (1, 0), "given twice"),
        ("SELECT * FROM read_parquet('FILE', delim => ',')", (1, 15), "has none"),
        ("SELECT * FROM read_parquet('FILE')", (1, 15), "cannot be read as Parquet"),
        ("SELECT prise FROM 'FILE'", (1, 8), "price"),
        ("SELECT * FROM files.\"0\"", (1, 15), "unknown schema \"files\""),
        ("SELECT * FROM 'nothing.csv'", (1, 15), "there is no file \"nothing.csv\""),
        ("SELECT read_csv('FILE')", (1, 8), "read_csv"),
        ("INSERT INTO 'FILE' VALUES (1)", (0, 0), "unknown table"),
        ("CREATE TABLE 'x.csv' (a BIGINT)", (0, 0), ""),
    ] {
        let sql = sql.replace("FILE", &path);
        if text.is_empty() {
            continue;
        }
        let error = fixture.error(&sql);
        assert!(error.message.contains(text), "{sql}: {error}");
        if at.0 > 0 && at.1 > 0 {
            assert_eq!(error.position, Some(at), "{sql}: {error}");
        } else if at.0 > 0 {
            assert!(error.position.is_some(), "{sql}: {error}");
        }
    }
}

#[test]
fn where_files_are_not_read_the_reason_is_said() {
    let fixture = Fixture::new();
    let path = file(&fixture, "t.csv", TRADES.as_bytes());
    for sql in [
        "SELECT * FROM read_csv('FILE')",
        "SELECT * FROM read_parquet('FILE')",
        "SELECT * FROM 'FILE'",
        "SELECT 1 WHERE EXISTS (SELECT * FROM read_csv('FILE'))",
        "CREATE TABLE x AS SELECT * FROM read_csv('FILE')",
        "SUMMARIZE 'FILE'",
        "EXPLAIN SELECT * FROM READ_CSV('/nowhere')",
        "WITH a AS (FROM 'FILE') SELECT * FROM a",
    ] {
        let error = fixture.error(&sql.replace("FILE", &path));
        assert_eq!(error.kind, SqlErrorKind::Refused, "{sql}: {error}");
        assert!(error.message.contains("a server gives its files to nobody"), "{sql}: {error}");
    }
}

fn parquet(fixture: &Fixture, name: &str, batch: &RecordBatch, group_rows: usize) -> String {
    let mut bytes = Vec::new();
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    file(fixture, name, &bytes)
}

fn ticks(rows: i32) -> RecordBatch {
    let times = (0..rows).map(|row| i64::from(row) * 1_000);
    let price = (0..rows).map(|row| if row % 10 == 0 { f64::NAN } else { f64::from(row) });
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampMillisecondArray::from_iter_values(times))),
        (
            "sym",
            Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("s{}", row % 3)))),
        ),
        ("price", Arc::new(Float64Array::from_iter_values(price))),
        ("n", Arc::new(Int32Array::from_iter_values(0..rows))),
        ("u", Arc::new(UInt64Array::from_iter_values((0..rows).map(|_| u64::MAX)))),
        (
            "d",
            Arc::new(
                Decimal128Array::from_iter_values((0..rows).map(i128::from))
                    .with_precision_and_scale(9, 2)
                    .unwrap(),
            ),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn parquet_is_read_and_goes_into_tables() {
    let fixture = fixture();
    let path = parquet(&fixture, "ticks.parquet", &ticks(1_000), 100);
    let rows = |sql: &str| fixture.rows(&sql.replace("FILE", &path));
    assert_eq!(
        rows("SELECT * FROM read_parquet('FILE') WHERE n = 701"),
        ["1970-01-01T00:11:41Z s2 701.0 701 18446744073709551615 7.01"]
    );
    assert_eq!(
        rows("SELECT d, time FROM 'FILE' LIMIT 1 OFFSET 999"),
        ["9.99 1970-01-01T00:16:39Z"]
    );
    assert_eq!(rows("SELECT count(*) FROM 'FILE'"), ["1000"]);
    // Row groups are left out by conditions, and not by those on floats: NaN is greater than every number.
    for (condition, count) in [
        ("time >= '1970-01-01 00:16:00'", 40),
        ("n < 7 OR n > 992", 14),
        ("sym = 's1'", 333),
        ("sym = 'nope'", 0),
        ("price > 1e9", 100),
        ("price < 5", 4),
        ("u = 18446744073709551615 AND n >= 990 AND d = 9.95", 1),
        ("n IS NULL", 0),
    ] {
        let sql = format!("SELECT count(*) FROM 'FILE' WHERE {condition}");
        assert_eq!(rows(&sql), [count.to_string()], "{condition}");
    }
    let affected =
        fixture.affected(&format!("CREATE TABLE t WITH (tags = 'sym') AS SELECT * FROM '{path}'"));
    assert_eq!(affected, Some(1_000));
    assert_eq!(
        fixture.rows("DESCRIBE t"),
        [
            "time time TIMESTAMP",
            "sym tag TAG",
            "price field DOUBLE",
            "n field BIGINT",
            "u field UBIGINT",
            "d field DECIMAL(9, 2)",
        ]
    );
    fixture.affected(&format!(
        "INSERT INTO t (time, n) SELECT time, n FROM read_parquet('{path}') WHERE n < 5"
    ));
    assert_eq!(fixture.rows("SELECT count(*), count(sym), sum(n) FROM t"), ["1005 1000 499510"]);
    let csv = file(&fixture, "more.csv", b"time,sym,price\n2030-01-01,z,7\n2030-01-02,z,8.5\n");
    fixture.affected(&format!("INSERT INTO t (time, sym, price) SELECT * FROM '{csv}'"));
    assert_eq!(
        fixture.rows("SELECT time, price FROM t WHERE sym = 'z'"),
        ["2030-01-01T00:00:00Z 7.0", "2030-01-02T00:00:00Z 8.5"]
    );
    // Tags of a table stay tags on their way through a file.
    let out = fixture.run("SELECT * FROM t WHERE sym = 'z'").unwrap().0;
    let path = parquet(&fixture, "z.parquet", &out[0], 100);
    fixture.affected(&format!("CREATE TABLE z AS SELECT * FROM '{path}'"));
    assert_eq!(fixture.rows("DESCRIBE z")[1], "sym tag TAG");
}

#[test]
fn a_damaged_parquet_file_is_an_error_and_nothing_else() {
    let fixture = fixture();
    let path = parquet(&fixture, "x.parquet", &ticks(500), 100);
    let sound = std::fs::read(&path).unwrap();
    let mut errors = 0;
    for at in (0..sound.len()).step_by(sound.len() / 200) {
        let mut changed = sound.clone();
        changed[at] ^= 0xff;
        std::fs::write(&path, &changed).unwrap();
        if let Err(error) = fixture.run(&format!("SELECT * FROM '{path}' WHERE n > 3")) {
            assert_ne!(error.kind, SqlErrorKind::Internal, "byte {at}: {error}");
            errors += 1;
        }
    }
    assert!(errors > 20, "{errors}");
    for len in [0, 3, 8, sound.len() / 2, sound.len() - 1] {
        std::fs::write(&path, &sound[..len]).unwrap();
        let error = fixture.error(&format!("SELECT * FROM '{path}'"));
        assert!(error.message.contains("x.parquet"), "{error}");
    }
}

#[test]
fn memory_deadline_and_cancel_hold_for_files() {
    let fixture = fixture();
    let mut csv = "x,s\n".to_owned();
    (0..200_000).for_each(|row| csv.push_str(&format!("{row},some text {row}\n")));
    let path = file(&fixture, "many.csv", csv.as_bytes());
    let small = fixture.session.clone().with_memory(Some(64 << 10));
    let run = |session: &chronolith_query::Session, sql: &str| {
        fixture.runtime.block_on(async { session.execute(sql).await?.collect().await })
    };
    let sql = format!("SELECT count(*), count(s) FROM '{path}'");
    assert_eq!(run(&small, &sql).unwrap_err().kind, SqlErrorKind::Memory);
    assert!(run(&fixture.session, &sql).is_ok());
    let late = fixture.session.clone().with_deadline(Some(1_000_000));
    assert_eq!(run(&late, &sql).unwrap_err().kind, SqlErrorKind::Deadline);
    let cancel = fixture.session.cancel_handle();
    let answer =
        fixture.runtime.block_on(fixture.session.execute(&format!("SELECT * FROM '{path}'")));
    let answer = answer.unwrap();
    cancel.cancel();
    let ended = fixture.runtime.block_on(answer.collect());
    assert_eq!(ended.unwrap_err().kind, SqlErrorKind::Cancelled);
}
