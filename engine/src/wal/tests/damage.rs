//! Every bit flipped, every length, reads that fail: what is lost is either proven and an error, or a torn tail.

use super::*;
use crate::vfs::sim::{Fault, FaultAt, IoOp};

/// Ends of the two groups with records, and of the file's groups.
struct Places {
    first: u64,
    second: u64,
    end: u64,
    len: u64,
}

const RECORDS: [(u64, usize); 3] = [(1, 40), (2, 7), (3, 500)];

/// Two groups, the first synced before the second is written; with `proven` a witness after both.
fn written(proven: bool) -> (SimVfs, Places) {
    let vfs = disk();
    let mut writer =
        LogWriter::create(&vfs, Path::new(FOLDER), header(1, None), zeros(3 << 10)).unwrap();
    append(&mut writer, 1, &[40, 7]).unwrap();
    writer.sync().unwrap();
    append(&mut writer, 3, &[500]).unwrap();
    writer.sync().unwrap();
    if proven {
        witness(&mut writer, 4);
    }
    let first = end_of(512, &[40, 7]);
    let second = end_of(first, &[500]);
    let len = vfs.read_raw(&path_of(1)).unwrap().len() as u64;
    let end = if proven { second + 512 } else { second };
    assert!(len > end, "there are zeros behind the end");
    (vfs, Places { first, second, end, len })
}

/// How many records lie in whole groups before `offset`.
fn records_before(places: &Places, offset: u64) -> usize {
    match offset {
        at if at < places.first => 0,
        at if at < places.second => 2,
        _ => 3,
    }
}

#[test]
fn every_flipped_bit_of_a_proven_log_is_seen() {
    let (vfs, places) = written(true);
    for offset in 0..places.len {
        for bit in 0..8 {
            let name = format!("bit {bit} of byte {offset}");
            vfs.flip_bit(&path_of(1), offset, bit).unwrap();
            let found = recover_one(&vfs);
            let expected = records_before(&places, offset);
            assert_eq!(found.records, RECORDS[..expected], "{name}");
            if offset < places.second {
                assert!(found.is_corrupt(), "{name}");
                let tolerant = recover_from(&vfs, 1, Some(1), true);
                assert_eq!(tolerant.records, RECORDS[..expected], "{name}");
                assert!(tolerant.recovery().damage.is_some(), "{name}");
            } else {
                // The witness itself, or the zeros behind it.
                let torn = if offset < places.end { places.second } else { places.end };
                assert_eq!(found.torn_at(), Some(torn), "{name}");
            }
            vfs.flip_bit(&path_of(1), offset, bit).unwrap();
        }
    }
    assert!(recover_one(&vfs).is_clean());
}

#[test]
fn without_a_witness_the_last_group_looks_torn_and_earlier_ones_are_proven() {
    let (vfs, places) = written(false);
    assert_eq!(recover_one(&vfs).recovery().durable, Some(seq(2)));
    for offset in 0..places.len {
        let bit = u8::try_from(offset % 8).unwrap();
        vfs.flip_bit(&path_of(1), offset, bit).unwrap();
        let found = recover_one(&vfs);
        assert_eq!(found.records, RECORDS[..records_before(&places, offset)], "byte {offset}");
        match offset {
            at if at < places.first => assert!(found.is_corrupt(), "byte {offset}"),
            at if at < places.second => assert_eq!(found.torn_at(), Some(places.first)),
            _ => assert_eq!(found.torn_at(), Some(places.second)),
        }
        vfs.flip_bit(&path_of(1), offset, bit).unwrap();
    }
}

#[test]
fn a_file_cut_to_any_length_gives_its_whole_groups() {
    let (vfs, places) = written(true);
    let whole = vfs.read_raw(&path_of(1)).unwrap();
    for len in 0..places.len {
        vfs.write_raw(&path_of(1), &whole[..usize::try_from(len).unwrap()]).unwrap();
        let found = recover_one(&vfs);
        if len < 512 {
            // The manifest names the file as the log's head, so it had its header.
            assert!(found.is_corrupt() && found.records.is_empty(), "{len}");
            continue;
        }
        assert_eq!(found.records, RECORDS[..records_before(&places, len)], "{len}");
        let at_an_end = [512, places.first, places.second].contains(&len) || len >= places.end;
        assert_eq!(found.is_clean(), at_an_end, "{len}");
        assert_eq!(found.torn_at().is_some(), !at_an_end, "{len}");
    }
}

#[test]
fn groups_behind_a_hole_count_as_proof_but_not_as_data() {
    let (vfs, places) = written(true);
    let mut bytes = vfs.read_raw(&path_of(1)).unwrap();
    bytes[512..usize::try_from(places.first).unwrap()].fill(0);
    vfs.write_raw(&path_of(1), &bytes).unwrap();
    let found = recover_one(&vfs);
    assert!(found.is_corrupt() && found.records.is_empty());
    let message = found.result.unwrap_err().to_string();
    assert!(message.contains("at byte 512") && message.contains("was durable"), "{message}");
}

#[test]
fn a_group_of_another_place_or_file_is_none() {
    let (vfs, places) = written(false);
    let bytes = vfs.read_raw(&path_of(1)).unwrap();
    // The first group again behind the last.
    let mut moved = bytes.clone();
    let (first, second) =
        (usize::try_from(places.first).unwrap(), usize::try_from(places.second).unwrap());
    moved.copy_within(512..first, second);
    vfs.write_raw(&path_of(1), &moved).unwrap();
    assert_eq!(recover_one(&vfs).records, RECORDS);
    assert_eq!(recover_one(&vfs).torn_at(), Some(places.second));
    // The whole file under the name of another.
    vfs.write_raw(&path_of(2), &bytes).unwrap();
    let found = recover_from(&vfs, 2, Some(2), false);
    assert!(found.is_corrupt() && found.records.is_empty());
}

#[test]
fn a_group_follows_the_very_group_before_it() {
    let file = |lens: [usize; 2]| {
        let vfs = disk();
        let mut writer = create(&vfs, 1, None);
        append(&mut writer, 1, &lens[..1]).unwrap();
        append(&mut writer, 2, &lens[1..]).unwrap();
        (vfs.read_raw(&path_of(1)).unwrap(), vfs)
    };
    // The same file in two lives, groups of one size each: the second group of one behind the first of the other.
    let (one, vfs) = file([40, 50]);
    let (mut other, _) = file([41, 50]);
    other[1024..].copy_from_slice(&one[1024..]);
    vfs.write_raw(&path_of(1), &other).unwrap();
    let found = recover_one(&vfs);
    assert_eq!(found.records, [(1, 41)]);
    assert_eq!(found.torn_at(), Some(1024));
}

#[test]
fn the_file_of_another_database_is_refused() {
    let (vfs, _) = written(true);
    let (folder, head) = (Path::new(FOLDER), Some((1, id_of(1))));
    let mut visited = 0;
    let other = recover(&vfs, folder, DATABASE + 1, 1, head, false, &mut |_| {
        visited += 1;
        Ok(())
    });
    assert!(matches!(other, Err(Error::Corrupt(_))) && visited == 0);
}

#[test]
fn the_file_of_another_version_is_named() {
    let (vfs, _) = written(true);
    let mut bytes = vfs.read_raw(&path_of(1)).unwrap();
    bytes[8] = 9;
    let sum = super::golden::crc_of_place(id_of(1).0, 0, 9, &bytes[..508]);
    bytes[508..512].copy_from_slice(&sum.to_le_bytes());
    vfs.write_raw(&path_of(1), &bytes).unwrap();
    let found = recover_one(&vfs).result.unwrap_err();
    let named = matches!(found, Error::UnsupportedVersion { found: 9, supported: 0, .. });
    assert!(named, "{found}");
}

#[test]
fn reserved_bytes_in_use_are_refused_by_name() {
    for (from, at) in [(0, 88), (0, 89), (0, 507), (512, 512 + 6), (512, 512 + 60)] {
        let (vfs, _) = written(true);
        let mut bytes = vfs.read_raw(&path_of(1)).unwrap();
        bytes[at] = 2;
        let sum_at = if from == 0 { 508 } else { from + 92 };
        let covered = &bytes[from..sum_at];
        let sum = super::golden::crc_of_place(id_of(1).0, from as u64, 0, covered);
        bytes[sum_at..sum_at + 4].copy_from_slice(&sum.to_le_bytes());
        vfs.write_raw(&path_of(1), &bytes).unwrap();
        let found = recover_one(&vfs).result.unwrap_err();
        assert!(matches!(found, Error::UnsupportedFeature { .. }), "byte {at}: {found}");
    }
}

#[test]
fn a_counter_that_would_run_over_is_no_header() {
    for (counter, records, sound) in [(u64::MAX, 0, true), (u64::MAX, 1, false), (5, 1, true)] {
        let header = GroupHeader {
            kind: GroupKind::Records,
            payload_bytes: 0,
            record_count: records,
            first: seq(counter),
            commit_time_ns: 0,
            durable_bytes: 0,
            previous: 0,
            uses_reserved: false,
            payload_checksum: 0,
        };
        let bytes = header.encode(id_of(1), 512);
        assert_eq!(GroupHeader::decode(&bytes, id_of(1), 512).is_some(), sound, "{counter}");
    }
}

#[test]
fn a_read_that_fails_or_falls_short_is_an_error_and_not_the_end() {
    let (vfs, _) = written(true);
    for fault in [Fault::Eio, Fault::ShortRead(0), Fault::ShortRead(600)] {
        let mut failed = 0;
        for skip in 0..20 {
            vfs.fail_at(FaultAt::Nth { op: IoOp::Read, skip }, fault, false);
            let before = vfs.fault_count();
            for tolerate in [false, true] {
                let found = recover_from(&vfs, 1, Some(1), tolerate);
                let hit = vfs.fault_count() > before;
                match &found.result {
                    Err(Error::Io { .. }) => failed += 1,
                    // A short read of a sector that asks for less than it gives is whole.
                    Ok(_) => assert_eq!(found.records, RECORDS, "{fault:?} {skip}"),
                    Err(other) => panic!("{fault:?} {skip}: {other}"),
                }
                if !hit {
                    assert!(found.is_clean());
                }
            }
            vfs.clear_faults();
        }
        assert!(failed > 0, "{fault:?} hit nothing");
    }
}

#[test]
fn zeros_behind_the_end_are_a_clean_end_and_anything_else_is_not() {
    let (vfs, places) = written(false);
    let path = path_of(1);
    vfs.truncate_raw(&path, places.second + (3 << 20)).unwrap();
    assert!(recover_one(&vfs).is_clean());
    vfs.flip_bit(&path, places.second + (3 << 20) - 1, 0).unwrap();
    let found = recover_one(&vfs);
    assert_eq!(found.torn_at(), Some(places.second));
    assert_eq!(found.recovery().torn.as_ref().unwrap().len_bytes, 3 << 20);
}

#[test]
fn random_files_never_panic() {
    let vfs = disk();
    let mut state = 1_u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let (_, places) = written(true);
    let good = written(true).0.read_raw(&path_of(1)).unwrap();
    for _ in 0..2_000 {
        let mut bytes = good.clone();
        for _ in 0..random() % 4 + 1 {
            let at = usize::try_from(random() % places.len).unwrap();
            let len = usize::try_from(random() % 600).unwrap().min(bytes.len() - at);
            for byte in &mut bytes[at..at + len] {
                *byte = random().to_le_bytes()[0];
            }
        }
        vfs.write_raw(&path_of(1), &bytes).unwrap();
        for tolerate in [false, true] {
            let found = recover_from(&vfs, 1, Some(1), tolerate);
            assert_eq!(found.records, RECORDS[..found.records.len()]);
        }
    }
}
