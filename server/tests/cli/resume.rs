//! Imports that are repeated, and imports that are killed.

use std::process::Stdio;
use std::time::Duration;

use crate::support::Place;

/// A file of `rows` rows in which many share a time, and its rows as the export has them.
fn file(rows: u32, salt: u32) -> (String, Vec<String>) {
    let mut csv = "ts,v,w\n".to_owned();
    let mut expected: Vec<(u32, String)> = Vec::new();
    for i in 0..rows {
        let time = i.wrapping_mul(7_919) % 5_000;
        let value = i.wrapping_add(salt);
        csv.push_str(&format!("{time},{value},text {}\n", value % 97));
        let (minute, second) = (time / 60, time % 60);
        let (hour, minute) = (minute / 60, minute % 60);
        let row =
            format!("1970-01-01T{hour:02}:{minute:02}:{second:02}Z,{value},text {}", value % 97);
        expected.push((time, row));
    }
    expected.sort_by_key(|(time, _)| *time);
    (csv, expected.into_iter().map(|(_, row)| row).collect())
}

fn exported(place: &Place) -> Vec<String> {
    place.export().lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_file_is_imported_once() {
    let place = Place::new();
    let (csv, expected) = file(150_000, 0);
    assert!(place.import("a.csv", &csv, "").ok().contains("imported 150000 rows"));
    // The bytes count, not the name.
    let again = place.import("b.csv", &csv, "").ok();
    assert!(again.contains("b.csv: already imported: 150000 rows at 2"), "{again}");
    assert!(again.contains("imported 0 rows"), "{again}");
    assert!(exported(&place) == expected);
    // Another tag makes other rows.
    place.import("a.csv", &csv, "--tag k=1").ok();
    assert_eq!(
        place.words("export --table t --where k=1 --columns v").ok().lines().count(),
        150_001
    );
}

#[test]
fn again_imports_once_more_each_time() {
    let place = Place::new();
    let csv = "ts,v\n1,1\n";
    for (more, rows) in [("--again", 1), ("", 1), ("--again", 2), ("", 2), ("--again", 3)] {
        place.import("a.csv", csv, more).ok();
        assert_eq!(exported(&place).len(), rows, "after {more:?}");
    }
}

#[test]
fn an_empty_table_of_rows_is_an_import_too() {
    let place = Place::new();
    assert!(place.import("a.csv", "ts,v\n", "").ok().contains("imported 0 rows"));
    assert!(place.import("a.csv", "ts,v\n", "").ok().contains("already imported: 0 rows"));
    assert_eq!(place.export(), "time\n");
    assert!(
        place.import("b.csv", "ts,v\nx,1\n", "--on-error skip").ok().contains("1 rows refused")
    );
    assert!(
        place
            .import("b.csv", "ts,v\nx,1\n", "--on-error skip")
            .ok()
            .contains("already imported: 0")
    );
}

/// Runs an import and kills it after `delay`; whether it was still running then.
fn kill_after(place: &Place, args: &[&str], delay: Duration) -> bool {
    let mut child =
        place.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// Kills an import again and again, each time a little later, until one ends by itself. Gives the kills.
fn kill_until_done(place: &Place, args: &[&str]) -> usize {
    let mut kills = 0;
    let mut delay = Duration::from_millis(10);
    while kill_after(place, args, delay) {
        kills += 1;
        delay = delay.mul_f64(1.25);
        assert!(kills < 500, "an import never ends");
    }
    kills
}

#[test]
fn a_killed_import_goes_on_without_doubles() {
    let place = Place::new();
    let (a, rows_a) = file(400_000, 0);
    let (b, rows_b) = file(100_000, 400_000);
    let (a, b) = (place.file("a.csv", a), place.file("b.csv", b));
    let args = ["import", "--table", "t", "--time", "ts:s", "--tag", "k=@filename", &a, &b];
    let kills = kill_until_done(&place, &args);
    assert!(kills >= 3, "{kills} kills: too few to show anything");
    let out = place.run(&args).ok();
    assert_eq!(out.matches("already imported").count(), 2, "{out}");
    let with_tag = |rows: &[String], tag: &str| -> Vec<String> {
        let tagged = rows.iter().map(|row| row.replacen("Z,", &format!("Z,{tag},"), 1));
        tagged.collect()
    };
    let expected = [with_tag(&rows_a, "a"), with_tag(&rows_b, "b")].concat();
    assert!(exported(&place) == expected);
    place.words("compact").ok();
    assert!(exported(&place) == expected);
    assert!(place.words("verify").ok().contains("no damage"));

    // Anew, killed likewise: every row a second time, and no third.
    let again: Vec<&str> = args.iter().copied().chain(["--again"]).collect();
    let mut delay = Duration::from_millis(30);
    while row_count(&place) == expected.len() {
        kill_after(&place, &again, delay);
        delay = delay.mul_f64(1.25);
    }
    while row_count(&place) < 2 * expected.len() {
        kill_after(&place, &again, delay);
        delay = delay.mul_f64(1.1);
    }
    let twice: Vec<String> = expected.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
    let (mut found, mut wanted) = (exported(&place), twice);
    found.sort_unstable();
    wanted.sort_unstable();
    assert!(found == wanted);
}

/// Rows of the only table.
fn row_count(place: &Place) -> usize {
    let tables = place.words("tables --format csv").out;
    let row = tables.lines().nth(1);
    row.map_or(0, |row| row.split(',').nth(3).unwrap().parse().unwrap())
}

#[test]
fn a_killed_import_goes_on_with_corrected_types() {
    const ROWS: usize = 400_000;
    let mut csv = "ts,at\n".to_owned();
    (0..ROWS).for_each(|i| csv.push_str(&format!("{i},{}\n", 1_700_000_000 + i)));
    let import = |place: &Place, types: &str, delay: Option<Duration>| {
        let file = place.file("a.csv", &csv);
        let args = ["import", "--table", "t", "--time", "ts:s", "--types", types, &file];
        match delay {
            Some(delay) => drop(kill_after(place, &args, delay)),
            None => drop(place.run(&args).ok()),
        }
    };
    // Seconds taken for milliseconds, noticed in the middle: between too early and too late.
    let (mut early, mut late) = (0.0, 4.0);
    let (place, rows) = loop {
        let place = Place::new();
        let delay = (early + late) / 2.0;
        import(&place, "at=timestamp:ms", Some(Duration::from_secs_f64(delay)));
        match row_count(&place) {
            0 => early = delay,
            ROWS => late = delay,
            rows => break (place, rows),
        }
        // The machine's pace changes: the bounds give way.
        (early, late) = (early * 0.98, late * 1.02);
    };
    import(&place, "at=timestamp:s", None);
    let found = exported(&place);
    assert_eq!(found.len(), ROWS);
    let wrong_rows = found.iter().filter(|row| row.contains(",1970-01-20T")).count();
    assert_eq!(
        wrong_rows, rows,
        "rows that were committed before stay, and none is imported twice"
    );
}
