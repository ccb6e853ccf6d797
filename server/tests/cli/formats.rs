//! Imports of NDJSON, line protocol, Arrow and Parquet. The oracle is the same rows as CSV, or text by hand.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int8Array, Int64Array, LargeStringArray, ListArray, NullArray, RecordBatch,
    RunArray, StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampSecondArray, UInt16Array, UInt64Array,
};
use arrow::datatypes::{Int32Type, UInt32Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::support::{Place, gzip};

type Columns = Vec<(&'static str, ArrayRef)>;

fn batch(columns: Columns) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn arrow_stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn arrow_file(batches: &[RecordBatch], compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let schema = batches[0].schema();
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn parquet(batches: &[RecordBatch], compression: Compression) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(50_000))
        .build();
    let mut bytes = Vec::new();
    let schema = batches[0].schema();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    bytes
}

/// Imports `bytes` as the file `name` into `t`, with these words before it.
fn import(place: &Place, name: &str, bytes: impl AsRef<[u8]>, words: &str) -> crate::support::Ran {
    let file = place.file(name, bytes);
    let mut args = vec!["import"];
    args.extend(words.split_whitespace());
    args.push(&file);
    place.run(&args)
}

/// The same rows as CSV, as each other text format, and by types; and their export.
const CSV: &str = "ts,sym,f,i,u,b,s\n\
    2024-01-02T09:15:00.25Z,A,1.5,-7,18446744073709551615,true,plain\n\
    2024-01-02T09:15:01Z,A,NaN,,1,false,\"a \"\"quoted\"\", one\"\n\
    2024-01-02T09:15:02Z,B,,9007199254740993,2,,\"\"\n\
    2024-01-02T09:14:00Z,,-0.25,0,3,true,\n";

fn csv_export() -> String {
    let place = Place::new();
    import(&place, "x.csv", CSV, "--table t --time ts --tags sym").ok();
    place.export()
}

fn typed_rows() -> RecordBatch {
    let ms = [1_704_186_900_250, 1_704_186_901_000, 1_704_186_902_000, 1_704_186_840_000];
    batch(vec![
        ("ts", Arc::new(TimestampMillisecondArray::from(ms.to_vec()))),
        ("sym", Arc::new(StringArray::from(vec![Some("A"), Some("A"), Some("B"), None]))),
        ("f", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None, Some(-0.25)]))),
        (
            "i",
            Arc::new(Int64Array::from(vec![Some(-7), None, Some(9_007_199_254_740_993), Some(0)])),
        ),
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 1, 2, 3]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
        (
            "s",
            Arc::new(StringArray::from(vec![
                Some("plain"),
                Some("a \"quoted\", one"),
                Some(""),
                None,
            ])),
        ),
    ])
}

#[test]
fn every_format_gives_the_rows_that_csv_gives() {
    let expected = csv_export();
    let ndjson = r#"
{"ts":"2024-01-02T09:15:00.25Z","sym":"A","f":1.5,"i":-7,"u":18446744073709551615,"b":true,"s":"plain"}
{"s":"a \"quoted\", one","b":false,"u":1,"i":null,"f":"NaN","sym":"A","ts":"2024-01-02T09:15:01Z"}

{"ts":"2024-01-02T09:15:02Z","sym":"B","i":9007199254740993,"u":2,"s":""}
{"ts":"2024-01-02T09:14:00Z","f":-0.25,"i":0,"u":3,"b":true}
"#;
    // Line protocol has no NaN; the row is left without it, and the value compared apart.
    let lines = "# a comment\n\n\
        t,sym=A f=1.5,i=-7i,u=18446744073709551615u,b=t,s=\"plain\" 1704186900250\n\
        t,sym=A u=1u,b=FALSE,s=\"a \\\"quoted\\\", one\" 1704186901000\n\
        t,sym=B i=9007199254740993i,u=2u,s=\"\" 1704186902000\n\
        t f=-0.25,i=0i,u=3u,b=True 1704186840000\n";
    let (named, found) = ("--table t --time ts --tags sym", "--table t --tags sym");
    let rows = [typed_rows()];
    let halves = [rows[0].slice(0, 2), rows[0].slice(2, 2)];
    let packed = zstd::encode_all(&arrow_stream(&halves)[..], 1).unwrap();
    let lz4 = arrow_file(&halves, Some(CompressionType::LZ4_FRAME));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("x.ndjson", ndjson.into(), named),
        ("x.json.gz", gzip(ndjson.as_bytes()), named),
        ("x.txt", ndjson.into(), "--format ndjson --table t --time ts --tags sym"),
        ("x.lp", lines.into(), "--precision ms"),
        ("x.line.gz", gzip(lines.as_bytes()), "--precision ms --table t"),
        ("x.arrows", arrow_stream(&halves), found),
        ("x.arrow", arrow_file(&halves, None), found),
        ("x.feather", lz4, found),
        ("x.ipc", arrow_file(&rows, Some(CompressionType::ZSTD)), found),
        ("x.arrow.zst", packed, named),
        ("x.parquet", parquet(&rows, Compression::UNCOMPRESSED), found),
        ("x.parquet", parquet(&halves, Compression::SNAPPY), named),
        (
            "y",
            parquet(&rows, Compression::ZSTD(Default::default())),
            "--format parquet --table t --tags sym",
        ),
    ];
    for (name, bytes, words) in cases {
        let place = Place::new();
        import(&place, name, bytes, words).ok();
        let is_lines = words.contains("--precision");
        // Line protocol orders its fields by first appearance too, and lacks the NaN.
        let expected = if is_lines { expected.replace(",NaN,", ",,") } else { expected.clone() };
        assert_eq!(place.export(), expected, "{name} {words}");
        place.words("compact").ok();
        assert_eq!(place.export(), expected, "{name} {words}, compacted");
    }
}

#[test]
fn standard_input_is_read_in_every_format_but_parquet() {
    let expected = csv_export();
    let stream = arrow_stream(&[typed_rows()]);
    let place = Place::new();
    let args = ["import", "--format", "arrow", "--table", "t", "--tags", "sym", "-"];
    place.run_with(&args, &stream).ok();
    assert_eq!(place.export(), expected);
    let args = ["import", "--format", "parquet", "--table", "t", "-"];
    place
        .run_with(&args, b"PAR1")
        .fails(2, &["standard input is read as Parquet", "not from a pipe"]);
    let args = ["import", "--table", "t", "--time", "ts", "-"];
    place.run_with(&args, &stream).fails(2, &["holds Arrow IPC: say --format arrow"]);

    // Beyond the rows from which columns are found.
    let mut lines = String::new();
    (0..150_000).for_each(|i| lines.push_str(&format!("{{\"ts\":{i},\"v\":{i}}}\n")));
    let args: Vec<&str> = "import --format ndjson --table n --time ts:s -".split(' ').collect();
    assert!(place.run_with(&args, lines.as_bytes()).ok().contains("imported 150000 rows into n"));
    lines.push_str("{\"ts\":150000,\"late\":1.5}\n");
    let parts = ["line 150001", "key \"late\" is in none of the first rows", "rows before it are"];
    place.run_with(&args, lines.as_bytes()).fails(2, &parts);
    let typed: Vec<&str> =
        "import --format ndjson --table o --time ts:s --types late=f64 -".split(' ').collect();
    place.run_with(&typed, lines.as_bytes()).ok();
    assert!(place.words("export --table o").ok().ends_with("1970-01-02T17:40:00Z,1.5,\n"));
    let mut lines = String::new();
    (0..150_000).for_each(|i| lines.push_str(&format!("m{} v={i}i {i}\n", i % 3)));
    let args: Vec<&str> = "import --format line --precision s -".split(' ').collect();
    let said = place.run_with(&args, lines.as_bytes()).ok();
    assert!(said.contains("imported 150000 rows into m0, m1, m2"), "{said}");
}

#[test]
fn each_measurement_is_a_table_and_a_chunk_is_of_all() {
    let place = Place::new();
    let lines = "cpu,host=a load=0.5,cores=8i 1000\n\
        disk\\ io,host=a,dev=sda\\,1 read=7u 1001\n\
        cpu,host=b,zone=z up=t 1000\n\
        disk\\ io,host=b read=8u,note=\"x y\" 1002\n";
    let said = import(&place, "x.lp", lines, "--tag site=@filename").ok();
    assert!(said.contains("imported 4 rows into cpu, disk io"), "{said}");
    let cpu = "time,host,zone,site,load,cores,up\n\
        1970-01-01T00:00:00.000001Z,a,,x,0.5,8,\n1970-01-01T00:00:00.000001Z,b,z,x,,,true\n";
    assert_eq!(place.words("export --table cpu").ok(), cpu);
    let disk = "time,host,dev,site,read,note\n\
        1970-01-01T00:00:00.000001001Z,a,\"sda,1\",x,7,\n\
        1970-01-01T00:00:00.000001002Z,b,,x,8,x y\n";
    assert_eq!(place.run(&["export", "--table", "disk io"]).ok(), disk);
    let again = import(&place, "x.lp", lines, "--tag site=@filename").ok();
    assert!(again.contains("already imported: 4 rows"), "{again}");
    import(&place, "y.lp", lines, "--table all")
        .fails(2, &["line 2", "measurement \"disk io\"", "--table names one table"]);
    import(&place, "z.lp", "cpu v=1 1\n", "--table all").ok();
    assert_eq!(
        place.words("export --table all").ok(),
        "time,v\n1970-01-01T00:00:00.000000001Z,1\n"
    );
    // What a table holds rules: exact values are widened, others refused.
    import(&place, "w.lp", "cpu load=2i 5\n", "").ok();
    import(&place, "v.lp", "cpu load=9007199254740993i 5\n", "").fails(
        2,
        &["line 1", "column \"load\" is f64 in the table", "9007199254740993 here is i64"],
    );
}

#[test]
fn arrow_types_are_widened_as_documented() {
    let list: ListArray = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let coded: DictionaryArray<UInt32Type> = [Some("x"), None, Some("x")].into_iter().collect();
    let runs: RunArray<Int32Type> = [Some("r"), Some("r"), None].into_iter().collect();
    let columns: Columns = vec![
        ("when", Arc::new(TimestampSecondArray::from(vec![3, 2, 1]).with_timezone("+05:30"))),
        ("k", Arc::new(coded)),
        ("small", Arc::new(Int8Array::from(vec![Some(-1), None, Some(127)]))),
        ("short", Arc::new(UInt16Array::from(vec![0, 1, u16::MAX]))),
        ("single", Arc::new(Float32Array::from(vec![Some(0.5), Some(f32::NAN), None]))),
        ("large", Arc::new(LargeStringArray::from(vec![Some("l"), None, Some("")]))),
        ("view", Arc::new(StringViewArray::from(vec!["a text of more than twelve", "v", "w"]))),
        ("runs", Arc::new(runs)),
        ("day", Arc::new(Date32Array::from(vec![Some(1), None, Some(-1)]))),
        (
            "dec",
            Arc::new(
                Decimal128Array::from(vec![125, -1, 0]).with_precision_and_scale(30, 2).unwrap(),
            ),
        ),
        ("none", Arc::new(NullArray::new(3))),
    ];
    let expected = "time,k,small,short,single,large,view,runs,day,dec\n\
        1970-01-01T00:00:02Z,,,1,NaN,,v,r,,-0.01\n\
        1970-01-01T00:00:01Z,x,127,65535,,\"\",w,,1969-12-31T00:00:00Z,0.00\n\
        1970-01-01T00:00:03Z,x,-1,0,0.5,l,a text of more than twelve,r,1970-01-02T00:00:00Z,1.25\n";
    let rows = [batch(columns.clone())];
    let words = "--table t --time when --tags k";
    let place = Place::new();
    import(&place, "x.arrow", arrow_file(&rows, None), words).ok();
    assert_eq!(place.export(), expected);
    let place = Place::new();
    let no_runs: Vec<_> = columns.into_iter().filter(|(name, _)| *name != "runs").collect();
    import(&place, "x.parquet", parquet(&[batch(no_runs)], Compression::SNAPPY), words).ok();
    let no_runs = expected.replace(",runs", "").replace(",v,r,", ",v,").replace(",w,,", ",w,");
    assert_eq!(place.export(), no_runs.replace("twelve,r,", "twelve,"));

    let nested = batch(vec![
        ("ts", Arc::new(TimestampSecondArray::from(vec![1])) as ArrayRef),
        ("l", Arc::new(list)),
    ]);
    import(&place, "n.arrow", arrow_file(&[nested], None), "--table u")
        .fails(2, &["n.arrow: column \"l\" is a list, which no column holds"]);
}

#[test]
fn values_that_do_not_fit_are_refused_with_row_and_column() {
    let second = |values: Vec<i64>| Arc::new(TimestampSecondArray::from(values)) as ArrayRef;
    let micro =
        |values: Vec<Option<i64>>| Arc::new(TimestampMicrosecondArray::from(values)) as ArrayRef;
    let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    let numbers = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let wide =
        Decimal128Array::from(vec![1, 10_i128.pow(20)]).with_precision_and_scale(30, 2).unwrap();
    let cases: Vec<(Columns, &str, i32, &[&str])> = vec![
        (
            vec![("ts", second(vec![1, i64::MAX]))],
            "",
            2,
            &["row 2", "\"ts\"", "9223372036854775807", "beyond"],
        ),
        (vec![("ts", micro(vec![Some(1), None]))], "", 2, &["row 2", "\"ts\"", "time is missing"]),
        (
            vec![("ts", second(vec![1, 2])), ("d", Arc::new(wide))],
            "",
            2,
            &["row 2", "\"d\"", "beyond decimal(18,2)"],
        ),
        (
            vec![("ts", second(vec![1])), ("k", texts(vec!["a\0b"]))],
            "--tags k",
            2,
            &["row 1", "tag \"k\"", "zero byte"],
        ),
        (
            vec![("ts", second(vec![1])), ("k", texts(vec!["a"]))],
            "--tags x",
            3,
            &["no column \"x\" for a tag", "there are: ts, k"],
        ),
        (
            vec![("ts", second(vec![1])), ("k", texts(vec!["a"]))],
            "--tag k=1",
            2,
            &["has a column \"k\" already"],
        ),
        (
            vec![("a", second(vec![1])), ("b", second(vec![1]))],
            "",
            2,
            &["which column is the time?", "there are: a, b"],
        ),
        (
            vec![("ts", second(vec![1]))],
            "--time ts:ms",
            2,
            &["\"ts\" holds times already", "--time ts"],
        ),
        (
            vec![("ts", numbers(vec![1_700_000_000_123]))],
            "--time ts",
            2,
            &["row 1", "--time ts:ms"],
        ),
        (vec![("ts", texts(vec!["noon"]))], "--time ts", 2, &["row 1", "\"ts\"", "\"noon\""]),
        (
            vec![("ts", Arc::new(Float64Array::from(vec![1.0])))],
            "--time ts",
            2,
            &["1 is f64, which is no time"],
        ),
        (
            vec![("ts", second(vec![1])), ("v", texts(vec!["x"]))],
            "--types v=f64",
            2,
            &["row 1", "\"x\" is no f64"],
        ),
        (vec![("ts", second(vec![1]))], "--delimiter ;", 2, &["--delimiter is for CSV"]),
        (vec![("ts", second(vec![1]))], "--null NA", 2, &["--null is for CSV and NDJSON"]),
        (vec![("ts", second(vec![1]))], "--precision s", 2, &["--precision is for line protocol"]),
        (vec![("ts", second(vec![1])), ("", numbers(vec![1]))], "", 2, &["column 2 has no name"]),
    ];
    for (columns, more, code, parts) in cases {
        let rows = [batch(columns)];
        for (name, bytes) in [
            ("bad.parquet", parquet(&rows, Compression::SNAPPY)),
            ("bad.arrows", arrow_stream(&rows)),
        ] {
            let place = Place::new();
            let ran = import(&place, name, bytes, &format!("--table t {more}"));
            ran.fails(code, parts);
            assert!(!place.db().exists(), "{name} {more}");
        }
    }
    // Skipped, they are counted.
    let place = Place::new();
    let rows = [batch(vec![("ts", second(vec![1, i64::MAX, 3])), ("v", numbers(vec![1, 2, 3]))])];
    let said = import(
        &place,
        "x.parquet",
        parquet(&rows, Compression::SNAPPY),
        "--table t --on-error skip",
    )
    .ok();
    assert!(said.contains("1 rows refused") && said.contains("x.parquet, row 2"), "{said}");
    assert_eq!(place.export(), "time,v\n1970-01-01T00:00:01Z,1\n1970-01-01T00:00:03Z,3\n");
    // Types that are named, and types of the table.
    let typed = [batch(vec![
        ("ts", numbers(vec![1, 2])),
        ("p", Arc::new(Float64Array::from(vec![101.25, 7.5]))),
        ("at", numbers(vec![5, 6])),
        ("n", texts(vec!["1.5", "NaN"])),
    ])];
    let words = "--table u --time ts:s --types p=decimal(9,2),at=timestamp:ms,n=f64";
    import(&place, "u.parquet", parquet(&typed, Compression::SNAPPY), words).ok();
    let expected = "time,p,at,n\n1970-01-01T00:00:01Z,101.25,1970-01-01T00:00:00.005Z,1.5\n\
        1970-01-01T00:00:02Z,7.50,1970-01-01T00:00:00.006Z,NaN\n";
    assert_eq!(place.words("export --table u").ok(), expected);
    let floats =
        [batch(vec![("ts", second(vec![9])), ("v", Arc::new(Float64Array::from(vec![1.5])))])];
    import(&place, "w.parquet", parquet(&floats, Compression::SNAPPY), "--table t")
        .fails(2, &["row 1", "\"v\" is i64 in the table, and 1.5 here is f64"]);
    // Files that say different types.
    let (a, b) = (
        place.file("a.parquet", parquet(&rows, Compression::SNAPPY)),
        place.file("b.arrows", arrow_stream(&floats)),
    );
    place
        .run(&["import", "--table", "w", &a, &b, "--on-error", "skip"])
        .fails(2, &["\"v\" is i64 in", "b.arrows", "--types v="]);
}

#[test]
fn lines_that_cannot_be_taken_are_refused_with_their_number() {
    let nested = format!("{{\"ts\":1,\"v\":1}}\n{{\"ts\":2,\"v\":{}\n", "[".repeat(10_000));
    let cases: &[(&str, &str, &str, i32, &[&str])] = &[
        ("b.ndjson", "", "--time ts:s", 2, &["is empty: there is no row"]),
        ("b.ndjson", "\n\n", "--time ts:s", 2, &["is empty: there is no row"]),
        ("b.ndjson", "[{\"ts\":1}]\n", "--time ts:s", 2, &["holds a JSON array", "jq -c"]),
        ("b.ndjson", "ts,v\n1,2\n", "--time ts:s", 2, &["no JSON object", "--format"]),
        ("b.csv", "{\"ts\":1}\n", "--time ts:s", 2, &["holds NDJSON: say --format ndjson"]),
        (
            "b.ndjson",
            "{\"ts\":1}\n{\"ts\":1,\"v\":{\"a\":1}}\n",
            "--time ts:s",
            2,
            &["line 2", "key \"v\" holds an object", "--on-error skip"],
        ),
        ("b.ndjson", &nested, "--time ts:s", 2, &["line 2", "key \"v\" holds an array"]),
        ("b.ndjson", "{\"ts\":1}\n{\n", "--time ts:s", 2, &["line 2", "whole on one line"]),
        ("b.ndjson", "{\"v\":1}\n", "--time ts:s", 2, &["line 1", "\"ts\": the time is missing"]),
        (
            "b.ndjson",
            "{\"ts\":1,\"k\":\"a\"}\n",
            "--time ts:s --tags sym",
            3,
            &["no column \"sym\" for a tag", "there are: ts, k"],
        ),
        (
            "b.ndjson",
            "{\"ts\":1,\"k\":\"a\"}\n",
            "--time ts:s --tag k=b",
            2,
            &["has a column \"k\" already"],
        ),
        ("b.ndjson", "{\"ts\":1}\n", "", 2, &["which column is the time?"]),
        (
            "b.ndjson",
            "{\"ts\":1,\"v\":\"x\"}\n",
            "--time ts:s --types v=i64",
            2,
            &["line 1", "\"x\" is no i64"],
        ),
        (
            "b.ndjson",
            "{\"ts\":1,\"v\":1}\n",
            "--time ts:s --types w=i64",
            3,
            &["names column \"w\""],
        ),
        ("b.lp", "m v=1\n", "", 2, &["line 1", "no timestamp"]),
        (
            "b.lp",
            "m v=1 1\nm v=1i 2\n",
            "",
            2,
            &["line 2", "\"v\" is f64 where it is first, and 1 here is i64"],
        ),
        ("b.lp", "m v=1 1\nm,v=1 w=1 2\n", "", 2, &["line 2", "\"v\" is a tag here and a field"]),
        ("b.lp", "m v=1 1\nm v= 2\n", "", 2, &["line 2", "a field's value is missing"]),
        ("b.lp", "m v=1 1\nm v=\"x 2\n", "", 2, &["line 2", "open at the end of the line"]),
        ("b.lp", "m time=1 1\n", "", 2, &["line 1", "\"time\" is the name of the time"]),
        ("b.lp", "m v=1 9223372036854775807\n", "--precision s", 2, &["line 1", "--precision"]),
        ("b.lp", "m v=1 1.5\n", "", 2, &["line 1", "\"1.5\" is no integer"]),
        ("b.lp", "m v=1 1\n", "--time v", 2, &["--precision says their unit"]),
        ("b.lp", "m v=1 1\n", "--tags v", 2, &["--tags is for other formats"]),
    ];
    for (name, text, more, code, parts) in cases {
        let place = Place::new();
        let table = if name.ends_with(".lp") { "" } else { "--table t" };
        import(&place, name, text, &format!("{table} {more}")).fails(*code, parts);
        assert!(!place.db().exists(), "{text}");
    }
    let place = Place::new();
    import(&place, "x.ndjson", "{\"ts\":1}\n", "--time ts").fails(2, &["which table? --table"]);
    let bad = "{\"ts\":1,\"v\":1}\nx\n{\"ts\":2,\"v\":[]}\n{\"ts\":3,\"v\":2}\n";
    let said = import(&place, "x.ndjson", bad, "--table t --time ts:s --on-error skip").ok();
    assert!(said.contains("2 rows refused") && said.contains("x.ndjson, line 3"), "{said}");
    assert_eq!(place.export().lines().count(), 3);
    // Strings are text, whatever they look like, unless a type is named.
    let strings = "{\"ts\":1,\"p\":\"1.5\",\"n\":\"NaN\"}\n";
    import(&place, "s.ndjson", strings, "--table s --time ts:s --types p=f64").ok();
    let described = place.words("describe s").ok();
    let kinds: Vec<Vec<&str>> = described.lines().map(|l| l.split_whitespace().collect()).collect();
    assert!(kinds.contains(&vec!["p", "f64"]) && kinds.contains(&vec!["n", "utf8"]), "{described}");
}

#[test]
fn damaged_files_are_refused_and_nothing_panics() {
    let rows: Vec<RecordBatch> = (0..4)
        .map(|part| {
            let times: Vec<i64> = (0..500).map(|i| part * 500 + i).collect();
            let texts: Vec<String> = times.iter().map(|i| format!("text {}", i % 17)).collect();
            batch(vec![
                ("ts", Arc::new(TimestampSecondArray::from(times.clone())) as ArrayRef),
                ("v", Arc::new(Int64Array::from(times))),
                ("s", Arc::new(StringArray::from(texts))),
            ])
        })
        .collect();
    let files = [
        ("x.parquet", parquet(&rows, Compression::SNAPPY)),
        ("x.arrows", arrow_stream(&rows)),
        ("x.arrow", arrow_file(&rows, Some(CompressionType::LZ4_FRAME))),
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for (name, whole) in &files {
        for case in 0..60 {
            let mut bytes = whole.clone();
            match case % 3 {
                0 => bytes.truncate(random(whole.len())),
                1 => (0..3).for_each(|_| bytes[random(whole.len())] ^= 1 << random(8)),
                _ => {
                    // Lengths: whole words at the end, where footers are, and at the beginning.
                    let at =
                        if random(2) == 0 { random(64) } else { whole.len() - 8 - random(400) };
                    bytes[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
                }
            }
            let place = Place::new();
            let ran = import(&place, name, &bytes, "--table t");
            // A bit in a value may be as good as another one.
            assert!(
                matches!(ran.code, Some(0 | 2 | 3)),
                "{name} {case}: {:?} {}",
                ran.code,
                ran.err
            );
            assert!(!ran.err.contains("panicked"), "{name} {case}: {}", ran.err);
            if case % 3 == 0 && *name != "x.arrows" {
                assert_eq!(ran.code, Some(2), "{name} {case}: {} {}", ran.out, ran.err);
            }
        }
    }
}

#[test]
fn bombs_end_within_bounded_memory() {
    let place = Place::new();
    // Two GiB of one line in two MiB.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let block = vec![b'x'; 1 << 20];
    (0..2_048).for_each(|_| encoder.write_all(&block).unwrap());
    let file = place.file("x.lp.zst", encoder.finish().unwrap());
    let json = place.file("x.ndjson.zst", {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(b"{\"ts\":1,\"v\":\"").unwrap();
        (0..2_048).for_each(|_| encoder.write_all(&block).unwrap());
        encoder.finish().unwrap()
    });
    let program = env!("CARGO_BIN_EXE_chronolith");
    for line in [format!("import {file}"), format!("import --table t --time ts:s {json}")] {
        let limited = format!("ulimit -d 262144; exec {program} {line}");
        let output = std::process::Command::new("sh")
            .args(["-c", &limited])
            .env("CHRONOLITH_DATA", place.db())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("line 1: the line is over 16777216 bytes"), "{errors}");
    }
}

/// Many rows of which many share a time, as NDJSON or a batch, and the export that CSV gives.
fn many(rows: i64) -> (String, RecordBatch, String) {
    let (mut json, mut csv) = (String::new(), "ts,v,w\n".to_owned());
    let times: Vec<i64> = (0..rows).map(|i| i * 7_919 % 5_000).collect();
    let texts: Vec<String> = (0..rows).map(|i| format!("text {}", i % 97)).collect();
    for (i, (time, text)) in times.iter().zip(&texts).enumerate() {
        json.push_str(&format!("{{\"ts\":{time},\"v\":{i},\"w\":\"{text}\"}}\n"));
        csv.push_str(&format!("{time},{i},{text}\n"));
    }
    let place = Place::new();
    import(&place, "x.csv", csv, "--table t --time ts:s").ok();
    let batch = batch(vec![
        ("ts", Arc::new(TimestampSecondArray::from(times)) as ArrayRef),
        ("v", Arc::new(Int64Array::from((0..rows).collect::<Vec<_>>()))),
        ("w", Arc::new(StringArray::from(texts))),
    ]);
    (json, batch, place.export())
}

/// Kills an import again and again, each time a little later, until one ends by itself. Gives the kills.
fn kill_until_done(place: &Place, args: &[&str]) -> usize {
    let mut delay = Duration::from_millis(10);
    for kills in 0..500 {
        let command = &mut place.command(args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delay);
        if child.try_wait().unwrap().is_some() {
            return kills;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        delay = delay.mul_f64(1.25);
    }
    panic!("an import never ends");
}

#[test]
fn a_killed_import_goes_on_without_doubles_in_every_format() {
    let (json, batch, expected) = many(400_000);
    let batches: Vec<_> = (0..4).map(|part| batch.slice(part * 100_000, 100_000)).collect();
    let lines = json.lines().enumerate().map(|(i, _)| {
        let (time, text) = (i64::try_from(i).unwrap() * 7_919 % 5_000, i % 97);
        format!("t v={i}i,w=\"text {text}\" {time}\n")
    });
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("x.ndjson", json.clone().into(), "--table t --time ts:s"),
        ("x.parquet", parquet(&batches, Compression::SNAPPY), "--table t"),
        ("x.arrow", arrow_file(&batches, None), "--table t"),
        ("x.lp", lines.collect::<String>().into(), "--precision s"),
    ];
    for (name, bytes, words) in cases {
        let place = Place::new();
        let file = place.file(name, bytes);
        let mut args = vec!["import"];
        args.extend(words.split(' '));
        args.push(&file);
        let kills = kill_until_done(&place, &args);
        assert!(kills >= 3, "{name}: {kills} kills: too few to show anything");
        let said = place.run(&args).ok();
        assert!(said.contains("already imported: 400000 rows"), "{name}: {said}");
        assert!(place.export() == expected, "{name}");
        assert!(place.words("verify").ok().contains("no damage"), "{name}");
    }
}
