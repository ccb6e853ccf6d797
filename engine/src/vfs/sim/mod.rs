//! A simulated disk for crash tests: in memory, deterministic, cheap to copy.
//!
//! Reads see every write at once. A power cut ([`SimVfs::clone_image`]) keeps what was synced, and of what is pending
//! any subset: per 512-byte sector the old bytes, the new ones, zeros, garbage or a torn mix; per file the old length,
//! the new one or one in between; per folder any of the changed names. A file's own sync does not make its name durable.
//! A failed sync leaves its sectors clean but not durable, as Linux does.

mod choose;
mod disk;
mod fault;
mod file;
mod image;
mod inode;
mod names;
mod pages;
mod raw;
mod state;
#[cfg(test)]
mod tests;

pub use choose::{CrashChoice, Pending, Question};
pub use fault::{Fault, FaultAt, IoCall, IoOp};

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::ThreadId;

use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;

use self::disk::Disk;
use self::file::{MappedCopy, SimFile, SimLock};
use self::state::State;
use super::{File, LockGuard, LockMode, Mapped, OpenMode, Vfs};
use crate::error::{Error, Result};

/// Is told of each mutating call before it takes effect, and may clone images of the disk.
pub type Observer = Arc<dyn Fn(&SimVfs, IoCall) + Send + Sync>;

/// A simulated disk. Clones are handles of the same disk.
#[derive(Clone)]
pub struct SimVfs {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for SimVfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("SimVfs")
            .field("call_count", &state.disk.call_count)
            .field("file_count", &state.disk.files.len())
            .finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    observer: Mutex<Option<Observer>>,
    /// Threads inside the observer, whose calls are not observed.
    observing: Mutex<Vec<ThreadId>>,
}

impl SimVfs {
    /// An empty disk. The seed decides what damaged sectors hold.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(Disk::new(seed))
    }

    fn of(disk: Disk) -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(disk)),
            observer: Mutex::new(None),
            observing: Mutex::new(Vec::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The disk after a power cut at this moment: another disk, without locks, faults or observer.
    #[must_use]
    pub fn clone_image(&self, choice: CrashChoice<'_>) -> Self {
        Self::of(self.snapshot().after_cut(choice))
    }

    /// Every image after a power cut at this moment in which each pending change takes one of its first
    /// `option_count_max` options (2: old or new). Their count is exponential: for small workloads.
    pub fn images(&self, option_count_max: usize) -> impl Iterator<Item = Self> + use<> {
        image::Enumeration::new(self.snapshot(), option_count_max).map(Self::of)
    }

    /// The disk as the next process finds it after this one was killed: nothing is lost, what is pending stays so,
    /// and locks, open files, faults and the observer are gone.
    #[must_use]
    pub fn clone_running(&self) -> Self {
        let mut disk = self.snapshot();
        disk.collect(&BTreeMap::new());
        Self::of(disk)
    }

    /// Whether a power cut could lose something.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.state().disk.has_pending()
    }

    /// A hash of the durable names and bytes, to tell images apart. Of a running disk it is that of the image
    /// [`CrashChoice::Nothing`].
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        self.snapshot().durable_hash()
    }

    /// Mutating calls so far: the index of the next.
    #[must_use]
    pub fn call_count(&self) -> u64 {
        self.state().disk.call_count
    }

    /// Sets who is told of each mutating call before it takes effect. Calls made by the observer itself are not
    /// observed. The observer runs without locks held, on the caller's thread.
    pub fn set_observer(&self, observer: Option<Observer>) {
        *self.shared.observer.lock() = observer;
    }

    /// Makes a call fail; `sticky`: and all later calls that fit, too.
    pub fn fail_at(&self, at: FaultAt, fault: Fault, sticky: bool) {
        self.state().faults.arm(at, fault, sticky);
    }

    /// Takes back all faults.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// How many calls have met a fault.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.state().faults.fired_count
    }

    /// Limits the bytes of all files, each rounded up to 4 KiB; none: no limit.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        self.state().disk.capacity_bytes = capacity_bytes;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }

    fn snapshot(&self) -> Disk {
        self.state().disk.clone()
    }

    /// Numbers a mutating call, shows it, and performs it. `act` gets the call's number and its fault.
    fn mutate_or_fault<T>(
        &self,
        op: IoOp,
        path: &Path,
        act: impl FnOnce(&mut State, u64, Option<Fault>) -> io::Result<T>,
    ) -> Result<T> {
        let index = {
            let mut state = self.state();
            state.disk.call_count += 1;
            state.disk.call_count - 1
        };
        self.observe(op, path, index);
        let mut state = self.state();
        let fault = state.faults.take(op, path, Some(index));
        act(&mut state, index, fault).map_err(|source| Error::io(op.verb(), path, source))
    }

    /// The same for calls of which a fault leaves nothing done.
    fn mutate<T>(
        &self,
        op: IoOp,
        path: &Path,
        act: impl FnOnce(&mut State, u64) -> disk::Result<T>,
    ) -> Result<T> {
        self.mutate_or_fault(op, path, |state, order, fault| match fault {
            Some(fault) => Err(fault.error()),
            None => Ok(act(state, order)?),
        })
    }

    /// Performs a call that changes nothing. `act` gets its fault if that is a short read.
    fn look<T>(
        &self,
        op: IoOp,
        path: &Path,
        act: impl FnOnce(&mut State, Option<usize>) -> disk::Result<T>,
    ) -> Result<T> {
        let mut state = self.state();
        let done = match state.faults.take(op, path, None) {
            Some(Fault::ShortRead(len)) => act(&mut state, Some(len)).map_err(io::Error::from),
            Some(fault) => Err(fault.error()),
            None => act(&mut state, None).map_err(io::Error::from),
        };
        done.map_err(|source| Error::io(op.verb(), path, source))
    }

    fn observe(&self, op: IoOp, path: &Path, index: u64) {
        let Some(observer) = self.shared.observer.lock().clone() else { return };
        let thread = std::thread::current().id();
        {
            let mut observing = self.shared.observing.lock();
            if observing.contains(&thread) {
                return;
            }
            observing.push(thread);
        }
        let _observing = Observing { disk: self, thread };
        observer(self, IoCall { index, op, path: path.to_path_buf() });
    }

    fn opened(&self, state: &mut State, number: u64, path: &Path, writable: bool) -> Arc<dyn File> {
        *state.open.entry(number).or_default() += 1;
        Arc::new(SimFile { disk: self.clone(), number, path: path.to_path_buf(), writable })
    }
}

/// Ends the observation also when the observer panics, as a test's assertion does.
struct Observing<'a> {
    disk: &'a SimVfs,
    thread: ThreadId,
}

impl Drop for Observing<'_> {
    fn drop(&mut self) {
        self.disk.shared.observing.lock().retain(|thread| *thread != self.thread);
    }
}

impl Vfs for SimVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        match mode {
            OpenMode::Create => self.mutate(IoOp::Create, path, |state, order| {
                let number = state.disk.create(path, order)?;
                Ok(self.opened(state, number, path, true))
            }),
            OpenMode::Read | OpenMode::Write => self.look(IoOp::Open, path, |state, _| {
                let number = state.disk.find_file(path)?;
                Ok(self.opened(state, number, path, mode == OpenMode::Write))
            }),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.mutate(IoOp::Rename, from, |state, order| state.disk.rename(from, to, order))
    }

    fn publish_new(&self, from: &Path, to: &Path) -> Result<bool> {
        self.mutate(IoOp::Publish, from, |state, order| state.disk.publish(from, to, order))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.mutate(IoOp::Remove, path, |state, order| state.disk.remove(path, order))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.mutate(IoOp::CreateDir, path, |state, order| state.disk.create_folders(path, order))
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.mutate_or_fault(IoOp::SyncDir, path, |state, _, fault| {
            let folder = state.disk.find_folder(path)?;
            if let Some(fault) = fault {
                state.disk.names.fail_sync(folder);
                return Err(fault.error());
            }
            state.disk.names.sync(folder);
            state.disk.collect(&state.open);
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.look(IoOp::List, path, |state, _| {
            let number = state.disk.find_folder(path)?;
            let folder = state.disk.names.folders.get(&number);
            Ok(folder.map(|folder| folder.volatile.keys().cloned().collect()).unwrap_or_default())
        })
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        match self.state().disk.find(path) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::io("look for", path, errno.into())),
        }
    }

    fn lock(&self, path: &Path, mode: LockMode, holder: &str) -> Result<Box<dyn LockGuard>> {
        let taken =
            self.mutate(IoOp::Lock, path, |state, order| state.lock(path, mode, holder, order))?;
        match taken {
            Ok(number) => Ok(Box::new(SimLock { disk: self.clone(), number })),
            Err(holder) => Err(Error::Locked { path: path.to_path_buf(), holder }),
        }
    }

    fn map(&self, path: &Path) -> Result<Box<dyn Mapped>> {
        self.look(IoOp::Map, path, |state, _| {
            let number = state.disk.find_file(path)?;
            let bytes = raw::content(state.disk.file(number)?)?;
            Ok(Box::new(MappedCopy(bytes)) as Box<dyn Mapped>)
        })
    }

    fn free_bytes(&self, path: &Path) -> Result<u64> {
        let state = self.state();
        match state.disk.find(path) {
            Ok(_) => Ok(state.disk.free_bytes(&state.open)),
            Err(errno) => Err(Error::io("measure the disk of", path, errno.into())),
        }
    }
}
