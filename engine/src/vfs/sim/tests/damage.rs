//! Bytes that change behind the back of whoever wrote them.

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
    assert_eq!((raw(&disk, "/f"), raw(&nothing(&disk), "/f")), (b"`bb".to_vec(), b"`b".to_vec()));
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
