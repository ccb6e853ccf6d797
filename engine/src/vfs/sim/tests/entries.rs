//! What a power cut leaves of names.

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
