//! The simulated disk's power cuts, faults and damage, against sets of images written down by hand and a naive model.

mod cuts;
mod damage;
mod entries;
mod faults;
mod observing;

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
