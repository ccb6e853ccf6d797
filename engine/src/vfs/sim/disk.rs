//! The state of a simulated disk, and what each call does to it. Knows no locks, faults or observers.
//! Copying a disk is cheap: files and folders are shared until one side changes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::inode::Inode;
use super::names::{Names, ROOT, Slot};
use super::pages::{PAGE_BYTES, hash_bytes, mix};

/// A result whose error is the system's number.
pub(super) type Result<T> = std::result::Result<T, Errno>;

/// Files and names.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) seed: u64,
    pub(super) names: Names,
    pub(super) files: BTreeMap<u64, Arc<Inode>>,
    pub(super) next_number: u64,
    /// Mutating calls so far.
    pub(super) call_count: u64,
    pub(super) capacity_bytes: Option<u64>,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            names: Names::default(),
            files: BTreeMap::new(),
            next_number: ROOT + 1,
            call_count: 0,
            capacity_bytes: None,
        }
    }

    /// The number of the file or folder at `path`.
    pub(super) fn find(&self, path: &Path) -> Result<u64> {
        let mut number = ROOT;
        for name in components(path) {
            if !self.names.is_folder(number) {
                return Err(Errno::NOTDIR);
            }
            number = self.names.get(&(number, name)).ok_or(Errno::NOENT)?;
        }
        Ok(number)
    }

    pub(super) fn find_file(&self, path: &Path) -> Result<u64> {
        let number = self.find(path)?;
        if self.names.is_folder(number) { Err(Errno::ISDIR) } else { Ok(number) }
    }

    pub(super) fn find_folder(&self, path: &Path) -> Result<u64> {
        let number = self.find(path)?;
        if self.names.is_folder(number) { Ok(number) } else { Err(Errno::NOTDIR) }
    }

    /// The folder that holds `path`, which must exist, and the last name of `path`.
    pub(super) fn slot(&self, path: &Path) -> Result<Slot> {
        let mut names = components(path);
        let last = names.pop().ok_or(Errno::INVAL)?;
        Ok((self.find_folder(&names.into_iter().collect::<PathBuf>())?, last))
    }

    pub(super) fn file(&self, number: u64) -> Result<&Inode> {
        self.files.get(&number).map(|file| &**file).ok_or(Errno::BADF)
    }

    pub(super) fn file_mut(&mut self, number: u64) -> Result<&mut Inode> {
        self.files.get_mut(&number).map(Arc::make_mut).ok_or(Errno::BADF)
    }

    pub(super) fn create(&mut self, path: &Path, order: u64) -> Result<u64> {
        let slot = self.slot(path)?;
        if self.names.get(&slot).is_some() {
            return Err(Errno::EXIST);
        }
        let number = self.take_number();
        self.files.insert(number, Arc::default());
        self.names.link(slot, number, order);
        Ok(number)
    }

    pub(super) fn create_folders(&mut self, path: &Path, order: u64) -> Result<()> {
        let mut folder = ROOT;
        for name in components(path) {
            let slot = (folder, name);
            folder = match self.names.get(&slot) {
                Some(number) if self.names.is_folder(number) => number,
                Some(_) => return Err(Errno::EXIST),
                None => {
                    let number = self.take_number();
                    self.names.link_folder(slot, number, order);
                    number
                }
            };
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, order: u64) -> Result<()> {
        let (from_names, to_names) = (components(from), components(to));
        let (from, to) = (self.slot(from)?, self.slot(to)?);
        let number = self.names.get(&from).ok_or(Errno::NOENT)?;
        if to_names.len() > from_names.len() && to_names.starts_with(&from_names) {
            return Err(Errno::INVAL);
        }
        if from_names.len() > to_names.len() && from_names.starts_with(&to_names) {
            return Err(Errno::NOTEMPTY);
        }
        match self.names.get(&to) {
            Some(present) if present == number => return Ok(()),
            Some(present) if self.names.is_folder(present) && self.names.is_folder(number) => {
                let folder = self.names.folders.get(&present);
                if folder.is_some_and(|folder| !folder.volatile.is_empty()) {
                    return Err(Errno::NOTEMPTY);
                }
            }
            Some(present) if self.names.is_folder(present) => return Err(Errno::ISDIR),
            Some(_) if self.names.is_folder(number) => return Err(Errno::NOTDIR),
            Some(_) | None => {}
        }
        self.names.rename(from, to, number, order);
        Ok(())
    }

    pub(super) fn publish(&mut self, from: &Path, to: &Path, order: u64) -> Result<bool> {
        let number = self.find(from)?;
        let (from_slot, to) = (self.slot(from)?, self.slot(to)?);
        if self.names.get(&to).is_some() {
            return Ok(false);
        }
        if self.names.is_folder(number) {
            return Err(Errno::PERM);
        }
        self.names.link(to, number, order);
        self.names.unlink(from_slot, order);
        Ok(true)
    }

    pub(super) fn remove(&mut self, path: &Path, order: u64) -> Result<()> {
        self.find_file(path)?;
        let slot = self.slot(path)?;
        self.names.unlink(slot, order);
        Ok(())
    }

    /// Writes what fits. Returns whether all did.
    pub(super) fn write(
        &mut self,
        number: u64,
        bytes: &[u8],
        offset: u64,
        order: u64,
        open: &BTreeMap<u64, u64>,
    ) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Errno::FBIG)?;
        let len_max = self.len_max(number, end, open)?;
        let fits = usize::try_from(len_max.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (head, rest) = bytes.split_at(fits.min(bytes.len()));
        self.file_mut(number)?.write(head, offset, order);
        if rest.is_empty() { Ok(()) } else { Err(Errno::NOSPC) }
    }

    pub(super) fn allocate(
        &mut self,
        number: u64,
        len: u64,
        order: u64,
        open: &BTreeMap<u64, u64>,
    ) -> Result<()> {
        if self.len_max(number, len, open)? < len {
            return Err(Errno::NOSPC);
        }
        self.file_mut(number)?.set_len(len, order);
        Ok(())
    }

    /// The longest that a file can become; `wanted` when that is free.
    fn len_max(&self, number: u64, wanted: u64, open: &BTreeMap<u64, u64>) -> Result<u64> {
        let present = self.file(number)?.volatile_len;
        if wanted <= present || self.capacity_bytes.is_none() {
            return Ok(wanted);
        }
        Ok(wanted.min(space_of(present).saturating_add(self.free_bytes(open))))
    }

    /// Bytes not in use; files count whole pages up to their length, holes included.
    pub(super) fn free_bytes(&self, open: &BTreeMap<u64, u64>) -> u64 {
        let Some(capacity_bytes) = self.capacity_bytes else { return u64::MAX };
        let named = self.names.folders.values().flat_map(|folder| folder.volatile.values());
        let live: BTreeSet<u64> = named.chain(open.keys()).copied().collect();
        let files = live.iter().filter_map(|number| self.files.get(number));
        let used = files.map(|file| space_of(file.volatile_len)).fold(0, u64::saturating_add);
        capacity_bytes.saturating_sub(used)
    }

    /// Forgets files that have no name, now or after a power cut, and are not open.
    pub(super) fn collect(&mut self, open: &BTreeMap<u64, u64>) {
        let folders = self.names.folders.values();
        let named =
            folders.flat_map(|folder| folder.volatile.values().chain(folder.durable.values()));
        let changed = self.names.pending.iter().flat_map(|change| &change.effects);
        let held: BTreeSet<u64> = named
            .chain(open.keys())
            .copied()
            .chain(changed.filter_map(|(_, number)| *number))
            .collect();
        self.files.retain(|number, _| held.contains(number));
    }

    /// The files seen now, by path.
    pub(super) fn files_by_path(&self) -> BTreeMap<PathBuf, u64> {
        let mut files = BTreeMap::new();
        self.walk(|folder| &folder.volatile, &mut |path, number| {
            if !self.names.is_folder(number) {
                files.insert(path.to_path_buf(), number);
            }
        });
        files
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.names.pending.is_empty() || self.files.values().any(|file| !file.is_clean())
    }

    /// A hash of the durable names and contents.
    pub(super) fn durable_hash(&self) -> u64 {
        let mut hash = 0;
        self.walk(|folder| &folder.durable, &mut |path, number| {
            hash = hash_bytes(hash, path.as_os_str().as_encoded_bytes());
            let content = self.files.get(&number).map_or(1, |file| file.durable_hash());
            hash = mix(hash, content);
        });
        hash
    }

    /// Visits all files and folders, each folder before what is in it.
    fn walk(
        &self,
        side: impl Fn(&super::names::Folder) -> &super::names::Entries,
        visit: &mut dyn FnMut(&Path, u64),
    ) {
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, number)) = open.pop() {
            visit(&path, number);
            let Some(folder) = self.names.folders.get(&number) else { continue };
            let children = side(folder).iter().rev();
            open.extend(children.map(|(name, number)| (path.join(name), *number)));
        }
    }

    /// The number of the first pending change, if there is one.
    pub(super) fn oldest_pending(&self) -> Option<u64> {
        let files = self.files.values().filter_map(|file| file.oldest_pending());
        files.chain(self.names.pending.iter().map(|change| change.order)).min()
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

fn space_of(len: u64) -> u64 {
    len.checked_next_multiple_of(PAGE_BYTES as u64).unwrap_or(u64::MAX)
}

/// The names on the way to `path`; relative paths begin at the root, too.
fn components(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => {
                names.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    names
}
