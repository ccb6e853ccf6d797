//! The quickstart runs through and finds everything.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::support::Place;

/// The command lines of processes that run in the place's folder.
fn running_in(place: &Place) -> Vec<String> {
    let folder = place.path(".").canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let here = processes.filter(|process| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder)
    });
    here.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok())
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn nothing_runs_on_when_it_is_killed() {
    for (step, child) in [("2. ", "quickstart-writer"), ("5. ", "serve")] {
        let place = Place::new();
        let mut running = place.command(&["quickstart"]).spawn().unwrap();
        let lines = BufReader::new(running.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.starts_with(step));
        assert!(line.is_some(), "no step {step}");
        let begun = Instant::now();
        let is_there = || running_in(&place).iter().any(|line| line.contains(child));
        while !is_there() {
            assert!(begun.elapsed() < Duration::from_secs(20), "no {child}");
            std::thread::sleep(Duration::from_millis(10));
        }
        running.kill().unwrap();
        running.wait().unwrap();
        let begun = Instant::now();
        while !running_in(&place).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", running_in(&place));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn generated_ticks_survive_the_kill() {
    let place = Place::new();
    let out = place.run(&["quickstart"]).ok();
    for part in [
        "a database in chronolith-quickstart-1",
        "killed it (SIGKILL) in the middle of writing",
        "acknowledged rows are there, compared one by one",
        "5. a server has the database",
        "6. killed the server (SIGKILL) in the middle of the streams",
        "rows/s (in one process: ",
        "rows that it had acknowledged are there exactly once",
        "batches whose acknowledgement was not heard were sent again",
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
    assert_eq!(running_in(&place), Vec::<String>::new());
    // What is shown can be copied, and says the same again.
    let lines: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("   $ ")).collect();
    assert!(lines.len() >= 5 && lines.iter().any(|line| line.contains("serve --data")), "{out}");
    for line in lines.iter().filter(|line| !line.contains("serve --data")) {
        let ran = std::process::Command::new("sh")
            .args(["-c", line])
            .current_dir(place.path("."))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success() && !said.is_empty(), "{line}: {ran:?}");
        assert!(
            line.contains(" compact ") || out.contains(said.trim_end()),
            "{line}:\n{said}\n{out}"
        );
    }
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
