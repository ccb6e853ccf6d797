//! Who watches the calls.

use super::*;

#[test]
fn the_observer_sees_each_mutating_call_before_its_effect() {
    let disk = SimVfs::new(1);
    let seen = Arc::new(Mutex::new(Vec::<(u64, IoOp, PathBuf, usize)>::new()));
    let log = Arc::clone(&seen);
    disk.set_observer(Some(Arc::new(move |disk: &SimVfs, call| {
        let len = disk.read_raw(p("/f")).map_or(99, |bytes| bytes.len());
        log.lock().push((call.index, call.op, call.path, len));
        // Not observed again.
        disk.create_dir_all(p("/")).unwrap();
    })));
    let file = create(&disk, "/f", b"abc");
    let mut buf = [0];
    file.read_at(&mut buf, 0).unwrap();
    file.sync_data().unwrap();
    disk.fail_at(FaultAt::Nth { op: IoOp::Remove, skip: 0 }, Fault::Eio, false);
    assert!(disk.remove(p("/f")).is_err());
    disk.set_observer(None);
    disk.sync_dir(p("/")).unwrap();
    let wanted = [
        (0, IoOp::Create, PathBuf::from("/f"), 99),
        (2, IoOp::Write, PathBuf::from("/f"), 0),
        (4, IoOp::Sync, PathBuf::from("/f"), 3),
        (6, IoOp::Remove, PathBuf::from("/f"), 3),
    ];
    assert_eq!(*seen.lock(), wanted);
    assert_eq!(disk.call_count(), 9);
}

/// A crash during recovery: the observer opens an image and observes that in turn.
#[test]
fn observers_nest_over_images() {
    let (disk, file) = with_file("/f", b"x");
    let inner_calls: Arc<Mutex<u64>> = Arc::default();
    let count = Arc::clone(&inner_calls);
    disk.set_observer(Some(Arc::new(move |disk: &SimVfs, _| {
        let image = everything(disk);
        let count = Arc::clone(&count);
        image.set_observer(Some(Arc::new(move |_: &SimVfs, _| *count.lock() += 1)));
        image.open(p("/f"), OpenMode::Write).unwrap().write_at(b"y", 0).unwrap();
    })));
    file.write_at(b"z", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(*inner_calls.lock(), 2);
}
