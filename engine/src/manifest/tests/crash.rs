//! Power cuts and I/O errors at every call: reopening gives the state before a commit or after it, and goes on from there.

use parking_lot::Mutex;

use super::*;
use crate::vfs::sim::{CrashChoice, Fault, FaultAt, IoCall, IoOp};

/// Seeds of random images a call.
const IMAGES_A_CALL: u64 = 6;

/// What an image may hold.
struct Allowed {
    before: Arc<Version>,
    after: Arc<Version>,
    /// Set once the commit is durable: the state before is no longer allowed.
    durable: bool,
    looked: u64,
}

fn check(image: &SimVfs, allowed: &Allowed, what: &str) {
    let manifest = open(image, true).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = manifest.version();
    let right = found == allowed.after || (found == allowed.before && !allowed.durable);
    assert!(right, "{what}: found version {}, durable {}", found.number, allowed.durable);
    let next = manifest.commit(&nth(5000)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(open(image, false).unwrap().version(), next, "{what}");
}

fn look(disk: &SimVfs, allowed: &mut Allowed, what: &str) {
    check(&disk.clone_image(CrashChoice::Nothing), allowed, what);
    check(&disk.clone_image(CrashChoice::Everything), allowed, what);
    check(&disk.clone_running(), allowed, what);
    for seed in 0..IMAGES_A_CALL {
        let seed = allowed.looked * 1000 + seed;
        let what = format!("{what}, seed {seed}");
        check(&disk.clone_image(CrashChoice::Random(seed)), allowed, &what);
    }
    allowed.looked += 1;
}

/// Commits `changes` while the power is cut before each call.
fn commit_under_cuts(disk: &SimVfs, manifest: &Manifest, changes: &[Change], looked: u64) -> u64 {
    let before = manifest.version();
    let after = Arc::new(before.apply(changes).unwrap());
    let allowed = Arc::new(Mutex::new(Allowed { before, after, durable: false, looked }));
    let (state, synced) = (Arc::clone(&allowed), Mutex::new(false));
    disk.set_observer(Some(Arc::new(move |disk: &SimVfs, call: IoCall| {
        let mut state = state.lock();
        let mut synced = synced.lock();
        state.durable = *synced;
        look(disk, &mut state, &format!("before {call:?}"));
        *synced |= call.op == IoOp::SyncDir;
    })));
    manifest.commit(changes).unwrap();
    disk.set_observer(None);
    let mut allowed = allowed.lock();
    allowed.durable = true;
    look(disk, &mut allowed, "after the commit");
    allowed.looked
}

#[test]
fn power_cuts_leave_the_state_before_or_after() {
    let disk = SimVfs::new(3);
    let manifest = create(&disk);
    let mut looked = commit_under_cuts(&disk, &manifest, &all_kinds()[..12], 0);
    for number in 3..=130 {
        if (63..=65).contains(&number) || number >= 127 {
            looked = commit_under_cuts(&disk, &manifest, &nth(number), looked);
        } else {
            manifest.commit(&nth(number)).unwrap();
        }
    }
    assert!(looked > 80, "checkpoints and collection were cut too: {looked}");
}

#[test]
fn a_creation_that_is_cut_short_can_begin_anew() {
    let disk = SimVfs::new(4);
    let looked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&looked);
    disk.set_observer(Some(Arc::new(move |disk: &SimVfs, call: IoCall| {
        let images = disk.images(3).take(200);
        for image in images.chain([disk.clone_running()]) {
            let state = Manifest::probe(&image, &dir()).unwrap();
            let manifest = match &state {
                DirState::Missing | DirState::Empty => create(&image),
                DirState::Database => open(&image, true).unwrap(),
                DirState::Foreign { detail } => panic!("before {call:?}: {detail}"),
            };
            assert_eq!(manifest.version().as_ref().database_id, DATABASE);
            manifest.commit(&nth(2)).unwrap();
            *count.lock() += 1;
        }
    })));
    create(&disk);
    disk.set_observer(None);
    let image = disk.clone_image(CrashChoice::Nothing);
    assert_eq!(open(&image, true).unwrap().version().number, 1, "created is durable");
    assert!(*looked.lock() > 20, "{}", looked.lock());
}

#[test]
fn what_a_writing_open_shows_is_durable() {
    let disk = SimVfs::new(6);
    let manifest = create(&disk);
    // The process dies between the link and the sync of the folder.
    let killed = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&killed);
    disk.set_observer(Some(Arc::new(move |disk: &SimVfs, call: IoCall| {
        if call.op == IoOp::SyncDir {
            *slot.lock() = Some(disk.clone_running());
        }
    })));
    manifest.commit(&nth(2)).unwrap();
    disk.set_observer(None);
    let killed = killed.lock().take().unwrap();
    assert_eq!(open(&killed.clone_image(CrashChoice::Nothing), true).unwrap().version().number, 1);
    assert_eq!(open(&killed, true).unwrap().version().number, 2);
    assert_eq!(open(&killed.clone_image(CrashChoice::Nothing), true).unwrap().version().number, 2);
}

/// Commits with the `k`-th call failing. Returns false when there were fewer calls.
fn commit_with_fault(start: &SimVfs, k: u64, fault: Fault, sticky: bool) -> bool {
    let disk = start.clone_running();
    let manifest = open(&disk, true).unwrap();
    let before = manifest.version();
    let changes = nth(before.number + 1);
    let after = Arc::new(before.apply(&changes).unwrap());
    disk.fail_at(FaultAt::Call(disk.call_count() + k), fault, sticky);
    let committed = manifest.commit(&changes);
    if disk.fault_count() == 0 {
        return false;
    }
    disk.clear_faults();
    let what = format!("call {k} with {fault:?}, sticky {sticky}: {committed:?}");
    let durable = committed.is_ok();
    let allowed = Allowed { before, after: Arc::clone(&after), durable, looked: 0 };
    check(&disk.clone_running(), &allowed, &what);
    check(&disk.clone_image(CrashChoice::Nothing), &allowed, &what);
    check(&disk.clone_image(CrashChoice::Everything), &allowed, &what);
    (0..8).for_each(|seed| {
        check(&disk.clone_image(CrashChoice::Random(seed)), &allowed, &what);
    });
    match committed {
        Ok(_) => assert_eq!(manifest.version(), after, "{what}"),
        Err(Error::Poisoned { .. }) => {
            let again = manifest.commit(&changes);
            assert!(matches!(again, Err(Error::Poisoned { .. })), "{what}: {again:?}");
        }
        Err(Error::Io { .. }) => {
            assert_eq!(manifest.commit(&changes).unwrap(), after, "{what}");
            let image = disk.clone_image(CrashChoice::Nothing);
            assert_eq!(open(&image, true).unwrap().version(), after, "{what}");
        }
        Err(other) => panic!("{what}: {other}"),
    }
    true
}

#[test]
fn an_error_at_any_call_leaves_the_state_before_or_after() {
    let disk = SimVfs::new(5);
    let manifest = create(&disk);
    let mut starts = vec![disk.clone_running()];
    for number in 2..128 {
        manifest.commit(&nth(number)).unwrap();
        if number == 63 || number == 127 {
            starts.push(disk.clone_running());
        }
    }
    for start in &starts {
        for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite(100)] {
            for sticky in [false, true] {
                let faults = (0..90).filter(|k| commit_with_fault(start, *k, fault, sticky));
                assert!(faults.count() > 0);
            }
        }
    }
}
