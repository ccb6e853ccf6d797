//! Edits, checkpoints and commit times. Byte 0: bit 0 takes every checksum for the right one; bit 1 chooses commit times.

use chronolith_engine::format::frame::trust;
use chronolith_engine::manifest::Version;
use chronolith_engine::manifest::fuzz::{reread, reread_blocks};
use chronolith_engine::model::Sequence;

use crate::input::Input;

/// A file of the manifest.
pub fn manifest(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    trust(flags & 1 != 0);
    if flags & 2 == 0 {
        file(input.rest())
    } else {
        times(input.rest())
    }
    trust(false);
}

fn file(bytes: &[u8]) {
    let Ok(read) = reread(bytes) else { return };
    let hash_at = bytes.len() - 32;
    assert_eq!(read.bytes[..hash_at], bytes[..hash_at], "a file is written in one way");
    let Some(version) = read.version else { return };
    // What was written has the right hash.
    trust(false);
    let checkpoint = reread(&read.checkpoint).expect("a checkpoint that was written is read");
    let same = checkpoint.version.expect("a checkpoint of a version fits");
    assert_eq!(Version { number: 0, ..same }, Version { number: 0, ..version.clone() });
    for table in [1, 2, 7] {
        let table = chronolith_engine::model::TableId(table);
        let _ = (version.segments_of(table), version.tombstones_of(table), version.horizon(table));
    }
    let _ = (version.lost(Sequence::ZERO), version.lost(Sequence::MAX), version.producer("a"));
}

fn times(bytes: &[u8]) {
    let Ok((times, written)) = reread_blocks(bytes) else { return };
    trust(false);
    let again = written.expect("commit times that were written are read");
    assert_eq!(
        (again.entry_count(), again.last_sequence(), again.last_time_ns()),
        (times.entry_count(), times.last_sequence(), times.last_time_ns())
    );
    let last = times.last_time_ns().unwrap_or_default();
    for at in [i64::MIN, 0, last / 2, last, i64::MAX] {
        let found = times.sequence_at(at);
        assert_eq!(found, again.sequence_at(at), "the sequence at {at}");
        if let Some(sequence) = found {
            assert!(sequence <= times.last_sequence());
            assert_eq!(times.time_of(sequence), again.time_of(sequence));
        }
    }
    let thin = times.thin(last / 2, 3_600_000_000_000);
    assert!(thin.entry_count() <= times.entry_count());
    assert!(times.forget(last / 2).entry_count() <= times.entry_count());
    assert_eq!(thin.last_sequence(), times.last_sequence());
}
