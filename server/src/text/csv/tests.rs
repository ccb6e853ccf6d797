use super::*;
use crate::text::input::InputError;
use proptest::prelude::*;
use std::io::{self, Read};

/// Gives at most `step` bytes a call, so that every boundary falls everywhere.
struct Drip<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Drip<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.len().min(self.step).min(buf.len());
        let (now, later) = self.bytes.split_at(n);
        buf[..n].copy_from_slice(now);
        self.bytes = later;
        Ok(n)
    }
}

/// One record as the tests compare it.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Seen {
    Record { line: u64, fields: Vec<(Vec<u8>, bool)> },
    AfterQuote { line: u64, field: usize },
    OpenQuote { line: u64 },
}

fn read_all(bytes: &[u8], step: usize, delimiter: Delimiter) -> Vec<Seen> {
    let mut reader = CsvReader::new(Drip { bytes, step }, "t.csv", delimiter);
    let mut record = Record::new();
    let mut seen = Vec::new();
    loop {
        match reader.read(&mut record) {
            Ok(false) => return seen,
            Ok(true) => {
                let fields: Vec<_> = record.iter().map(|f| (f.bytes.to_vec(), f.quoted)).collect();
                for (i, (bytes, quoted)) in fields.iter().enumerate() {
                    assert_eq!(record.get(i), Some(Field { bytes, quoted: *quoted }));
                }
                assert_eq!(record.get(fields.len()), None);
                seen.push(Seen::Record { line: record.line(), fields });
            }
            Err(CsvError::AfterQuote { line, field, .. }) => {
                seen.push(Seen::AfterQuote { line, field });
            }
            Err(CsvError::OpenQuote { line, .. }) => seen.push(Seen::OpenQuote { line }),
            Err(other) => panic!("{other}"),
        }
    }
}

/// The oracle: one byte after another, one state, written from the rules in `mod.rs`.
fn naive(bytes: &[u8], delimiter: u8) -> Vec<Seen> {
    #[derive(PartialEq, Clone, Copy)]
    enum State {
        FieldStart,
        Unquoted,
        Quoted,
        QuoteInQuoted,
        CrAfterQuote,
        Spoilt,
    }
    let mut seen = Vec::new();
    let (mut state, mut line, mut record_line) = (State::FieldStart, 1, 1);
    let mut fields: Vec<(Vec<u8>, bool)> = Vec::new();
    let mut field = Vec::new();
    let end_record = |fields: &mut Vec<(Vec<u8>, bool)>, seen: &mut Vec<Seen>, line| {
        let fields = std::mem::take(fields);
        if fields != [(vec![], false)] {
            seen.push(Seen::Record { line, fields });
        }
    };
    for &b in bytes {
        let is_delimiter = b == delimiter;
        match (state, b) {
            (State::FieldStart, b'"') => state = State::Quoted,
            (State::Quoted, b'"') => state = State::QuoteInQuoted,
            (State::Quoted, _) => field.push(b),
            (State::QuoteInQuoted, b'"') => {
                field.push(b);
                state = State::Quoted;
            }
            (State::QuoteInQuoted, b'\r') => state = State::CrAfterQuote,
            (State::QuoteInQuoted | State::CrAfterQuote, b'\n') => {
                fields.push((std::mem::take(&mut field), true));
                end_record(&mut fields, &mut seen, record_line);
                state = State::FieldStart;
            }
            (State::QuoteInQuoted, _) if is_delimiter => {
                fields.push((std::mem::take(&mut field), true));
                state = State::FieldStart;
            }
            (State::QuoteInQuoted | State::CrAfterQuote, _) => {
                seen.push(Seen::AfterQuote { line: record_line, field: fields.len() + 1 });
                field.clear();
                fields.clear();
                state = State::Spoilt;
            }
            (State::Spoilt, b'\n') => state = State::FieldStart,
            (State::Spoilt, _) => {}
            (State::FieldStart | State::Unquoted, b'\n') => {
                if field.last() == Some(&b'\r') {
                    field.pop();
                }
                fields.push((std::mem::take(&mut field), false));
                end_record(&mut fields, &mut seen, record_line);
                state = State::FieldStart;
            }
            (State::FieldStart | State::Unquoted, _) if is_delimiter => {
                fields.push((std::mem::take(&mut field), false));
                state = State::FieldStart;
            }
            (State::FieldStart | State::Unquoted, _) => {
                field.push(b);
                state = State::Unquoted;
            }
        }
        if b == b'\n' {
            line += 1;
            if state != State::Quoted {
                record_line = line;
            }
        }
    }
    match state {
        State::Quoted => seen.push(Seen::OpenQuote { line: record_line }),
        State::QuoteInQuoted | State::CrAfterQuote => {
            fields.push((field, true));
            end_record(&mut fields, &mut seen, record_line);
        }
        State::Spoilt => {}
        State::FieldStart | State::Unquoted => {
            if field.last() == Some(&b'\r') {
                field.pop();
            }
            fields.push((field, false));
            end_record(&mut fields, &mut seen, record_line);
        }
    }
    seen
}

fn fields(bytes: &[u8]) -> Vec<Vec<(Vec<u8>, bool)>> {
    read_all(bytes, 3, Delimiter::COMMA)
        .into_iter()
        .map(|seen| match seen {
            Seen::Record { fields, .. } => fields,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn plain(text: &str) -> (Vec<u8>, bool) {
    (text.as_bytes().to_vec(), false)
}

fn in_quotes(text: &str) -> (Vec<u8>, bool) {
    (text.as_bytes().to_vec(), true)
}

fn reader(bytes: &[u8]) -> CsvReader<&[u8]> {
    CsvReader::new(bytes, "t.csv", Delimiter::COMMA)
}

fn read_error(bytes: &[u8]) -> CsvError {
    let (mut reader, mut record) = (reader(bytes), Record::new());
    loop {
        match reader.read(&mut record) {
            Ok(true) => {}
            Ok(false) => panic!("no error"),
            Err(error) => return error,
        }
    }
}

#[test]
fn quoted_empty_is_not_absent() {
    assert_eq!(fields(b",\"\",x\n"), [[plain(""), in_quotes(""), plain("x")]]);
}

#[test]
fn line_ends_quotes_and_blank_lines() {
    let text = b"a,b\r\n\r\n\n\"x,\"\"y\"\"\nz\",2\r\nlast,a\"b";
    let want = [
        vec![plain("a"), plain("b")],
        vec![in_quotes("x,\"y\"\nz"), plain("2")],
        vec![plain("last"), plain("a\"b")],
    ];
    assert_eq!(fields(text), want);
    let lines: Vec<_> = read_all(text, 100, Delimiter::COMMA)
        .into_iter()
        .map(|s| if let Seen::Record { line, .. } = s { line } else { 0 })
        .collect();
    assert_eq!(lines, [1, 4, 6]);
}

#[test]
fn text_after_a_quote_costs_one_line() {
    let seen = read_all(b"a\n1,\"x\"y,\"\n2\n", 2, Delimiter::COMMA);
    assert_eq!(seen[1], Seen::AfterQuote { line: 2, field: 2 });
    assert_eq!(seen[2], Seen::Record { line: 3, fields: vec![plain("2")] });
    let error = read_error(b"\"x\"y");
    assert!(error.is_of_one_record());
    assert_eq!(
        error.to_string(),
        "t.csv, line 1: text follows the closing quote of field 1; \
         a quote inside a quoted field is written twice"
    );
}

#[test]
fn an_open_quote_names_its_line() {
    let error = read_error(b"a,b\n1,\"x\n\n");
    assert!(!error.is_of_one_record());
    assert_eq!(error.to_string(), "t.csv, line 2: a quoted field is open at the end of the file");
}

#[test]
fn field_limit_is_exact_on_both_paths() {
    for quote in ["", "\"\""] {
        for (count, fits) in [(FIELD_COUNT_MAX, true), (FIELD_COUNT_MAX + 1, false)] {
            let text = format!("{quote}{}\nnext\n", ",".repeat(count - 1));
            let (mut reader, mut record) = (reader(text.as_bytes()), Record::new());
            match reader.read(&mut record) {
                Ok(true) => assert!(fits && record.len() == count),
                Err(CsvError::TooManyFields { line: 1, .. }) => assert!(!fits),
                other => panic!("{other:?}"),
            }
            assert!(reader.read(&mut record).unwrap());
            assert_eq!((record.line(), record.get(0).unwrap().bytes), (2, &b"next"[..]));
        }
    }
}

#[test]
fn record_limit_holds_on_both_paths() {
    for (open, close) in [("", ""), ("\"", "\"")] {
        let body = RECORD_BYTES_MAX - open.len() - close.len();
        let fits = format!("a\n{open}{}{close}\nb\n", "x".repeat(body));
        assert_eq!(fields(fits.as_bytes()).len(), 3);
        let over = format!("a\n{open}{}{close}\nb\n", "x".repeat(body + 3));
        let error = read_error(over.as_bytes());
        assert!(matches!(error, CsvError::RecordTooLong { line: 2, .. }), "{error}");
        assert!(!error.is_of_one_record());
    }
    // Endless input is refused, not collected, and then nothing more is read.
    for endless in [b'x', b'"', b'\n', b','] {
        let source = b"\"".chain(io::repeat(endless));
        let mut reader = CsvReader::new(source, "t.csv", Delimiter::COMMA);
        let mut record = Record::new();
        let error = reader.read(&mut record).unwrap_err();
        assert!(
            matches!(error, CsvError::RecordTooLong { .. } | CsvError::AfterQuote { .. }),
            "{error}"
        );
    }
    // Nor is much more taken than the limit.
    for (open, endless) in [(&b""[..], b'x'), (b"\"", b','), (b"\"", b'\n')] {
        let source = open.chain(io::repeat(endless).take(u64::MAX));
        let mut reader = CsvReader::new(source, "t.csv", Delimiter::COMMA);
        assert!(reader.read(&mut Record::new()).is_err());
        let taken = u64::MAX - reader.into_source().into_inner().1.limit();
        assert!(taken <= (2 * RECORD_BYTES_MAX + 2 * BLOCK_BYTES) as u64, "{taken}");
    }
    let mut reader = CsvReader::new(io::repeat(b'x'), "t.csv", Delimiter::COMMA);
    assert!(reader.read(&mut Record::new()).is_err());
    assert!(!reader.read(&mut Record::new()).unwrap());
}

#[test]
fn width_is_checked_against_the_header() {
    let (mut reader, mut record) = (reader(b"a,b\n1\n"), Record::new());
    let header = Header::read(&mut reader).unwrap();
    assert_eq!(header.names(), ["a", "b"]);
    assert_eq!(header.position("b"), Some(1));
    assert!(reader.read(&mut record).unwrap());
    let error = record.check_width(header.width(), reader.name()).unwrap_err();
    assert_eq!(error.to_string(), "t.csv, line 2: 1 fields where the header has 2");
    assert!(error.is_of_one_record());
    assert!(record.check_width(1, "t.csv").is_ok());
}

#[test]
fn bad_headers_are_refused() {
    let error = |bytes: &[u8]| Header::read(&mut reader(bytes)).unwrap_err().to_string();
    assert_eq!(error(b""), "t.csv is empty: there is no header line");
    assert_eq!(error(b"\n\r\n"), "t.csv is empty: there is no header line");
    assert_eq!(error(b"\na,b,a\n"), "t.csv, line 2: columns 1 and 3 are both called \"a\"");
    assert_eq!(error(b"a,,b\n"), "t.csv, line 1: column 2 has no name");
    assert_eq!(
        error(b"a,\xff\n"),
        "t.csv, line 1: the name of column 2 is not valid UTF-8: \"\u{fffd}\""
    );
    assert_eq!(Header::numbered(2).names(), ["c1", "c2"]);
}

#[test]
fn delimiters() {
    assert_eq!(Delimiter::parse(";").unwrap().byte(), b';');
    assert_eq!(Delimiter::parse("\\t").unwrap().byte(), b'\t');
    assert_eq!(Delimiter::parse("\t").unwrap().byte(), b'\t');
    for bad in ["", "\"", "\n", "\r", "ab", "\u{20ac}", "\0"] {
        assert!(Delimiter::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_input_error_keeps_its_type() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other(InputError::Utf16 { name: "x".into() }))
        }
    }
    let mut reader = CsvReader::new(Fails, "x", Delimiter::COMMA);
    let error = reader.read(&mut Record::new()).unwrap_err();
    assert!(matches!(error, CsvError::Input(InputError::Utf16 { .. })), "{error}");
}

/// Bytes that look like CSV more often than chance would have it.
fn csv_like() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b'"'), 4 => Just(b','), 3 => Just(b'\n'), 2 => Just(b'\r'),
        4 => Just(b'a'), 1 => Just(b';'), 1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn agrees_with_the_naive_reader(bytes in csv_like(), step in 1usize..20) {
        for delimiter in [Delimiter::COMMA, Delimiter::parse(";").unwrap()] {
            let want = naive(&bytes, delimiter.byte());
            prop_assert_eq!(read_all(&bytes, step, delimiter), want);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes, 7, Delimiter::COMMA);
        let _ = Header::read(&mut reader(&bytes));
    }

    #[test]
    fn what_is_written_reads_back(
        rows in prop::collection::vec(
            prop::collection::vec(proptest::option::of("[a-c\"\r\n,;\u{20ac}]{0,6}"), 2..5), 0..6)
    ) {
        let mut out = Vec::new();
        for row in &rows {
            for (i, cell) in row.iter().enumerate() {
                if i > 0 { out.push(b','); }
                if let Some(text) = cell { push_text(&mut out, text, Delimiter::COMMA); }
            }
            out.push(b'\n');
        }
        let mut back = Vec::new();
        let (mut reader, mut record) = (reader(&out), Record::new());
        while reader.read(&mut record).unwrap() {
            back.push(record.iter().map(|f| {
                (!f.is_absent()).then(|| String::from_utf8(f.bytes.to_vec()).unwrap())
            }).collect::<Vec<_>>());
        }
        prop_assert_eq!(back, rows);
    }
}

#[test]
fn writer_quotes_only_where_needed() {
    let write = |text| {
        let mut out = Vec::new();
        push_text(&mut out, text, Delimiter::COMMA);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(write("a b;c"), "a b;c");
    assert_eq!(write(""), "\"\"");
    assert_eq!(write("a,b"), "\"a,b\"");
    assert_eq!(write("\"a\""), "\"\"\"a\"\"\"");
    assert_eq!(write("a\nb"), "\"a\nb\"");
}
