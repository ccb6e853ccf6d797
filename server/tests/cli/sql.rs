//! `chronolith sql`.

use crate::support::Place;

const ROWS: &str = "ts,sym,price\n0,a,1.5\n60,a,2.5\n60,b,10\n";

fn place() -> Place {
    let place = Place::new();
    place.import("rows.csv", ROWS, "--tags sym").ok();
    place
}

#[test]
fn answers_come_in_each_format() {
    let place = place();
    let sql = "SELECT sym, max(price) AS m FROM t GROUP BY sym ORDER BY sym";
    let table = place.run(&["sql", sql]).ok();
    assert!(table.contains("| sym | m") && table.contains("| b   | 10.0 |"), "{table}");
    assert_eq!(place.run(&["sql", "--format", "csv", sql]).ok(), "sym,m\na,2.5\nb,10.0\n");
    assert_eq!(
        place.run(&["sql", "--format", "ndjson", sql]).ok(),
        "{\"sym\":\"a\",\"m\":2.5}\n{\"sym\":\"b\",\"m\":10.0}\n"
    );
    assert_eq!(place.run(&["sql", "--format", "json", "SELECT 1 AS x"]).ok(), "[{\"x\":1}]\n");
    assert_eq!(
        place.run(&["sql", "--format", "csv", "SELECT sym FROM t WHERE false"]).ok(),
        "sym\n"
    );
    for (format, magic) in [("parquet", b"PAR1".as_slice()), ("arrow", b"ARROW1".as_slice())] {
        place.run(&["sql", "--format", format, "-o", "out", sql]).ok();
        assert!(std::fs::read(place.path("out")).unwrap().starts_with(magic), "{format}");
    }
    place.run(&["sql", "--format", "parquet", "SELECT 1; SELECT 2"]).fails(2, &["one statement"]);
    place.run(&["sql", "--format", "xml", sql]).fails(2, &["none of table"]);
}

#[test]
fn statements_write_and_errors_point() {
    let place = place();
    let script = "CREATE TABLE u (k TAG, x BIGINT); INSERT INTO u VALUES ('2024-01-02 09', 'a', 7);\nSELECT * FROM u";
    let rows = place.run(&["sql", "--format", "csv", script]).ok();
    assert_eq!(rows, "time,k,x\n2024-01-02T09:00:00Z,a,7\n");
    let file = place.file("script.sql", "SELECT count(*) AS n FROM u;\n-- no more\n");
    assert_eq!(place.run(&["sql", "--format", "csv", "-f", &file]).ok(), "n\n1\n");
    let piped = place.run_with(&["sql", "--format", "csv"], b"SELECT x FROM u;");
    assert_eq!(piped.ok(), "x\n7\n");
    let zone = ["sql", "--format", "csv", "--time-zone", "Asia/Kolkata", "SELECT time FROM u"];
    assert_eq!(place.run(&zone).ok(), "time\n2024-01-02T14:30:00+05:30\n");
    place
        .run(&["sql", "SELECT prise\nFROM t"])
        .fails(3, &["\"prise\"", "price", "SELECT prise\n       ^"]);
    place.run(&["sql", "SELECT 1 +"]).fails(2, &["expected"]);
    place.run(&["sql", "UPDATE t SET price = 1"]).fails(2, &["last_row"]);
    place.run(&["sql", ""]).fails(2, &["empty"]);
}

#[test]
fn files_are_read_as_tables() {
    let place = place();
    place.file("more.csv", "time,sym,price\n1970-01-01T01:00:00Z,c,7.5\n");
    place.run(&["sql", "--format", "parquet", "-o", "t.parquet", "SELECT * FROM t"]).ok();
    let csv = |sql: &str| place.run(&["sql", "--format", "csv", sql]).ok();
    assert_eq!(
        csv("SELECT sym, price FROM read_csv('m*.csv') WHERE price = 7.5"),
        "sym,price\nc,7.5\n"
    );
    csv("CREATE TABLE u AS SELECT * FROM read_parquet('t.parquet')");
    assert_eq!(place.words("export --table u").ok(), place.export());
    csv("INSERT INTO u SELECT * FROM 'more.csv'");
    assert!(place.words("export --table u").ok().ends_with("1970-01-01T01:00:00Z,c,7.5\n"));
    place.run(&["sql", "SELECT * FROM\n'gone.csv'"]).fails(3, &["no file \"gone.csv\"", "^"]);
}

#[test]
fn a_database_that_another_process_holds_is_told() {
    let place = place();
    let db = chronolith_engine::Db::open(chronolith_engine::Options::new(place.db())).unwrap();
    place.run(&["sql", "SELECT 1"]).fails(4, &["is held by", "--url"]);
    place.run(&["sql", "DELETE FROM t"]).fails(4, &["is held by"]);
    place.words("verify").fails(4, &["is held by", "--url"]);
    db.close().unwrap();
    place.run(&["sql", "SELECT 1"]).ok();
}

#[test]
fn a_statement_that_writes_makes_the_database() {
    let place = Place::new();
    place.run(&["sql", "SELECT 1"]).fails(3, &["there is no database"]);
    assert!(!place.db().exists());
    place.run(&["sql", "CREATE TABLE t (x BIGINT); INSERT INTO t VALUES ('2024-01-02', 7)"]).ok();
    assert_eq!(place.run(&["sql", "--format", "csv", "SELECT x FROM t"]).ok(), "x\n7\n");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = place();
    for format in ["csv", "ndjson", "json", "table", "arrow"] {
        let sql = "SELECT * FROM t a, generate_series(1, 100000) AS g";
        let mut child = place.command(&["sql", "--format", format, sql]).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""), "{format}");
    }
}
