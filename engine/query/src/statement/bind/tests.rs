//! What the binder makes of a query's text: exact names, and refusals.

use chronolith_engine::catalog::{Catalog, CatalogChange};
use chronolith_engine::model::{FieldType, TableOptions};
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::parser::Parser;

use super::*;
use crate::statement::dialect::ChronolithDialect;

struct Some3;

impl Functions for Some3 {
    fn kind(&self, name: &str) -> Option<FunctionKind> {
        match name {
            "sum" => Some(FunctionKind::Aggregate),
            "rank" => Some(FunctionKind::Window),
            "abs" => Some(FunctionKind::Scalar),
            _ => None,
        }
    }

    fn gives_tables(&self, name: &str) -> bool {
        name == "range"
    }
}

fn catalog() -> Catalog {
    let table = |tags: &[&str], fields: &[&str]| TableOptions {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        fields: fields.iter().map(|field| ((*field).to_owned(), FieldType::F64)).collect(),
        ..TableOptions::default()
    };
    let mut catalog = Catalog::default();
    for (name, options) in
        [("Trades", table(&["sym"], &["p", "P", "Qty"])), ("quotes", table(&["Sym"], &["bid"]))]
    {
        catalog =
            catalog.apply(&CatalogChange::CreateTable(catalog.plan_table(name, &options))).unwrap();
    }
    catalog
}

fn bound(sql: &str) -> Result<String> {
    let mut parser = Parser::new(&ChronolithDialect).try_with_sql(sql).unwrap();
    let Statement::Query(mut query) = parser.parse_statement().unwrap() else { panic!("{sql}") };
    let catalog = catalog();
    bind_query(
        &mut query,
        Known { catalog: &catalog, functions: &Some3, files: &FileTables::new(false) },
    )?;
    Ok(query.to_string().replace('"', ""))
}

#[test]
fn names_become_exact() {
    for (sql, expected) in [
        ("SELECT qty FROM TRADES", "SELECT Qty FROM Trades"),
        ("SELECT t.p, T.P FROM trades AS T", "SELECT T.p, T.P FROM Trades AS T"),
        ("SELECT trades.QTY FROM trades", "SELECT Trades.Qty FROM Trades"),
        ("SELECT p AS X FROM trades ORDER BY x", "SELECT p AS X FROM Trades ORDER BY X"),
        // In WHERE an alias is not visible, and the column is.
        (
            "SELECT p AS QTY FROM trades WHERE qty > 1 ORDER BY qTy",
            "SELECT p AS QTY FROM Trades WHERE Qty > 1 ORDER BY QTY",
        ),
        (
            "WITH Q AS (SELECT P AS Price FROM trades) SELECT price FROM q",
            "WITH Q AS (SELECT P AS Price FROM Trades) SELECT Price FROM Q",
        ),
        // A query of WITH stands before a table, but not inside itself.
        (
            "WITH Trades AS (SELECT qty AS z FROM trades) SELECT Z FROM TRADES",
            "WITH Trades AS (SELECT Qty AS z FROM Trades) SELECT z FROM Trades",
        ),
        (
            "SELECT (SELECT max_of FROM (SELECT sum(BID) AS max_of FROM quotes AS Q WHERE q.SYM = tr.SYM) AS d) FROM trades AS TR",
            "SELECT (SELECT max_of FROM (SELECT sum(bid) AS max_of FROM quotes AS Q WHERE Q.Sym = TR.sym) AS d) FROM Trades AS TR",
        ),
        ("SELECT * EXCLUDE (qty) FROM trades", "SELECT * EXCLUDE (Qty) FROM Trades"),
        ("SELECT A.* FROM trades AS a", "SELECT a.* FROM Trades AS a"),
        (
            "SELECT s.NAME[1].Inner FROM (SELECT [1] AS Name) AS S",
            "SELECT S.Name[1].Inner FROM (SELECT [1] AS Name) AS S",
        ),
        (
            "SELECT TABLE_NAME FROM SYSTEM.Tables AS t WHERE T.Merge = 'x'",
            "SELECT table_name FROM system.tables AS t WHERE t.merge = 'x'",
        ),
        (
            "SELECT Tables.table_name FROM system.TABLES",
            "SELECT tables.table_name FROM system.tables",
        ),
        (
            "SELECT p FROM trades UNION SELECT bid FROM quotes ORDER BY p",
            "SELECT p FROM Trades UNION SELECT bid FROM quotes ORDER BY p",
        ),
        (
            "SELECT sum(p) OVER W FROM trades WINDOW w AS (PARTITION BY SYM)",
            "SELECT sum(p) OVER w FROM Trades WINDOW w AS (PARTITION BY sym)",
        ),
        ("FROM trades", "SELECT * FROM Trades"),
        ("SELECT p FROM trades ORDER BY ALL DESC", "SELECT p FROM Trades ORDER BY 1 DESC"),
        ("SELECT p FROM trades FETCH FIRST 3 ROWS ONLY", "SELECT p FROM Trades LIMIT 3"),
    ] {
        assert_eq!(
            bound(sql).unwrap_or_else(|error| panic!("{sql}: {error}")),
            expected.replace('"', ""),
            "{sql}"
        );
    }
}

#[test]
fn names_that_mean_nothing_or_too_much_are_told_with_their_place() {
    let ambiguous = bound("SELECT Ab FROM (SELECT 1 AS ab, 2 AS AB) AS v").unwrap_err();
    assert_eq!((ambiguous.kind, ambiguous.position), (SqlErrorKind::Ambiguous, Some((1, 8))));
    let column = bound("SELECT p,\n  volume FROM trades").unwrap_err();
    assert_eq!(
        (column.kind, column.position),
        (SqlErrorKind::Unknown(Unknown::Column), Some((2, 3)))
    );
    assert!(!column.message.contains("_seq"), "{column}");
    let table = bound("SELECT 1 FROM trade").unwrap_err();
    assert_eq!(table.kind, SqlErrorKind::Unknown(Unknown::Table));
    assert!(table.message.contains("there are: Trades"), "{table}");
    // What stands beside a derived table is not visible in it, unless it is LATERAL.
    assert!(bound("SELECT 1 FROM trades AS t, (SELECT t.p) AS d").is_err());
    assert!(bound("SELECT 1 FROM trades AS t, LATERAL (SELECT t.p) AS d").is_ok());
    // The names of one query of WITH end with it.
    assert!(bound("SELECT 1 FROM (WITH c AS (SELECT 1) SELECT * FROM c) AS d, c").is_err());
    // Nor is an alias visible in WHERE.
    assert!(bound("SELECT p AS z FROM trades WHERE z > 1").is_err());
}

#[test]
fn what_would_have_no_effect_is_refused() {
    for sql in [
        "SELECT p FROM trades FOR SHARE",
        "SELECT p FROM trades TABLESAMPLE BERNOULLI (1)",
        "SELECT abs(p) OVER () FROM trades",
        "SELECT abs(DISTINCT p) FROM trades",
        "SELECT sum(p ORDER BY time) OVER () FROM trades WINDOW w AS (PARTITION BY nothing)",
        "SELECT rank() FROM trades",
        "SELECT sum(p) RESPECT NULLS FROM trades",
        "SELECT p FROM trades GROUP BY p WITH TOTALS",
        "SELECT p FROM trades NATURAL JOIN range(1)",
        "TABLE trades",
        "SELECT p FROM trades, trades AS t (a INT)",
        "SELECT CAST(p AS TEXT FORMAT 'x') FROM trades",
    ] {
        let parsed = Parser::new(&ChronolithDialect).try_with_sql(sql).and_then(|mut parser| {
            let statement = parser.parse_statement()?;
            parser
                .expect_token(&datafusion::sql::sqlparser::tokenizer::Token::EOF)
                .map(|_| statement)
        });
        // What the dialect does not know is refused by the parser.
        let Ok(Statement::Query(mut query)) = parsed else { continue };
        let catalog = catalog();
        let found = bind_query(
            &mut query,
            Known { catalog: &catalog, functions: &Some3, files: &FileTables::new(false) },
        );
        assert!(found.is_err(), "{sql}");
    }
}
