//! Starts the writing process, takes down what it says was acknowledged, and kills it in the middle of its work.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use chronolith_engine::clock::{Clock, SystemClock};
use chronolith_engine::rng::{Rng, SeededRng};

use super::super::{CtlError, CtlResult};
use super::SEED;
use super::writer::{DONE, STARTED};

/// Nanoseconds after which a writer that acknowledged nothing has failed.
const PATIENCE_NS: i64 = 60_000_000_000;
/// Up to so much later it is killed, so that the moment is not foreseen.
const SPREAD_NS: u64 = 300_000_000;

/// What a writer acknowledged before it was killed.
pub(super) struct Witnessed {
    /// Whether it was still writing.
    pub(super) was_writing: bool,
    /// The lines, in the order in which they came.
    pub(super) lines: Vec<String>,
    /// From the start of writing, as the writer tells it, to the kill.
    pub(super) writing_ns: i64,
}

/// Lets a process write for `write_ns` from its first acknowledgement on, then kills it.
///
/// # Errors
/// `Failed` where it cannot be started, or ends by itself.
pub(super) fn watch(dir: &Path, files: &[PathBuf], write_ns: i64) -> CtlResult<Witnessed> {
    let mut child = start(dir, files)?;
    let Some(pipe) = child.stdout.take() else {
        return Err(CtlError::Failed("the writing process has no pipe".to_owned()));
    };
    let clock = SystemClock::default();
    let spread = i64::try_from(SeededRng::from_system().next_u64() % SPREAD_NS).unwrap_or(0);
    let witnessed = thread::scope(|scope| {
        let (sender, lines) = channel();
        scope.spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut heard = Vec::new();
        let mut start_ns = None;
        let (mut has_first, mut deadline_ns) = (false, clock.monotonic_ns() + PATIENCE_NS);
        loop {
            let left = u64::try_from(deadline_ns - clock.monotonic_ns()).unwrap_or(0);
            match lines.recv_timeout(Duration::from_nanos(left)) {
                Ok(line) if line == STARTED => {
                    start_ns = Some(clock.monotonic_ns());
                    continue;
                }
                Ok(line) => {
                    let is_done = line == DONE;
                    heard.push(line);
                    if is_done {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                // It has ended by itself.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !has_first {
                has_first = true;
                deadline_ns = clock.monotonic_ns() + write_ns + spread;
            }
        }
        let now_ns = clock.monotonic_ns();
        let killed = kill(&mut child);
        // What stood in the pipe was said before.
        heard.extend(lines.iter().filter(|line| line != STARTED));
        let was_writing = heard.last().is_none_or(|line| line != DONE);
        let writing_ns = now_ns - start_ns.unwrap_or(now_ns);
        killed.map(|()| Witnessed { was_writing, lines: heard, writing_ns })
    })?;
    if witnessed.lines.is_empty() {
        return Err(CtlError::Failed("the writing process acknowledged nothing".to_owned()));
    }
    Ok(witnessed)
}

fn start(dir: &Path, files: &[PathBuf]) -> CtlResult<Child> {
    let failed = |source| CtlError::Write { name: "a new process".to_owned(), source };
    Command::new(std::env::current_exe().map_err(failed)?)
        .arg("quickstart-writer")
        .arg("--data")
        .arg(dir)
        .args(["--seed", &SEED.to_string(), "--"])
        .args(files)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)
}

/// Sends SIGKILL and waits for the end.
fn kill(child: &mut Child) -> CtlResult<()> {
    let failed = |source| CtlError::Write { name: "the writing process".to_owned(), source };
    let ended = child.try_wait().map_err(failed)?;
    if let Some(status) = ended {
        return Err(CtlError::Failed(format!("the writing process ended by itself: {status}")));
    }
    child.kill().map_err(failed)?;
    child.wait().map_err(failed)?;
    Ok(())
}
