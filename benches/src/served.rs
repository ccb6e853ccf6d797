//! A server of its own: the program `chronolith` beside the running one, on free ports, killed when it is dropped.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server.
pub struct Server {
    child: Child,
    grpc: String,
    http: String,
}

impl Server {
    /// Serves the database in `dir` with more arguments, and waits until it listens.
    ///
    /// # Errors
    /// Where the program is missing (`cargo build --release -p chronolith -p chronolith-bench` makes it) or does not start.
    pub fn start(dir: &Path, args: &[&str]) -> io::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("chronolith");
        let ports = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut command = Command::new(&program);
        command.arg("serve").arg("--data").arg(dir).args(ports).args(args);
        let spawned = command.env("CHRONOLITH_LOG", "warn").stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", program.display()))
        })?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let after = |word: &str| {
            let rest = line.split(word).nth(1)?;
            Some(rest.split([',', '\n']).next()?.to_owned())
        };
        let mut server = Self { child, grpc: String::new(), http: String::new() };
        let (Some(grpc), Some(http)) = (after("gRPC "), after("HTTP ")) else {
            return Err(io::Error::other("the server did not start"));
        };
        (server.grpc, server.http) = (grpc, http);
        Ok(server)
    }

    /// The address of its gRPC port, as a client takes it.
    #[must_use]
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Bytes of memory that belong to it now.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// What its page `/health` says.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn health(&self) -> io::Result<String> {
        let address = self.http.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
