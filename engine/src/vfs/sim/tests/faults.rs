//! Calls that fail.

use super::*;

#[test]
fn a_failed_sync_counts_as_clean_and_never_becomes_durable() {
    let (disk, file) = with_file("/f", &[1; 2 * SECTOR]);
    file.write_at(&[2; 2 * SECTOR], 0).unwrap();
    disk.fail_at(FaultAt::Nth { op: IoOp::Sync, skip: 0 }, Fault::Eio, false);
    assert_eq!(io_kind(file.sync_data()).raw_os_error(), Some(5));
    assert_eq!(raw(&disk, "/f"), [2; 2 * SECTOR]);
    // The retry succeeds, and yet nothing was written.
    file.sync_data().unwrap();
    assert_eq!(raw(&nothing(&disk), "/f"), [1; 2 * SECTOR]);
    assert_eq!(raw(&everything(&disk), "/f"), [1; 2 * SECTOR]);
    assert!(disk.has_pending());
    let images: BTreeSet<Vec<u8>> = disk.images(2).map(|image| raw(&image, "/f")).collect();
    assert_eq!(images.len(), 4);
    // What is written again is durable again, and nothing else.
    file.write_at(&[3; SECTOR], 0).unwrap();
    file.sync_data().unwrap();
    let wanted = [[3; SECTOR], [1; SECTOR]].concat();
    assert_eq!(raw(&nothing(&disk), "/f"), wanted);
    file.write_at(&[4; SECTOR], SECTOR as u64).unwrap();
    file.sync_data().unwrap();
    assert!(!disk.has_pending());
}

#[test]
fn a_length_outlives_the_bytes_of_a_failed_sync() {
    let (disk, file) = with_file("/f", b"");
    file.write_at(&[2; SECTOR], 0).unwrap();
    disk.fail_at(FaultAt::Nth { op: IoOp::Sync, skip: 0 }, Fault::Enospc, false);
    assert_eq!(io_kind(file.sync_data()).kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(raw(&nothing(&disk), "/f"), b"");
    file.sync_data().unwrap();
    assert_eq!(raw(&nothing(&disk), "/f"), [0; SECTOR]);
    file.allocate(0).unwrap();
    file.allocate(SECTOR as u64).unwrap();
    file.sync_data().unwrap();
    assert!(!disk.has_pending());
    assert_eq!(raw(&nothing(&disk), "/f"), [0; SECTOR]);
}

#[test]
fn cutting_a_file_makes_lost_sectors_zeros_after_a_sync() {
    let (disk, file) = with_file("/f", &[1; SECTOR]);
    file.write_at(&[0; SECTOR], 0).unwrap();
    disk.fail_at(FaultAt::Nth { op: IoOp::Sync, skip: 0 }, Fault::Eio, false);
    assert!(file.sync_data().is_err());
    assert_eq!(raw(&nothing(&disk), "/f"), [1; SECTOR]);
    file.allocate(0).unwrap();
    file.allocate(SECTOR as u64).unwrap();
    file.sync_data().unwrap();
    assert_eq!(raw(&nothing(&disk), "/f"), [0; SECTOR]);
}

#[test]
fn a_failed_folder_sync_leaves_its_names_open_for_ever() {
    let disk = SimVfs::new(1);
    create(&disk, "/f", b"x").sync_data().unwrap();
    disk.fail_at(FaultAt::Nth { op: IoOp::SyncDir, skip: 0 }, Fault::Eio, false);
    assert!(disk.sync_dir(p("/")).is_err());
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(name_sets(&disk), set(&["", "/f"]));
    assert_eq!(names(&everything(&disk)), "");
    disk.rename(p("/f"), p("/g")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(name_sets(&disk), set(&["/g"]));
}

#[test]
fn a_fault_at_a_call_hits_that_call() {
    for sticky in [false, true] {
        let disk = SimVfs::new(1);
        let file = create(&disk, "/f", b"x");
        disk.fail_at(FaultAt::Call(3), Fault::Eio, sticky);
        file.write_at(b"call 2", 0).unwrap();
        assert!(file.write_at(b"call 3", 0).is_err());
        assert_eq!(raw(&disk, "/f"), b"call 2");
        assert_eq!(file.allocate(3).is_err(), sticky);
        assert_eq!(disk.remove(p("/f")).is_err(), sticky);
        assert_eq!(disk.fault_count(), if sticky { 3 } else { 1 });
        disk.clear_faults();
        file.write_at(b"y", 0).unwrap();
    }
}

#[test]
fn faults_pick_a_kind_and_a_path_and_count_from_now() {
    let disk = SimVfs::new(1);
    let (one, other) = (create(&disk, "/one", b"1"), create(&disk, "/other", b"2"));
    let path_part = "other".to_owned();
    disk.fail_at(FaultAt::NthOn { op: IoOp::Write, path_part, skip: 1 }, Fault::Eio, false);
    for _ in 0..3 {
        one.write_at(b"1", 0).unwrap();
    }
    other.write_at(b"2", 0).unwrap();
    assert!(other.write_at(b"2", 0).is_err());
    other.write_at(b"2", 0).unwrap();
    disk.fail_at(FaultAt::Nth { op: IoOp::Read, skip: 1 }, Fault::Eio, true);
    let mut buf = [0; 1];
    one.read_at(&mut buf, 0).unwrap();
    assert!(one.read_at(&mut buf, 0).is_err() && other.read_at(&mut buf, 0).is_err());
}

#[test]
fn a_full_disk_refuses_what_takes_space_and_nothing_else() {
    let (disk, file) = with_file("/f", b"x");
    disk.fail_at(FaultAt::Call(0), Fault::Enospc, true);
    assert!(file.write_at(b"y", 0).unwrap_err().is_no_space());
    assert!(file.allocate(100).unwrap_err().is_no_space());
    assert!(disk.open(p("/g"), OpenMode::Create).is_err_and(|error| error.is_no_space()));
    file.sync_data().unwrap();
    disk.sync_dir(p("/")).unwrap();
    disk.remove(p("/f")).unwrap();
    assert_eq!(disk.fault_count(), 3);
}

#[test]
fn short_writes_and_reads_do_a_part() {
    let (disk, file) = with_file("/f", b"0123456789");
    disk.fail_at(FaultAt::Nth { op: IoOp::Write, skip: 0 }, Fault::ShortWrite(3), false);
    assert_eq!(io_kind(file.write_at(b"abcdef", 0)).kind(), std::io::ErrorKind::WriteZero);
    assert_eq!(raw(&disk, "/f"), b"abc3456789");
    disk.fail_at(FaultAt::Nth { op: IoOp::Read, skip: 0 }, Fault::ShortRead(4), false);
    let mut buf = [0; 10];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 4);
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 10);
    disk.fail_at(FaultAt::Nth { op: IoOp::Map, skip: 0 }, Fault::Eio, false);
    assert!(disk.map(p("/f")).is_err());
}

#[test]
fn the_capacity_is_the_limit() {
    let disk = SimVfs::new(1);
    disk.set_capacity_bytes(Some(3 * 4_096));
    let file = create(&disk, "/f", &[1; 4_097]);
    assert_eq!(disk.free_bytes(p("/")).unwrap(), 4_096);
    let other = create(&disk, "/g", b"");
    assert!(other.allocate(4_097).unwrap_err().is_no_space());
    assert_eq!(other.len_bytes().unwrap(), 0);
    // A write puts down what fits.
    assert!(other.write_at(&[2; 5_000], 0).unwrap_err().is_no_space());
    assert_eq!(raw(&disk, "/g"), [2; 4_096]);
    file.write_at(&[3; 8_192], 0).unwrap();
    assert!(file.write_at(&[3], 8_192).unwrap_err().is_no_space());
    // Space comes back when the name is gone and the file is closed.
    disk.remove(p("/g")).unwrap();
    assert_eq!(disk.free_bytes(p("/")).unwrap(), 0);
    drop(other);
    assert_eq!(disk.free_bytes(p("/")).unwrap(), 4_096);
    file.write_at(&[3], 8_192).unwrap();
    assert!(file.write_at(&[1; 2], u64::MAX).is_err());
}
