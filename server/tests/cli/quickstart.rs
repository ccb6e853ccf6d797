//! The quickstart runs through and finds everything.

use crate::support::Place;

#[test]
fn generated_ticks_survive_the_kill() {
    let place = Place::new();
    let out = place.run(&["quickstart"]).ok();
    for part in [
        "a database in chronolith-quickstart-1",
        "killed it (SIGKILL) in the middle of writing",
        "acknowledged rows are there, compared one by one",
        "one-minute bars",
        "the latest values",
        "bytes per row",
        "what to try next",
    ] {
        assert!(out.contains(part), "{part:?} in {out}");
    }
    // Writing lasts 2.5 s from the first acknowledgement on, and began before that.
    let line = out.lines().find(|line| line.starts_with("3. ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let before = |word: &str| words[words.iter().position(|w| *w == word).unwrap() - 1];
    let seconds: f64 = before("s").parse().unwrap();
    assert!(seconds >= 2.5 && line.contains(" s after it began: "), "{line}");
    let (rows, rate): (f64, f64) =
        (before("rows").parse().unwrap(), before("rows/s").parse().unwrap());
    assert!((rows / seconds / rate - 1.0).abs() < 0.05, "{line}");
    assert!(!place.db().exists(), "the database that the environment names is left alone");
    place.words("verify --data chronolith-quickstart-1").ok();
    place.words("quickstart --data chronolith-quickstart-1").fails(4, &["is not empty"]);
}

#[test]
fn given_files_survive_the_kill() {
    let place = Place::new();
    let mut csv = "Timestamp,Price,Volume\n".to_owned();
    (0..300_000_u64).for_each(|i| {
        csv.push_str(&format!("{},{}.5,{}\n", 1_700_000_000_000 + i * 100, 100 + i % 7, i % 90));
    });
    let (a, b) = (place.file("A.csv", &csv), place.file("B.csv", csv.replace(".5,", ".25,")));
    let out = place.run(&["quickstart", "--data", "q", &a, &b]).ok();
    assert!(out.contains("600000 in all, the files' rows and none twice"), "{out}");
    let count = place.words("export --data q --table ticks").ok().lines().count();
    assert_eq!(count, 600_001);
    place.file("C.csv", "a,b\n1,2\n");
    place.run(&["quickstart", "--data", "r", "C.csv"]).fails(2, &["looks like the time"]);
}
