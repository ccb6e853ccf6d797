use super::*;
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn open(bytes: &[u8]) -> Result<Input, InputError> {
    let bytes = bytes.to_vec();
    let total = bytes.len() as u64;
    Input::from_reader("t.csv", Box::new(io::Cursor::new(bytes)), Some(total))
}

fn read(bytes: &[u8]) -> Result<Vec<u8>, InputError> {
    let mut input = open(bytes)?;
    let mut out = Vec::new();
    input.read_to_end(&mut out).map_err(|e| InputError::from_io("t.csv", e))?;
    assert_eq!(input.raw_bytes().get(), bytes.len() as u64);
    Ok(out)
}

const TEXT: &[u8] = b"time,price\n1,2.5\n2,2.75\n3,2.5\n";

#[test]
fn plain_gzip_and_zstd_give_the_same_text() {
    assert_eq!(read(TEXT).unwrap(), TEXT);
    assert_eq!(read(&gzip(TEXT)).unwrap(), TEXT);
    assert_eq!(read(&zstd::encode_all(TEXT, 3).unwrap()).unwrap(), TEXT);
    let skippable =
        [&[0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9], &zstd::encode_all(TEXT, 3).unwrap()[..]];
    assert_eq!(read(&skippable.concat()).unwrap(), TEXT);
    assert_eq!(open(&gzip(TEXT)).unwrap().packing(), Packing::Gzip);
}

#[test]
fn several_members_and_frames_follow_one_another() {
    assert_eq!(read(&[gzip(b"ab"), gzip(b""), gzip(b"cd")].concat()).unwrap(), b"abcd");
    let frame = |b: &[u8]| zstd::encode_all(b, 1).unwrap();
    assert_eq!(read(&[frame(b"ab"), frame(b"cd")].concat()).unwrap(), b"abcd");
}

#[test]
fn short_inputs_are_text() {
    for text in [&b""[..], b"a", b"\xef", b"\xef\xbb", b"ab", b"abc", b"\x1f"] {
        assert_eq!(read(text).unwrap(), text);
    }
    assert_eq!(read(&gzip(b"")).unwrap(), b"");
}

#[test]
fn one_mark_is_stripped() {
    assert_eq!(read(b"\xef\xbb\xbfa,b").unwrap(), b"a,b");
    assert_eq!(read(b"\xef\xbb\xbf").unwrap(), b"");
    assert_eq!(read(&gzip(b"\xef\xbb\xbf\xef\xbb\xbfa")).unwrap(), b"\xef\xbb\xbfa");
    for utf16 in [b"\xff\xfea\0", b"\xfe\xff\0a"] {
        assert!(matches!(read(utf16), Err(InputError::Utf16 { .. })));
    }
}

#[test]
fn every_cut_of_a_gzip_says_truncated() {
    let mut second = vec![0; 5000];
    second.iter_mut().enumerate().for_each(|(i, b)| *b = u8::try_from(i * i % 251).unwrap());
    let first = gzip(TEXT);
    let whole = [first.clone(), gzip(&second)].concat();
    for cut in 2..whole.len() {
        if cut == first.len() {
            // A cut between two members leaves a valid file.
            assert_eq!(read(&whole[..cut]).unwrap(), TEXT);
            continue;
        }
        match read(&whole[..cut]) {
            Err(InputError::Truncated { name, raw_bytes, .. }) => {
                assert_eq!((name.as_str(), raw_bytes), ("t.csv", cut as u64));
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    let message = read(&whole[..40]).unwrap_err().to_string();
    assert!(message.starts_with("t.csv is truncated: its gzip data ends"), "{message}");
}

#[test]
fn every_cut_of_a_zstd_says_truncated() {
    let whole = zstd::encode_all(TEXT, 3).unwrap();
    for cut in 4..whole.len() {
        assert!(matches!(read(&whole[..cut]), Err(InputError::Truncated { .. })), "cut at {cut}");
    }
}

#[test]
fn damage_is_not_truncation() {
    let mut bytes = gzip(TEXT);
    let at = bytes.len() - 6; // in the checksum
    bytes[at] ^= 1;
    assert!(matches!(read(&bytes), Err(InputError::Damaged { format: "gzip", .. })));
    bytes = gzip(TEXT);
    bytes.extend_from_slice(b"garbage after the end");
    assert!(matches!(read(&bytes), Err(InputError::Damaged { .. })));
}

#[test]
fn files_are_opened_by_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not_gz.csv");
    std::fs::write(&path, gzip(TEXT)).unwrap();
    let mut input = Input::open(&path).unwrap();
    let mut text = String::new();
    input.read_to_string(&mut text).unwrap();
    assert_eq!(text.as_bytes(), TEXT);
    assert_eq!(input.raw_total(), Some(input.raw_bytes().get()));
    assert!(matches!(Input::open(dir.path()), Err(InputError::Directory { .. })));
    let absent = Input::open(&dir.path().join("absent")).unwrap_err();
    assert!(absent.to_string().contains("absent"), "{absent}");
}

#[test]
fn file_tags() {
    let tag = |path: &'static str| file_tag(Path::new(path));
    assert_eq!(tag("data/BRK.B.csv.gz"), Some("BRK.B"));
    assert_eq!(tag("BRK.B"), Some("BRK.B"));
    assert_eq!(tag("BRK.B.csv"), Some("BRK.B"));
    assert_eq!(tag("BRK.B.zst"), Some("BRK.B"));
    assert_eq!(tag("a.csv.zst"), Some("a"));
    assert_eq!(tag("a.csv.csv"), Some("a.csv"));
    assert_eq!(tag("a.gz.gz"), Some("a.gz"));
    assert_eq!(tag("a.csv.gz.csv"), Some("a.csv.gz"));
    assert_eq!(tag("a.tsv"), Some("a.tsv"));
    assert_eq!(tag(".csv.gz"), None);
    assert_eq!(tag("-"), None);
    assert_eq!(tag(".."), None);
}
