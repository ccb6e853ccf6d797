//! Starting, refusing to start, and ending.

use std::net::TcpListener;

use chronolith_client::{Client, v1};

use crate::support::{Server, program, request, rows, runtime, values};

fn refused(args: &[&str]) -> (i32, String) {
    let output = program().arg("serve").args(args).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn health_and_figures_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let (code, body) = server.get("/health");
    assert_eq!((code, body.contains("\"ready\":true")), (200, true), "{body}");
    assert_eq!(server.get("/health/live").0, 200);
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        client.write(request(rows(0, 5))).await.unwrap();
    });
    let (code, text) = server.get("/metrics");
    assert_eq!(code, 200);
    for line in
        ["chronolith_write_rows_total 5", "chronolith_table_rows{table=\"t\"} 5", "chronolith_up 1"]
    {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    assert_eq!(server.get("/nowhere").0, 404);
}

#[test]
fn a_taken_port_a_locked_directory_and_open_addresses_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let data = data.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = refused(&["--data", data, "--grpc", &address, "--http", "127.0.0.1:0"]);
    assert_eq!(code, 6, "{text}");
    assert!(text.contains(&address) && text.contains("another process has it"), "{text}");
    let free = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let server = Server::start(std::path::Path::new(data));
    let (code, text) = refused(&[&["--data", data][..], &free].concat());
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("is held by process"), "{text}");
    drop(server);
    let (code, text) = refused(&["--data", data, "--grpc", "0.0.0.0:0"]);
    assert_eq!((code, text.contains("--insecure")), (2, true), "{text}");
    let (code, text) = refused(&free);
    assert_eq!((code, text.contains("--data DIR")), (2, true), "{text}");
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.toml");
    std::fs::write(&file, "queries = 3\nqeuries = 4\n").unwrap();
    let data = dir.path().join("db");
    let args = ["--data", data.to_str().unwrap(), "--config", file.to_str().unwrap()];
    let (code, text) = refused(&args);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("server.toml: line 2") && text.contains("qeuries"), "{text}");
    assert!(!data.exists());
}

#[test]
fn a_signal_ends_open_streams_and_closes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let runtime = runtime();
    let mut tail = runtime.block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        client.write(request(rows(0, 100))).await.unwrap();
        client.tail(v1::TailRequest::default()).await.unwrap()
    });
    server.signal("TERM");
    let ended = runtime.block_on(tail.message());
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(server.wait(), 0);
    let again = Server::start(dir.path());
    runtime.block_on(async {
        let client = Client::connect(&again.grpc).await.unwrap();
        assert_eq!(values(&client).await, (0..100).collect::<Vec<_>>());
        // Closing flushed: nothing is left to replay.
        assert_eq!(client.stats().await.unwrap().tables[0].memory_row_count, 0);
    });
}

#[test]
fn commands_give_the_same_over_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("in.csv");
    let mut text = String::from("ts,symbol,price,size,note,ok\n");
    for row in 0..3_000 {
        let note = ["", "plain", "\"a,\"\"b\"\"\""][row % 3];
        text +=
            &format!("{},s{},{}.25,{},{note},{}\n", row / 2, row % 7, row, row * 3, row % 2 == 0);
    }
    std::fs::write(&file, text).unwrap();
    let (file, data) = (file.to_str().unwrap(), dir.path().join("db"));
    let data = data.to_str().unwrap();
    let server = Server::start(std::path::Path::new(data));
    let import = ["import", "--table", "t", "--time", "ts:s", "--tags", "symbol", file];
    let done = server.ctl(&import);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let again = server.ctl(&import);
    assert!(String::from_utf8_lossy(&again.stdout).contains("already imported: 3000 rows"));
    let reads: [&[&str]; 6] = [
        &["export", "--table", "t"],
        &["latest", "--table", "t", "--format", "csv"],
        &[
            "bars", "--table", "t", "--every", "1m", "--price", "price", "--volume", "size",
            "--format", "csv",
        ],
        &["describe", "t", "--format", "json"],
        &["tables", "--format", "csv"],
        &[
            "export",
            "--table",
            "t",
            "--where",
            "symbol=s3",
            "--from",
            "1970-01-01T00:10:00Z",
            "--columns",
            "ok,note",
        ],
    ];
    let flushed = server.ctl(&["flush"]);
    assert!(flushed.status.success());
    let remote: Vec<_> = reads.iter().map(|args| server.ctl(args)).collect();
    assert!(server.ctl(&["verify"]).status.success());
    server.kill();
    for (args, remote) in reads.iter().zip(remote) {
        let local = program().args(*args).args(["--data", data]).output().unwrap();
        assert!(local.status.success() && remote.status.success(), "{args:?}");
        let (local, remote) =
            (String::from_utf8(local.stdout).unwrap(), String::from_utf8(remote.stdout).unwrap());
        assert!(local.lines().count() > 1 && local == remote, "{args:?}:\n{local}\n{remote}");
    }
}

#[test]
fn commands_say_that_no_server_is_there() {
    let port = crate::support::free_port();
    let url = format!("http://127.0.0.1:{port}");
    let output = program().args(["tables", "--url", &url]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(text.contains(&url), "{text}");
    let output = program().args(["tables", "--url", "ftp://x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
