//! Statements that are too deep, too long, or not allowed by the session.

use chronolith_engine::{Db, ErrorKind, Options};
use chronolith_query::{SqlEngine, SqlErrorKind, SqlOptions, Writes, statements, writes};

use crate::support::Fixture;

#[test]
fn deep_statements_are_errors_and_not_the_end_of_the_process() {
    let fixture = Fixture::new();
    let deep = [
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT 1{}", " + 1".repeat(100_000)),
        format!("SELECT {}1", "- ".repeat(100_000)),
        format!("SELECT {}true", "NOT ".repeat(100_000)),
        format!("SELECT 1{}", "::bigint".repeat(100_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(100_000)),
        format!("SELECT * FROM {}x{}", "(SELECT * FROM ".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT {}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("SELECT {}1 END", "CASE WHEN true THEN ".repeat(100_000)),
        format!("SELECT 1 WHERE {} true", "EXISTS (SELECT 1 WHERE ".repeat(50_000)),
        format!("SELECT a{}", "[1]".repeat(100_000)),
        format!("SELECT a{}", ".b".repeat(100_000)),
        format!("SELECT * FROM t{}", " JOIN t ON true".repeat(100_000)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(100_000)),
        format!("SELECT f{}", "(f".repeat(100_000)),
        format!("CREATE TABLE t (a {}INT{})", "ARRAY<".repeat(100_000), ">".repeat(100_000)),
        "(".repeat(1_000_000),
        format!("SELECT x IS {} NULL", "NOT ".repeat(100_000)),
    ];
    for sql in &deep {
        let error = fixture.error(sql);
        let begin: String = sql.chars().take(40).collect();
        assert!(
            matches!(error.kind, SqlErrorKind::Syntax | SqlErrorKind::Refused),
            "{begin}: {:?} {}",
            error.kind,
            error.message
        );
    }
}

#[test]
fn statements_just_below_the_limits_run() {
    let fixture = Fixture::new();
    // The count of operators and keywords includes SELECT.
    assert_eq!(fixture.rows(&format!("SELECT 1{}", " + 1".repeat(490))), ["491"]);
    assert_eq!(fixture.rows(&format!("SELECT {}1{}", "(".repeat(60), ")".repeat(60))), ["1"]);
    let or = (0..160).map(|n| format!("x = {n}")).collect::<Vec<_>>().join(" OR ");
    assert_eq!(
        fixture.rows(&format!("SELECT count(*) FROM (VALUES (1), (500)) AS v (x) WHERE {or}")),
        ["1"]
    );
    let not = "NOT ".repeat(490);
    let minus = "- ".repeat(490);
    assert_eq!(fixture.rows(&format!("SELECT {minus} 1")), ["1"]);
    assert_eq!(fixture.rows(&format!("SELECT {not} true")), ["true"]);
    let case = "CASE WHEN true THEN ".repeat(40);
    let ends = " END".repeat(40);
    assert_eq!(fixture.rows(&format!("SELECT {case} 7 {ends}")), ["7"]);
    let nested = format!("{}SELECT 1 AS a{}", "SELECT a FROM (".repeat(30), ")".repeat(30));
    assert_eq!(fixture.rows(&nested), ["1"]);
    // A list is wide and not deep.
    let list = (0..20_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(fixture.rows(&format!("SELECT 5 IN ({list})")), ["true"]);
}

#[test]
fn a_session_that_may_not_write_says_why() {
    let fixture = Fixture::with(|options| SqlOptions {
        writes: Writes::Refuse("the token's role is reader".into()),
        ..options
    });
    for sql in [
        "CREATE TABLE t (price DOUBLE)",
        "DROP TABLE t",
        "INSERT INTO t VALUES (1)",
        "DELETE FROM t",
        "ALTER TABLE t ADD COLUMN x INT",
        "CREATE TABLE t AS SELECT 1",
    ] {
        assert!(writes(sql), "{sql}");
        let error = fixture.error(sql);
        assert_eq!(error.kind, SqlErrorKind::Refused, "{sql}");
        assert!(error.message.contains("the token's role is reader"), "{error}");
    }
    for sql in [
        "SELECT 1",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "SET TIME ZONE 'UTC'",
        "DESCRIBE t",
        "SUMMARIZE t",
        "nonsense",
        "",
    ] {
        assert!(!writes(sql), "{sql}");
    }
    assert_eq!(fixture.rows("SELECT 1"), ["1"]);
}

#[test]
fn a_database_that_is_open_for_reading_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    Db::open(Options::new(dir.path())).unwrap().close().unwrap();
    let db = Db::open_read_only(Options::new(dir.path())).unwrap();
    let engine = SqlEngine::new(db, SqlOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let session = engine.session();
    let error = runtime.block_on(session.execute("CREATE TABLE t (x DOUBLE)")).err().unwrap();
    assert_eq!(error.kind, SqlErrorKind::Refused);
    assert!(error.message.contains("open it for writing"), "{error}");
    let rows = runtime.block_on(async { session.execute("SHOW TABLES").await?.collect().await });
    assert_eq!(rows.unwrap().iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 0);
}

#[test]
fn an_insert_is_whole_or_not_at_all() {
    let fixture = Fixture::new();
    fixture.rows("CREATE TABLE t (k TAG, v BIGINT) WITH (schema = 'strict')");
    let error = fixture.error(
        "INSERT INTO t SELECT to_timestamp(value), 'a', value FROM generate_series(1, 4194305)",
    );
    assert_eq!(error.kind, SqlErrorKind::Refused, "{error}");
    assert!(error.message.contains("one atomic batch"), "{error}");
    assert_eq!(fixture.rows("SELECT count(*) FROM t"), ["0"]);
    assert_eq!(
        fixture.affected(
            "INSERT INTO t SELECT to_timestamp(value), 'a', value FROM generate_series(1, 100000)"
        ),
        Some(100_000)
    );
    assert_eq!(fixture.rows("SELECT count(*), sum(v) FROM t"), ["100000 5000050000"]);
    // A row that cannot be held takes the others with it.
    let error = fixture.error("INSERT INTO t VALUES ('2024-01-01', 'a', 1), (NULL, 'a', 2)");
    assert!(error.message.contains("time"), "{error}");
    assert_eq!(fixture.rows("SELECT count(*) FROM t"), ["100000"]);
}

#[test]
fn create_as_select_takes_more_than_one_batch() {
    let fixture = Fixture::new();
    let sql = "CREATE TABLE big WITH (tags = 'k') AS SELECT to_timestamp(value) AS time, 'a' AS k, value AS v FROM generate_series(1, 2500000)";
    assert_eq!(fixture.affected(sql), Some(2_500_000));
    assert_eq!(fixture.rows("SELECT count(*), min(v), max(v) FROM big"), ["2500000 1 2500000"]);
    // What fails on its way leaves no table.
    let failing = "CREATE TABLE gone AS SELECT to_timestamp(value) AS time, 10 / (2000000 - value) AS v FROM generate_series(1, 2500000)";
    fixture.error(failing);
    assert_eq!(fixture.rows("SHOW TABLES"), ["big"]);
}

#[test]
fn what_a_session_sets_is_its_own() {
    let fixture = Fixture::new();
    let other = fixture.session.clone();
    fixture.rows("SET TIME ZONE 'Asia/Kolkata'");
    assert_eq!(fixture.session.time_zone(), "Asia/Kolkata");
    assert_eq!(other.time_zone(), "UTC");
    assert_eq!(fixture.rows("SELECT '2024-01-02 09:15'::timestamp"), ["2024-01-02T09:15:00+05:30"]);
    assert_eq!(fixture.session.clone().time_zone(), "Asia/Kolkata");
    let error = fixture.error("SET TIME ZONE 'Mars/Base'");
    assert_eq!(error.kind, SqlErrorKind::Invalid);
    assert_eq!(fixture.session.time_zone(), "Asia/Kolkata");
}

#[test]
fn rows_are_there_after_reopening() {
    let fixture = Fixture::new();
    fixture.rows("CREATE TABLE t (k TAG, v DOUBLE)");
    assert_eq!(fixture.affected("INSERT INTO t VALUES ('2024-01-02', 'a', 1.5)"), Some(1));
    let Fixture { session, engine, runtime, dir } = fixture;
    engine.db().close().unwrap();
    drop((session, engine));
    let db = Db::open(Options::new(dir.path())).unwrap();
    let engine = SqlEngine::new(db, SqlOptions::default()).unwrap();
    let again = Fixture { session: engine.session(), engine, runtime, dir };
    assert_eq!(again.rows("SELECT * FROM t"), ["2024-01-02T00:00:00Z a 1.5"]);
    again.engine.db().close().unwrap();
    let error = again.error("INSERT INTO t VALUES ('2024-01-02', 'a', 1.5)");
    assert!(
        matches!(error.kind, SqlErrorKind::Refused | SqlErrorKind::Engine(ErrorKind::Closed)),
        "{error}"
    );
}

#[test]
fn scripts_are_cut_into_statements() {
    assert_eq!(statements("SELECT 1; SELECT ';'; "), ["SELECT 1", "SELECT ';'"]);
}
