//! Repair of a database that has something of everything in it.

use chronolith_tests::blocks::pieces;
use chronolith_tests::dice::{Dice, number, seed_or};
use chronolith_tests::golden::{Golden, is_log};
use chronolith_tests::mend::{Mends, Rows, judge};
use chronolith_tests::wreck::{Damage, random};

/// Pieces of random damage that are repaired.
const RANDOM_COUNT: u64 = 30;

#[test]
fn every_file_gone_empty_or_cut_is_repaired_or_refused() {
    let golden = Golden::new(seed_or(1));
    let (known, mut mends) = (Rows::new(&golden), Mends::default());
    for path in golden.paths() {
        let len = golden.disk.read_raw(&path).unwrap().len() as u64;
        for damage in [
            Damage::Missing,
            Damage::Truncate(0),
            Damage::Truncate(len / 2),
            Damage::Truncate(len - 1),
        ] {
            judge(&golden, &known, (&path, &damage), 0, &mut mends).unwrap();
        }
    }
    println!("{mends:?}");
    assert!(mends.whole > 0 && mends.lossy > 0, "{mends:?}");
}

#[test]
fn a_manifest_of_which_too_much_is_gone_is_refused_and_left_as_it_is() {
    let golden = Golden::new(seed_or(1));
    let (known, mut mends) = (Rows::new(&golden), Mends::default());
    let paths = golden.paths();
    let of = |ending: &str| -> Vec<_> {
        paths.iter().filter(|path| path.to_string_lossy().ends_with(ending)).collect()
    };
    // Without the newest checkpoint the edits before it are needed.
    let newest = of(".checkpoint").pop().unwrap();
    golden.disk.remove_raw(newest).unwrap();
    for path in of(".edit") {
        for damage in [Damage::Truncate(0), Damage::Flip(100, 1)] {
            judge(&golden, &known, (path, &damage), 0, &mut mends).unwrap();
        }
    }
    println!("{mends:?}");
    assert!(mends.refused > 0 && mends.lossy == 0, "{mends:?}");
}

#[test]
fn a_flipped_bit_in_any_kind_of_piece_is_repaired() {
    let golden = Golden::new(seed_or(1));
    let (known, mut mends) = (Rows::new(&golden), Mends::default());
    let mut dice = Dice::new(seed_or(1));
    let step = if number("CHRONOLITH_DAMAGE_MINUTES").is_some() { 1 } else { 47 };
    for (path, (_, seals)) in pieces(&golden) {
        let tail = seals.iter().rev().take(9);
        let step = if is_log(&path) { step.min(5) } else { step };
        for seal in seals.iter().step_by(step).chain(tail).filter(|seal| seal.len_bytes > 0) {
            let offset = seal.offset + dice.below(seal.len_bytes as u64);
            let damage = Damage::Flip(offset, dice.below(8) as u8);
            judge(&golden, &known, (&path, &damage), 0, &mut mends).unwrap();
        }
    }
    println!("{mends:?}");
    assert!(mends.whole > 0 && mends.lossy > 0, "{mends:?}");
}

#[test]
fn random_damage_is_repaired_or_refused() {
    let seed = seed_or(1);
    let (golden, other) = (Golden::new(seed), Golden::new(seed + 1));
    let (known, mut mends) = (Rows::new(&golden), Mends::default());
    let mut dice = Dice::new(seed);
    for _ in 0..number("CHRONOLITH_REPAIRS").unwrap_or(RANDOM_COUNT) {
        let (path, damage) = random(&golden, &other, &mut dice);
        judge(&golden, &known, (&path, &damage), 0, &mut mends).unwrap();
    }
    println!("{mends:?}");
    assert!(mends.whole + mends.lossy > 0, "{mends:?}");
}

#[test]
fn a_repair_that_the_power_cuts_short_is_finished_by_the_next() {
    let golden = Golden::new(seed_or(1));
    let (known, mut mends) = (Rows::new(&golden), Mends::default());
    let paths = golden.paths();
    let of = |ending: &str| {
        let mut found = paths.iter().filter(|path| path.to_string_lossy().ends_with(ending));
        found.next_back().unwrap().clone()
    };
    let middle = |path: &std::path::Path| golden.disk.read_raw(path).unwrap().len() as u64 / 2;
    for ending in [".seg", ".log", ".checkpoint", ".times"] {
        let path = of(ending);
        let flip = Damage::Flip(middle(&path), 3);
        for damage in [flip, Damage::Missing] {
            judge(&golden, &known, (&path, &damage), 1, &mut mends).unwrap();
        }
    }
    println!("{mends:?}");
    assert!(mends.cuts > 200, "{mends:?}");
}
