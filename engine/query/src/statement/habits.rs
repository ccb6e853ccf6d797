//! What people type who come from other databases, and what to write here instead. Only consulted once a statement has failed to parse,
//! or at a function that does not exist: nothing that works is turned away for looking foreign.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Words in a row, in upper case; `(` stands for itself, `*` for any one token; and the advice.
const PHRASES: &[(&[&str], &str)] = &[
    (
        &["SAMPLE", "BY"],
        "for buckets of time write `SELECT time_bucket('1 minute', time) AS t, ... GROUP BY t`",
    ),
    (
        &["LATEST", "ON"],
        "for the last row of each series write `SELECT DISTINCT ON (symbol) * FROM t ORDER BY symbol, time DESC`, or the aggregate `last(value, time)`",
    ),
    (
        &["LATEST", "BY"],
        "for the last row of each series write `SELECT DISTINCT ON (symbol) * FROM t ORDER BY symbol, time DESC`, or the aggregate `last(value, time)`",
    ),
    (
        &["FILL", "("],
        "`GROUP BY` gives no rows for empty buckets; write the buckets out with generate_series and join them",
    ),
    (
        &["WITH", "FILL"],
        "`ORDER BY` adds no rows; write the missing ones out with generate_series and join them",
    ),
    (
        &["ENGINE"],
        "leave `ENGINE = ...` out: tables are Chronolith's own; properties go into `WITH (tags = '...', merge = 'append')`",
    ),
    (
        &["PARTITION", "BY", "toYYYYMM"],
        "leave `PARTITION BY` out: time partitions are chosen by the amount of data",
    ),
    (&["PREWHERE"], "write `WHERE`: conditions are applied as early as they can be"),
    (&["SHOW", "MEASUREMENTS"], "write `SHOW TABLES`"),
    (
        &["SHOW", "TAG", "KEYS"],
        "write `SELECT * FROM system.columns WHERE table_name = '...' AND kind = 'tag'`",
    ),
    (&["SHOW", "TAG", "VALUES"], "write `SELECT DISTINCT symbol FROM t`"),
    (
        &["SHOW", "FIELD", "KEYS"],
        "write `SELECT * FROM system.columns WHERE table_name = '...' AND kind = 'field'`",
    ),
    (&["SHOW", "SERIES"], "write `SELECT DISTINCT` with the tags"),
    (&["SHOW", "COLUMNS"], "write `DESCRIBE t`, or ask system.columns"),
    (&["SHOW", "PARTITIONS"], "ask system.segments"),
    (&["SHOW", "DATABASES"], "one directory is one database; write `SHOW TABLES`"),
    (&["SHOW", "FUNCTIONS"], "the functions are listed in docs/SQL.md"),
    (
        &["BEGIN"],
        "leave it out: each statement is atomic by itself, and rows of several tables are written together by one batch of the API",
    ),
    (&["START", "TRANSACTION"], "leave it out: each statement is atomic by itself"),
    (
        &["COMMIT"],
        "leave it out: each statement is atomic by itself and committed when it is answered",
    ),
    (
        &["ROLLBACK"],
        "each statement is atomic by itself and committed when it is answered; rows are taken back by DELETE",
    ),
    (
        &["UPDATE"],
        "rows are not changed in place: INSERT the new row into a table made WITH (merge = 'last_row'), where it replaces the row of its series and time",
    ),
    (
        &["UPSERT"],
        "INSERT into a table made WITH (merge = 'last_row'): the later row of a series and time replaces the earlier",
    ),
    (
        &["REPLACE", "INTO"],
        "INSERT into a table made WITH (merge = 'last_row'): the later row of a series and time replaces the earlier",
    ),
    (
        &["MERGE", "INTO"],
        "INSERT into a table made WITH (merge = 'last_row'): the later row of a series and time replaces the earlier",
    ),
    (&["ON", "CONFLICT"], "choose it for the table: WITH (merge = 'last_row') or 'last_non_null'"),
    (&["ON", "DUPLICATE"], "choose it for the table: WITH (merge = 'last_row') or 'last_non_null'"),
    (&["TRUNCATE"], "write `DELETE FROM t`, or DROP TABLE and CREATE TABLE"),
    (&["VACUUM"], "space is reclaimed in the background; `chronolith compact` does it at once"),
    (&["OPTIMIZE"], "segments are merged in the background; `chronolith compact` does it at once"),
    (&["ANALYZE"], "statistics are kept in the data; nothing needs to be collected"),
    (&["USE"], "one directory is one database; there is nothing to choose"),
    (
        &["PRAGMA"],
        "the one setting of a session is SET TIME ZONE; the rest is chosen when the database is opened",
    ),
    (&["CREATE", "INDEX"], "tags are indexed; fields are pruned by statistics and need no index"),
    (&["CREATE", "DATABASE"], "one directory is one database; open another directory"),
    (&["CREATE", "HYPERTABLE"], "write CREATE TABLE: every table is partitioned by time"),
    (&["CREATE", "STREAM"], "there are only tables"),
    (
        &["ASOF", "JOIN"],
        "DataFusion has no ASOF JOIN yet; take the last row before with `last(value, time)` over the joined range",
    ),
    (&["TIMESTAMP", "("], "leave it out: every table has the one time column `time`"),
    (&["DEDUP"], "choose it for the table: WITH (merge = 'last_row')"),
    (&["FORMAT"], "the format of an answer is chosen beside the statement (`--format`)"),
    (&["INTO", "OUTFILE"], "write the answer to a file beside the statement (`-o FILE`)"),
    (&["SETTINGS"], "statements carry no settings"),
    (
        &["LIMIT", "*", "BY"],
        "write `QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY time DESC) <= 5`",
    ),
    (&["ARRAY", "JOIN"], "write `unnest(column)`"),
    (&["GLOBAL", "JOIN"], "leave GLOBAL out"),
    (&["FINAL"], "leave FINAL out: reads always show the merged rows"),
];

/// Functions of other databases, in lower case, and the advice; those that end with `*` are beginnings.
const FUNCTIONS: &[(&str, &str)] = &[
    ("tostartofminute", "time_bucket('1 minute', time)"),
    ("tostartofhour", "time_bucket('1 hour', time)"),
    ("tostartofday", "time_bucket('1 day', time)"),
    ("tostartofweek", "date_trunc('week', time)"),
    ("tostartofmonth", "date_trunc('month', time)"),
    ("tostartofyear", "date_trunc('year', time)"),
    ("tostartoffiveminutes", "time_bucket('5 minutes', time)"),
    ("tostartoffiveminute", "time_bucket('5 minutes', time)"),
    ("tostartoffifteenminutes", "time_bucket('15 minutes', time)"),
    ("tostartofinterval", "time_bucket('15 minutes', time)"),
    ("todatetime*", "a cast: `'2024-01-02 09:15'::timestamp`"),
    ("todate*", "a cast: `time::date`"),
    ("tostring", "a cast: `x::text`"),
    ("tofloat64", "a cast: `x::double`"),
    ("toint64", "a cast: `x::bigint`"),
    ("tohour", "extract(hour FROM time)"),
    ("todayofweek", "extract(dow FROM time)"),
    ("argmax", "arg_max(value, key)"),
    ("argmin", "arg_min(value, key)"),
    ("max_by", "arg_max(value, key)"),
    ("min_by", "arg_min(value, key)"),
    ("countif", "count(*) FILTER (WHERE ...)"),
    ("sumif", "sum(x) FILTER (WHERE ...)"),
    ("avgif", "avg(x) FILTER (WHERE ...)"),
    ("uniq", "count(DISTINCT x), or approx_distinct(x)"),
    ("uniqexact", "count(DISTINCT x)"),
    (
        "quantile",
        "approx_percentile_cont(x, 0.5), or percentile_cont(0.5) WITHIN GROUP (ORDER BY x)",
    ),
    ("timestamp_floor", "time_bucket('1 minute', time)"),
    ("dateadd", "time + INTERVAL '1 day'"),
    ("datediff", "the difference `b - a`"),
    ("date_diff", "the difference `b - a`"),
    ("time_bucket_gapfill", "time_bucket('1 minute', time) joined with generate_series"),
    ("locf", "last_value(x) IGNORE NULLS OVER (ORDER BY time)"),
    ("dateformat", "to_char(time, '%Y-%m-%d')"),
    ("strftime", "to_char(time, '%Y-%m-%d')"),
    ("ifnull", "coalesce(x, 0)"),
    ("create_hypertable", "nothing: every table is partitioned by time"),
    ("add_retention_policy", "DELETE FROM t WHERE time < ..."),
    ("add_compression_policy", "nothing: segments are compressed by themselves"),
    ("ago", "now() - INTERVAL '1 hour'"),
    (
        "non_negative_derivative",
        "the difference with lag(x) OVER (PARTITION BY symbol ORDER BY time)",
    ),
    ("derivative", "the difference with lag(x) OVER (PARTITION BY symbol ORDER BY time)"),
    ("mean", "avg(x)"),
    ("spread", "max(x) - min(x)"),
];

/// The advice for a statement that does not parse, and the position of what it is about.
pub(crate) fn of_statement(tokens: &[TokenWithSpan]) -> Option<(&'static str, (u64, u64))> {
    let solid: Vec<&TokenWithSpan> =
        tokens.iter().filter(|one| !matches!(one.token, Token::Whitespace(_))).collect();
    for at in 0..solid.len() {
        let rest = solid.get(at..).unwrap_or_default();
        let place = rest.first().map(|one| (one.span.start.line, one.span.start.column));
        let found = PHRASES.iter().find(|(words, _)| {
            // One word alone is a habit only where a statement begins, or after FROM's table.
            let anywhere =
                words.len() > 1 || ANYWHERE.contains(&words.first().copied().unwrap_or(""));
            (anywhere || at == 0) && begins_with(rest, words)
        });
        if let (Some((_, advice)), Some(place)) = (found, place) {
            return Some((advice, place));
        }
        if let (Some(place), Some(advice)) = (place, shorthand(rest)) {
            return Some((advice, place));
        }
    }
    None
}

const ANYWHERE: &[&str] = &["ENGINE", "PREWHERE", "FORMAT", "SETTINGS", "DEDUP", "FINAL"];

fn begins_with(tokens: &[&TokenWithSpan], words: &[&str]) -> bool {
    words.len() <= tokens.len()
        && words.iter().zip(tokens).all(|(word, token)| match (*word, &token.token) {
            ("*", _) | ("(", Token::LParen) => true,
            (word, Token::Word(found)) => {
                found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)
            }
            _ => false,
        })
}

/// `now() - 1h`: a number that runs into a unit.
fn shorthand(tokens: &[&TokenWithSpan]) -> Option<&'static str> {
    let (number, unit) = (tokens.first()?, tokens.get(1)?);
    let (Token::Number(..), Token::Word(word)) = (&number.token, &unit.token) else { return None };
    let units = ["ns", "us", "ms", "s", "m", "h", "d", "w", "mo", "y"];
    let adjacent = number.span.end == unit.span.start;
    (adjacent && word.quote_style.is_none() && units.contains(&word.value.as_str()))
        .then_some("write a span of time as `INTERVAL '1 hour'`")
}

/// The advice for a function that does not exist.
pub(crate) fn of_function(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    FUNCTIONS.iter().find_map(|(known, advice)| {
        let found = match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == *known,
        };
        found.then_some(*advice)
    })
}
