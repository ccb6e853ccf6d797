//! A server that is killed and started again in the middle of writing: every row once.

use std::process::Stdio;
use std::time::{Duration, Instant};

use chronolith_client::{Client, Retry, Writer, WriterOptions};

use crate::support::{Server, free_port, program, rows, runtime, values};

#[test]
fn a_writer_goes_on_when_its_server_is_killed_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let (grpc, http) = (free_port().to_string(), free_port().to_string());
    let (grpc, http) = (format!("127.0.0.1:{grpc}"), format!("127.0.0.1:{http}"));
    let ports = ["--grpc", grpc.as_str(), "--http", http.as_str()];
    let mut server = Server::start_with(dir.path(), &ports);
    let runtime = runtime();
    let url = server.grpc.clone();
    let writing = runtime.spawn(async move {
        let client = Client::connect(&url).await.unwrap();
        let retry = Retry::for_at_most(Duration::from_secs(60));
        let options = WriterOptions { producer: "w".into(), retry, ..WriterOptions::default() };
        let mut writer = Writer::new(client, options);
        for batch in 0..2_000 {
            writer.write(vec![rows(batch * 10, 10)]).await.unwrap();
        }
        writer.finish().await.unwrap()
    });
    let mut kills = 0;
    while !writing.is_finished() && kills < 4 {
        std::thread::sleep(Duration::from_millis(150));
        server.kill();
        kills += 1;
        std::thread::sleep(Duration::from_millis(100));
        server = Server::start_with(dir.path(), &ports);
    }
    let written = runtime.block_on(writing).unwrap();
    assert_eq!(written.batch_count, 2_000);
    runtime.block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        assert_eq!(values(&client).await, (0..20_000).collect::<Vec<_>>());
    });
}

#[test]
fn an_import_goes_on_when_its_server_is_killed_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("in.csv");
    let mut text = String::from("ts,x\n");
    for row in 0..1_500_000 {
        text += &format!("{row},{row}\n");
    }
    std::fs::write(&file, text).unwrap();
    let data = dir.path().join("db");
    let (grpc, http) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let ports = ["--grpc", grpc.as_str(), "--http", http.as_str()];
    let mut server = Server::start_with(&data, &ports);
    let mut import = program();
    import.args(["import", "--table", "t", "--time", "ts:s", "--url", &server.grpc]).arg(&file);
    let import = import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The first pass sends nothing: wait for rows.
    let begun = Instant::now();
    while !server.get("/metrics").1.contains("chronolith_write_rows_total") {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was written");
        std::thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..3 {
        server.kill();
        std::thread::sleep(Duration::from_millis(300));
        server = Server::start_with(&data, &ports);
        std::thread::sleep(Duration::from_millis(60));
    }
    let output = import.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("waiting for the server"), "{told}");
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        let found = values(&client).await;
        assert_eq!(found.len(), 1_500_000);
        assert!(found.iter().enumerate().all(|(at, value)| at as i64 == *value));
    });
}
