//! Creation, commits, checkpoints, collection, fencing and failures.

use super::*;
use crate::error::ErrorKind;
use crate::vfs::OpenMode;
use crate::vfs::sim::{Fault, FaultAt, IoOp};

#[test]
fn states_of_a_directory_are_told_apart() {
    let disk = SimVfs::new(1);
    let probe = || Manifest::probe(&disk, &dir()).unwrap();
    assert_eq!(probe(), DirState::Missing);
    assert!(matches!(open(&disk, true), Err(Error::NotADatabase { .. })));
    disk.create_dir_all(&dir()).unwrap();
    assert_eq!(probe(), DirState::Empty);
    disk.write_raw(&dir().join("LOCK"), b"pid 1").unwrap();
    disk.create_dir_all(&dir().join("manifest")).unwrap();
    disk.write_raw(&path("0000000000000001.edit.tmp"), b"torn").unwrap();
    assert_eq!(probe(), DirState::Empty, "a creation that was cut short");
    disk.write_raw(&dir().join("photo.jpg"), b"x").unwrap();
    assert!(matches!(probe(), DirState::Foreign { detail } if detail.contains("photo.jpg")));
    let made = Manifest::create(Arc::new(disk.clone()), rng(1), &dir(), DATABASE);
    assert!(matches!(made, Err(Error::NotADatabase { .. })));
    disk.remove_raw(&dir().join("photo.jpg")).unwrap();
    let manifest = create(&disk);
    assert_eq!((manifest.version().number, manifest.version().database_id), (1, DATABASE));
    assert_eq!(probe(), DirState::Database);
    assert_eq!(names(&disk), ["0000000000000001.edit"], "the torn file is gone");
    let again = Manifest::create(Arc::new(disk.clone()), rng(1), &dir(), DATABASE);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn each_reopening_finds_what_was_committed() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    let mut versions = vec![manifest.version(), manifest.commit(&all_kinds()).unwrap()];
    for number in 3..=200 {
        versions.push(manifest.commit(&nth(number)).unwrap());
        assert_eq!(manifest.version().number, number);
        let reopened = open(&disk, number % 2 == 0).unwrap().version();
        assert_eq!(&reopened, versions.last().unwrap());
    }
    assert_eq!(versions[199].segments_of(TableId(1)).len(), 2 + 198);
    let verified = Manifest::verify(&(Arc::new(disk) as Arc<dyn Vfs>), &dir(), &mut |error| {
        assert!(error.to_string().contains("commit times"), "only the made-up side file: {error}");
    });
    assert_eq!(verified.unwrap(), 2 + (200 - 128) + 1);
}

#[test]
fn two_checkpoints_stay_and_the_edits_after_the_older() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    for number in 2..=256 {
        manifest.commit(&nth(number)).unwrap();
    }
    let mut expected: Vec<String> =
        (193u64..=256).map(|number| format!("{number:016x}.edit")).collect();
    expected.extend([192u64, 256].map(|number| format!("{number:016x}.checkpoint")));
    expected.sort();
    assert_eq!(names(&disk), expected);
}

#[test]
fn wrong_changes_are_refused_and_change_nothing() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    manifest.commit(&all_kinds()).unwrap();
    let files = names(&disk);
    let added = Change::SegmentAdded(segment(500, 1, 0, 50));
    let absent = Change::SegmentRemoved(FileId(501));
    assert_eq!(manifest.commit(&[added, absent]).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(names(&disk), files);
    assert_eq!(manifest.version().segments_of(TableId(1)).len(), 2);
    manifest.commit(&nth(3)).unwrap();
    let reader = open(&disk, false).unwrap();
    assert!(matches!(reader.commit(&nth(4)), Err(Error::ReadOnly(_))));
}

#[test]
fn a_read_only_open_writes_nothing_and_a_writing_one_tidies() {
    let disk = SimVfs::new(1);
    create(&disk).commit(&nth(2)).unwrap();
    let stray = format!("{}.times", FileId(5));
    disk.write_raw(&path("0000000000000003.edit.tmp"), b"torn").unwrap();
    disk.write_raw(&path(&stray), b"never referenced").unwrap();
    let calls = disk.call_count();
    open(&disk, false).unwrap();
    assert_eq!(disk.call_count(), calls);
    assert_eq!(names(&disk).len(), 4);
    open(&disk, true).unwrap();
    assert_eq!(names(&disk), ["0000000000000001.edit", "0000000000000002.edit"]);
}

#[test]
fn a_second_writer_is_fenced_for_good() {
    let disk = SimVfs::new(1);
    let first = create(&disk);
    let second = open(&disk, true).unwrap();
    second.commit(&nth(2)).unwrap();
    assert!(matches!(first.commit(&nth(2)), Err(Error::Locked { .. })));
    assert!(matches!(first.commit(&nth(2)), Err(Error::Poisoned { .. })));
    assert_eq!(first.version().number, 1);
    second.commit(&nth(3)).unwrap();
    assert_eq!(open(&disk, true).unwrap().version().number, 3);
}

#[test]
fn a_writer_is_fenced_though_its_number_was_collected() {
    let disk = SimVfs::new(1);
    let stale = create(&disk);
    let successor = open(&disk, true).unwrap();
    for number in 2..=140 {
        successor.commit(&nth(number)).unwrap();
    }
    assert!(!names(&disk).contains(&"0000000000000002.edit".to_owned()), "its number is free");
    assert!(matches!(stale.commit(&nth(2)), Err(Error::Locked { .. })));
    assert_eq!(stale.version().number, 1);
    assert_eq!(open(&disk, true).unwrap().version(), successor.version());
}

#[test]
fn failures_before_the_link_can_be_retried() {
    for (op, fault) in [
        (IoOp::Create, Fault::Enospc),
        (IoOp::Write, Fault::Enospc),
        (IoOp::Write, Fault::ShortWrite(10)),
        (IoOp::Sync, Fault::Eio),
        (IoOp::Publish, Fault::Enospc),
    ] {
        let disk = SimVfs::new(1);
        let manifest = create(&disk);
        disk.fail_at(FaultAt::Nth { op, skip: 0 }, fault, false);
        assert!(matches!(manifest.commit(&nth(2)), Err(Error::Io { .. })), "{op:?}");
        assert_eq!((disk.fault_count(), manifest.version().number), (1, 1));
        let version = manifest.commit(&nth(2)).unwrap();
        assert_eq!(open(&disk, true).unwrap().version(), version);
    }
}

#[test]
fn a_failure_after_the_link_poisons() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    disk.fail_at(FaultAt::Nth { op: IoOp::SyncDir, skip: 0 }, Fault::Eio, false);
    assert!(matches!(manifest.commit(&nth(2)), Err(Error::Poisoned { .. })));
    assert!(matches!(manifest.commit(&nth(2)), Err(Error::Poisoned { .. })));
    assert!(manifest.poisoned().is_some());
    assert_eq!(manifest.version().number, 1, "readers see only what is certain");
    let listed = disk.clone_running();
    assert_eq!(open(&listed, true).unwrap().version().number, 2, "reopening finds it");
}

#[test]
fn a_failed_checkpoint_fails_no_commit_and_is_made_up_for() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    let on = |op| FaultAt::NthOn { op, path_part: "checkpoint".into(), skip: 0 };
    disk.fail_at(on(IoOp::Create), Fault::Enospc, true);
    for number in 2..=70 {
        manifest.commit(&nth(number)).unwrap();
    }
    assert!(disk.fault_count() > 5);
    assert!(!names(&disk).iter().any(|name| name.ends_with("checkpoint")));
    disk.clear_faults();
    manifest.commit(&nth(71)).unwrap();
    assert!(names(&disk).contains(&format!("{:016x}.checkpoint", 71)));
    assert_eq!(open(&disk, true).unwrap().version(), manifest.version());
}

#[test]
fn a_failed_collection_fails_no_commit_and_is_made_up_for() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    for number in 2..128 {
        manifest.commit(&nth(number)).unwrap();
    }
    disk.fail_at(
        FaultAt::NthOn { op: IoOp::Remove, path_part: "00.edit".into(), skip: 0 },
        Fault::Eio,
        true,
    );
    disk.fail_at(
        FaultAt::NthOn { op: IoOp::Remove, path_part: "05.edit".into(), skip: 0 },
        Fault::Eio,
        true,
    );
    manifest.commit(&nth(128)).unwrap();
    assert!(names(&disk).contains(&format!("{:016x}.edit", 5)));
    disk.clear_faults();
    manifest.commit(&nth(129)).unwrap();
    assert_eq!(names(&disk).len(), 2 + 65);
}

#[test]
fn a_damaged_checkpoint_is_not_relied_upon_by_collection() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    for number in 2..=100 {
        manifest.commit(&nth(number)).unwrap();
    }
    drop(manifest);
    disk.flip_bit(&path(&format!("{:016x}.checkpoint", 64)), 300, 3).unwrap();
    let manifest = open(&disk, true).unwrap();
    assert_eq!(manifest.version().number, 100, "the edits from the first on serve");
    for number in 101..=164 {
        manifest.commit(&nth(number)).unwrap();
    }
    assert!(names(&disk).contains(&"0000000000000001.edit".to_owned()));
    assert_eq!(open(&disk, true).unwrap().version(), manifest.version());
}

#[test]
fn a_replaced_file_of_commit_times_is_removed_after_its_edit() {
    let disk = SimVfs::new(1);
    let manifest = create(&disk);
    let mut times = CommitTimes::new();
    let append = |times: &mut CommitTimes| {
        times.append_to_file(&disk, rng(9).as_ref(), &dir(), DATABASE).unwrap().unwrap()
    };
    times.push(seq(1, 1), 1_000_000_000);
    let first = append(&mut times);
    manifest.commit(&[Change::CommitTimes(first.clone())]).unwrap();
    let mut thinned = times.thin(i64::MAX, 1_000_000_000);
    let other = rng(10);
    let second = thinned.append_to_file(&disk, other.as_ref(), &dir(), DATABASE).unwrap().unwrap();
    assert!(names(&disk).contains(&format!("{}.times", first.file_id)));
    manifest.commit(&[Change::CommitTimes(second.clone())]).unwrap();
    let left: Vec<_> = names(&disk).into_iter().filter(|name| name.ends_with("times")).collect();
    assert_eq!(left, [format!("{}.times", second.file_id)]);
    let loaded = CommitTimes::load(&disk, &dir(), DATABASE, &second).unwrap();
    assert_eq!(loaded.last_sequence(), seq(1, 1));
}

#[test]
fn lost_sequences_are_told_by_incarnation() {
    let raise = |number, previous_last| Change::Incarnation { number, previous_last };
    let version = Version::empty(1)
        .apply(&[
            raise(1, Sequence::ZERO),
            raise(2, seq(1, 10)),
            raise(5, seq(2, 17)),
            raise(6, seq(2, 17)),
        ])
        .unwrap();
    assert_eq!(version.lost(seq(1, 10)), None);
    assert_eq!(version.lost(seq(1, 11)), Some(seq(1, 10)));
    assert_eq!(version.lost(seq(2, 17)), None);
    assert_eq!(version.lost(seq(2, 18)), Some(seq(2, 17)));
    assert_eq!(version.lost(seq(5, 18)), Some(seq(2, 17)));
    assert_eq!(version.lost(seq(6, 18)), None, "the present incarnation has lost nothing");
}

#[test]
fn the_real_disk_serves_as_the_simulated_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/db");
    let disk: Arc<dyn Vfs> = Arc::new(crate::vfs::OsVfs::new());
    let manifest = Manifest::create(Arc::clone(&disk), rng(1), &dir, DATABASE).unwrap();
    for number in 2..=130 {
        manifest.commit(&nth(number)).unwrap();
    }
    let reopened = Manifest::open(Arc::clone(&disk), rng(2), &dir, false).unwrap();
    assert_eq!(reopened.version(), manifest.version());
    let mut damage = Vec::new();
    Manifest::verify(&disk, &dir, &mut |error| damage.push(error.to_string())).unwrap();
    assert_eq!(damage, Vec::<String>::new());
    assert!(disk.open(&dir.join("manifest/0000000000000082.edit"), OpenMode::Read).is_ok());
}
