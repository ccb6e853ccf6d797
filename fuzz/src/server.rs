//! The targets of the server and of the commands.

use std::sync::{Arc, OnceLock};

use chronolith::config::{Config, Layer, parse_bytes};
use chronolith::ctl::fuzz::{dump_manifest, import, sealed};
use chronolith::fuzz::{arrow_rows, request};
use chronolith::text::csv::{CsvReader, Delimiter, Record, push_text};
use chronolith::text::line_protocol::Point;
use chronolith::text::ndjson::Object;
use chronolith_engine::catalog::{Catalog, CatalogChange};
use chronolith_engine::model::{FieldType, TableOptions, TableSchema};
use chronolith_engine::{Db, Environment, Options};

use crate::input::Input;
use crate::seeds::Seed;

/// A database with one table, which no input changes.
struct Known {
    db: Db,
    catalog: Arc<Catalog>,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let disk = chronolith_engine::vfs::sim::SimVfs::new(1);
        let executor = chronolith_engine::executor::DeterministicExecutor::new(1);
        let options = Options {
            memory_bytes: Some(8 << 20),
            log_prepare_bytes: 0,
            reserve_bytes: 0,
            background: false,
            environment: Environment {
                vfs: Arc::new(disk),
                executor: Arc::new(executor),
                ..Environment::system()
            },
            ..Options::new("/db")
        };
        let db = Db::open(options).expect("a new database opens");
        db.create_table("ticks", table()).expect("a table can be made");
        let catalog = Catalog::default();
        let change = CatalogChange::CreateTable(catalog.plan_table("ticks", &table()));
        let catalog = Arc::new(catalog.apply(&change).expect("a table can be made"));
        Known { db, catalog }
    })
}

fn table() -> TableOptions {
    TableOptions {
        tags: vec!["sym".into()],
        fields: vec![
            ("price".into(), FieldType::F64),
            ("size".into(), FieldType::I64),
            ("note".into(), FieldType::Utf8),
            ("fee".into(), FieldType::Decimal { precision: 9, scale: 2 }),
            ("live".into(), FieldType::Bool),
        ],
        ..TableOptions::default()
    }
}

/// CSV, record by record and as an import. Byte 0 chooses how it is imported; 0 is no import.
pub fn csv(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let bytes = input.rest();
    if choice != 0 {
        let _ = import(0, choice, bytes);
        return;
    }
    let mut reader = CsvReader::new(bytes, "f", Delimiter::COMMA);
    let (mut record, mut again) = (Record::new(), Record::new());
    loop {
        match reader.read(&mut record) {
            Ok(true) => {}
            Err(error) if error.is_of_one_record() => continue,
            _ => break,
        }
        // What is text is written and read again; an empty field without quotes is NULL.
        let mut written = Vec::new();
        for (at, field) in record.iter().enumerate() {
            if at > 0 {
                written.push(b',');
            }
            match std::str::from_utf8(field.bytes) {
                Ok("") if !field.quoted => {}
                Ok(text) => push_text(&mut written, text, Delimiter::COMMA),
                Err(_) => written.extend_from_slice(b"x"),
            }
        }
        if record.len() == 1 && written.is_empty() {
            continue;
        }
        written.push(b'\n');
        let mut reader = CsvReader::new(written.as_slice(), "f", Delimiter::COMMA);
        assert!(reader.read(&mut again).expect("a record that was written is read"));
        assert_eq!(again.len(), record.len());
        for (one, other) in again.iter().zip(record.iter()) {
            let same = one.bytes == other.bytes || std::str::from_utf8(other.bytes).is_err();
            assert!(same, "{other:?} became {one:?}");
        }
    }
}

/// Line protocol, line by line and as an import. Byte 0 chooses how it is imported; 0 is no import.
pub fn line_protocol(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let bytes = input.rest();
    if choice != 0 {
        let _ = import(1, choice, bytes);
        return;
    }
    let mut point = Point::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if Point::is_nothing(line) || point.read(line).is_err() {
            continue;
        }
        assert!(!point.measurement().is_empty() && point.fields().len() > 0);
        let _ = (point.tags().count(), point.timestamp());
    }
}

/// NDJSON, line by line and as an import. Byte 0 chooses how it is imported; 0 is no import.
pub fn ndjson(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let bytes = input.rest();
    if choice != 0 {
        let _ = import(2, choice, bytes);
        return;
    }
    let mut object = Object::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if object.read(line).is_ok() {
            assert!((0..object.entries().len()).all(|at| object.entry(at).is_some()));
        }
    }
}

/// Arrow IPC, of a write request and of an imported file. Byte 0: bit 7 chooses which.
pub fn arrow_ipc(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let bytes = input.rest();
    if choice & 128 != 0 {
        let _ = import(3, choice, bytes);
    } else {
        let known = known();
        let _ = arrow_rows(bytes, choice, &known.db, &known.catalog);
    }
}

/// Messages of the gRPC interface. Byte 0 chooses which.
pub fn grpc(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let known = known();
    let _ = request(kind, input.rest(), &known.db, &known.catalog);
}

/// The server's settings: a file's, and those of the environment.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(layer) = Layer::parse("f", text) {
        let _ = Config::new(layer);
    }
    let _ = parse_bytes(text);
    let (key, value) = text.split_once('\n').unwrap_or_default();
    let get = |name: &str| name.ends_with(key).then(|| value.to_owned());
    let _ = Layer::from_environment(&get);
}

/// Statements, up to their plan.
pub fn sql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let known = known();
    match chronolith_query::fuzz::gate(text, &known.catalog) {
        Ok(Some(bound)) => {
            // Names that were made exact stay what they are.
            let again = chronolith_query::fuzz::gate(&bound, &known.catalog);
            std::hint::black_box(again.is_ok());
        }
        Ok(None) => {}
        Err(error) => {
            let _ = (chronolith_query::caret(text, &error), error.to_string());
        }
    }
    let _ = chronolith_query::statements(text).len();
    let Ok((name, options)) = chronolith_query::definition(text) else { return };
    let catalog = Catalog::default();
    let schema = catalog.plan_table(&name, &options);
    let Ok(made) = catalog.apply(&CatalogChange::CreateTable(schema)) else { return };
    let Some(schema) = made.find(&name) else { return };
    let shown = chronolith_query::show_create(schema);
    let (again, options) =
        chronolith_query::definition(&shown).expect("a definition that is shown is read");
    let same: TableSchema = catalog.plan_table(&again, &options);
    assert_eq!(same, TableSchema::clone(schema), "{shown}");
}

/// The manifest of a dump. Byte 0: bit 0 gives it the hash that it should have.
pub fn dump(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let bytes = input.rest();
    let whole = if flags & 1 == 0 { None } else { sealed(bytes) };
    let _ = dump_manifest(whole.as_deref().unwrap_or(bytes));
}

/// The first inputs of these targets.
pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    let mut add = |target: &'static str, choices: &[u8], bytes: &[u8]| {
        seeds.push((target, format!("seed-{:03}", seeds.len()), [choices, bytes].concat()));
    };
    for text in CSV {
        for choice in [0, 2, 34, 6] {
            add("csv", &[choice], text.as_bytes());
        }
    }
    for text in LINES {
        [0, 2, 18].iter().for_each(|choice| add("line_protocol", &[*choice], text.as_bytes()));
    }
    for text in NDJSON {
        [0, 2, 34].iter().for_each(|choice| add("ndjson", &[*choice], text.as_bytes()));
    }
    CONFIG.iter().for_each(|text| add("config", &[], text.as_bytes()));
    SQL.iter().for_each(|text| add("sql", &[], text.as_bytes()));
    DUMP.iter().for_each(|text| add("dump", &[1], text.as_bytes()));
    for ipc in ipc_streams() {
        [3, 2, 135, 128].iter().for_each(|choice| add("arrow_ipc", &[*choice], &ipc));
    }
    for (kind, bytes) in messages() {
        add("grpc", &[kind], &bytes);
    }
    seeds
}

const CSV: &[&str] = &[
    "ts,sym,price,size\n2024-01-01T08:00:00Z,A,101.25,200\n2024-01-01T08:00:01+05:30,\"B,\"\"x\",,1e3\n",
    "ts,a,b,c,d\r\n1704096000,1,2.50,true,\"\"\r\n1704096001,-7,NaN,false,x\r\n\r\n",
    "2024-01-01,\"x\ny\"\n2024-01-02 03:04:05.123456789,0x1\n",
];
const LINES: &[&str] = &[
    "cpu,host=a,dc=eu load=1.5,n=2i,u=3u,ok=t,note=\"a \\\" b\" 1704096000000000000\n# c\ncpu,host=b load=-2e3 1704096000000000001",
    "m\\ x,t\\,g=v\\=1 f=\"\\\\\",g=false 1\nm f=1 2\n",
];
const NDJSON: &[&str] = &[
    "{\"ts\":\"2024-01-01T08:00:00Z\",\"sym\":\"A\",\"price\":101.25,\"live\":true}\n{\"ts\":\"2024-01-01T08:00:01Z\",\"sym\":null,\"price\":-1e-3,\"x\":\"\\ud83d\\ude42\\n\"}\n",
    "{\"ts\":1704096000,\"a\":1}\n\n{\"ts\":1704096001,\"b\":\"18446744073709551615\"}",
];
const CONFIG: &[&str] = &[
    "data = \"db\"\ngrpc = \"127.0.0.1:7401\"\nhttp = \"[::1]:7400\"\ninsecure = false\nmemory = \"2 GiB\"\n",
    "requests_in_flight = 1048576\nstreams_per_connection = 4\nwindow = \"1MiB\"\n[write]\non_pressure = \"refuse\"\n",
    "MEMORY\n12KiB",
    "WRITE_ON_PRESSURE\nwait",
];
const SQL: &[&str] = &[
    "SELECT sym, sum(price) AS p FROM ticks WHERE time >= '2024-01-01' AND sym IN ('A', 'B') GROUP BY sym HAVING count(*) > 1 ORDER BY p DESC LIMIT 5",
    "WITH q AS (SELECT * FROM ticks) SELECT q.price, row_number() OVER (PARTITION BY sym ORDER BY time) FROM q JOIN ticks t ON q.sym = t.sym",
    "CREATE TABLE t (time TIMESTAMP, sym TAG, price DOUBLE, fee DECIMAL(9, 2), note TEXT) WITH (merge = 'last_row', history = '24h')",
    "INSERT INTO ticks (time, sym, price) VALUES ('2024-01-01T00:00:00Z', 'A', 1.5), (now(), 'B', NULL)",
    "DELETE FROM ticks WHERE time < TIMESTAMP '2024-01-01' AND sym = 'A'; DROP TABLE IF EXISTS x",
    "ALTER TABLE ticks ADD COLUMN n BIGINT",
    "EXPLAIN ANALYZE SELECT CASE WHEN price > 1 THEN 'a' ELSE CAST(size AS TEXT) END FROM (SELECT * FROM ticks UNION ALL SELECT * FROM ticks) AS u",
    "SHOW CREATE TABLE ticks",
    "SET TIME ZONE 'Asia/Kolkata'",
    "SUMMARIZE ticks",
];
const DUMP: &[&str] = &[
    "{\n  \"format\": 1,\n  \"program\": \"0.1.0\",\n  \"database_id\": \"ff\",\n  \"snapshot\": { \"incarnation\": 1, \"counter\": 7 },\n  \"range\": { \"from_ns\": -5, \"to_ns\": 7 },\n  \"schema\": { \"path\": \"schema.sql\", \"bytes\": 7, \"blake3\": \"00\" },\n  \"tables\": [ { \"name\": \"t\", \"rows\": 3, \"files\": [ { \"path\": \"t/1.parquet\", \"rows\": 3, \"bytes\": 9, \"blake3\": \"aa\" } ] } ],\n  \"blake3\": \"0000000000000000000000000000000000000000000000000000000000000000\"\n}\n",
];

fn ipc_streams() -> Vec<Vec<u8>> {
    use arrow::array::*;
    use arrow::datatypes::{Int32Type, UInt32Type};
    use arrow::ipc::writer::{FileWriter, StreamWriter};
    use arrow::record_batch::RecordBatch;
    let times =
        || Arc::new(TimestampNanosecondArray::from(vec![1, 2, 3]).with_timezone("UTC")) as ArrayRef;
    let tags = Arc::new(DictionaryArray::<UInt32Type>::from_iter(["A", "B", "A"])) as ArrayRef;
    let few = RecordBatch::try_from_iter([
        ("ts", times()),
        ("sym", tags),
        ("price", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(2.5)])) as ArrayRef),
    ]);
    let other = RecordBatch::try_from_iter([
        ("time", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("note", Arc::new(StringViewArray::from(vec!["a", "long enough for a buffer", ""]))),
        ("live", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        (
            "fee",
            Arc::new(
                Decimal128Array::from(vec![1, 2, 3])
                    .with_precision_and_scale(9, 2)
                    .expect("a decimal"),
            ),
        ),
    ]);
    let third = RecordBatch::try_from_iter([
        ("ts", Arc::new(Date32Array::from(vec![1, 2, 3])) as ArrayRef),
        ("runs", Arc::new(RunArray::<Int32Type>::from_iter([Some("a"), Some("a"), None]))),
        ("u", Arc::new(UInt16Array::from(vec![1, 2, 3]))),
    ]);
    let mut streams = Vec::new();
    for batch in [few, other, third].into_iter().flatten() {
        let mut stream =
            StreamWriter::try_new(Vec::new(), &batch.schema()).expect("a stream begins");
        stream.write(&batch).and_then(|()| stream.finish()).expect("a stream is written");
        streams.push(stream.into_inner().expect("a stream ends"));
        let mut file = FileWriter::try_new(Vec::new(), &batch.schema()).expect("a file begins");
        file.write(&batch).and_then(|()| file.finish()).expect("a file is written");
        streams.push(file.into_inner().expect("a file ends"));
    }
    streams.retain(|stream| stream.len() < 2_048);
    streams
}

fn messages() -> Vec<(u8, Vec<u8>)> {
    use chronolith_proto::v1::{self, packed_field as packed, packed_field::Values};
    use prost::Message;
    let field = |name: &str, values, validity: Vec<u8>| v1::PackedField {
        name: name.into(),
        r#type: None,
        validity,
        values: Some(values),
    };
    let rows = v1::PackedRows {
        time: vec![5, 6, 7],
        tags: vec![
            v1::PackedTag { name: "sym".into(), values: vec!["A".into()], codes: vec![] },
            v1::PackedTag {
                name: "venue".into(),
                values: vec!["x".into(), "y".into()],
                codes: vec![0, 1, 0],
            },
        ],
        fields: vec![
            field("price", Values::F64(packed::F64 { values: vec![1.5, 2.5, f64::NAN] }), vec![3]),
            field("size", Values::I64(packed::I64 { values: vec![1, -2, 3] }), vec![]),
            field("id", Values::U64(packed::U64 { values: vec![1, 2, u64::MAX] }), vec![7]),
            field("live", Values::Bool(packed::Bool { values: vec![true, false, true] }), vec![5]),
            field(
                "note",
                Values::Utf8(packed::Utf8 { values: vec!["a".into(), String::new(), "c".into()] }),
                vec![5],
            ),
        ],
    };
    let options = v1::TableOptions { tags: vec!["sym".into()], ..Default::default() };
    let write = v1::WriteRequest {
        tables: vec![v1::TableRows {
            table: "ticks".into(),
            create_if_missing: Some(options.clone()),
            rows: Some(v1::table_rows::Rows::Packed(rows)),
        }],
        producer: Some(v1::Producer { id: "p".into(), number: 3 }),
        metadata: Some(v1::Metadata { principal: "me".into(), ..Default::default() }),
        ..Default::default()
    };
    let scan = v1::ScanRequest {
        table: "ticks".into(),
        tags: vec![v1::TagFilter { tag: "sym".into(), values: vec!["A".into()], is_negated: true }],
        range: Some(v1::TimeRange { from: Some(1), to: Some(9) }),
        fields: vec![v1::FieldFilter {
            field: "price".into(),
            value: Some(v1::Value { value: Some(v1::value::Value::F64(1.5)) }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let aggregate = v1::AggregateRequest {
        scan: Some(scan.clone()),
        bucket: Some(v1::Bucket { width_ns: 60, origin_ns: Some(3) }),
        columns: vec![v1::AggregateColumn {
            function: 2,
            field: "price".into(),
            name: String::new(),
        }],
    };
    let create = v1::CreateTableRequest { table: "t".into(), options: Some(options) };
    let sql = v1::SqlRequest { statement: "SELECT 1".into(), ..Default::default() };
    vec![
        (0, write.encode_to_vec()),
        (2, v1::WriteStreamRequest { request: Some(write), ..Default::default() }.encode_to_vec()),
        (3, create.encode_to_vec()),
        (
            4,
            v1::DeleteRowsRequest { table: "t".into(), tags: scan.tags.clone(), range: scan.range }
                .encode_to_vec(),
        ),
        (5, scan.encode_to_vec()),
        (6, aggregate.encode_to_vec()),
        (7, sql.encode_to_vec()),
    ]
}
