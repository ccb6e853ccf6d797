//! The operating system's disk: the one home of `std::fs`.
//! Files are read and written by position, so that one open file serves many threads.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;

use super::{File, LockGuard, LockMode, Mapped, OpenMode, Vfs};
use crate::error::{Error, Result};

/// Bytes of a lock file that are read for the holder's name.
const HOLDER_LEN_BYTES_MAX: usize = 1 << 10;

/// Bytes that are written at once where space is taken by zeros.
const FILL_BYTES: usize = 1 << 20;

/// The operating system's disk.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsVfs;

impl OsVfs {
    /// The operating system's disk.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Vfs for OsVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        let op = match mode {
            OpenMode::Read => "open",
            OpenMode::Write => {
                options.write(true);
                "open"
            }
            OpenMode::Create => {
                options.write(true).create_new(true);
                "create"
            }
        };
        let file = options.open(path).map_err(|source| Error::io(op, path, source))?;
        Ok(Arc::new(OsFile { file, path: path.to_path_buf() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|source| Error::io("rename", from, source))
    }

    fn publish_new(&self, from: &Path, to: &Path) -> Result<bool> {
        match fs::hard_link(from, to) {
            Ok(()) => self.remove(from).map(|()| true),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(Error::io("link", from, source)),
        }
    }

    fn remove(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|source| Error::io("remove", path, source))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).map_err(|source| Error::io("create folder", path, source))
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let folder = fs::File::open(here_if_empty(path));
        folder
            .and_then(|folder| folder.sync_all())
            .map_err(|source| Error::io("sync folder", path, source))
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        let failed = |source| Error::io("list", path, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(here_if_empty(path)).map_err(failed)? {
            // Names that are not UTF-8 are not ours; they are shown, not opened.
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        path.try_exists().map_err(|source| Error::io("look for", path, source))
    }

    fn lock(&self, path: &Path, mode: LockMode, holder: &str) -> Result<Box<dyn LockGuard>> {
        let failed = |source| Error::io("lock", path, source);
        let file = open_lock_file(path, mode).map_err(failed)?;
        match mode {
            LockMode::Shared => {
                if !flock(&file, FlockOperation::NonBlockingLockShared).map_err(failed)? {
                    return Err(Error::Locked { path: path.into(), holder: read_holder(&file) });
                }
            }
            LockMode::Exclusive => {
                lock_exclusively(&file, path, failed)?;
                write_holder(&file, path, holder);
            }
        }
        Ok(Box::new(OsLock { file }))
    }

    fn map(&self, path: &Path) -> Result<Box<dyn Mapped>> {
        let map = fs::File::open(path).and_then(|file| chronolith_sys::Map::open(&file));
        map.map(|map| Box::new(OsMapped(map)) as Box<dyn Mapped>)
            .map_err(|source| Error::io("map", path, source))
    }

    fn free_bytes(&self, path: &Path) -> Result<u64> {
        let disk = rustix::fs::statvfs(here_if_empty(path))
            .map_err(|errno| Error::io("measure the disk of", path, errno.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// The parent of a bare file name is the empty path; the system calls it ".".
fn here_if_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[derive(Debug)]
struct OsMapped(chronolith_sys::Map);

impl Mapped for OsMapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An open file with the lock; the lock belongs to this opening of the file.
#[derive(Debug)]
struct OsLock {
    file: fs::File,
}

impl LockGuard for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        // Closing alone would keep the lock while a child that was just forked still has the descriptor.
        if let Err(errno) = rustix::fs::flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!(%errno, "cannot release a lock; closing its file does");
        }
    }
}

fn open_lock_file(path: &Path, mode: LockMode) -> io::Result<fs::File> {
    // A reader may have a disk that it must not write to.
    if mode == LockMode::Shared {
        match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Takes the lock without waiting. Returns false when another holds it.
fn flock(file: &fs::File, operation: FlockOperation) -> io::Result<bool> {
    match rustix::io::retry_on_intr(|| rustix::fs::flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn lock_exclusively(
    file: &fs::File,
    path: &Path,
    failed: impl Fn(io::Error) -> Error + Copy,
) -> Result<()> {
    if flock(file, FlockOperation::NonBlockingLockExclusive).map_err(failed)? {
        return Ok(());
    }
    // Who holds it? Where a shared lock can be had, the others are readers, or have just gone: then try once more.
    let holder = if flock(file, FlockOperation::NonBlockingLockShared).map_err(failed)? {
        if flock(file, FlockOperation::NonBlockingLockExclusive).map_err(failed)? {
            return Ok(());
        }
        readers_of(file)
    } else {
        read_holder(file)
    };
    Err(Error::Locked { path: path.into(), holder })
}

/// The processes that hold a shared lock of the file, as far as the system tells (Linux: /proc/locks, proc(5)).
fn readers_of(file: &fs::File) -> String {
    use std::os::unix::fs::MetadataExt;
    let inode = file.metadata().map_or(0, |metadata| metadata.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let own = std::process::id().to_string();
    let mut readers: Vec<&str> = locks.lines().filter_map(|line| reader_in(line, inode)).collect();
    // This process took the lock itself, to learn that the others are readers.
    if let Some(at) = readers.iter().position(|pid| *pid == own) {
        readers.remove(at);
    }
    readers.dedup();
    match readers.as_slice() {
        [] => "readers (shared lock)".to_owned(),
        [one] => format!("process {one}, which reads"),
        more => format!("processes {}, which read", more.join(", ")),
    }
}

/// The process id in a line such as `1: FLOCK  ADVISORY  READ 4711 08:01:1234 0 EOF`, where it is of this inode.
fn reader_in(line: &str, inode: u64) -> Option<&str> {
    let mut words = line.split_whitespace().skip(1);
    let (kind, _, mode) = (words.next()?, words.next()?, words.next()?);
    let (pid, place) = (words.next()?, words.next()?);
    let found: u64 = place.rsplit(':').next()?.parse().ok()?;
    (kind == "FLOCK" && mode == "READ" && found == inode).then_some(pid)
}

/// Writes the holder's text, for messages alone: the lock is the kernel's, so a full disk must not refuse it.
fn write_holder(file: &fs::File, path: &Path, holder: &str) {
    if let Err(error) = file.set_len(0).and_then(|()| file.write_all_at(holder.as_bytes(), 0)) {
        tracing::warn!(%error, path = %path.display(), "cannot write the holder into the lock file");
    }
}

fn read_holder(file: &fs::File) -> String {
    let mut text = vec![0; HOLDER_LEN_BYTES_MAX];
    let len = read_fully(file, &mut text, 0).unwrap_or(0);
    text.truncate(len);
    let text = String::from_utf8_lossy(&text).replace(char::is_control, " ");
    match text.trim() {
        "" => "another process that has not written its name yet".to_owned(),
        text => text.to_owned(),
    }
}

#[derive(Debug)]
struct OsFile {
    file: fs::File,
    path: PathBuf,
}

impl OsFile {
    fn failed(&self, op: &'static str) -> impl Fn(io::Error) -> Error {
        move |source| Error::io(op, &self.path, source)
    }

    /// From byte 0: a copied file may have holes, and of what is there nothing is changed.
    fn grow(&self, len: u64, grown_len: u64) -> io::Result<()> {
        let reserved = rustix::io::retry_on_intr(|| {
            rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, grown_len)
        });
        let done = match reserved {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.fill(len, grown_len),
            other => other.map_err(io::Error::from),
        };
        if done.is_err() {
            // A full disk may leave the file partly grown.
            self.file.set_len(len)?;
        }
        done
    }

    /// Takes the space by writing zeros, where the file system knows no other way.
    fn fill(&self, mut len: u64, grown_len: u64) -> io::Result<()> {
        let zeros = vec![0; FILL_BYTES];
        while len < grown_len {
            let count = usize::try_from(grown_len - len).unwrap_or(FILL_BYTES).min(FILL_BYTES);
            self.file.write_all_at(zeros.get(..count).unwrap_or_default(), len)?;
            len += count as u64;
        }
        Ok(())
    }
}

impl File for OsFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len_bytes(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(self.failed("measure"))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        read_fully(&self.file, buf, offset).map_err(self.failed("read"))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        // `write_all_at` goes on after short writes and interruptions.
        self.file.write_all_at(bytes, offset).map_err(self.failed("write"))
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let present = self.len_bytes()?;
        let changed = match len.cmp(&present) {
            std::cmp::Ordering::Less => self.file.set_len(len),
            std::cmp::Ordering::Equal if len == 0 => Ok(()),
            std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => self.grow(present, len),
        };
        changed.map_err(self.failed("allocate"))
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(self.failed("sync"))
    }

    #[cfg(target_os = "linux")]
    fn forget_cached(&self) -> Result<()> {
        let advised = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
        advised.map_err(|errno| self.failed("read anew")(errno.into()))
    }

    #[cfg(not(target_os = "linux"))]
    fn forget_cached(&self) -> Result<()> {
        Ok(())
    }
}

/// Reads until `buf` is full or the file ends, over short reads and interruptions. Returns the bytes read.
fn read_fully(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
