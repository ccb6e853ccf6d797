//! What the writer promises: durable offsets, witnesses, and nothing left of a group that failed.

use super::*;
use crate::vfs::sim::{Fault, FaultAt, IoOp};

#[test]
fn groups_are_read_back_with_their_sequences() {
    let vfs = disk();
    let mut writer = create(&vfs, 1, None);
    append(&mut writer, 1, &[10, 0, 700]).unwrap();
    append(&mut writer, 4, &[412]).unwrap();
    writer.sync().unwrap();
    append(&mut writer, 5, &[413, 2_000_000]).unwrap();
    writer.sync().unwrap();
    witness(&mut writer, 7);
    let found = recover_one(&vfs);
    let all = [(1, 10), (2, 0), (3, 700), (4, 412), (5, 413), (6, 2_000_000)];
    assert_eq!(found.records, all);
    assert!(found.is_clean());
    let recovery = found.recovery();
    assert_eq!(recovery.last, Some(seq(6)));
    assert_eq!(recovery.durable, Some(seq(6)), "by the witness");
    assert_eq!(recovery.record_count, 6);
    assert_eq!(recovery.last_commit_time_ns, Some(TIME_NS + 1_000));
    let end = end_of(end_of(end_of(512, &[10, 0, 700]), &[412]), &[413, 2_000_000]) + 512;
    assert_eq!(writer.written_bytes(), end);
    let previous = PreviousFile { number: 1, file_id: id_of(1), end_bytes: end };
    assert_eq!(recovery.previous, Some(previous));
}

#[test]
fn a_group_of_512_bytes_takes_one_sector_and_one_byte_more_takes_two() {
    assert_eq!(group_bytes(512 - 96), 512);
    assert_eq!(group_bytes(512 - 96 + 1), 1024);
    assert_eq!(end_of(0, &[412]), 512);
    assert_eq!(end_of(0, &[413]), 1024);
}

#[test]
fn one_witness_is_enough() {
    let vfs = disk();
    let mut writer = create(&vfs, 1, None);
    assert!(writer.is_witnessed(), "there is nothing to prove");
    append(&mut writer, 1, &[10]).unwrap();
    assert!(!writer.is_durable() && !writer.is_witnessed());
    writer.sync().unwrap();
    assert!(writer.is_durable() && !writer.is_witnessed());
    witness(&mut writer, 2);
    assert!(writer.is_witnessed());
    append(&mut writer, 2, &[10]).unwrap();
    writer.sync().unwrap();
    append(&mut writer, 3, &[10]).unwrap();
    assert!(!writer.is_witnessed(), "the last group is not proven by those before it");
}

#[test]
fn of_a_group_that_could_not_be_written_nothing_is_found() {
    // From the first byte to the last, which is there although the call failed.
    for kept in [0, 1, 95, 96, 511, 512, 1_000, 1_536] {
        let vfs = disk();
        let mut writer = create(&vfs, 1, None);
        append(&mut writer, 1, &[10]).unwrap();
        writer.sync().unwrap();
        vfs.fail_at(FaultAt::Nth { op: IoOp::Write, skip: 0 }, Fault::ShortWrite(kept), false);
        let failed = append(&mut writer, 2, &[1_200]).unwrap_err();
        assert!(matches!(failed, Error::Io { .. }), "{failed}");
        for image in [vfs.clone_running()].into_iter().chain(vfs.images(6)) {
            assert_eq!(recover_one(&image).records, [(1, 10)], "kept {kept}");
        }
        append(&mut writer, 2, &[20]).unwrap();
        writer.sync().unwrap();
        assert_eq!(recover_one(&vfs).records, [(1, 10), (2, 20)], "kept {kept}");
    }
}

#[test]
fn a_full_disk_is_no_poison() {
    let vfs = disk();
    let mut writer = create(&vfs, 1, None);
    vfs.fail_at(FaultAt::Nth { op: IoOp::Write, skip: 0 }, Fault::Enospc, true);
    for _ in 0..3 {
        let failed = append(&mut writer, 1, &[10]).unwrap_err();
        assert!(failed.is_no_space(), "{failed}");
    }
    vfs.clear_faults();
    append(&mut writer, 1, &[10]).unwrap();
    writer.sync().unwrap();
    assert_eq!(recover_one(&vfs).records, [(1, 10)]);
}

#[test]
fn a_sync_that_fails_while_a_write_is_taken_back_poisons() {
    let vfs = disk();
    let mut writer = create(&vfs, 1, None);
    vfs.fail_at(FaultAt::Nth { op: IoOp::Write, skip: 0 }, Fault::ShortWrite(600), false);
    vfs.fail_at(FaultAt::Nth { op: IoOp::Sync, skip: 0 }, Fault::Eio, false);
    let failed = append(&mut writer, 1, &[1_200]).unwrap_err();
    assert!(matches!(failed, Error::Poisoned { .. }), "{failed}");
}

#[test]
fn a_file_that_cannot_be_made_leaves_nothing() {
    for op in [IoOp::Create, IoOp::Write, IoOp::Sync] {
        let vfs = disk();
        vfs.fail_at(FaultAt::Nth { op, skip: 0 }, Fault::Eio, false);
        let made = LogWriter::create(&vfs, Path::new(FOLDER), header(1, None), zeros(4 << 10));
        assert!(made.is_err(), "{op:?}");
        assert_eq!(vfs.paths(), [] as [PathBuf; 0], "{op:?}");
    }
    // Without room for the zeros ahead the file is as good, only slower.
    let vfs = disk();
    vfs.fail_at(FaultAt::Nth { op: IoOp::Write, skip: 1 }, Fault::Enospc, false);
    let mut writer = create(&vfs, 1, None);
    let len = vfs.open(writer.path(), crate::vfs::OpenMode::Read).unwrap().len_bytes().unwrap();
    assert_eq!(len, writer.written_bytes());
    append(&mut writer, 1, &[10]).unwrap();
    assert_eq!(recover_one(&vfs).records, [(1, 10)]);
}

#[test]
fn zeros_go_ahead_of_groups_and_never_over_them() {
    let vfs = disk();
    let mut writer = create(&vfs, 1, None);
    let len = || vfs.open(writer.path(), crate::vfs::OpenMode::Read).unwrap().len_bytes().unwrap();
    assert_eq!((len(), writer.ahead().is_low()), (8 << 10, false));
    let path = writer.path().to_path_buf();
    let len = || vfs.open(&path, crate::vfs::OpenMode::Read).unwrap().len_bytes().unwrap();
    let mut records = Vec::new();
    for counter in 1..60 {
        // Small groups stay behind the zeros, a large one outruns them.
        let bytes = if counter % 20 == 0 { 12_000 } else { 10 };
        append(&mut writer, counter, &[bytes]).unwrap();
        writer.sync().unwrap();
        records.push((counter, bytes));
        if writer.ahead().is_low() {
            assert!(matches!(writer.ahead().prepare(&vfs), Ok(false)));
            assert_eq!(len(), writer.written_bytes() + (8 << 10), "after {counter}");
        }
        assert!(!writer.ahead().is_low(), "after {counter}");
        for image in vfs.images(2).take(8) {
            assert_eq!(recover_one(&image).records, records, "after {counter}");
        }
    }
    writer.trim().unwrap();
    assert_eq!(len(), writer.written_bytes());
    assert!(matches!(writer.ahead().prepare(&vfs), Ok(false)), "nothing more is prepared");
    assert_eq!(len(), writer.written_bytes());
    assert_eq!(recover_one(&vfs).records, records);
}

#[test]
fn a_sync_of_zeros_that_fails_is_known_to_the_next_group() {
    let vfs = disk();
    let mut writer = create(&vfs, 1, None);
    append(&mut writer, 1, &[6_000]).unwrap();
    vfs.fail_at(FaultAt::Nth { op: IoOp::Sync, skip: 0 }, Fault::Eio, false);
    assert!(matches!(writer.ahead().prepare(&vfs), Err(crate::wal::AheadError::Sync(_))));
    // The system told of the failure once, and the group that was lost with the zeros counts as clean.
    assert!(writer.sync().is_err());
    assert!(!writer.is_durable());
    assert!(writer.trim().is_err());
}
