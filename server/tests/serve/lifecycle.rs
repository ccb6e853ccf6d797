//! Starting, refusing to start, and ending.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use chronolith_client::{Client, ClientError, v1};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

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
        assert_eq!(values(&client).await.len(), 5);
        client.latest(crate::support::scan("t")).await.unwrap().collect().await.unwrap();
        let statement = v1::SqlRequest { statement: "SELECT 1".into(), ..Default::default() };
        client.sql(statement).await.unwrap().collect().await.unwrap();
    });
    let ended = || {
        let (code, text) = server.get("/metrics");
        assert_eq!(code, 200);
        (text.contains("chronolith_query_seconds_count{method=\"Sql\"} 1"), text)
    };
    // A query ends a moment after its answer.
    let begun = Instant::now();
    while !ended().0 && begun.elapsed() < Duration::from_secs(10) {}
    let (_, text) = ended();
    for line in [
        "chronolith_write_rows_total 5",
        "chronolith_table_rows{table=\"t\"} 5",
        "chronolith_up 1",
        "chronolith_write_seconds_count 1",
        "chronolith_write_seconds_bucket{le=\"30\"} 1",
        "chronolith_query_seconds_count{method=\"Scan\"} 1",
        "chronolith_query_seconds_count{method=\"Latest\"} 1",
        "chronolith_query_seconds_count{method=\"Sql\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    assert!(text.contains("chronolith_write_seconds_bucket{le=\"0.00005\"} "), "{text}");
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

/// A server with these settings, and a call to it that does not end by itself.
fn with_endless_call(
    dir: &std::path::Path,
    settings: &str,
) -> (Server, tokio::runtime::Runtime, tokio::task::JoinHandle<Result<usize, ClientError>>) {
    let file = dir.join("server.toml");
    std::fs::write(&file, settings).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let free = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let server = Server::start_with(
        &dir.join("db"),
        &[config, [free[0], free[1]], [free[2], free[3]]].concat(),
    );
    let (runtime, url) = (runtime(), server.grpc.clone());
    let client = runtime.block_on(async {
        let client = Client::connect(&url).await.unwrap();
        client.write(request(rows(0, 20_000))).await.unwrap();
        client
    });
    let call = runtime.spawn(async move {
        let statement = "SELECT count(*) AS x FROM t a, t b, t c WHERE a.x + b.x + c.x = -1".into();
        let request = v1::SqlRequest { statement, ..Default::default() };
        client.sql(request).await?.collect().await.map(|batches| batches.len())
    });
    let begun = Instant::now();
    while !server.get("/metrics").1.lines().any(|line| line == "chronolith_queries_open 1") {
        assert!(begun.elapsed() < Duration::from_secs(20), "the query does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    (server, runtime, call)
}

#[test]
fn calls_that_do_not_end_are_cut_off_when_their_time_is_up() {
    let dir = tempfile::tempdir().unwrap();
    let (server, runtime, call) = with_endless_call(dir.path(), "drain_seconds = 2\n");
    let begun = Instant::now();
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(200));
    let (code, body) = server.get("/health");
    assert_eq!((code, body.contains("stopping")), (503, true), "{body}");
    assert_eq!(server.wait(), 0);
    let took = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(12)).contains(&took), "{took:?}");
    let cut = runtime.block_on(call).unwrap();
    assert!(cut.is_err(), "{cut:?}");
    let again = Server::start(&dir.path().join("db"));
    runtime.block_on(async {
        let client = Client::connect(&again.grpc).await.unwrap();
        assert_eq!(values(&client).await.len(), 20_000);
    });
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, runtime, call) = with_endless_call(dir.path(), "drain_seconds = 600\n");
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(500));
    assert!(server.is_running());
    let begun = Instant::now();
    server.signal("INT");
    assert_eq!(server.wait(), 130);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(runtime.block_on(call).unwrap().is_err());
    let again = Server::start(&dir.path().join("db"));
    runtime.block_on(async {
        let client = Client::connect(&again.grpc).await.unwrap();
        assert_eq!(values(&client).await.len(), 20_000);
    });
}

#[test]
fn reflection_lists_the_services_and_describes_their_messages() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let asked = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("chronolith.v1.WriteRequest".into()),
        MessageRequest::FileContainingSymbol("chronolith.v1.NoSuchThing".into()),
    ];
    let asked = asked
        .map(|one| ServerReflectionRequest { message_request: Some(one), ..Default::default() });
    let answers = runtime().block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(server.grpc.clone()).unwrap();
        let mut client = ServerReflectionClient::new(channel.connect().await.unwrap());
        let mut stream =
            client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap().into_inner();
        let mut answers = Vec::new();
        while let Some(Ok(answer)) = stream.message().await.transpose() {
            answers.push(answer.message_response.unwrap());
        }
        answers
    });
    let MessageResponse::ListServicesResponse(list) = &answers[0] else { panic!("{answers:?}") };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in [
        "chronolith.v1.WriteService",
        "chronolith.v1.QueryService",
        "chronolith.v1.AdminService",
        "chronolith.v1.LogService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "no {name} in {names:?}");
    }
    let MessageResponse::FileDescriptorResponse(file) = &answers[1] else { panic!("{answers:?}") };
    let holds =
        |word: &[u8]| file.file_descriptor_proto[0].windows(word.len()).any(|at| at == word);
    assert!(holds(b"v1/write.proto") && holds(b"invalid_rows"));
    assert!(
        answers.len() < 3 || matches!(answers[2], MessageResponse::ErrorResponse(_)),
        "{answers:?}"
    );
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
