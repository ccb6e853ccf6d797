//! Files of format version 0, byte for byte. They change only by the command
//! `cargo test -p chronolith-engine manifest::tests::golden -- --ignored regenerate`.

use super::*;
use crate::manifest::file::{self, Header, Kind};
use crate::vfs::{OpenMode, OsVfs, read_exact};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/v0/manifest")
}

fn kept(name: &str) -> Vec<u8> {
    let file = OsVfs::new().open(&folder().join(name), OpenMode::Read).unwrap();
    let len = usize::try_from(file.len_bytes().unwrap()).unwrap();
    read_exact(file.as_ref(), 0, len, "golden file").unwrap()
}

fn keep(name: &str, bytes: &[u8]) {
    let (disk, path) = (OsVfs::new(), folder().join(name));
    disk.create_dir_all(&folder()).unwrap();
    if disk.exists(&path).unwrap() {
        disk.remove(&path).unwrap();
    }
    disk.open(&path, OpenMode::Create).unwrap().write_at(bytes, 0).unwrap();
}

fn times(disk: &SimVfs) -> (CommitTimesRef, Vec<u8>) {
    disk.create_dir_all(&dir().join("manifest")).unwrap();
    let mut times = CommitTimes::new();
    let append = |times: &mut CommitTimes| {
        times.append_to_file(disk, rng(3).as_ref(), &dir(), DATABASE).unwrap().unwrap()
    };
    for counter in 1..=300 {
        times.push(seq(1, counter), 1_700_000_000_000_000_000 + 40_000_000 * counter as i64);
    }
    append(&mut times);
    times.push(seq(3, 301), 1_700_000_100_000_000_001);
    let reference = append(&mut times);
    let path = path(&format!("{}.times", reference.file_id));
    (reference, disk.read_raw(&path).unwrap())
}

/// Name and bytes of every golden file, and a readable dump of them.
fn files() -> (Vec<(&'static str, Vec<u8>)>, String) {
    let (reference, times) = times(&SimVfs::new(1));
    let mut changes = all_kinds();
    changes.retain(|change| !matches!(change, Change::CommitTimes(_)));
    changes.push(Change::CommitTimes(reference));
    let version = Version::empty(DATABASE).apply(&[]).unwrap().apply(&changes).unwrap();
    let header = |kind, number, previous| Header {
        kind,
        file_id: FileId(u128::from(number) << 64 | 5),
        database_id: DATABASE,
        number,
        epoch: number - 1,
        previous,
    };
    let (first, hash) = file::encode(&header(Kind::Edit, 1, [0; 32]), &[]).unwrap();
    let (second, hash) = file::encode(&header(Kind::Edit, 2, hash), &changes).unwrap();
    let (checkpoint, _) =
        file::encode(&header(Kind::Checkpoint, 2, hash), &version.to_changes()).unwrap();
    let files = vec![
        ("0000000000000001.edit", first),
        ("0000000000000002.edit", second),
        ("0000000000000002.checkpoint", checkpoint),
        ("commit.times", times),
    ];
    (files, format!("{version:#?}\n"))
}

#[test]
fn golden_files_are_what_is_written_and_read() {
    let (files, dump) = files();
    for (name, bytes) in &files {
        assert_eq!(&kept(name), bytes, "{name}");
    }
    assert_eq!(kept("dump.txt"), dump.as_bytes());
    // Read back from the checkpoint, and from the edits alone.
    for skip in [3, 2] {
        let disk = SimVfs::new(1);
        disk.create_dir_all(&dir().join("manifest")).unwrap();
        for (name, _) in files.iter().take(skip) {
            disk.write_raw(&path(name), &kept(name)).unwrap();
        }
        let version = open(&disk, false).unwrap().version();
        assert_eq!(format!("{version:#?}\n"), dump);
        let reference = version.commit_times.clone().unwrap();
        let name = format!("{}.times", reference.file_id);
        disk.write_raw(&path(&name), &kept("commit.times")).unwrap();
        let times = CommitTimes::load(&disk, &dir(), DATABASE, &reference).unwrap();
        assert_eq!(times.last_sequence(), seq(3, 301));
        assert_eq!(times.sequence_at(1_700_000_000_200_000_000), Some(seq(1, 5)));
    }
}

#[test]
#[ignore = "writes the golden files"]
fn regenerate() {
    let (files, dump) = files();
    for (name, bytes) in files {
        keep(name, &bytes);
    }
    keep("dump.txt", dump.as_bytes());
}
