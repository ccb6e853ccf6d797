//! Damage to a database that has something of everything in it.

use std::collections::BTreeSet;

use chronolith_tests::blocks::{Blocks, coverage, flip_all, pieces, swap_all};
use chronolith_tests::dice::{Dice, number, seed_or};
use chronolith_tests::golden::{Golden, is_segment};
use chronolith_tests::lengths::{self, Lengths};
use chronolith_tests::wreck::{Damage, Wrecks, each_piece, judge, random};

/// Pieces of random damage to the whole database.
const RANDOM_COUNT: u64 = 250;

/// The ids of the encodings of pages that are seen from outside, and the sections of the segments.
fn contents(golden: &Golden) -> (BTreeSet<u8>, BTreeSet<u64>) {
    let (mut ids, mut sections) = (BTreeSet::new(), BTreeSet::new());
    for (path, (bytes, seals)) in pieces(golden) {
        if !is_segment(&path) {
            continue;
        }
        let number = |at: usize, len: usize| {
            bytes[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let footer = number(bytes.len() - 32, 8) as usize;
        let mut descriptors = 0;
        for entry in 0..number(footer, 4) as usize {
            let at = footer + 4 + entry * 24;
            sections.insert(number(at, 2));
            if number(at, 2) == 8 {
                descriptors = number(at + 8, 8);
            }
        }
        // A page: the length of its validity in one byte, that, and the encoding's id.
        for seal in seals.iter().filter(|seal| (64..descriptors).contains(&seal.offset)) {
            let page = &bytes[seal.offset as usize..][..seal.len_bytes];
            if page[0] < 128 {
                ids.extend(page.get(1 + page[0] as usize));
            } else {
                ids.extend(page.get(2 + (page[0] as usize & 127) + (page[1] as usize) * 128));
            }
        }
    }
    (ids, sections)
}

#[test]
fn the_golden_database_has_everything_in_it() {
    let golden = Golden::new(1);
    let bytes: usize =
        golden.paths().iter().map(|path| golden.disk.read_raw(path).unwrap().len()).sum();
    let (ids, sections) = contents(&golden);
    println!("{bytes} bytes in {} files, encodings {ids:02x?}", golden.paths().len());
    assert!(bytes >= 1 << 20, "{bytes} bytes");
    let all: BTreeSet<u64> = (1..=11).collect();
    assert_eq!(sections, all);
    // Byte planes and plain integers lie inside of Zstd (7f).
    let seen = [0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x11, 0x20, 0x21, 0x22, 0x23, 0x30, 0x31, 0x7f];
    for id in seen {
        assert!(ids.contains(&id), "no page has encoding {id:02x}: {ids:02x?}");
    }
    let again = Golden::new(1);
    assert_eq!(golden.disk.content_hash(), again.disk.content_hash(), "it is not the same");
    println!("{} bytes are sealed", coverage(&golden).unwrap());
}

#[test]
fn no_bit_of_a_block_and_no_block_of_another_place_passes() {
    let (golden, other) = (Golden::new(1), Golden::new(2));
    let mut blocks = Blocks::default();
    flip_all(&golden, &mut blocks).unwrap();
    let step = if number("CHRONOLITH_DAMAGE_MINUTES").is_some() { 1 } else { 7 };
    swap_all(&golden, &golden, step, &mut blocks).unwrap();
    swap_all(&golden, &other, step, &mut blocks).unwrap();
    println!("{blocks:?}");
    assert!(blocks.flips >= 8 << 20 && blocks.swaps > 10_000, "{blocks:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a time budget is real time")]
fn damage_is_told_or_makes_no_difference() {
    let seed = seed_or(1);
    let (golden, other) = (Golden::new(seed), Golden::new(seed + 1));
    let (mut dice, mut wrecks) = (Dice::new(seed), Wrecks::default());
    let minutes = number("CHRONOLITH_DAMAGE_MINUTES");
    let start = std::time::Instant::now();
    let bits = u64::from(minutes.is_some());
    each_piece(&golden, bits, &mut dice, &mut wrecks).unwrap();
    let mut count = 0;
    loop {
        let over = match minutes {
            Some(minutes) => start.elapsed().as_secs() >= minutes * 60,
            None => count >= RANDOM_COUNT,
        };
        if over {
            break;
        }
        let (path, damage) = random(&golden, &other, &mut dice);
        judge(&golden, &path, &damage, &mut wrecks).unwrap();
        count += 1;
    }
    println!(
        "{} pieces of damage, {:.1} s: {wrecks:?}",
        wrecks.total(),
        start.elapsed().as_secs_f64()
    );
    assert!(wrecks.refused > 0 && wrecks.unreadable > 0 && wrecks.told > 0, "{wrecks:?}");
}

#[test]
fn a_cut_file_is_told_or_makes_no_difference() {
    let golden = Golden::new(seed_or(1));
    let mut wrecks = Wrecks::default();
    for path in golden.paths() {
        let len = golden.disk.read_raw(&path).unwrap().len() as u64;
        let step = if is_segment(&path) { len / 12 + 1 } else { (len / 40).max(97) };
        let step = if number("CHRONOLITH_DAMAGE_MINUTES").is_some() { len / 500 + 1 } else { step };
        for cut in (0..len).step_by(step as usize) {
            judge(&golden, &path, &Damage::Truncate(cut), &mut wrecks).unwrap();
        }
    }
    println!("{wrecks:?}");
    assert!(wrecks.total() > 100 && wrecks.torn > 0, "{wrecks:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how many a second is real time")]
fn every_length_of_every_file_is_refused_or_makes_no_difference() {
    let (golden, mut tried) = (Golden::new(seed_or(1)), Lengths::default());
    let step = if number("CHRONOLITH_DAMAGE_MINUTES").is_some() { 1 } else { 1_009 };
    let start = std::time::Instant::now();
    lengths::each(&golden, step, &mut tried).unwrap();
    println!("{} in {:.1} s: {tried:?}", tried.total(), start.elapsed().as_secs_f64());
    assert!(tried.segments > 0 && tried.logs > 0 && tried.unneeded > 0, "{tried:?}");
}
