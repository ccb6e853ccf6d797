//! Each command does what it says.

use std::io::Read;

use chronolith_engine::model::{Batch, RowBuilder};
use chronolith_engine::{Db, Options};
use serde_json::Value;

use crate::support::Place;

const TICKS: &str = "ts,sym,p,size,total\n\
    0,A,10,1,5\n30,A,12,2,9\n59.5,A,9,3,9\n60,A,11,4,20\n200,A,8,5,3\n30,B,100,7,7\n";

fn ticks() -> Place {
    let place = Place::new();
    place.import("ticks.csv", TICKS, "--tags sym").ok();
    place
}

#[test]
fn help_lists_every_command_and_the_exit_codes() {
    let place = Place::new();
    let help = place.run(&["--help"]).ok();
    let commands = [
        "quickstart",
        "import",
        "export",
        "bars",
        "latest",
        "tables",
        "describe",
        "create",
        "drop",
        "delete",
        "stats",
        "flush",
        "compact",
        "verify",
    ];
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{command} in {help}");
        assert!(place.run(&[command, "--help"]).ok().contains("Usage: chronolith"));
    }
    for code in 0..=6 {
        assert!(help.contains(&format!("\n  {code}  ")), "{help}");
    }
    assert!(!help.contains("quickstart-writer"));
}

#[test]
fn bars_of_trades() {
    let place = ticks();
    let bars = place.words("bars --table t --every 1m --price p --volume size --format csv").ok();
    let expected = "time,sym,open,high,low,close,volume,count\n\
        1970-01-01T00:00:00Z,A,10,12,9,9,6,3\n\
        1970-01-01T00:01:00Z,A,11,11,11,11,4,1\n\
        1970-01-01T00:03:00Z,A,8,8,8,8,5,1\n\
        1970-01-01T00:00:00Z,B,100,100,100,100,7,1\n";
    assert_eq!(bars, expected);
    let table = place.words("bars --table t --every 1m --price p --where sym=B").ok();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "time                  sym  open  high  low  close  count");
    assert_eq!(lines[2], "1970-01-01T00:00:00Z  B     100   100  100    100      1");
    assert_eq!(lines.len(), 3);
}

#[test]
fn bars_of_a_cumulative_volume() {
    let place = ticks();
    let line =
        "bars --table t --every 1m --price p --volume total --volume-kind cumulative --format csv";
    let volumes = |line: &str| -> Vec<String> {
        let out = place.words(line).ok();
        out.lines().skip(1).map(|line| line.split(',').nth(6).unwrap().to_owned()).collect()
    };
    // The first row counts itself, rises add up, after a fall the value itself counts.
    assert_eq!(volumes(line), ["9", "11", "3", "7"]);
    // The previous row counts though it lies before the range.
    let from = format!("{line} --from 1970-01-01T00:01:00Z --where sym=A");
    assert_eq!(volumes(&from), ["11", "3"]);
}

#[test]
fn weeks_start_on_monday() {
    let place = Place::new();
    // 2024-08-11 is a Sunday.
    place.import("x.csv", "ts,p\n2024-08-11T23:59:59,1\n2024-08-12,2\n", "--time ts").ok();
    let bars = place.words("bars --table t --every 1w --price p --format csv").ok();
    let starts: Vec<&str> = bars.lines().skip(1).map(|line| &line[..20]).collect();
    assert_eq!(starts, ["2024-08-05T00:00:00Z", "2024-08-12T00:00:00Z"]);
}

#[test]
fn latest_rows_of_each_series() {
    let place = ticks();
    let latest = place.words("latest --table t --columns p --format csv").ok();
    assert_eq!(latest, "time,sym,p\n1970-01-01T00:03:20Z,A,8\n1970-01-01T00:00:30Z,B,100\n");
    let before =
        place.words("latest --table t --to 1970-01-01T00:01:00Z --where sym=A --format json").ok();
    let json: Value = serde_json::from_str(&before).unwrap();
    assert_eq!(json[0]["time"], "1970-01-01T00:00:59.5Z");
    assert_eq!((&json[0]["p"], json.as_array().unwrap().len()), (&Value::from(9), 1));
}

#[test]
fn export_selects_rows_and_columns() {
    let place = ticks();
    let out = place
        .words("export --table t --columns total,sym,p --where sym=A --where sym=C --from 1970-01-01T00:00:30Z --to 1970-01-01T00:03:20Z")
        .ok();
    let expected = "time,sym,total,p\n1970-01-01T00:00:30Z,A,9,12\n1970-01-01T00:00:59.5Z,A,9,9\n\
        1970-01-01T00:01:00Z,A,20,11\n";
    assert_eq!(out, expected);
    place.words("export --table t -o out.csv").ok();
    assert_eq!(std::fs::read_to_string(place.path("out.csv")).unwrap(), place.export());
}

#[test]
fn tables_describe_and_stats() {
    let place = ticks();
    place.words("create empty --tags a,b --fields x:decimal(10,2),y:utf8 --merge last_row").ok();
    let tables = place.words("tables --format csv").ok();
    let lines: Vec<&str> = tables.lines().collect();
    assert!(lines[1].starts_with("empty,last_row,strict,0,0,0,,"), "{tables}");
    assert!(lines[2].starts_with("t,append,dynamic,6,"), "{tables}");
    let text = place.words("describe t").ok();
    for part in [
        "merge append, dynamic",
        "was \"ts\" where it came from",
        "sym    tag",
        "p      i64",
        "rows      6",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let json: Value =
        serde_json::from_str(&place.words("describe empty --format json").ok()).unwrap();
    assert_eq!(json["fields"][0]["type"], "decimal(10,2)");
    assert_eq!(json["tags"], serde_json::json!(["a", "b"]));
    let stats: Value = serde_json::from_str(&place.words("stats --format json").ok()).unwrap();
    assert_eq!(stats["tables"][1]["rows"], 6);
    assert_eq!(stats["tables"][1]["series"], 2);
    let text = place.words("stats").ok();
    assert!(text.contains("memory budget") && text.contains("  series  "), "{text}");
}

#[test]
fn rows_that_were_replaced_are_not_described() {
    let place = Place::new();
    place.import("x.csv", "ts,v\n1,1\n1,2\n5,3\n", "--merge last_row").ok();
    let json: Value = serde_json::from_str(&place.words("describe t --format json").ok()).unwrap();
    assert_eq!(
        (&json["rows"], &json["last"]),
        (&Value::from(2), &Value::from("1970-01-01T00:00:05Z"))
    );
    place.words("delete --table t --from 1970-01-01T00:00:02Z").ok();
    let json: Value = serde_json::from_str(&place.words("describe t --format json").ok()).unwrap();
    assert_eq!(
        (&json["rows"], &json["last"]),
        (&Value::from(1), &Value::from("1970-01-01T00:00:01Z"))
    );
}

#[test]
fn flush_and_compact_change_no_answer() {
    let place = ticks();
    // Another program wrote a row and ended without a flush.
    let db = Db::open(Options::new(place.db())).unwrap();
    let fields = [("p", 1_i64.into()), ("size", 1_i64.into())];
    let row = RowBuilder::new("t").row(1_000_000_000, &[("sym", "A")], &fields);
    db.write(Batch::new().with(row.build().unwrap())).unwrap();
    db.close().unwrap();
    let before = place.export();
    assert!(before.contains("\n1970-01-01T00:00:01Z,A,1,1,\n"), "{before}");
    assert!(place.words("flush").ok().contains("flushed 1 rows"));
    assert!(place.words("flush").ok().contains("flushed 0 rows"));
    assert_eq!(place.export(), before);
    place.words("compact").ok();
    assert_eq!(place.export(), before);
    assert!(place.words("verify").ok().contains("no damage"));
}

#[test]
fn delete_says_how_many_rows_and_what_an_import_needs() {
    let place = ticks();
    let out = place
        .words(
            "delete --table t --where sym=A --from 1970-01-01T00:00:30Z --to 1970-01-01T00:01:00Z",
        )
        .ok();
    assert!(out.contains("deleted 2 rows") && out.contains("--again"), "{out}");
    let rest = "time,sym,p,size,total\n1970-01-01T00:00:00Z,A,10,1,5\n1970-01-01T00:01:00Z,A,11,4,20\n\
        1970-01-01T00:03:20Z,A,8,5,3\n1970-01-01T00:00:30Z,B,100,7,7\n";
    assert_eq!(place.export(), rest);
    place.words("compact").ok();
    assert_eq!(place.export(), rest);
    assert!(
        place
            .import("ticks.csv", TICKS, "--tags sym")
            .ok()
            .contains("already imported: 6 rows at 2")
    );
    assert_eq!(place.export(), rest);
    assert!(place.words("delete --table t").ok().contains("deleted 4 rows"));
    place.import("ticks.csv", TICKS, "--tags sym --again").ok();
    assert_eq!(place.export().lines().count(), 7);
}

#[test]
fn drop_asks_and_forgets_imports() {
    let place = ticks();
    place.words("drop t").fails(2, &["needs --yes"]);
    assert_eq!(place.export().lines().count(), 7);
    assert!(place.words("drop t --yes").ok().contains("dropped table t with 6 rows"));
    place.words("export --table t").fails(3, &["unknown table"]);
    assert!(place.import("ticks.csv", TICKS, "--tags sym").ok().contains("imported 6 rows"));
}

#[test]
fn a_writer_refuses_others_and_is_named() {
    let place = ticks();
    let pid = std::process::id().to_string();
    let db = Db::open(Options::new(place.db())).unwrap();
    for line in ["flush", "tables", "drop t --yes"] {
        place.words(line).fails(4, &["is held by", &pid]);
    }
    db.close().unwrap();
    let reader = Db::open_read_only(Options::new(place.db())).unwrap();
    place.words("tables").ok();
    assert_eq!(place.export().lines().count(), 7);
    place.words("flush").fails(4, &["is held by"]);
    reader.close().unwrap();
    place.words("flush").ok();
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let mut csv = "ts,v\n".to_owned();
    (0..200_000).for_each(|i| csv.push_str(&format!("{i},{i}\n")));
    place.import("x.csv", csv, "").ok();
    let mut child = place.command(&["export", "--table", "t"]).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut [0; 100]).unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}
