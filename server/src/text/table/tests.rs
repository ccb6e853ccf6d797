use super::*;

fn columns(kinds: &[(&str, ColumnKind)]) -> Vec<OutColumn> {
    kinds.iter().map(|(name, kind)| OutColumn { name: (*name).into(), kind: *kind }).collect()
}

fn write(format: RowFormat, columns: &[OutColumn], rows: &[&[Cell<'_>]]) -> String {
    let mut writer = RowWriter::new(format, columns, Vec::new());
    for row in rows {
        writer.row(row).unwrap();
    }
    assert_eq!(writer.row_count(), rows.len() as u64);
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

fn sample() -> (Vec<OutColumn>, Vec<Vec<Cell<'static>>>) {
    let columns = columns(&[
        ("time", ColumnKind::Time),
        ("sym,bol", ColumnKind::Text),
        ("ltp", ColumnKind::F64),
        ("n", ColumnKind::I64),
        ("u", ColumnKind::U64),
        ("ok", ColumnKind::Bool),
        ("d", ColumnKind::Decimal),
        ("nil", ColumnKind::Null),
    ]);
    let rows = vec![
        vec![
            Cell::Time(1_500_000_000),
            Cell::Text("a\"b\n"),
            Cell::F64(1428.65),
            Cell::I64(-5),
            Cell::U64(u64::MAX),
            Cell::Bool(true),
            Cell::Decimal { scaled: 1250, scale: 2 },
            Cell::Null,
        ],
        vec![
            Cell::Time(0),
            Cell::Text(""),
            Cell::F64(f64::NEG_INFINITY),
            Cell::Null,
            Cell::U64(0),
            Cell::Bool(false),
            Cell::Decimal { scaled: -5, scale: 2 },
            Cell::Null,
        ],
    ];
    (columns, rows)
}

fn write_sample(format: RowFormat) -> String {
    let (columns, rows) = sample();
    let rows: Vec<&[Cell<'_>]> = rows.iter().map(Vec::as_slice).collect();
    write(format, &columns, &rows)
}

#[test]
fn csv_rows() {
    assert_eq!(
        write_sample(RowFormat::Csv),
        "time,\"sym,bol\",ltp,n,u,ok,d,nil\n\
         1970-01-01T00:00:01.5Z,\"a\"\"b\n\",1428.65,-5,18446744073709551615,true,12.50,\n\
         1970-01-01T00:00:00Z,\"\",-inf,,0,false,-0.05,\n"
    );
}

#[test]
fn json_rows() {
    assert_eq!(
        write_sample(RowFormat::Json),
        "[\n{\"time\":\"1970-01-01T00:00:01.5Z\",\"sym,bol\":\"a\\\"b\\n\",\"ltp\":1428.65,\
         \"n\":-5,\"u\":18446744073709551615,\"ok\":true,\"d\":12.50,\"nil\":null},\n\
         {\"time\":\"1970-01-01T00:00:00Z\",\"sym,bol\":\"\",\"ltp\":\"-inf\",\"n\":null,\
         \"u\":0,\"ok\":false,\"d\":-0.05,\"nil\":null}\n]\n"
    );
    assert_eq!(write(RowFormat::Json, &columns(&[("a", ColumnKind::I64)]), &[]), "[]\n");
}

#[test]
fn json_strings_are_escaped_as_a_parser_expects() {
    let text: String = (0..0x300u32).filter_map(char::from_u32).chain(['\u{1f600}']).collect();
    let out = write(
        RowFormat::Json,
        &columns(&[(&text, ColumnKind::Text)]),
        &[&[Cell::Text(&text)], &[Cell::F64(f64::NAN)], &[Cell::F64(-0.0)], &[Cell::F64(1e300)]],
    );
    let parsed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(parsed[0][&text], *text);
    assert_eq!(parsed[1][&text], "NaN");
    assert_eq!(parsed[3][&text], 1e300);
    assert!(parsed[2][&text].as_f64().unwrap().is_sign_negative());
}

#[test]
fn table_rows() {
    let columns = columns(&[
        ("time", ColumnKind::Time),
        ("price", ColumnKind::F64),
        ("\u{e9}t\u{e9}", ColumnKind::Text),
    ]);
    let rows: [&[Cell<'_>]; 3] = [
        &[Cell::Time(0), Cell::F64(2.5), Cell::Text("x")],
        &[Cell::Time(1_000_000), Cell::F64(61804.7), Cell::Text("\u{1b}[2J")],
        &[Cell::Time(0), Cell::Null, Cell::Text("")],
    ];
    let want = "\
time                        price  \u{e9}t\u{e9}
------------------------  -------  ---------
1970-01-01T00:00:00Z          2.5  x
1970-01-01T00:00:00.001Z  61804.7  \\u{1b}[2J
1970-01-01T00:00:00Z         NULL
";
    assert_eq!(write(RowFormat::Table, &columns, &rows), want);
    assert_eq!(
        write(RowFormat::Table, &columns, &[]),
        "time  price  \u{e9}t\u{e9}\n----  -----  ---\n"
    );
}

#[test]
fn a_long_table_streams_after_its_first_rows() {
    let columns = columns(&[("n", ColumnKind::I64)]);
    let mut writer = RowWriter::new(RowFormat::Table, &columns, Vec::new());
    for n in 0..ALIGNED_ROWS_MAX as i64 + 3 {
        writer.row(&[Cell::I64(n)]).unwrap();
    }
    let text = String::from_utf8(writer.finish().unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), ALIGNED_ROWS_MAX + 5);
    assert_eq!(lines[2], "   0");
    assert_eq!(lines[ALIGNED_ROWS_MAX + 1], "9999");
    assert_eq!(lines[ALIGNED_ROWS_MAX + 2], "10000");
    assert_eq!(lines[ALIGNED_ROWS_MAX + 4], "10002");
}

#[test]
fn a_row_of_another_width_is_refused() {
    let columns = columns(&[("n", ColumnKind::I64)]);
    let mut writer = RowWriter::new(RowFormat::Csv, &columns, Vec::new());
    let error = writer.row(&[]).unwrap_err();
    assert_eq!(error.to_string(), "a result row has 0 cells for 1 columns");
}

#[test]
fn formats_are_read_as_they_are_written() {
    for format in [RowFormat::Table, RowFormat::Csv, RowFormat::Json] {
        assert_eq!(RowFormat::parse(&format.to_string()), Some(format));
    }
    assert_eq!(RowFormat::parse("xml"), None);
}
