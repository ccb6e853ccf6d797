//! Statements from text to the allow-list.

use super::parse::{Statement, parse};
use super::*;
use crate::error::SqlErrorKind;

#[test]
fn the_dialect_takes_what_people_type() {
    for sql in [
        "SELECT * EXCLUDE (a) FROM t",
        "SELECT * EXCEPT (a) FROM t",
        "SELECT * REPLACE (a + 1 AS a) FROM t",
        "SELECT DISTINCT ON (a) * FROM t ORDER BY a, b DESC",
        "SELECT a FROM t QUALIFY row_number() OVER (PARTITION BY a ORDER BY b) = 1",
        "SELECT count(*) FILTER (WHERE a > 1) FROM t",
        "SELECT a, sum(b) FROM t GROUP BY ALL ORDER BY ALL",
        "SELECT a::double, CAST(b AS DECIMAL(9, 2)), TRY_CAST(c AS INT) FROM t",
        "SELECT INTERVAL '1 day', INTERVAL 1 DAY, DATE '2024-01-02', TIMESTAMP '2024-01-02 09:15'",
        "SELECT [1, 2], {'a': 1}, 1_000, 1e3, 'it''s', $$text$$",
        "FROM t SELECT a",
        "FROM t",
        "SELECT first_value(a) IGNORE NULLS OVER (ORDER BY b) FROM t",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
        "SELECT a FROM t WHERE b ~ 'x' AND c ILIKE 'y%' AND d IS DISTINCT FROM e",
        "SELECT `quoted` FROM \"Also Quoted\"",
        "SELECT a /* comment /* nested */ */ FROM t -- end",
        "SELECT * FROM a LEFT SEMI JOIN b USING (k)",
        "VALUES (1), (2)",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT a FROM t;",
        "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 5) SELECT * FROM r",
    ] {
        let statement = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(matches!(statement, Statement::Query(_)), "{sql}");
    }
    for (sql, writes) in [
        ("EXPLAIN ANALYZE SELECT 1", false),
        ("DESCRIBE t", false),
        ("DESC t", false),
        ("SUMMARIZE t", false),
        ("SUMMARIZE (SELECT 1)", false),
        ("SHOW CREATE TABLE \"Adj Close\"", false),
        ("SET TIME ZONE 'Asia/Kolkata'", false),
        ("SET TIMEZONE TO 'UTC'", false),
        ("ALTER TABLE t ADD COLUMN IF NOT EXISTS x TAG", true),
        ("INSERT INTO t (a, b) VALUES (1, 2)", true),
        ("DELETE FROM t WHERE a = 'x' AND time < now() - INTERVAL '30 days'", true),
        ("CREATE TABLE IF NOT EXISTS t WITH (tags = 'a') AS SELECT 1 AS time", true),
    ] {
        let statement = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(statement.writes(), writes, "{sql}");
        assert_eq!(super::writes(sql), writes, "{sql}");
    }
}

#[test]
fn errors_point_at_their_place() {
    let error = parse("SELECT a\nFROM t\nWHERE ) b").unwrap_err();
    assert_eq!((error.kind, error.position), (SqlErrorKind::Syntax, Some((3, 7))));
    assert_eq!(caret("SELECT a\nFROM t\nWHERE ) b", &error).as_deref(), Some("WHERE ) b\n      ^"));
    let error = parse("SELECT 'open").unwrap_err();
    assert_eq!((error.kind, error.position), (SqlErrorKind::Syntax, Some((1, 8))));
    let error = parse("SELECT 1 SELECT 2").unwrap_err();
    assert_eq!((error.kind, error.position), (SqlErrorKind::Syntax, Some((1, 10))));
    for (sql, place) in [("SELECT 1 +", (1, 11)), ("SELECT a\nFROM \n", (2, 5)), ("", (1, 1))] {
        assert_eq!(parse(sql).unwrap_err().position, Some(place), "{sql:?}");
    }
    let error = parse("SELECT a FROM t FINAL").unwrap_err();
    assert!(error.message.contains("leave FINAL out"), "{error}");
    assert_eq!(error.position, Some((1, 17)));
    parse("SELECT a FROM t AS final").unwrap();
    assert!(error.message.chars().next().is_some_and(char::is_lowercase), "{error}");
    assert_eq!(parse("  -- nothing\n ;").unwrap_err().kind, SqlErrorKind::Syntax);
}

#[test]
fn advice_is_for_what_fails_alone() {
    // Words of other databases are good names.
    for sql in [
        "SELECT sample, latest, format FROM engine",
        "SELECT a AS fill FROM t AS latest JOIN u AS sample ON latest.k = sample.k",
        "SELECT 'SAMPLE BY 1h', \"LATEST ON\" FROM t",
        "SELECT update, commit FROM t",
    ] {
        parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let error = parse("SELECT avg(x) FROM t SAMPLE BY 1h").unwrap_err();
    assert!(error.message.contains("time_bucket"), "{error}");
    assert_eq!(error.position, Some((1, 22)));
}
