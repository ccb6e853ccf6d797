//! The simulated disk's power cuts, faults and damage, against sets of images written down by hand and a naive model.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{CrashChoice, Fault, FaultAt, IoOp, Pending, Question, SimVfs};
use crate::error::{Error, Result};
use crate::rng::{Rng, SeededRng};
use crate::vfs::{File, LockMode, OpenMode, Vfs, publish_file};

const SECTOR: usize = 512;

fn p(path: &str) -> &Path {
    Path::new(path)
}

fn create(disk: &SimVfs, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.open(p(path), OpenMode::Create).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

/// A disk with a durable file.
fn with_file(path: &str, bytes: &[u8]) -> (SimVfs, Arc<dyn File>) {
    let disk = SimVfs::new(1);
    let file = create(&disk, path, bytes);
    file.sync_data().unwrap();
    disk.sync_dir(p("/")).unwrap();
    assert!(!disk.has_pending());
    (disk, file)
}

fn nothing(disk: &SimVfs) -> SimVfs {
    disk.clone_image(CrashChoice::Nothing)
}

fn everything(disk: &SimVfs) -> SimVfs {
    disk.clone_image(CrashChoice::Everything)
}

fn names(disk: &SimVfs) -> String {
    let paths = disk.paths();
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
}

/// The names in every image.
fn name_sets(disk: &SimVfs) -> BTreeSet<String> {
    disk.images(2).map(|image| names(&image)).collect()
}

fn set(wanted: &[&str]) -> BTreeSet<String> {
    wanted.iter().map(|&names| names.to_owned()).collect()
}

fn raw(disk: &SimVfs, path: &str) -> Vec<u8> {
    disk.read_raw(p(path)).unwrap()
}

/// The kind of an expected I/O error.
fn io_kind<T>(result: Result<T>) -> std::io::Error {
    match result {
        Err(Error::Io { source, .. }) => source,
        Err(other) => panic!("not an I/O error: {other}"),
        Ok(_) => panic!("no error"),
    }
}

mod cuts {
    use super::*;

    #[test]
    fn unsynced_bytes_may_be_lost_and_synced_ones_never() {
        let (disk, file) = with_file("/f", &[1; 1024]);
        file.write_at(&[2; 1024], 0).unwrap();
        assert!(disk.has_pending());
        assert_eq!(raw(&disk, "/f"), [2; 1024]);
        assert_eq!(raw(&nothing(&disk), "/f"), [1; 1024]);
        assert_eq!(raw(&everything(&disk), "/f"), [2; 1024]);
        file.sync_data().unwrap();
        assert!(!disk.has_pending());
        for seed in 0..50 {
            assert_eq!(raw(&disk.clone_image(CrashChoice::Random(seed)), "/f"), [2; 1024]);
        }
        assert_eq!(disk.images(9).count(), 1);
    }

    #[test]
    fn the_sectors_of_one_write_persist_independently() {
        let (disk, file) = with_file("/f", &[1; 4 * SECTOR]);
        file.write_at(&[2; 4 * SECTOR], 0).unwrap();
        let images: BTreeSet<Vec<u8>> = disk.images(2).map(|image| raw(&image, "/f")).collect();
        assert_eq!(images.len(), 16);
        for image in images {
            assert!(
                image.chunks(SECTOR).all(|sector| sector == [1; SECTOR] || sector == [2; SECTOR])
            );
        }
    }

    #[test]
    fn an_unaligned_write_keeps_its_neighbours_in_new_sectors() {
        let (disk, file) = with_file("/f", &[1; 3 * SECTOR]);
        file.write_at(&[2; SECTOR], 256).unwrap();
        let images: BTreeSet<Vec<u8>> = disk.images(2).map(|image| raw(&image, "/f")).collect();
        let joined = |first: u8, second: u8| {
            let quarters = [1, first, second, 1, 1, 1];
            quarters.iter().flat_map(|byte| [*byte; 256]).collect::<Vec<u8>>()
        };
        assert_eq!(images, [joined(1, 1), joined(1, 2), joined(2, 1), joined(2, 2)].into());
    }

    #[test]
    fn a_sector_may_be_zeroed_garbled_torn_or_one_of_its_versions() {
        let (disk, file) = with_file("/f", &[1; SECTOR]);
        for version in 2..5 {
            file.write_at(&[version; SECTOR], 0).unwrap();
        }
        let images: Vec<Vec<u8>> = disk.images(99).map(|image| raw(&image, "/f")).collect();
        let [old, new, zeros, garbage, torn, second, third] = &images[..] else {
            panic!("{} images", images.len())
        };
        assert_eq!([old[..].to_vec(), new[..].to_vec()], [vec![1; SECTOR], vec![4; SECTOR]]);
        assert_eq!(zeros, &[0; SECTOR]);
        assert!(garbage.iter().collect::<BTreeSet<_>>().len() > 100);
        let cut = torn.iter().position(|byte| *byte == 1).unwrap();
        assert!(cut > 0 && torn[..cut] == vec![4; cut] && torn[cut..] == vec![1; SECTOR - cut]);
        assert_eq!([second[0], third[0]], [2, 3]);
    }

    #[test]
    fn a_new_length_persists_without_its_bytes_and_the_bytes_without_it() {
        let (disk, file) = with_file("/f", b"");
        file.write_at(&[7; 600], 0).unwrap();
        let images: BTreeSet<Vec<u8>> = disk.images(2).map(|image| raw(&image, "/f")).collect();
        let with = |head: u8, tail: u8| [vec![head; SECTOR], vec![tail; 88]].concat();
        let wanted = [vec![], with(0, 0), with(7, 0), with(0, 7), with(7, 7)];
        assert_eq!(images, wanted.into());
    }

    #[test]
    fn a_length_may_lie_in_between() {
        let (disk, file) = with_file("/f", &[1; 100]);
        file.write_at(&[2; 10_000], 100).unwrap();
        let lengths: BTreeSet<usize> = (0..2_000)
            .map(|seed| raw(&disk.clone_image(CrashChoice::Random(seed)), "/f").len())
            .collect();
        assert_eq!((lengths.first(), lengths.last()), (Some(&100), Some(&10_100)));
        assert!(lengths.iter().any(|len| len % SECTOR == 0));
        assert!(lengths.iter().any(|len| !matches!(len, 100 | 10_100) && len % SECTOR != 0));
    }

    #[test]
    fn allocated_bytes_are_zeros_whatever_persists() {
        let (disk, file) = with_file("/f", &[1; 100]);
        file.allocate(5_000).unwrap();
        for image in disk.images(3) {
            let bytes = raw(&image, "/f");
            assert!(bytes[..100] == [1; 100] && bytes[100..].iter().all(|byte| *byte == 0));
        }
        file.sync_data().unwrap();
        assert_eq!(raw(&nothing(&disk), "/f").len(), 5_000);
    }

    #[test]
    fn a_cut_file_that_grew_again_may_show_what_it_held() {
        let (disk, file) = with_file("/f", &[1; SECTOR]);
        file.allocate(0).unwrap();
        file.allocate(SECTOR as u64).unwrap();
        assert_eq!(raw(&disk, "/f"), [0; SECTOR]);
        let images: BTreeSet<Vec<u8>> = disk.images(2).map(|image| raw(&image, "/f")).collect();
        assert_eq!(images, [vec![0; SECTOR], vec![1; SECTOR]].into());
        file.sync_data().unwrap();
        assert_eq!(raw(&nothing(&disk), "/f"), [0; SECTOR]);
    }

    #[test]
    fn a_killed_process_loses_nothing_yet() {
        let (disk, file) = with_file("/f", b"old");
        file.write_at(b"new", 0).unwrap();
        create(&disk, "/g", b"g");
        let _lock = disk.lock(p("/LOCK"), LockMode::Exclusive, "1").unwrap();
        let next = disk.clone_running();
        assert_eq!((raw(&next, "/f"), names(&next)), (b"new".to_vec(), "/LOCK /f /g".to_owned()));
        drop(next.lock(p("/LOCK"), LockMode::Exclusive, "2").unwrap());
        assert_eq!(
            (raw(&nothing(&next), "/f"), names(&nothing(&next))),
            (b"old".to_vec(), "/f".to_owned())
        );
        next.open(p("/f"), OpenMode::Write).unwrap().write_at(b"NEW", 0).unwrap();
        assert_eq!(raw(&disk, "/f"), b"new");
    }

    #[test]
    fn an_image_is_a_disk_of_its_own() {
        let (disk, file) = with_file("/f", &[1; 9_000]);
        let image = everything(&disk);
        file.write_at(&[2], 5_000).unwrap();
        file.sync_data().unwrap();
        image.open(p("/f"), OpenMode::Write).unwrap().write_at(&[3], 0).unwrap();
        assert_eq!((raw(&image, "/f")[0], raw(&image, "/f")[5_000]), (3, 1));
        assert_eq!((raw(&disk, "/f")[0], raw(&disk, "/f")[5_000]), (1, 2));
    }

    #[test]
    fn an_image_is_zeros_beyond_its_length() {
        let (disk, file) = with_file("/f", &[1; 100]);
        file.write_at(&[2; 900], 100).unwrap();
        for image in disk.images(5) {
            let len = raw(&image, "/f").len();
            image.open(p("/f"), OpenMode::Write).unwrap().allocate(9_000).unwrap();
            assert!(raw(&image, "/f")[len..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_chosen_image_asks_of_each_change_once() {
        let (disk, file) = with_file("/f", &[1; 2 * SECTOR]);
        file.write_at(&[2; 2 * SECTOR], 0).unwrap();
        create(&disk, "/g", b"g");
        let mut asked = Vec::new();
        let mut choose = |question: &Question| {
            asked.push((question.pending, question.call));
            usize::from(question.call == 3)
        };
        let image = disk.clone_image(CrashChoice::By(&mut choose));
        // The calls: 0 to 3 made the file, 4 wrote to it, 5 and 6 made the other.
        assert_eq!(asked, [(Pending::Entry, 5), (Pending::Sector, 4), (Pending::Sector, 4)]);
        assert_eq!((raw(&image, "/f"), names(&image)), (vec![1; 2 * SECTOR], "/f".to_owned()));
    }

    #[test]
    fn equal_seeds_give_equal_images_and_seeds_many() {
        let (disk, file) = with_file("/f", &[1; 20 * SECTOR]);
        file.write_at(&[2; 20 * SECTOR], 0).unwrap();
        create(&disk, "/g", b"g");
        let hash = |seed| disk.clone_image(CrashChoice::Random(seed)).content_hash();
        let hashes: BTreeSet<u64> = (0..300).map(hash).collect();
        assert_eq!(hashes, (0..300).map(hash).collect());
        assert!(hashes.len() > 150, "{} images", hashes.len());
        // The images that real disks leave most often are among them.
        assert!(hashes.contains(&nothing(&disk).content_hash()));
        assert!(hashes.contains(&everything(&disk).content_hash()));
    }

    #[test]
    fn the_content_hash_sees_names_lengths_and_bytes_alone() {
        let build = |name: &str, bytes: &[u8]| with_file(name, bytes).0.content_hash();
        let bytes = [5; 5_000];
        let (disk, file) = with_file("/f", &[1; 5_000]);
        file.write_at(&bytes, 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(build("/f", &bytes), disk.content_hash());
        let mut changed = bytes;
        changed[4_999] = 6;
        let with_folder = SimVfs::new(1);
        with_folder.create_dir_all(p("/d")).unwrap();
        with_folder.sync_dir(p("/")).unwrap();
        let hashes = [
            build("/f", &bytes),
            build("/g", &bytes),
            build("/f", &changed),
            build("/f", &bytes[1..]),
            build("/f", &[0; 5_000]),
            build("/f", &[0; 4_096]),
            build("/f", &[]),
            SimVfs::new(1).content_hash(),
            with_folder.content_hash(),
        ];
        assert_eq!(BTreeSet::from(hashes).len(), hashes.len());
    }
}

mod entries {
    use super::*;

    #[test]
    fn a_new_name_is_durable_after_its_folders_sync() {
        let disk = SimVfs::new(1);
        create(&disk, "/f", b"x").sync_data().unwrap();
        assert_eq!(name_sets(&disk), set(&["", "/f"]));
        assert_eq!(raw(&everything(&disk), "/f"), b"x");
        disk.sync_dir(p("/")).unwrap();
        assert_eq!(name_sets(&disk), set(&["/f"]));
        disk.remove(p("/f")).unwrap();
        assert_eq!(name_sets(&disk), set(&["", "/f"]));
        assert_eq!(raw(&nothing(&disk), "/f"), b"x");
        disk.sync_dir(p("/")).unwrap();
        assert_eq!(name_sets(&disk), set(&[""]));
    }

    #[test]
    fn a_name_may_persist_without_content() {
        let disk = SimVfs::new(1);
        create(&disk, "/f", b"x");
        disk.sync_dir(p("/")).unwrap();
        assert_eq!(raw(&nothing(&disk), "/f"), b"");
    }

    #[test]
    fn publishing_persists_in_any_part() {
        let (disk, _) = with_file("/t", b"x");
        assert!(disk.publish_new(p("/t"), p("/f")).unwrap());
        assert_eq!(name_sets(&disk), set(&["/t", "/f", "/f /t", ""]));
        disk.sync_dir(p("/")).unwrap();
        assert_eq!(name_sets(&disk), set(&["/f"]));
    }

    #[test]
    fn a_rename_has_the_old_name_or_the_new_one() {
        let (disk, _) = with_file("/a", b"x");
        disk.rename(p("/a"), p("/b")).unwrap();
        assert_eq!(name_sets(&disk), set(&["/a", "/b"]));
        disk.rename(p("/b"), p("/c")).unwrap();
        assert_eq!(name_sets(&disk), set(&["/a", "/b", "/c"]));
        create(&disk, "/a", b"second");
        assert_eq!(name_sets(&disk), set(&["/a", "/b", "/c", "/a /b", "/a /c"]));
        // Never is the first file lost to the second one's name.
        let firsts = |image: &SimVfs| {
            image.paths().iter().filter(|path| image.read_raw(path).unwrap() == b"x").count()
        };
        assert!(disk.images(2).all(|image| firsts(&image) == 1));
    }

    #[test]
    fn a_replacing_rename_keeps_old_or_new_bytes() {
        let (disk, _) = with_file("/current", b"old");
        let file = create(&disk, "/tmp", b"new");
        file.sync_data().unwrap();
        disk.rename(p("/tmp"), p("/current")).unwrap();
        let images: BTreeSet<(String, Vec<u8>)> =
            disk.images(2).map(|image| (names(&image), raw(&image, "/current"))).collect();
        let wanted = [("/current", "old"), ("/current /tmp", "old"), ("/current", "new")];
        let wanted = wanted.map(|(names, bytes)| (names.to_owned(), bytes.as_bytes().to_vec()));
        assert_eq!(images, wanted.into());
    }

    #[test]
    fn a_rename_between_folders_needs_both_synced() {
        for order in [["/", "/d"], ["/d", "/"]] {
            let (disk, _) = with_file("/a", b"x");
            disk.create_dir_all(p("/d")).unwrap();
            disk.sync_dir(p("/")).unwrap();
            disk.rename(p("/a"), p("/d/b")).unwrap();
            assert_eq!(name_sets(&disk), set(&["/a", "/d/b"]));
            disk.sync_dir(p(order[0])).unwrap();
            assert_eq!(name_sets(&disk), set(&["/a", "/d/b"]));
            disk.sync_dir(p(order[1])).unwrap();
            assert_eq!(name_sets(&disk), set(&["/d/b"]));
        }
    }

    #[test]
    fn a_durable_name_makes_the_rename_durable_that_freed_it() {
        let (disk, _) = with_file("/a", b"x");
        disk.create_dir_all(p("/d")).unwrap();
        disk.sync_dir(p("/")).unwrap();
        disk.rename(p("/a"), p("/d/b")).unwrap();
        create(&disk, "/a", b"second");
        disk.sync_dir(p("/")).unwrap();
        assert_eq!(name_sets(&disk), set(&["/a /d/b"]));
    }

    #[test]
    fn a_folder_that_is_not_durable_takes_its_files_along() {
        let disk = SimVfs::new(1);
        disk.create_dir_all(p("/d/e")).unwrap();
        let file = create(&disk, "/d/e/f", b"x");
        file.sync_data().unwrap();
        disk.sync_dir(p("/d/e")).unwrap();
        assert_eq!(name_sets(&disk), set(&["", "/d/e/f"]));
        disk.sync_dir(p("/")).unwrap();
        assert_eq!(name_sets(&disk), set(&["", "/d/e/f"]));
        assert!(disk.images(2).all(|image| image.exists(p("/d")).unwrap()));
        disk.sync_dir(p("/d")).unwrap();
        assert_eq!(name_sets(&disk), set(&["/d/e/f"]));
        assert_eq!(nothing(&disk).list(p("/d")).unwrap(), ["e"]);
        disk.rename(p("/d"), p("/moved")).unwrap();
        assert_eq!(name_sets(&disk), set(&["/d/e/f", "/moved/e/f"]));
    }

    #[test]
    fn the_publishing_helper_leaves_the_whole_file_or_none() {
        let disk = SimVfs::new(1);
        let images: Arc<Mutex<Vec<SimVfs>>> = Arc::default();
        let kept = Arc::clone(&images);
        disk.set_observer(Some(Arc::new(move |disk: &SimVfs, _| {
            kept.lock().extend(disk.images(3));
        })));
        assert!(publish_file(&disk, p("/f"), &[9; 1_000]).unwrap());
        images.lock().extend(disk.images(3));
        let seen: BTreeSet<Option<Vec<u8>>> =
            images.lock().iter().map(|image| image.read_raw(p("/f")).ok()).collect();
        assert_eq!(seen, [None, Some(vec![9; 1_000])].into());
        assert_eq!(name_sets(&disk), set(&["/f"]));
    }

    #[test]
    fn removed_files_are_forgotten() {
        let disk = SimVfs::new(1);
        for round in 0..50 {
            drop(create(&disk, &format!("/{round}"), &[1; 5_000]));
            disk.remove(p(&format!("/{round}"))).unwrap();
            disk.sync_dir(p("/")).unwrap();
        }
        assert_eq!(disk.state().disk.files.len(), 0);
    }
}

mod faults {
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
}

mod observing {
    use super::*;

    #[test]
    fn the_observer_sees_each_mutating_call_before_its_effect() {
        let disk = SimVfs::new(1);
        let seen = Arc::new(Mutex::new(Vec::<(u64, IoOp, PathBuf, usize)>::new()));
        let log = Arc::clone(&seen);
        disk.set_observer(Some(Arc::new(move |disk: &SimVfs, call| {
            let len = disk.read_raw(p("/f")).map_or(99, |bytes| bytes.len());
            log.lock().push((call.index, call.op, call.path, len));
            // Not observed again.
            disk.create_dir_all(p("/")).unwrap();
        })));
        let file = create(&disk, "/f", b"abc");
        let mut buf = [0];
        file.read_at(&mut buf, 0).unwrap();
        file.sync_data().unwrap();
        disk.fail_at(FaultAt::Nth { op: IoOp::Remove, skip: 0 }, Fault::Eio, false);
        assert!(disk.remove(p("/f")).is_err());
        disk.set_observer(None);
        disk.sync_dir(p("/")).unwrap();
        let wanted = [
            (0, IoOp::Create, PathBuf::from("/f"), 99),
            (2, IoOp::Write, PathBuf::from("/f"), 0),
            (4, IoOp::Sync, PathBuf::from("/f"), 3),
            (6, IoOp::Remove, PathBuf::from("/f"), 3),
        ];
        assert_eq!(*seen.lock(), wanted);
        assert_eq!(disk.call_count(), 9);
    }

    /// A crash during recovery: the observer opens an image and observes that in turn.
    #[test]
    fn observers_nest_over_images() {
        let (disk, file) = with_file("/f", b"x");
        let inner_calls: Arc<Mutex<u64>> = Arc::default();
        let count = Arc::clone(&inner_calls);
        disk.set_observer(Some(Arc::new(move |disk: &SimVfs, _| {
            let image = everything(disk);
            let count = Arc::clone(&count);
            image.set_observer(Some(Arc::new(move |_: &SimVfs, _| *count.lock() += 1)));
            image.open(p("/f"), OpenMode::Write).unwrap().write_at(b"y", 0).unwrap();
        })));
        file.write_at(b"z", 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(*inner_calls.lock(), 2);
    }
}

mod damage {
    use super::*;

    #[test]
    fn damage_hits_what_is_seen_and_what_is_durable() {
        let (disk, _file) = with_file("/f", b"abcd");
        disk.flip_bit(p("/f"), 1, 0).unwrap();
        for disk in [&disk, &nothing(&disk)] {
            assert_eq!(raw(disk, "/f"), b"accd");
        }
        assert!(disk.flip_bit(p("/f"), 4, 0).is_err());
        assert!(disk.flip_bit(p("/f"), 0, 8).is_err());
        assert!(disk.flip_bit(p("/none"), 0, 0).is_err());
        disk.truncate_raw(p("/f"), 2).unwrap();
        disk.truncate_raw(p("/f"), 3).unwrap();
        for disk in [&disk, &nothing(&disk)] {
            assert_eq!(raw(disk, "/f"), b"ac\0");
        }
        disk.write_raw(p("/f"), b"whole").unwrap();
        disk.write_raw(p("/g"), b"new").unwrap();
        for disk in [&disk, &nothing(&disk)] {
            assert_eq!((raw(disk, "/f"), raw(disk, "/g")), (b"whole".to_vec(), b"new".to_vec()));
        }
        disk.remove_raw(p("/f")).unwrap();
        assert_eq!((names(&disk), names(&nothing(&disk))), ("/g".to_owned(), "/g".to_owned()));
        assert!(!disk.has_pending());
    }

    #[test]
    fn damage_leaves_pending_changes_pending() {
        let (disk, file) = with_file("/f", b"ab");
        file.write_at(b"c", 2).unwrap();
        disk.flip_bit(p("/f"), 2, 0).unwrap();
        disk.flip_bit(p("/f"), 0, 0).unwrap();
        assert_eq!(
            (raw(&disk, "/f"), raw(&nothing(&disk), "/f")),
            (b"`bb".to_vec(), b"`b".to_vec())
        );
        // A byte that is not durable has no durable bit to flip.
        let images: BTreeSet<Vec<u8>> = disk.images(2).map(|image| raw(&image, "/f")).collect();
        assert_eq!(images, [b"`b".to_vec(), b"`b\0".to_vec(), b"`bb".to_vec()].into());
    }

    #[test]
    fn the_content_hash_follows_damage() {
        let (disk, _file) = with_file("/f", &[0; 100]);
        let mut hashes = BTreeSet::new();
        for offset in [0, 1, 1, 2] {
            hashes.insert(disk.content_hash());
            disk.flip_bit(p("/f"), offset, 0).unwrap();
        }
        assert_eq!(hashes.len(), 3);
    }
}

/// What a naive reader of the rules would say of one file: its contents since the last sync, and which sectors were
/// written since then.
struct Model {
    contents: Vec<Vec<u8>>,
    touched: BTreeSet<usize>,
}

impl Model {
    fn now(&self) -> &Vec<u8> {
        self.contents.last().unwrap()
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let mut content = self.now().clone();
        if content.len() < offset + bytes.len() {
            content.resize(offset + bytes.len(), 0);
        }
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.touched.extend(offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR));
        self.contents.push(content);
    }

    fn allocate(&mut self, len: usize) {
        let mut content = self.now().clone();
        if len < content.len() {
            self.touched.extend(len / SECTOR..content.len().div_ceil(SECTOR));
        }
        content.resize(len, 0);
        self.contents.push(content);
    }

    fn sync(&mut self) {
        self.contents = vec![self.now().clone()];
        self.touched.clear();
    }

    fn sector(content: &[u8], index: usize, len: usize) -> Vec<u8> {
        let mut sector = vec![0; SECTOR];
        let from = (index * SECTOR).min(content.len());
        let part = &content[from..(from + SECTOR).min(content.len())];
        sector[..part.len()].copy_from_slice(part);
        sector.truncate(len - index * SECTOR);
        sector
    }

    /// Checks an image: `whole` says that nothing was zeroed, garbled or torn.
    fn check(&self, image: &[u8], whole: bool) {
        let lengths: Vec<usize> = self.contents.iter().map(Vec::len).collect();
        assert!(image.len() >= *lengths.iter().min().unwrap());
        assert!(image.len() <= *lengths.iter().max().unwrap());
        for index in 0..image.len().div_ceil(SECTOR) {
            let found = Self::sector(image, index, image.len());
            let mut versions =
                self.contents.iter().map(|content| Self::sector(content, index, image.len()));
            let known = versions.any(|version| version == found);
            let free = !whole && self.touched.contains(&index);
            assert!(known || free, "sector {index} of {} bytes", image.len());
        }
    }
}

#[test]
fn images_obey_a_naive_model() {
    for seed in 0..25 {
        let rng = SeededRng::new(seed);
        let (disk, file) = with_file("/f", b"");
        let mut model = Model { contents: vec![Vec::new()], touched: BTreeSet::new() };
        for step in 0..60 {
            let [kind, offset, len] =
                [10, 9_000, 3_000].map(|end| usize::try_from(rng.next_u64() % end).unwrap());
            match kind {
                0 => {
                    file.sync_data().unwrap();
                    model.sync();
                }
                1 => {
                    file.allocate(offset as u64).unwrap();
                    model.allocate(offset);
                }
                _ => {
                    let bytes = vec![u8::try_from(step + 1).unwrap(); len];
                    file.write_at(&bytes, offset as u64).unwrap();
                    if len > 0 {
                        model.write(&bytes, offset);
                    }
                }
            }
            assert_eq!(&raw(&disk, "/f"), model.now());
            assert_eq!(raw(&nothing(&disk), "/f"), model.contents[0]);
            assert_eq!(&raw(&everything(&disk), "/f"), model.now());
            for image in 0..4 {
                model.check(&raw(&disk.clone_image(CrashChoice::Random(image)), "/f"), false);
                let mut whole = |question: &Question| match question.pending {
                    Pending::Sector | Pending::Length => {
                        usize::try_from(rng.next_u64() % 2).unwrap()
                    }
                    other => panic!("{other:?}"),
                };
                model.check(&raw(&disk.clone_image(CrashChoice::By(&mut whole)), "/f"), true);
            }
        }
    }
}
