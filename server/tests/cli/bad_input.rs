//! Each bad input is refused with an error that names what, where and what to do, and nothing is lost or half done.

use chronolith_engine::model::{Batch, RowBuilder};
use chronolith_engine::{Db, Options};

use crate::support::{Place, gzip};

/// A place with table `t`: tag `k`, fields `v i64` and `s utf8`, one row; and its export.
fn with_table() -> (Place, String) {
    let place = Place::new();
    place.import("first.csv", "ts,k,v,s\n1,a,1,x\n", "--tags k").ok();
    let export = place.export();
    (place, export)
}

#[test]
fn names_that_are_not_there() {
    let (place, _) = with_table();
    for command in ["export --table", "latest --table", "describe", "delete --table", "drop --yes"]
    {
        place.words(&format!("{command} nope")).fails(3, &["unknown table \"nope\""]);
    }
    for command in ["export --columns nope", "latest --columns nope", "delete --where nope=1"] {
        place
            .words(&format!("{command} --table t"))
            .fails(3, &["\"nope\"", "there are: ", "time", "k", "v", "s"]);
    }
    place
        .words("bars --table t --every 1m --price nope")
        .fails(3, &["unknown column \"nope\"", "there are"]);
    place.words("export --table t --columns ts").fails(3, &["was called \"ts\""]);
    for command in ["export", "latest", "bars --every 1m --price v", "delete"] {
        let parts = ["\"v\" is a field, not a tag: --where takes tags only", "table \"t\": k"];
        place.words(&format!("{command} --table t --where v=1")).fails(2, &parts);
    }
    place.words("bars --table t --every 1m --price s").fails(2, &["\"s\"", "utf8"]);
}

#[test]
fn requests_that_are_no_requests() {
    let place = Place::new();
    for line in [
        "export",
        "export --table t --from yesterday",
        "bars --table t --every 1month --price p",
        "bars --table t --every 0s --price p",
        "bars --table t --every 1m --price p --volume-kind cumulative",
        "latest --table t --format xml",
        "export --table t --where nonsense",
        "create t --fields a:float",
        "create t --fields a:f64,a:i64",
        "create t --merge sometimes",
        "import --table t --time ts:s",
        "import --table t --time ts --zone Mars/Olympus x.csv",
        "import --table t --time ts --delimiter ab x.csv",
        "unheard-of",
    ] {
        let ran = place.words(line);
        assert_eq!(ran.code, Some(2), "{line}: {}", ran.err);
        assert!(ran.err.contains("error: ") && ran.out.is_empty(), "{line}: {}", ran.err);
    }
    assert!(!place.db().exists());
}

#[test]
fn files_that_cannot_be_imported_leave_nothing_behind() {
    let rows: String = (0..20_000).map(|i| format!("{i},{i}\n")).collect();
    let cut = gzip(format!("ts,v\n{rows}").as_bytes());
    let mut flipped = cut.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 0x55;
    let long_tag = format!("ts,k\n1,{}\n", "x".repeat(5_000));
    let long_text = format!("ts,s\n1,a\n2,{}\n", "x".repeat((1 << 20) + 1));
    let zero_tag = "ts,k\n1,a\0b\n";
    let cases: &[(&[u8], &str, i32, &[&str])] = &[
        (b"", "", 2, &["bad.csv is empty"]),
        (b"\xef\xbb\xbf\n\n", "", 2, &["is empty"]),
        (b"ts,v\n1\n", "", 2, &["line 2", "1 fields where the header has 2", "--on-error skip"]),
        (b"ts,v\n1,2,3\n", "", 2, &["line 2", "3 fields where the header has 2"]),
        (b"ts,v\n1,2\n2,\"x\n", "", 2, &["line 3", "open at the end"]),
        (b"ts,v,v\n1,2,3\n", "", 2, &["columns 2 and 3 are both called \"v\""]),
        (b"ts,,v\n1,2,3\n", "", 2, &["column 2 has no name"]),
        (b"ts,v\n1,\xff\n", "", 2, &["line 2", "column \"v\"", "not valid UTF-8"]),
        (b"ts,k\n1,\xff\n", "--tags k", 2, &["line 2", "tag \"k\"", "not valid UTF-8"]),
        (b"\xff\xfet\0s\0", "", 2, &["UTF-16"]),
        (&cut[..cut.len() / 2], "", 2, &["truncated", "gzip", "fetch it again"]),
        (&flipped, "", 2, &["damaged", "gzip"]),
        (b"when,v\n1,2\n", "", 3, &["no column \"ts\" for the time", "there are: when, v"]),
        (b"ts,v\n1,2\n", "--tags sym", 3, &["no column \"sym\" for a tag"]),
        (b"ts,v\n1,2\n", "--tag v=1", 2, &["has a column \"v\" already"]),
        (b"ts,v\n1,2\n", "--types w=f64", 3, &["names column \"w\"", "there are: v"]),
        (b"ts,v\n1,2\n", "--types ts=i64", 2, &["is the time"]),
        (b"ts,v\n1,2\n", "--tags v,v", 2, &["tag \"v\" is given twice"]),
        (b"ts,v\n1,1.5\n", "--types v=i64", 2, &["line 2", "\"1.5\" is no i64"]),
        (b"ts,v\n1,300.125\n", "--types v=decimal(4,2)", 2, &["line 2", "over 2 digits"]),
        (b"ts,v\n9223372037,1\n", "", 2, &["line 2", "outside what nanoseconds"]),
        (b"ts,v\n,1\n", "", 2, &["line 2", "the time is missing"]),
        (b"ts,v\n1700000000123,1\n", "--time ts", 2, &["milliseconds", "--time ts:ms"]),
        (b"ts,time\n1,2\n", "", 2, &["\"time\""]),
        (b"ts,_v\n1,2\n", "", 2, &["\"_v\"", "reserved"]),
        (long_tag.as_bytes(), "--tags k", 2, &["line 2", "5000 bytes, the limit is 4096"]),
        (zero_tag.as_bytes(), "--tags k", 2, &["line 2", "zero byte"]),
        (long_text.as_bytes(), "", 2, &["line 3", "column \"s\"", "the limit is 1048576 bytes"]),
    ];
    for (bytes, more, code, parts) in cases {
        let place = Place::new();
        let ran = place.import("bad.csv", bytes, more);
        ran.fails(*code, parts);
        let tables = place.words("tables --format csv");
        // At most an empty database is there: no table, no row.
        assert!(
            tables.code == Some(3) || tables.out.lines().count() == 1,
            "{more}: {}",
            tables.out
        );
    }
}

#[test]
fn too_many_tags_and_fields() {
    let place = Place::new();
    let names: Vec<String> = (0..65).map(|i| format!("k{i}")).collect();
    let csv = format!("ts,{}\n1{}\n", names.join(","), ",x".repeat(65));
    place.import("x.csv", &csv, &format!("--tags {}", names.join(","))).fails(2, &["65", "64"]);
    let wide = format!("ts{}\n", ",a".repeat(4_096));
    place.import("y.csv", wide, "").fails(2, &["over 4096 fields"]);
}

#[test]
fn a_clash_is_found_before_the_first_commit() {
    let (place, before) = with_table();
    place
        .import("x.csv", "ts,k,v\n2,a,2\n3,a,2.5\n", "--tags k")
        .fails(2, &["line 3", "\"2.5\" is no i64"]);
    place
        .import("x.csv", "ts,v\n2,2\n", "--types v=f64")
        .fails(4, &["holds i64", "--types says f64"]);
    place.import("x.csv", "ts,k\n2,2\n", "").fails(4, &["\"k\" is a tag of table"]);
    place.import("x.csv", "ts,v\n2,2\n", "--tags v").fails(4, &["\"v\" is a field of table"]);
    assert_eq!(place.export(), before);

    let other = Place::new();
    let a = other.file("a.csv", "ts,v\n1,1\n");
    let b = other.file("b.csv", "ts,v\n1,one\n");
    let import = ["import", "--table", "t", "--time", "ts:s", &a, &b];
    other.run(&import).fails(2, &["column \"v\" is i64", "a.csv and utf8 in", "--types v=utf8"]);
    assert!(!other.db().exists());
    let with_types: Vec<&str> = import.iter().copied().chain(["--types", "v=utf8"]).collect();
    other.run(&with_types).ok();
    assert_eq!(other.export().lines().count(), 3);
}

#[test]
fn integers_that_a_float_column_would_round_are_refused() {
    let place = Place::new();
    place.import("x.csv", "ts,v\n1,0.5\n", "").ok();
    place.import("y.csv", "ts,v\n2,9007199254740993\n", "").fails(2, &["line 2", "would round"]);
    place.import("z.csv", "ts,v\n2,9007199254740992\n", "").ok();
    assert!(place.export().ends_with("1970-01-01T00:00:02Z,9007199254740992\n"));
}

#[test]
fn a_strict_table_takes_no_other_columns() {
    let place = Place::new();
    place.words("create t --tags k --fields v:f64").ok();
    place.words("create t --fields v:f64").fails(4, &["exists already"]);
    place
        .import("x.csv", "ts,k,v,w\n1,a,1,2\n", "--tags k")
        .fails(3, &["is strict and has no column \"w\"", "there are: time, k, v"]);
    place.import("x.csv", "ts,k,v\n1,a,1\n", "--tags k").ok();
    assert_eq!(place.export(), "time,k,v\n1970-01-01T00:00:01Z,a,1\n");
    place.words("create chronolith_x --fields v:f64").fails(2, &["belong to the engine"]);
}

#[test]
fn directories_that_are_no_database() {
    let place = Place::new();
    for line in
        ["tables", "stats", "verify", "export --table t", "flush", "compact", "drop t --yes"]
    {
        place.words(line).fails(3, &["no database at", "db"]);
        assert!(!place.db().exists(), "{line} made the directory");
    }
    std::fs::create_dir(place.db()).unwrap();
    place.words("tables").fails(3, &["no database at"]);
    std::fs::write(place.db().join("letter.txt"), "dear").unwrap();
    for line in ["tables", "flush", "create t --fields v:f64"] {
        place.words(line).fails(4, &["is not a chronolith database"]);
    }
    assert_eq!(std::fs::read_dir(place.db()).unwrap().count(), 1, "nothing was added");
    place.file("plain", "x");
    place.words("tables --data plain").fails(4, &["plain"]);
}

#[test]
fn files_that_are_not_there_and_outputs_that_cannot_be() {
    let (place, _) = with_table();
    place
        .run(&["import", "--table", "t", "--time", "ts:s", "absent.csv"])
        .fails(3, &["cannot open absent.csv"]);
    place.run(&["import", "--table", "t", "--time", "ts:s", "."]).fails(2, &["is a directory"]);
    place.words("export --table t -o .").fails(2, &["is a directory"]);
    place.words("export --table t -o absent/x.csv").fails(6, &["cannot write absent"]);
}

#[test]
fn a_damaged_segment_is_named() {
    let place = Place::new();
    let mut csv = "ts,v,w\n".to_owned();
    (0..50_000_u64).for_each(|i| {
        csv.push_str(&format!("{i},{},{i}\n", i.wrapping_mul(2_654_435_761) % 99_991))
    });
    place.import("x.csv", csv, "").ok();
    place.words("compact").ok();
    assert!(place.words("verify").ok().contains("no damage"));
    let segment = largest_file(&place.db().join("segments"));
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    let ran = place.words("verify").fails(5, &["damaged part(s) found", "restore"]);
    assert!(ran.out.contains(name) && ran.out.contains("table t"), "{}", ran.out);
    place.words("export --table t").fails(5, &[name, "damaged"]);
    // What cannot be exported whole does not appear.
    place.words("export --table t -o out.csv").fails(5, &[name]);
    assert!(!place.path("out.csv").exists());
    let ran = place.words("verify --format json").fails(5, &["damaged part(s) found"]);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let part = found["damage"].as_array().unwrap().iter().find(|part| part["page"].is_u64());
    let part = part.unwrap();
    assert_eq!((part["table"].as_str(), part["row_group"].as_u64()), (Some("t"), Some(0)));
    assert!(part["column"].is_string() && part["times"]["from"].is_string(), "{part}");

    place.words("verify --dry-run").code_is(2);
    let plan = place.words("verify --repair --dry-run").fails(5, &["nothing was changed"]);
    assert!(plan.out.contains("move it to quarantine/"), "{}", plan.out);
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
    let done = place.words("verify --repair").fails(5, &["repaired, with losses in 1 file(s)"]);
    assert!(done.out.contains("lost: 4096 rows of table t, times from 1970-"), "{}", done.out);
    assert!(
        done.out.contains("keep its 45904 rows that can be read in a new segment"),
        "{}",
        done.out
    );
    let aside = place.db().join("quarantine").join(name);
    assert_eq!(std::fs::read(&aside).unwrap(), bytes);
    assert!(place.words("verify").ok().contains("no damage"));
    assert_eq!(place.words("export --table t").ok().lines().count(), 1 + 45_904);
    assert!(place.words("verify --repair").ok().contains("nothing to repair"));
}

#[test]
fn rows_behind_a_damaged_part_of_the_log_are_missed_aloud() {
    let place = Place::new();
    place.words("create t --fields s:utf8,p:f64").ok();
    let db = Db::open(Options::new(place.db())).unwrap();
    // The last row was written once the one before it was synced, so that damage there is no torn tail.
    for (second, text) in (1_i64..).zip(["row-that-stays", "row-that-is-damaged", "row-behind"]) {
        let fields = [("s", text.into()), ("p", 7.0.into())];
        let row = RowBuilder::new("t").row(second * 1_000_000_000, &[], &fields);
        db.write(Batch::new().with(row.build().unwrap())).unwrap();
    }
    db.close().unwrap();
    assert_eq!(place.export().lines().count(), 4);
    let text = b"row-that-is-damaged";
    let mut damaged = 0;
    for log in std::fs::read_dir(place.db().join("wal")).unwrap() {
        let log = log.unwrap().path();
        let mut bytes = std::fs::read(&log).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
            bytes[at] ^= 1;
            std::fs::write(&log, &bytes).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    for (line, there) in [
        ("export --table t", "1970-01-01T00:00:01Z,row-that-stays,7\n"),
        (
            "bars --table t --every 1m --price p",
            "1970-01-01T00:00:00Z     7     7    7      7      1",
        ),
        ("latest --table t", "row-that-stays"),
        ("tables", "t "),
        ("describe t", "rows      1\n"),
        ("describe t --format json", "\"rows\": 1"),
        ("stats", "memory budget"),
        ("stats --format json", "\"tables\""),
    ] {
        let ran = place.words(line);
        assert_eq!(ran.code, Some(5), "{line}: {}\n{}", ran.out, ran.err);
        assert!(ran.out.contains(there) && !ran.out.contains("row-behind"), "{line}: {}", ran.out);
        for part in ["warning: the log is damaged", "error: the result is incomplete"] {
            assert!(ran.err.contains(part), "{line}: {}", ran.err);
        }
    }
    let ran = place.words("verify").fails(5, &["1 damaged part(s) found"]);
    assert!(ran.out.contains(".log, all times: bytes "), "{}", ran.out);
    let ran = place.words("verify --repair").fails(5, &["repaired, with losses in 1 file(s)"]);
    assert!(ran.out.contains("lost: what these commits wrote"), "{}", ran.out);
    let out = place.export();
    assert!(out.contains("row-that-stays") && out.contains("row-behind"), "{out}");
    assert_eq!(out.lines().count(), 3, "{out}");
}

fn largest_file(dir: &std::path::Path) -> std::path::PathBuf {
    let mut folders = vec![dir.to_path_buf()];
    let mut largest = (0, std::path::PathBuf::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let about = entry.metadata().unwrap();
            if about.is_dir() {
                folders.push(entry.path());
            } else if about.len() > largest.0 {
                largest = (about.len(), entry.path());
            }
        }
    }
    largest.1
}
