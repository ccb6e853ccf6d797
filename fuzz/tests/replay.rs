//! Every tracked input through its target, and a few thousand mutations of each: fuzzing without libFuzzer.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use chronolith_fuzz::mutate::{Dice, mutated};
use chronolith_fuzz::{TARGETS, Target, find};

/// Mutations of each target's inputs; CHRONOLITH_FUZZ_MUTATIONS says another number.
const MUTATION_COUNT: u64 = 3_000;
/// Bytes of one tracked input, and of all of a target's.
const INPUT_BYTES_MAX: usize = 4 << 10;
const INPUTS_BYTES_MAX: usize = 100 << 10;
const INPUT_COUNT_MAX: usize = 60;

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let listed = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut inputs: Vec<(String, Vec<u8>)> = listed
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// What the target said of the input when it panicked.
fn finding(target: &Target, input: &[u8]) -> Option<String> {
    let said = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).err()?;
    let text = said.downcast_ref::<String>().cloned();
    text.or_else(|| said.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .or_else(|| Some("a panic without words".to_owned()))
}

/// The first of `inputs` and of mutations of them by which the target fails, as hexadecimal digits, and what it said.
fn hunt(target: &Target, inputs: &[Vec<u8>], count: u64) -> Option<String> {
    let mut dice = Dice(7);
    let mutations = (0..count).map(|_| mutated(inputs, target.len_bytes_max, &mut dice));
    inputs.iter().cloned().chain(mutations).find_map(|input| {
        let said = finding(target, &input)?;
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("{}: {said}\ninput: {hex}", target.name))
    })
}

fn check(name: &str) {
    let target = find(name).unwrap();
    let tracked = inputs(name);
    for (path, bytes) in &tracked {
        let said = finding(target, bytes);
        assert_eq!(said, None, "{path}");
        assert!(bytes.len() <= INPUT_BYTES_MAX, "{path} has {} bytes", bytes.len());
    }
    let bytes: Vec<Vec<u8>> = tracked.into_iter().map(|(_, bytes)| bytes).collect();
    let total: usize = bytes.iter().map(Vec::len).sum();
    assert!((1..=INPUT_COUNT_MAX).contains(&bytes.len()), "{name}: {} inputs", bytes.len());
    assert!(total <= INPUTS_BYTES_MAX, "{name}: {total} bytes");
    let count = std::env::var("CHRONOLITH_FUZZ_MUTATIONS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(MUTATION_COUNT);
    assert_eq!(hunt(target, &bytes, count), None);
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            let missing = TARGETS.iter().find(|target| !replayed.contains(&target.name));
            assert!(missing.is_none(), "{}", missing.map_or("", |target| target.name));
            assert!(replayed.iter().all(|name| find(name).is_some()));
        }
    };
}

#[cfg(feature = "server")]
targets!(log segment block manifest codec csv line_protocol ndjson arrow_ipc grpc config sql dump);
#[cfg(not(feature = "server"))]
targets!(log segment block manifest codec);

/// A parser that believes a length: what every target must not be.
fn believes(data: &[u8]) {
    if let [b'L', len, rest @ ..] = data {
        std::hint::black_box(&rest[..usize::from(*len)]);
    }
}

#[test]
fn a_parser_that_believes_a_length_is_found() {
    let bad = Target { name: "believes", run: believes, len_bytes_max: 64 };
    let good = b"L\x03abc".to_vec();
    assert_eq!(finding(&bad, &good), None, "the input itself is fine");
    let found = hunt(&bad, &[good], MUTATION_COUNT).unwrap();
    assert!(found.contains("range end index") && found.contains("input: 4c"), "{found}");
}

#[test]
fn a_file_that_is_damaged_behind_its_checksum_reaches_the_decoder() {
    // The first group's header begins at byte 512 of the file, one byte of choices before it; its record count is at 12.
    let tracked = inputs("log");
    let whole = tracked.iter().find(|(path, bytes)| path.contains("file") && bytes[0] & 7 == 3);
    let mut bytes = whole.unwrap().1.clone();
    let at = 1 + 512 + 12;
    bytes[at] = bytes[at].wrapping_add(1);
    let (_, file) = bytes.split_first().unwrap();
    let read = |trusts: bool| {
        chronolith_engine::format::frame::trust(trusts);
        let id = chronolith_engine::model::FileId(u128::from_le_bytes(
            *file[24..].first_chunk().unwrap(),
        ));
        let header = chronolith_engine::wal::GroupHeader::decode(&file[512..], id, 512);
        chronolith_engine::format::frame::trust(false);
        header.map(|(header, _)| header.record_count)
    };
    assert_eq!((read(false), read(true)), (None, Some(u32::from(bytes[at]))));
}
