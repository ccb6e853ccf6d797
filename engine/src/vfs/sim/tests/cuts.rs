//! What a power cut leaves of bytes and lengths.

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
        assert!(image.chunks(SECTOR).all(|sector| sector == [1; SECTOR] || sector == [2; SECTOR]));
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
