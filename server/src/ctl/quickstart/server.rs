//! The server that quickstart starts: `chronolith serve` on free ports, as a child that cannot outlive this process. It ends
//! when this value is dropped, and by itself when its standard input ends, which this process holds.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chronolith_engine::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

use super::super::{CtlError, CtlResult};

/// For how long a server may open its database.
const READY_WAIT: Duration = Duration::from_secs(60);
/// For how long a server may flush and close.
const CLOSE_WAIT_NS: i64 = 20_000_000_000;

/// A running server; killed when it is dropped.
pub(super) struct Server {
    child: Child,
    /// Its log, once it has ended.
    log: Option<JoinHandle<String>>,
    /// Where it is asked.
    pub(super) url: String,
    /// From its start to the first moment at which it served.
    pub(super) start_ns: i64,
}

impl Server {
    /// Starts one on the database in `dir`, and waits until it serves.
    ///
    /// # Errors
    /// `Failed` where it does not come to serve, with what it says.
    #[expect(
        clippy::disallowed_methods,
        reason = "a command that watches its children, not the engine"
    )]
    pub(super) fn start(dir: &Path) -> CtlResult<Self> {
        let failed = |source| CtlError::Write { name: "a new process".to_owned(), source };
        let clock = SystemClock::default();
        let start = clock.monotonic_ns();
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        // Settings that are meant for another server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHRONOLITH_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["serve", "--while-stdin", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .arg("--data")
            .arg(dir)
            .env("CHRONOLITH_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (said, mut log) = (child.stdout.take(), child.stderr.take());
        let log = thread::spawn(move || {
            let mut text = String::new();
            // Bytes that are no text end it; there are none.
            let _ = log.as_mut().map(|log| log.read_to_string(&mut text));
            text
        });
        let mut server = Self { child, log: Some(log), url: String::new(), start_ns: 0 };
        let (sender, lines) = channel();
        thread::spawn(move || {
            let first = said.and_then(|said| BufReader::new(said).lines().next());
            // Nobody waits any more when it came too late.
            let _ = sender.send(first.and_then(Result::ok));
        });
        let line = lines.recv_timeout(READY_WAIT).ok().flatten();
        match line.as_deref().and_then(url_of) {
            Some(url) => url.clone_into(&mut server.url),
            None => return Err(server.failure("the server did not come to serve")),
        }
        server.start_ns = clock.monotonic_ns() - start;
        Ok(server)
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Errors
    /// `Failed` where it had ended by itself.
    pub(super) fn kill(mut self) -> CtlResult<()> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(self.failure(&format!("the server ended by itself ({status})")));
        }
        let failed = |source| CtlError::Write { name: "the server's process".to_owned(), source };
        self.child.kill().map_err(failed)?;
        self.child.wait().map_err(failed)?;
        Ok(())
    }

    /// Sends SIGTERM and waits until it has flushed and closed.
    ///
    /// # Errors
    /// `Failed` where it does not, with what it says.
    #[expect(
        clippy::disallowed_methods,
        reason = "a command that watches its children, not the engine"
    )]
    pub(super) fn close(mut self) -> CtlResult<()> {
        let asked = kill_process(Pid::from_child(&self.child), Signal::TERM);
        asked.map_err(|error| CtlError::Failed(format!("cannot end the server: {error}")))?;
        let clock = SystemClock::default();
        let deadline_ns = clock.monotonic_ns() + CLOSE_WAIT_NS;
        while clock.monotonic_ns() < deadline_ns {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                Ok(Some(status)) => {
                    return Err(self.failure(&format!("the server failed at its end ({status})")));
                }
                Err(_) => break,
            }
        }
        Err(self.failure("the server did not close"))
    }

    /// Ends it; gives an error with what it said.
    fn failure(&mut self, what: &str) -> CtlError {
        self.end();
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        CtlError::Failed(format!("{what}: {}", log.trim()))
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The address in the line with which a server says that it serves.
fn url_of(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("gRPC ")?;
    rest.split(',').next().filter(|url| url.starts_with("http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_line() {
        let line = "serving a, b: gRPC http://127.0.0.1:4, HTTP http://127.0.0.1:5";
        assert_eq!(url_of(line), Some("http://127.0.0.1:4"));
        assert_eq!(url_of("error: gRPC is a word"), None);
        assert_eq!(url_of(""), None);
    }
}
