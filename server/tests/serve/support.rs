//! A server of its own for each test, on free ports.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use chronolith_client::v1::{
    self, PackedField, PackedRows, PackedTag, TableOptions, TableRows, WriteRequest, packed_field,
    table_rows,
};
use chronolith_client::{Answer, Client, ScanRequest};
use tokio::runtime::Runtime;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_chronolith");

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub grpc: String,
    pub http: String,
}

/// The program, without the caller's environment of databases.
pub(crate) fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHRONOLITH_")) {
        command.env_remove(name);
    }
    command.env("CHRONOLITH_LOG", "warn");
    command
}

impl Server {
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"])
    }

    pub(crate) fn start_with(dir: &Path, args: &[&str]) -> Self {
        let mut command = program();
        command.arg("serve").arg("--data").arg(dir).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let after = |word: &str| {
            let rest = line.split(word).nth(1).unwrap_or_else(|| panic!("no {word:?} in {line:?}"));
            rest.split([',', '\n']).next().unwrap().to_owned()
        };
        let (grpc, http) = (after("gRPC "), after("HTTP "));
        Self { child, grpc, http }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn wait(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Kilobytes of memory in use.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let address = self.http.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let code = text.split(' ').nth(1).unwrap().parse().unwrap();
        (code, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    pub(crate) fn ctl(&self, args: &[&str]) -> Output {
        program().args(args).env("CHRONOLITH_URL", &self.grpc).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Rows of table `t`: tag `s`, field `x`; time and value count from `first`.
pub(crate) fn rows(first: i64, count: i64) -> TableRows {
    let field = PackedField {
        name: "x".into(),
        values: Some(packed_field::Values::I64(packed_field::I64 {
            values: (first..first + count).collect(),
        })),
        ..PackedField::default()
    };
    let tag = PackedTag { name: "s".into(), values: vec!["a".into()], codes: Vec::new() };
    let packed =
        PackedRows { time: (first..first + count).collect(), tags: vec![tag], fields: vec![field] };
    TableRows {
        table: "t".into(),
        create_if_missing: Some(TableOptions { tags: vec!["s".into()], ..TableOptions::default() }),
        rows: Some(table_rows::Rows::Packed(packed)),
    }
}

pub(crate) fn request(rows: TableRows) -> WriteRequest {
    WriteRequest { tables: vec![rows], ..WriteRequest::default() }
}

/// The values of `x`, sorted.
pub(crate) async fn values(client: &Client) -> Vec<i64> {
    let answer = client.scan(scan("t")).await.unwrap();
    let mut values = column_x(answer).await;
    values.sort_unstable();
    values
}

pub(crate) async fn column_x(answer: Answer) -> Vec<i64> {
    use arrow::array::AsArray;
    let mut values = Vec::new();
    for batch in answer.collect().await.unwrap() {
        let column = batch.column_by_name("x").unwrap();
        values.extend(column.as_primitive::<arrow::datatypes::Int64Type>().values());
    }
    values
}

pub(crate) fn scan(table: &str) -> ScanRequest {
    ScanRequest { table: table.into(), ..v1::ScanRequest::default() }
}
