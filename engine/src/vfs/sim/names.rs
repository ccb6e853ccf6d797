//! The simulated disk's names: a tree of folders, as seen now and as a power cut is sure to keep it, and the changes
//! between. A change persists alone or not at all; a rename is one change, and a change of a name persists only with
//! the earlier renames of that name, so that a renamed file always keeps its old name or has its new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The number of the root folder, which is always durable.
pub(super) const ROOT: u64 = 0;

/// The entries of a folder: a name to the number of a file or folder.
pub(super) type Entries = BTreeMap<String, u64>;

/// A name in a folder.
pub(super) type Slot = (u64, String);

/// A folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Folder {
    pub(super) volatile: Entries,
    pub(super) durable: Entries,
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) order: u64,
    /// What each name is after it.
    pub(super) effects: Vec<(Slot, Option<u64>)>,
    pub(super) is_rename: bool,
    /// Folders to be synced before it is durable.
    unsynced: BTreeSet<u64>,
    /// It was part of a failed sync: no later sync makes it durable, though the disk may have it.
    pub(super) lost: bool,
}

impl Change {
    fn touches(&self, slots: &BTreeSet<&Slot>) -> bool {
        self.effects.iter().any(|(slot, _)| slots.contains(slot))
    }
}

/// All folders.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) folders: BTreeMap<u64, Arc<Folder>>,
    pub(super) pending: Vec<Change>,
}

impl Default for Names {
    fn default() -> Self {
        Self { folders: BTreeMap::from([(ROOT, Arc::default())]), pending: Vec::new() }
    }
}

impl Names {
    /// What the name is now.
    pub(super) fn get(&self, slot: &Slot) -> Option<u64> {
        self.folders.get(&slot.0)?.volatile.get(&slot.1).copied()
    }

    pub(super) fn is_folder(&self, number: u64) -> bool {
        self.folders.contains_key(&number)
    }

    /// Gives `number` a name, in place of what has it.
    pub(super) fn link(&mut self, slot: Slot, number: u64, order: u64) {
        self.change(vec![(slot, Some(number))], false, order);
    }

    /// Adds an empty folder.
    pub(super) fn link_folder(&mut self, slot: Slot, number: u64, order: u64) {
        self.folders.insert(number, Arc::default());
        self.link(slot, number, order);
    }

    /// Takes a name away.
    pub(super) fn unlink(&mut self, slot: Slot, order: u64) {
        self.change(vec![(slot, None)], false, order);
    }

    /// Moves `number` from one name to another, in place of what has that.
    pub(super) fn rename(&mut self, from: Slot, to: Slot, number: u64, order: u64) {
        self.change(vec![(from, None), (to, Some(number))], true, order);
    }

    fn change(&mut self, effects: Vec<(Slot, Option<u64>)>, is_rename: bool, order: u64) {
        for (slot, number) in &effects {
            set(&mut self.folders, slot, *number, |folder| &mut folder.volatile);
        }
        let unsynced = effects.iter().map(|((folder, _), _)| *folder).collect();
        self.pending.push(Change { order, effects, is_rename, unsynced, lost: false });
    }

    /// Makes the changes of a folder's entries durable; a rename between folders needs both synced.
    pub(super) fn sync(&mut self, folder: u64) {
        for change in self.pending.iter_mut().filter(|change| !change.lost) {
            change.unsynced.remove(&folder);
        }
        self.fold();
    }

    /// Makes the last change durable.
    pub(super) fn settle_last(&mut self) {
        if let Some(last) = self.pending.last_mut() {
            last.unsynced.clear();
        }
        self.fold();
    }

    /// Moves durable changes from the list to the folders.
    fn fold(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let mut durable: Vec<bool> =
            pending.iter().map(|change| change.unsynced.is_empty() && !change.lost).collect();
        // What a durable name was before cannot come back, so the earlier changes of that name are durable too.
        include_earlier(&pending, &mut durable, |_| true);
        for (change, durable) in pending.into_iter().zip(durable) {
            if durable {
                for (slot, number) in &change.effects {
                    set(&mut self.folders, slot, *number, |folder| &mut folder.durable);
                }
            } else {
                self.pending.push(change);
            }
        }
    }

    /// A folder sync that failed.
    pub(super) fn fail_sync(&mut self, folder: u64) {
        for change in &mut self.pending {
            change.lost |= change.unsynced.contains(&folder);
        }
    }

    /// The durable entries of every folder after a power cut at which `persists` tells which pending changes the disk has.
    pub(super) fn after_cut(
        &self,
        persists: &mut dyn FnMut(&Change) -> bool,
    ) -> BTreeMap<u64, Arc<Folder>> {
        let mut persisted: Vec<bool> = self.pending.iter().map(persists).collect();
        include_earlier(&self.pending, &mut persisted, |change| change.is_rename);
        let mut folders = self.folders.clone();
        for (change, _) in self.pending.iter().zip(persisted).filter(|(_, persisted)| *persisted) {
            for (slot, number) in &change.effects {
                set(&mut folders, slot, *number, |folder| &mut folder.durable);
            }
        }
        folders
    }
}

/// Marks the changes of `kind` that come before a marked change of the same name.
fn include_earlier(changes: &[Change], marked: &mut [bool], kind: impl Fn(&Change) -> bool) {
    let mut slots: BTreeSet<&Slot> = BTreeSet::new();
    for (change, marked) in changes.iter().zip(marked).rev() {
        *marked |= kind(change) && change.touches(&slots);
        if *marked {
            slots.extend(change.effects.iter().map(|(slot, _)| slot));
        }
    }
}

fn set(
    folders: &mut BTreeMap<u64, Arc<Folder>>,
    (folder, name): &Slot,
    number: Option<u64>,
    side: impl Fn(&mut Folder) -> &mut Entries,
) {
    let Some(folder) = folders.get_mut(folder) else { return };
    let entries = side(Arc::make_mut(folder));
    match number {
        Some(number) => entries.insert(name.clone(), number),
        None => entries.remove(name),
    };
}
