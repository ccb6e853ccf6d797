//! Damaged, truncated, exchanged and missing files: an error or the same state, never another state.

use super::*;
use crate::error::ErrorKind;

/// A history with one checkpoint at 64, and three edits after it.
fn history() -> (SimVfs, Arc<Version>) {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    manifest.commit(&all_kinds()[..12]).unwrap();
    for number in 3..=66 {
        manifest.commit(&nth(number)).unwrap();
    }
    manifest.commit(&[Change::Quarantined(quarantined("y"))]).unwrap();
    let version = manifest.version();
    assert_eq!(names(&disk).len(), 68);
    (disk, version)
}

/// Opens; whatever opens has the right state. Returns whether it opened.
fn right_or_refused(disk: &SimVfs, expected: &Arc<Version>, what: &str) -> bool {
    match open(disk, false) {
        Ok(manifest) => {
            assert_eq!(&manifest.version(), expected, "{what}");
            true
        }
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Conflict), "{what}: {error}");
            false
        }
    }
}

fn finds_damage(disk: &SimVfs) -> bool {
    let mut found = false;
    let disk: Arc<dyn Vfs> = Arc::new(disk.clone());
    Manifest::verify(&disk, &dir(), &mut |_| found = true).unwrap();
    found
}

/// Whether opening must read this file: all but the edits that the checkpoint stands for.
fn is_needed(name: &str) -> bool {
    let number = u64::from_str_radix(name.split('.').next().unwrap(), 16).unwrap();
    name.ends_with("edit") && number > 64
}

#[test]
fn flipped_bits_never_give_another_state() {
    let (disk, version) = history();
    assert!(!finds_damage(&disk));
    for name in names(&disk) {
        let path = path(&name);
        let step = if is_needed(&name) || name.ends_with("checkpoint") { 1 } else { 37 };
        let len = disk.read_raw(&path).unwrap().len() as u64;
        for offset in (0..len).step_by(step) {
            let bit = u8::try_from((offset * 5) % 8).unwrap();
            disk.flip_bit(&path, offset, bit).unwrap();
            let what = format!("{name} byte {offset} bit {bit}");
            let opened = right_or_refused(&disk, &version, &what);
            assert!(!(opened && is_needed(&name)), "{what} was not seen");
            if offset % 11 == 0 {
                assert!(finds_damage(&disk), "{what} was not found by verify");
            }
            disk.flip_bit(&path, offset, bit).unwrap();
        }
    }
    assert!(right_or_refused(&disk, &version, "whole"));
}

#[test]
fn truncated_empty_and_missing_files_never_give_another_state() {
    let (disk, version) = history();
    for name in names(&disk) {
        let path = path(&name);
        let whole = disk.read_raw(&path).unwrap();
        let step = if is_needed(&name) { 1 } else { 41 };
        for len in (0..whole.len()).step_by(step) {
            disk.truncate_raw(&path, len as u64).unwrap();
            let what = format!("{name} cut to {len} bytes");
            let opened = right_or_refused(&disk, &version, &what);
            assert!(!(opened && is_needed(&name)), "{what} was not seen");
        }
        assert!(finds_damage(&disk), "{name} cut");
        let longer: Vec<u8> = whole.iter().copied().chain([0]).collect();
        disk.write_raw(&path, &longer).unwrap();
        let opened = right_or_refused(&disk, &version, "longer");
        assert!(!(opened && is_needed(&name)), "{name} with a byte more was not seen");
        disk.remove_raw(&path).unwrap();
        let last = format!("{:016x}.edit", version.number);
        if name != last {
            // The last edit alone has no later witness among these files.
            let opened = right_or_refused(&disk, &version, &format!("{name} missing"));
            assert!(!(opened && is_needed(&name)), "missing {name} was not seen");
            assert!(finds_damage(&disk) || name.ends_with("checkpoint"), "{name} missing");
        }
        disk.write_raw(&path, &whole).unwrap();
    }
}

#[test]
fn exchanged_and_foreign_files_are_refused() {
    let (disk, version) = history();
    let (a, b) = (path(&format!("{:016x}.edit", 65)), path(&format!("{:016x}.edit", 66)));
    let (first, second) = (disk.read_raw(&a).unwrap(), disk.read_raw(&b).unwrap());
    disk.write_raw(&a, &second).unwrap();
    disk.write_raw(&b, &first).unwrap();
    assert!(!right_or_refused(&disk, &version, "exchanged"));
    disk.write_raw(&a, &first).unwrap();

    // The same number of a copy that went another way.
    let copy = disk.clone_running();
    copy.remove_raw(&b).unwrap();
    copy.remove_raw(&path(&format!("{:016x}.edit", 67))).unwrap();
    let manifest = Manifest::open(Arc::new(copy.clone()), rng(7), &dir(), true).unwrap();
    manifest.commit(&nth(900)).unwrap();
    disk.write_raw(&b, &copy.read_raw(&b).unwrap()).unwrap();
    assert!(!right_or_refused(&disk, &version, "a diverged copy's edit"));
}

#[test]
fn a_checkpoint_under_another_number_is_refused() {
    let (disk, version) = history();
    let old = disk.read_raw(&path(&format!("{:016x}.checkpoint", 64))).unwrap();
    disk.write_raw(&path(&format!("{:016x}.checkpoint", version.number)), &old).unwrap();
    assert!(right_or_refused(&disk, &version, "an old checkpoint as the newest"));
    assert!(finds_damage(&disk));
}

#[test]
fn an_edit_of_another_database_is_refused() {
    let (disk, other) = (SimVfs::new(1), SimVfs::new(1));
    let last = create(&disk).commit(&[]).unwrap();
    let manifest = Manifest::create(Arc::new(other.clone()), rng(1), &dir(), DATABASE + 1).unwrap();
    manifest.commit(&[]).unwrap();
    let name = path("0000000000000002.edit");
    disk.write_raw(&name, &other.read_raw(&name).unwrap()).unwrap();
    assert!(!right_or_refused(&disk, &last, "another database's edit"));
}

#[test]
fn a_flipped_version_is_damage_and_no_other_version() {
    let disk = SimVfs::new(1);
    create(&disk).commit(&[Change::LogFloor(3)]).unwrap();
    let name = path("0000000000000002.edit");
    for bit in 0..32 {
        disk.flip_bit(&name, 8 + bit / 8, u8::try_from(bit % 8).unwrap()).unwrap();
        let error = open(&disk, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
        disk.flip_bit(&name, 8 + bit / 8, u8::try_from(bit % 8).unwrap()).unwrap();
    }
    assert!(open(&disk, false).is_ok());
}

#[test]
fn unknown_kinds_and_versions_are_told_from_damage() {
    let disk = SimVfs::new(1);
    create(&disk).commit(&[Change::LogFloor(3)]).unwrap();
    let name = path("0000000000000002.edit");
    let whole = disk.read_raw(&name).unwrap();
    let resealed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole[..whole.len() - 32].to_vec();
        change(&mut bytes);
        let hash = *blake3::hash(&bytes).as_bytes();
        bytes.extend_from_slice(&hash);
        disk.write_raw(&name, &bytes).unwrap();
        open(&disk, false).unwrap_err()
    };
    let error = resealed(&|bytes| bytes[145] = 200);
    assert!(matches!(error, Error::UnsupportedFeature { .. }), "{error}");
    let error = resealed(&|bytes| bytes[8] = 9);
    assert!(matches!(error, Error::UnsupportedVersion { found: 9, supported: 0, .. }), "{error}");
    let error = resealed(&|bytes| bytes[104] = 1);
    assert!(error.to_string().contains("encrypted"), "{error}");
    let error = resealed(&|bytes| bytes[144] = 255);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn bytes_of_changes_never_panic() {
    let mut random = 7u64;
    for change in all_kinds() {
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        assert_eq!(Change::decode(change.kind(), &bytes).unwrap(), change);
        for len in 0..bytes.len() {
            assert!(Change::decode(change.kind(), &bytes[..len]).is_err(), "{change:?} {len}");
        }
        for _ in 0..3000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let mut damaged = bytes.clone();
            let at = usize::try_from(random >> 33).unwrap() % damaged.len();
            damaged[at] = random.to_le_bytes()[3];
            let _ = Change::decode(change.kind(), &damaged);
        }
    }
}

/// Writes the file of this header and these changes, sealed as a right one is. Returns its hash.
fn forge(disk: &SimVfs, header: &file::Header, changes: &[Change]) -> [u8; 32] {
    let (bytes, hash) = file::encode(header, changes).unwrap();
    let path = folder::path(&dir().join("manifest"), header.kind, header.number);
    disk.write_raw(&path, &bytes).unwrap();
    hash
}

#[test]
fn well_sealed_contradictions_are_refused() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    manifest.commit(&[Change::Incarnation { number: 4, previous_last: Sequence::ZERO }]).unwrap();
    let edit = path("0000000000000002.edit");
    let last = file::read(&disk, &edit, file::Kind::Edit, 2).unwrap();
    assert_eq!(last.header.epoch, 4, "the epoch is the incarnation");
    let next = file::Header { number: 3, previous: last.hash, ..last.header };
    let refused = |header: file::Header, changes: &[Change]| {
        forge(&disk, &header, changes);
        assert_eq!(open(&disk, false).unwrap_err().kind(), ErrorKind::Corrupt, "{header:?}");
    };
    refused(file::Header { epoch: 3, ..next }, &[]);
    refused(file::Header { database_id: 8, ..next }, &[]);
    refused(file::Header { previous: [0; 32], ..next }, &[]);
    refused(next, &[Change::SegmentRemoved(FileId(1))]);
    let twice = Change::SegmentAdded(segment(1, 1, 0, 1));
    refused(next, &[twice.clone(), twice]);
    forge(&disk, &next, &[]);
    assert_eq!(open(&disk, true).unwrap().version().number, 3);
}

#[test]
fn verify_compares_checkpoints_with_their_edits() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    manifest.commit(&nth(2)).unwrap();
    let edit = file::read(&disk, &path("0000000000000002.edit"), file::Kind::Edit, 2).unwrap();
    let header = file::Header { kind: file::Kind::Checkpoint, previous: edit.hash, ..edit.header };
    forge(&disk, &header, &manifest.version().to_changes());
    assert!(!finds_damage(&disk));
    forge(&disk, &header, &[Change::LogFloor(9)]);
    assert!(finds_damage(&disk), "another state");
    forge(&disk, &file::Header { previous: [3; 32], ..header }, &manifest.version().to_changes());
    assert!(finds_damage(&disk), "another edit");
}
