//! Runs the scripts of `tests/slt`, each against a database of its own. The form is sqllogictest's: `statement ok`, `statement count N`,
//! `statement error TEXT`, `query [TYPES] [rowsort]` with the rows behind `----`, `query error TEXT`. TEXT must be in `Kind: message`.
//! `CHRONOLITH_SLT_UPDATE=1` writes what is found into the scripts, to be read before it is kept.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::support::{Fixture, lines};

struct Record {
    line: usize,
    head: String,
    sql: String,
    expected: Vec<String>,
}

fn records(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut record = Record {
            line: at + 1,
            head: line.trim().to_owned(),
            sql: String::new(),
            expected: Vec::new(),
        };
        let mut in_rows = false;
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            match line {
                "----" => in_rows = true,
                row if in_rows => record.expected.push(row.to_owned()),
                sql => {
                    record.sql.push_str(sql);
                    record.sql.push('\n');
                }
            }
        }
        records.push(record);
    }
    records
}

/// What a record gives, in the form in which it is expected: the head, and the rows.
fn run(fixture: &Fixture, record: &Record) -> (String, Vec<String>) {
    let result = fixture.run(&record.sql);
    let found = match result {
        Err(error) => {
            let kind = record.head.split_whitespace().next().unwrap_or_default();
            let text = format!("{:?}: {}", error.kind, error.message.replace('\n', " "));
            let place = error.position.map(|(line, column)| format!(" @{line}:{column}"));
            return (format!("{kind} error {text}{}", place.unwrap_or_default()), Vec::new());
        }
        Ok(found) => found,
    };
    // A value of several lines is several lines here too.
    let rows = lines(&found.0).into_iter();
    let mut rows: Vec<String> =
        rows.flat_map(|row| row.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    if record.head.ends_with("rowsort") {
        rows.sort_unstable();
    }
    if record.head.starts_with("query") {
        let head = if record.head.starts_with("query error") { "query" } else { &record.head };
        return (head.to_owned(), rows);
    }
    let head = match found.1 {
        Some(count) => format!("statement count {count}"),
        None => "statement ok".to_owned(),
    };
    (head, Vec::new())
}

fn agrees(record: &Record, head: &str, rows: &[String]) -> bool {
    let expected = record.head.split_once(" error ");
    match (expected, head.split_once(" error ")) {
        (Some((_, text)), Some((_, found))) => found.contains(text.trim()),
        (None, None) => {
            let same_head = record.head == head || record.head == "statement ok";
            same_head && record.expected == rows
        }
        _ => false,
    }
}

fn check(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let fixture = Fixture::new();
    let update = std::env::var_os("CHRONOLITH_SLT_UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut updated = text.lines().map(str::to_owned).collect::<Vec<_>>();
    for record in &records(&text) {
        let (head, rows) = run(&fixture, record);
        if agrees(record, &head, &rows) {
            continue;
        }
        if update {
            put(&mut updated, record, &head, &rows);
        }
        let mut report = format!("{}:{}: {}", path.display(), record.line, record.sql.trim());
        let _ = write!(report, "\n  expected {}\n{}", record.head, record.expected.join("\n"));
        let _ = write!(report, "\n  found    {head}\n{}", rows.join("\n"));
        wrong.push(report);
    }
    if update {
        let marked: Vec<String> = updated
            .into_iter()
            .flat_map(|line| line.split('\u{1}').map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line != "\u{2}")
            .collect();
        std::fs::write(path, marked.join("\n") + "\n").unwrap();
    }
    wrong
}

/// Replaces a record's head and rows. Line numbers of later records stay: new lines hang on the last one, removed ones are marked.
fn put(lines: &mut [String], record: &Record, head: &str, rows: &[String]) {
    head.clone_into(&mut lines[record.line - 1]);
    let sql = record.sql.lines().count();
    let end = record.line - 1 + sql;
    for line in lines.iter_mut().skip(end + 1).take_while(|line| !line.trim().is_empty()) {
        "\u{2}".clone_into(line);
    }
    if head.starts_with("query") && !head.starts_with("query error") {
        lines[end].push_str("\u{1}----");
        for row in rows {
            lines[end].push('\u{1}');
            lines[end].push_str(row);
        }
    }
}

#[test]
fn scripts_give_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let only = std::env::var("CHRONOLITH_SLT").unwrap_or_default();
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|one| one == "slt"))
        .filter(|path| path.to_string_lossy().contains(&only))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scripts in {}", folder.display());
    let wrong: Vec<String> = scripts.iter().flat_map(|script| check(script)).collect();
    assert!(wrong.is_empty(), "{} records differ:\n{}", wrong.len(), wrong.join("\n\n"));
}
