//! The prompt on a terminal, which `script` of util-linux gives.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::Place;

const PATIENCE: Duration = Duration::from_secs(20);

/// The program on a terminal; killed when dropped.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    /// Bytes that were looked at.
    seen: usize,
}

impl Terminal {
    /// None, loudly, where `script` is not there.
    fn open(place: &Place, arguments: &str, history: &str) -> Option<Self> {
        let there = Command::new("script").arg("--version").output();
        if !there.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux"))
        {
            eprintln!("SKIPPED, NOTHING WAS CHECKED: there is no `script` of util-linux");
            return None;
        }
        // Without a shell in between, which Ctrl-C would reach too.
        let line = format!("exec {} sql {arguments}", env!("CARGO_BIN_EXE_chronolith"));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env("CHRONOLITH_DATA", place.db())
            .env("CHRONOLITH_HISTORY", history)
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .current_dir(place.path("."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let shown = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                into.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        let mut terminal = Self { child, keys, shown, seen: 0 };
        terminal.until("chronolith> ");
        Some(terminal)
    }

    fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until `text` is shown behind what was looked at; gives what was shown up to there.
    #[track_caller]
    fn until(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap();
            let new = String::from_utf8_lossy(&shown[self.seen..]).into_owned();
            if let Some(at) = new.find(text) {
                // Only ASCII is shown, and cut nowhere else.
                self.seen += at + text.len();
                return new[..at].to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no {text:?} in {new:?}");
            drop(shown);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn ended(mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn place() -> Place {
    let place = Place::new();
    let mut rows = "ts,sym,price\n".to_owned();
    (0..20_000).for_each(|row| rows.push_str(&format!("{row},a,{row}.5\n")));
    place.import("rows.csv", rows, "--tags sym").ok();
    place
}

#[test]
fn statements_are_typed_completed_dropped_and_ended() {
    let place = place();
    let history = place.path("history");
    let Some(mut terminal) = Terminal::open(&place, "", history.to_str().unwrap()) else { return };
    // Two lines are one statement; 40 rows are shown.
    terminal.keys("SELECT count(*) AS n\r");
    terminal.keys("FROM t;\r");
    terminal.until("| 20000 |");
    terminal.until("chronolith> ");
    terminal.keys("SELECT price FROM t ORDER BY time;\r");
    let rows = terminal.until("19960 more rows");
    assert_eq!(rows.matches(".5 ").count(), 40, "{rows}");
    terminal.until("chronolith> ");
    // Tab: `sym` is the column, `pr` one of several words; TIME_B the function.
    terminal.keys("SELECT last(pri\t, time) FROM t;\r");
    terminal.until("19999.5");
    terminal.until("chronolith> ");
    // Ctrl-C drops what is typed.
    terminal.keys("SELECT nonsense\x03");
    terminal.until("chronolith> ");
    terminal.keys("SELECT 40 + 2 AS answer;\r");
    terminal.until("| 42     |");
    terminal.until("chronolith> ");
    terminal.keys("\\d\r");
    terminal.until("| t ");
    terminal.until("chronolith> ");
    terminal.keys("\\d t\r");
    terminal.until("| price ");
    terminal.until("chronolith> ");
    terminal.keys("\\?\r");
    terminal.until("\\timing");
    terminal.until("chronolith> ");
    terminal.keys("\\timing\r");
    terminal.until("chronolith> ");
    terminal.keys("SELECT prise FROM t;\r");
    terminal.until("       ^");
    terminal.until(" ms");
    terminal.until("chronolith> ");
    // Ctrl-C ends the statement that runs, and only that.
    terminal.keys("SELECT count(*) FROM t a, t b, t c WHERE a.price + b.price + c.price = -1;\r");
    std::thread::sleep(Duration::from_millis(700));
    let begun = Instant::now();
    terminal.keys("\x03");
    terminal.until("cancelled");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    terminal.until("chronolith> ");
    // Ctrl-D leaves.
    terminal.keys("\x04");
    assert_eq!(terminal.ended(), 0);
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("SELECT count(*) AS n\\nFROM t;\n"), "{kept}");
    assert!(!kept.contains("nonsense"), "{kept}");
    // The next prompt has the history: up, Enter.
    let mut again = Terminal::open(&place, "", history.to_str().unwrap()).unwrap();
    again.keys("\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\r");
    again.until("| price ");
    again.until("chronolith> ");
    again.keys("quit\r");
    assert_eq!(again.ended(), 0);
}

#[test]
fn an_empty_name_keeps_no_history() {
    let place = place();
    let Some(mut terminal) = Terminal::open(&place, "", "") else { return };
    terminal.keys("SELECT 1 AS one;\r");
    terminal.until("| 1   |");
    terminal.until("chronolith> ");
    terminal.keys("\\q\r");
    assert_eq!(terminal.ended(), 0);
    let files: Vec<_> = std::fs::read_dir(place.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(files.iter().all(|name| name == "db" || name == "rows.csv"), "{files:?}");
}

#[test]
fn lines_that_come_at_once_are_all_read() {
    let place = place();
    let Some(mut terminal) = Terminal::open(&place, "", "") else { return };
    terminal.keys("SELECT 1 AS one;\rSELECT 2 AS two;\rSELECT 3\r AS three;\r");
    for shown in ["| one |", "| two |", "| three |"] {
        terminal.until(shown);
        terminal.until("chronolith> ");
    }
    terminal.keys("\\q\r");
    assert_eq!(terminal.ended(), 0);
}
