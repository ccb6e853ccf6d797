//! What `import` makes of files.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Place, gzip};

#[test]
fn every_kind_of_value_comes_back() {
    let place = Place::new();
    let csv = "ts,sym,ver,f,i,u,b,s\r\n\
        1.5,A,3.10,1.25,-7,18446744073709551615,true,plain\r\n\
        2,A,3.1,NaN,,1,FALSE,\"a \"\"quoted\"\", one\"\r\n\
        0,B,,inf,9007199254740993,2,,\"\"\r\n\
        -1,B,,-inf,0,3,true,\r\n";
    let out = place.import("x.csv", csv, "--tags sym,ver").ok();
    for line in
        ["f     f64", "i     i64", "u     u64", "b     bool", "s     utf8", "merge append, new"]
    {
        assert!(out.contains(line), "{line:?} in {out}");
    }
    assert!(
        out.contains("first time 1969-12-31T23:59:59Z, last time 1970-01-01T00:00:02Z"),
        "{out}"
    );
    let expected = "time,sym,ver,f,i,u,b,s\n\
        1970-01-01T00:00:02Z,A,3.1,NaN,,1,false,\"a \"\"quoted\"\", one\"\n\
        1970-01-01T00:00:01.5Z,A,3.10,1.25,-7,18446744073709551615,true,plain\n\
        1969-12-31T23:59:59Z,B,,-inf,0,3,true,\n\
        1970-01-01T00:00:00Z,B,,inf,9007199254740993,2,,\"\"\n";
    assert_eq!(place.export(), expected);
    place.words("compact").ok();
    assert_eq!(place.export(), expected);
}

#[test]
fn an_export_imports_as_the_same_rows() {
    let place = Place::new();
    place.import("x.csv", "ts,k,v,w\n1,a,0.1,\"\"\n1,a,,x\n2,b,1e300,\n", "--tags k").ok();
    let first = place.export();
    let other = Place::new();
    other.import("y.csv", &first, "--time time --tags k").ok();
    assert_eq!(other.export(), first);
}

#[test]
fn packed_files_tags_from_names_and_null_words() {
    let place = Place::new();
    let a = place.file("BRK.B.csv.gz", gzip(b"\xef\xbb\xbfts;v\n1;2.5\n2;NA\n"));
    let packed = zstd::encode_all(&b"ts;v\n1;7\n"[..], 3).unwrap();
    let b = place.file("C.zst", packed);
    let words =
        "import --table t --time ts:s --tag sym=@filename --tag src=x --delimiter ; --null NA";
    let mut args: Vec<&str> = words.split(' ').collect();
    args.extend([a.as_str(), b.as_str()]);
    place.run(&args).ok();
    let expected = "time,sym,src,v\n1970-01-01T00:00:01Z,BRK.B,x,2.5\n1970-01-01T00:00:02Z,BRK.B,x,\n\
        1970-01-01T00:00:01Z,C,x,7\n";
    assert_eq!(place.export(), expected);
}

#[test]
fn files_without_a_header_zones_and_iso_times() {
    let place = Place::new();
    let csv = "2024-08-08 09:15:00,a\n2024-08-08,b\n2024-08-08T09:15:00.5+02:00,c\n";
    place.import("x.csv", csv, "--time c1 --no-header --zone Asia/Kolkata").ok();
    let expected =
        "time,c2\n2024-08-07T18:30:00Z,b\n2024-08-08T03:45:00Z,a\n2024-08-08T07:15:00.5Z,c\n";
    assert_eq!(place.export(), expected);
}

#[test]
fn standard_input_is_read_once() {
    let place = Place::new();
    let mut csv = "ts,v\n".to_owned();
    (0..120_000).for_each(|i| csv.push_str(&format!("{i},{i}\n")));
    let words: Vec<&str> = "import --table t --time ts:s -".split(' ').collect();
    let out = place.run_with(&words, csv.as_bytes()).ok();
    let figures = format!("imported 120000 rows into t ({} bytes read)", csv.len());
    assert!(out.contains(&figures), "{out}");
    assert_eq!(place.export().lines().count(), 120_001);
    // A type that the first rows do not show: what was committed before is named.
    csv.push_str("120000,x\n");
    let failed = place.run_with(&words, csv.as_bytes());
    failed.fails(2, &["line 120002", "\"x\" is no i64", "rows before it are in the table"]);
    let piped = place.run_with(&words, gzip(b"ts,v\n7,7\n").as_slice());
    assert!(piped.ok().contains("imported 1 rows"));
    place.run(&["import", "--table", "t", "--time", "ts:s", "-", "-"]).fails(2, &["only FILE"]);
}

#[test]
fn a_column_of_standard_input_that_begins_late_gets_the_type_of_its_values() {
    let place = Place::new();
    let words: Vec<&str> = "import --table t --time ts:s -".split(' ').collect();
    let mut csv = "ts,v,n,f,s,z\n".to_owned();
    for row in 0..200_000 {
        match row {
            // Columns that begin behind the rows from which types are inferred; one goes on in a later chunk.
            140_000 => csv.push_str("140000,140000,7,1.5,007,\n"),
            140_002 => csv.push_str("140002,140002,,-2,\"\",\n"),
            199_999 => csv.push_str("199999,199999,-8,1e3,x,\n"),
            _ => csv.push_str(&format!("{row},{row},,,,\n")),
        }
    }
    let ran = place.run_with(&words, csv.as_bytes());
    let told = ran.err.clone();
    ran.ok();
    assert!(told.contains("\"n\" has its first value in line 140002: it becomes i64"), "{told}");
    assert!(told.contains("\"f\" has its first value in line 140002: it becomes f64"), "{told}");
    assert!(!told.contains("\"z\" has its first value"), "{told}");
    let described = place.words("describe t").ok();
    let columns: Vec<Vec<&str>> =
        described.lines().map(|line| line.split_whitespace().collect()).collect();
    for column in [["n", "i64"], ["f", "f64"], ["s", "utf8"]] {
        assert!(columns.contains(&column.to_vec()), "{described}");
    }
    assert!(!columns.iter().any(|column| column.first() == Some(&"z")), "{described}");
    let export = place.export();
    let line = |time: &str| {
        let line = export.lines().find(|line| line.starts_with(time));
        line.map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(line("1970-01-02T14:53:20Z"), "1970-01-02T14:53:20Z,140000,7,1.5,007");
    assert_eq!(line("1970-01-02T14:53:21Z"), "1970-01-02T14:53:21Z,140001,,,");
    assert_eq!(line("1970-01-02T14:53:22Z"), "1970-01-02T14:53:22Z,140002,,-2,\"\"");
    assert_eq!(line("1970-01-03T07:33:19Z"), "1970-01-03T07:33:19Z,199999,-8,1000,x");
    // What the settled type does not take is refused with its line.
    csv.push_str("200000,1,x,,,\n");
    let other: Vec<&str> = "import --table u --time ts:s -".split(' ').collect();
    let ran = place.run_with(&other, csv.as_bytes());
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("line 200002: column \"n\": \"x\" is no i64"), "{}", ran.err);
}

#[test]
fn numbers_that_stay_text_are_told_of() {
    let place = Place::new();
    let ran = place.import("x.csv", "ts,v,w\n1,007,ab\n2,1e400,007\n", "");
    let told = ran.err.clone();
    ran.ok();
    assert!(told.contains("note: column \"v\"") && told.contains("line 2 has \"007\""), "{told}");
    assert!(!told.contains("column \"w\""), "{told}");
    let words: Vec<&str> = "import --table u --time ts:s -".split(' ').collect();
    let ran = place.run_with(&words, &b"ts,v\n1,1e400\n"[..]);
    let told = ran.err.clone();
    ran.ok();
    assert!(told.contains("line 2 has \"1e400\""), "{told}");
}

#[test]
fn standard_input_is_read_by_who_holds_the_database() {
    let place = Place::new();
    let words: Vec<&str> = "import --table t --time ts:s -".split(' ').collect();
    let mut child = place.command(&words).stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // The manifest is written under the lock.
    let start = Instant::now();
    let is_made = || std::fs::read_dir(place.db().join("manifest")).is_ok_and(|d| d.count() > 0);
    while !is_made() {
        assert!(start.elapsed() < Duration::from_secs(30), "it reads before it holds the database");
        std::thread::sleep(Duration::from_millis(5));
    }
    place.import("x.csv", "ts,v\n1,1\n", "").fails(4, &["is held by"]);
    pipe.write_all(b"ts,v\n2,2\n").unwrap();
    drop(pipe);
    assert!(child.wait().unwrap().success());
    place.import("x.csv", "ts,v\n1,1\n", "").ok();
    let expected = "time,v\n1970-01-01T00:00:01Z,1\n1970-01-01T00:00:02Z,2\n";
    assert_eq!(place.export(), expected);
}

#[test]
fn merge_modes_tell_how_many_rows_replaced_one_another() {
    let csv = "ts,k,a,b\n1,x,1,\n1,x,,2\n1,y,5,\n2,x,3,3\n1,x,4,\n";
    let row = Place::new();
    let out = row.import("x.csv", csv, "--tags k --merge last_row").ok();
    assert!(out.contains("2 of these rows have the series and time of another one"), "{out}");
    let sorted = |last: &str| {
        format!(
            "time,k,a,b\n1970-01-01T00:00:01Z,x,{last}\n1970-01-01T00:00:02Z,x,3,3\n1970-01-01T00:00:01Z,y,5,\n"
        )
    };
    assert_eq!(row.export(), sorted("4,"));
    let field = Place::new();
    field.import("x.csv", csv, "--tags k --merge last_non_null").ok();
    assert_eq!(field.export(), sorted("4,2"));
    let append = Place::new();
    let out = append.import("x.csv", csv, "--tags k").ok();
    assert!(!out.contains("of these rows"), "{out}");
    assert_eq!(append.export().lines().count(), 6);
    append
        .import("y.csv", csv, "--tags k --merge last_row")
        .fails(4, &["has merge mode append", "--merge says last_row"]);
}

#[test]
fn refused_rows_are_counted_and_shown() {
    let place = Place::new();
    let mut csv = "ts,v\n1,1\n2\n3,3,3\nx,4\n5,\"5\"oops\n6,6\n".to_owned();
    csv.push_str(&"9,9,9\n".repeat(20));
    let out = place.import("x.csv", &csv, "--on-error skip").ok();
    assert!(out.contains("imported 2 rows") && out.contains("24 rows refused"), "{out}");
    for reason in [
        "line 3: 1 fields where the header has 2",
        "line 4: 3 fields where the header has 2",
        "line 5: \"x\" is not a number of seconds",
        "line 6: text follows the closing quote",
    ] {
        assert!(out.contains(reason), "{reason:?} in {out}");
    }
    assert_eq!(
        out.lines().filter(|line| line.starts_with("  ") && line.contains("line ")).count(),
        10
    );
    let times: Vec<_> = place.export().lines().skip(1).map(|line| line[..20].to_owned()).collect();
    assert_eq!(times, ["1970-01-01T00:00:01Z", "1970-01-01T00:00:06Z"]);
}

#[test]
fn a_dynamic_table_gains_columns() {
    let place = Place::new();
    place.import("x.csv", "ts,a\n1,1\n", "").ok();
    place.import("y.csv", "ts,c,a\n2,z,2\n", "--tag k=v").ok();
    let expected = "time,k,a,c\n1970-01-01T00:00:01Z,,1,\n1970-01-01T00:00:02Z,v,2,z\n";
    assert_eq!(place.export(), expected);
}

#[test]
fn a_column_has_no_type_before_its_first_value() {
    let place = Place::new();
    // No row at all, then rows without any value, then some without one in `b`.
    for (name, csv) in [("a.csv", "ts,v,b\n"), ("b.csv", "ts,v,b\n1,,\n2,,\n")] {
        let ran = place.import(name, csv, "");
        assert!(!ran.err.contains("utf8"), "{}", ran.err);
        let out = ran.ok();
        for line in ["  v     no value yet, no column\n", "  b     no value yet, no column\n"] {
            assert!(out.contains(line), "{line:?} in {out}");
        }
    }
    assert_eq!(place.export(), "time\n1970-01-01T00:00:01Z\n1970-01-01T00:00:02Z\n");
    let out = place.import("c.csv", "ts,v,b\n3,1.5,\n", "").ok();
    assert!(out.contains("  v     f64\n") && out.contains("  b     no value yet"), "{out}");
    place.import("d.csv", "ts,v,b\n4,,true\n", "").ok();
    let expected = "time,v,b\n1970-01-01T00:00:01Z,,\n1970-01-01T00:00:02Z,,\n\
        1970-01-01T00:00:03Z,1.5,\n1970-01-01T00:00:04Z,,true\n";
    assert_eq!(place.export(), expected);
    // A type that was asked for is one.
    let named = Place::new();
    named.import("a.csv", "ts,v\n", "--types v=f64").ok();
    assert_eq!(named.export(), "time,v\n");
}

#[test]
fn types_can_be_named() {
    let place = Place::new();
    let csv = "ts,p,at,n\n1,10.50,1700000000123,007\n2,-0.05,1700000000124,8\n";
    place.import("x.csv", csv, "--types p=decimal(10,2),at=timestamp:ms,n=u64").ok();
    let expected = "time,p,at,n\n1970-01-01T00:00:01Z,10.50,2023-11-14T22:13:20.123Z,7\n\
        1970-01-01T00:00:02Z,-0.05,2023-11-14T22:13:20.124Z,8\n";
    assert_eq!(place.export(), expected);
}
