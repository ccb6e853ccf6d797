//! Both disks against the same expectations, and against each other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sim::SimVfs;
use super::{File, LockMode, OpenMode, OsVfs, Vfs, publish_file, read_exact};
use crate::error::Error;
use crate::rng::{Rng, SeededRng};

/// Runs a test on both disks, in a folder of its own.
fn on_both(test: impl Fn(&dyn Vfs, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    test(&OsVfs::new(), folder.path());
    let disk = SimVfs::new(1);
    disk.create_dir_all(Path::new("/some/folder")).unwrap();
    test(&disk, Path::new("/some/folder"));
}

fn write_new(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Arc<dyn File> {
    let file = vfs.open(path, OpenMode::Create).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

fn read_all(vfs: &dyn Vfs, path: &Path) -> Vec<u8> {
    let file = vfs.open(path, OpenMode::Read).unwrap();
    read_exact(&*file, 0, usize::try_from(file.len_bytes().unwrap()).unwrap(), "all").unwrap()
}

/// The kind of an I/O error, or of the engine's error.
fn kind<T>(result: crate::error::Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(Error::Io { op, source, .. }) => format!("{op}: {:?}", source.kind()),
        Err(other) => format!("{:?}", other.kind()),
    }
}

#[test]
fn files_grow_shrink_and_read_as_zeros_between() {
    on_both(|vfs, folder| {
        let path = folder.join("file");
        let file = write_new(vfs, &path, b"0123456789");
        assert_eq!((file.path(), file.len_bytes().unwrap()), (&*path, 10));
        file.write_at(b"far", 9_000).unwrap();
        let mut buf = [1; 8];
        assert_eq!(file.read_at(&mut buf, 6).unwrap(), 8);
        assert_eq!(&buf, b"6789\0\0\0\0");
        assert_eq!(file.read_at(&mut buf, 8_999).unwrap(), 4);
        assert_eq!(&buf[..4], b"\0far");
        assert_eq!(file.read_at(&mut buf, 9_003).unwrap(), 0);
        assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
        file.allocate(4).unwrap();
        file.allocate(20_000).unwrap();
        file.sync_data().unwrap();
        let mut wanted = b"0123".to_vec();
        wanted.resize(20_000, 0);
        assert_eq!(read_all(vfs, &path), wanted);
        assert!(vfs.map(&path).unwrap().bytes() == wanted);
        assert!(matches!(read_exact(&*file, 19_999, 2, "tail"), Err(Error::Corrupt(_))));
    });
}

#[test]
fn an_empty_file_maps_to_nothing() {
    on_both(|vfs, folder| {
        write_new(vfs, &folder.join("empty"), b"");
        assert_eq!(vfs.map(&folder.join("empty")).unwrap().bytes(), b"");
    });
}

#[test]
fn publishing_never_replaces() {
    on_both(|vfs, folder| {
        let (first, second, name) = (folder.join("1"), folder.join("2"), folder.join("name"));
        write_new(vfs, &first, b"first");
        write_new(vfs, &second, b"second");
        assert!(vfs.publish_new(&first, &name).unwrap());
        assert!(!vfs.publish_new(&second, &name).unwrap());
        assert_eq!(vfs.list(folder).unwrap(), ["2", "name"]);
        assert_eq!(read_all(vfs, &name), b"first");
        assert!(publish_file(vfs, &folder.join("whole"), b"whole").unwrap());
        assert!(!publish_file(vfs, &folder.join("whole"), b"other").unwrap());
        assert_eq!(vfs.list(folder).unwrap(), ["2", "name", "whole"]);
        vfs.rename(&second, &name).unwrap();
        assert_eq!(read_all(vfs, &name), b"second");
    });
}

#[test]
fn an_open_file_outlives_its_name() {
    on_both(|vfs, folder| {
        let file = write_new(vfs, &folder.join("file"), b"bytes");
        vfs.remove(&folder.join("file")).unwrap();
        vfs.sync_dir(folder).unwrap();
        file.write_at(b"more", 5).unwrap();
        assert_eq!(read_exact(&*file, 0, 9, "all").unwrap(), b"bytesmore");
        assert!(!vfs.exists(&folder.join("file")).unwrap());
    });
}

#[test]
fn a_writer_excludes_all_and_is_named() {
    on_both(|vfs, folder| {
        let path = folder.join("LOCK");
        let lock = |mode, holder| vfs.lock(&path, mode, holder);
        let holder_of = |mode| match lock(mode, "late") {
            Err(Error::Locked { path: locked, holder }) => {
                assert_eq!(locked, path);
                holder
            }
            other => panic!("locked: {}", kind(other)),
        };
        let writer = lock(LockMode::Exclusive, "process 17 on this host").unwrap();
        assert_eq!(holder_of(LockMode::Exclusive), "process 17 on this host");
        assert_eq!(holder_of(LockMode::Shared), "process 17 on this host");
        drop(writer);
        let readers = [lock(LockMode::Shared, "").unwrap(), lock(LockMode::Shared, "").unwrap()];
        assert!(holder_of(LockMode::Exclusive).contains("read"));
        let [one, other] = readers;
        drop(one);
        assert!(holder_of(LockMode::Exclusive).contains("read"));
        drop(other);
        drop(lock(LockMode::Exclusive, "2").unwrap());
        assert_eq!(read_all(vfs, &path), b"2");
    });
}

#[test]
fn errors_keep_their_kinds() {
    on_both(|vfs, folder| {
        let path = |name: &str| folder.join(name);
        write_new(vfs, &path("file"), b"x");
        vfs.create_dir_all(&path("a/b")).unwrap();
        vfs.create_dir_all(&path("a/b")).unwrap();
        let open = |name, mode| kind(vfs.open(&path(name), mode));
        assert_eq!(open("none", OpenMode::Read), "open: NotFound");
        assert_eq!(open("none", OpenMode::Write), "open: NotFound");
        assert_eq!(open("file", OpenMode::Create), "create: AlreadyExists");
        assert_eq!(open("none/file", OpenMode::Create), "create: NotFound");
        assert_eq!(open("a", OpenMode::Write), "open: IsADirectory");
        assert_eq!(kind(vfs.remove(&path("none"))), "remove: NotFound");
        assert_eq!(kind(vfs.rename(&path("none"), &path("other"))), "rename: NotFound");
        assert_eq!(kind(vfs.rename(&path("file"), &path("a"))), "rename: IsADirectory");
        assert_eq!(kind(vfs.rename(&path("a"), &path("file"))), "rename: NotADirectory");
        assert_eq!(kind(vfs.publish_new(&path("none"), &path("other"))), "link: NotFound");
        assert_eq!(kind(vfs.list(&path("none"))), "list: NotFound");
        assert_eq!(kind(vfs.sync_dir(&path("none"))), "sync folder: NotFound");
        assert_eq!(kind(vfs.map(&path("none"))), "map: NotFound");
        assert_eq!(kind(vfs.create_dir_all(&path("file"))), "create folder: AlreadyExists");
        let reader = vfs.open(&path("file"), OpenMode::Read).unwrap();
        assert!(reader.write_at(b"y", 0).is_err());
        assert!(vfs.exists(&path("a")).unwrap() && !vfs.exists(&path("none")).unwrap());
        assert!(vfs.free_bytes(folder).unwrap() > 0);
        assert_eq!(vfs.list(folder).unwrap(), ["a", "file"]);
    });
}

#[test]
fn the_parent_of_a_bare_name_can_be_synced() {
    OsVfs::new().sync_dir(Path::new("name").parent().unwrap()).unwrap();
    SimVfs::new(1).sync_dir(Path::new("name").parent().unwrap()).unwrap();
}

#[test]
fn allocated_space_is_reserved() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let file = write_new(&OsVfs::new(), &path, b"x");
    file.allocate(1 << 20).unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 1 << 20);
    let probe = std::fs::File::create_new(folder.path().join("probe")).unwrap();
    let flags = rustix::fs::FallocateFlags::empty();
    match rustix::fs::fallocate(&probe, flags, 0, 4_096) {
        Ok(()) => assert!(metadata.blocks() * 512 >= 1 << 20, "{} blocks", metadata.blocks()),
        Err(errno) => println!("SKIPPED: this file system reserves no space: {errno}"),
    }
}

#[test]
fn a_disk_without_space_leaves_the_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let file = write_new(&OsVfs::new(), &path, b"x");
    // No disk has 4 EiB free.
    assert!(file.allocate(1 << 62).is_err());
    assert_eq!(file.len_bytes().unwrap(), 1);
}

/// Random calls give the same answers on both disks.
#[test]
fn the_simulated_disk_answers_as_the_real_one() {
    for seed in 0..30 {
        let folder = tempfile::tempdir().unwrap();
        let simulated = SimVfs::new(seed);
        let mut real = Player::new(Arc::new(OsVfs::new()), folder.path().to_path_buf());
        let mut model = Player::new(Arc::new(simulated), PathBuf::from("/"));
        let rng = SeededRng::new(seed);
        for step in 0..300 {
            let (call, arguments) = (rng.next_u64() % 12, [(); 3].map(|()| rng.next_u64()));
            let (found, wanted) = (model.play(call, arguments), real.play(call, arguments));
            assert_eq!(found, wanted, "seed {seed}, step {step}, call {call}");
        }
    }
}

/// Performs numbered calls on a disk and describes what came back.
struct Player {
    vfs: Arc<dyn Vfs>,
    root: PathBuf,
    files: Vec<Arc<dyn File>>,
}

impl Player {
    fn new(vfs: Arc<dyn Vfs>, root: PathBuf) -> Self {
        vfs.create_dir_all(&root.join("d")).unwrap();
        Self { vfs, root, files: Vec::new() }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.root.join(["a", "b", "c", "d/a", "d/b", "d"][usize::try_from(number % 6).unwrap()])
    }

    fn play(&mut self, call: u64, [first, second, third]: [u64; 3]) -> String {
        let (path, other) = (self.path(first), self.path(second));
        match call {
            0 | 1 => {
                let opened = self.vfs.open(&path, OpenMode::Create);
                self.files.extend(opened.as_ref().ok().cloned());
                kind(opened)
            }
            2 => kind(self.vfs.rename(&path, &other)),
            3 => match self.vfs.publish_new(&path, &other) {
                Ok(published) => published.to_string(),
                failed => kind(failed),
            },
            4 => kind(self.vfs.remove(&path)),
            5 => match self.vfs.open(&path, OpenMode::Write).is_ok() {
                true => format!("{:?}", read_all(&*self.vfs, &path)),
                false => String::new(),
            },
            6 => format!("{:?}", self.vfs.list(&self.root).unwrap()),
            7 => format!("{:?}", self.vfs.list(&self.root.join("d")).ok()),
            _ => self.play_file(call, [first, second, third]),
        }
    }

    fn play_file(&self, call: u64, [first, second, third]: [u64; 3]) -> String {
        let count = self.files.len() as u64;
        if count == 0 {
            return String::new();
        }
        let file = &self.files[usize::try_from(first % count).unwrap()];
        let (offset, len) = (second % 10_000, usize::try_from(third % 6_000).unwrap());
        match call {
            8 => kind(file.write_at(&vec![second.to_le_bytes()[0]; len], offset)),
            9 => kind(file.allocate(offset)),
            10 => kind(file.sync_data()),
            _ => {
                let mut buf = vec![0; len];
                let read = file.read_at(&mut buf, offset).unwrap();
                buf.truncate(read);
                format!("{} {buf:?}", file.len_bytes().unwrap())
            }
        }
    }
}
