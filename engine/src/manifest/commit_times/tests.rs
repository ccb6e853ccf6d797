//! Commit times against a naive list; files under damage, cuts and errors.

use std::path::PathBuf;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::rng::{Rng, SeededRng};
use crate::vfs::Vfs;
use crate::vfs::sim::{CrashChoice, Fault, FaultAt, IoOp, SimVfs};

const MS: i64 = 1_000_000;

fn dir() -> PathBuf {
    PathBuf::from("/db")
}

fn seq(incarnation: u32, counter: u64) -> Sequence {
    Sequence { incarnation, counter }
}

/// Every commit, with its time rounded up to 100 ms.
#[derive(Default)]
struct Naive(Vec<(Sequence, i64)>);

impl Naive {
    fn push(&mut self, sequence: Sequence, time_ns: i64) {
        let mut rounded = time_ns - time_ns.rem_euclid(100 * MS);
        if rounded < time_ns {
            rounded += 100 * MS;
        }
        let last = self.0.last().map_or(i64::MIN, |(_, time)| *time);
        self.0.push((sequence, rounded.max(last)));
    }

    /// Sequences at or before `time_ns`, as those that a read at `found` sees.
    fn check_at(&self, time_ns: i64, found: Sequence) {
        for (sequence, time) in &self.0 {
            assert_eq!(*sequence <= found, *time <= time_ns, "{sequence} {time} at {time_ns}");
        }
    }
}

fn random_times(seed: u64, count: u64) -> (CommitTimes, Naive) {
    let random = SeededRng::new(seed);
    let (mut times, mut naive) = (CommitTimes::new(), Naive::default());
    let (mut sequence, mut time) = (seq(1, 0), -3_000 * MS);
    for _ in 0..count {
        match random.next_u64() % 200 {
            0 => sequence = seq(sequence.incarnation + 3, sequence.counter.max(5) - 5),
            1 => time += 3_600_000 * MS,
            2 => time -= 500 * MS,
            _ => time += i64::try_from(random.next_u64() % 80).unwrap() * MS,
        }
        sequence.counter += 1;
        times.push(sequence, time);
        naive.push(sequence, time);
    }
    (times, naive)
}

fn probes(naive: &Naive) -> Vec<i64> {
    let times = naive.0.iter().map(|(_, time)| *time);
    times.flat_map(|time| [time - 1, time, time + 1, time + 99 * MS]).step_by(7).collect()
}

#[test]
fn answers_are_those_of_a_plain_list() {
    for seed in 0..6 {
        let (times, naive) = random_times(seed, 3000);
        for probe in probes(&naive).into_iter().chain([i64::MIN, i64::MAX]) {
            naive.check_at(probe, times.sequence_at(probe).unwrap());
        }
        for (sequence, time) in &naive.0 {
            assert_eq!(times.time_of(*sequence), Some(*time), "{sequence}");
        }
        assert_eq!(times.time_of(seq(1, 0)), None);
        assert_eq!(times.time_of(times.last_sequence().next()), None);
    }
}

#[test]
fn nothing_committed_is_sequence_zero_at_any_time() {
    let mut times = CommitTimes::new();
    assert_eq!(times.sequence_at(0), Some(Sequence::ZERO));
    times.push(seq(1, 1), 1);
    assert_eq!(times.sequence_at(0), Some(seq(1, 0)));
    assert_eq!(times.sequence_at(1), Some(seq(1, 0)), "rounded up: never too early");
    assert_eq!(times.sequence_at(100 * MS), Some(seq(1, 1)));
    times.push(seq(1, 1), 900 * MS);
    assert_eq!(times.entry_count(), 1, "a replay is ignored");
    times.push(seq(1, 2), i64::MAX);
    assert_eq!(times.time_of(seq(1, 2)), Some(i64::MAX));
}

#[test]
fn thinning_is_exact_above_and_never_early_below() {
    for seed in 0..4 {
        let (times, naive) = random_times(seed, 3000);
        let below = naive.0[1500].1 + 50 * MS;
        let thinned = times.thin(below, 1000 * MS);
        assert!(thinned.entry_count() < times.entry_count());
        for probe in probes(&naive) {
            let (exact, found) = (times.sequence_at(probe), thinned.sequence_at(probe));
            assert!(found <= exact, "{probe}");
            assert!(probe < below || found == exact, "{probe}");
        }
        let forgotten = times.forget(below);
        for probe in probes(&naive) {
            let found = forgotten.sequence_at(probe);
            assert!(found.is_none() || found == times.sequence_at(probe), "{probe}");
            assert!(probe < below || found.is_some(), "{probe}");
        }
        assert_eq!(forgotten.sequence_at(naive.0[0].1), None);
        assert_eq!(forgotten.time_of(naive.0[2999].0), times.time_of(naive.0[2999].0));
    }
}

#[test]
fn a_day_of_writing_stays_small() {
    let mut times = CommitTimes::new();
    for step in 0..864_000i64 {
        times.push(seq(1, 1 + 10_000 * step.unsigned_abs()), step * 100 * MS);
    }
    assert_eq!(times.entry_count(), 864_000);
    let (disk, rng) = (disk(), SeededRng::new(1));
    let reference = times.append_to_file(&disk, &rng, &dir(), 5).unwrap().unwrap();
    println!("{} bytes in memory, {} on disk", times.memory_bytes(), reference.len_bytes);
    assert!(times.memory_bytes() < 10 << 20 && reference.len_bytes < 10_000_000);
    let loaded = CommitTimes::load(&disk, &dir(), 5, &reference).unwrap();
    assert_eq!(loaded.encoded, times.encoded);
    assert_eq!(loaded.sequence_at(777_777 * 100 * MS), times.sequence_at(777_777 * 100 * MS));
}

fn disk() -> SimVfs {
    let disk = SimVfs::new(1);
    disk.create_dir_all(&dir().join("manifest")).unwrap();
    disk.sync_dir(&PathBuf::from("/")).unwrap();
    disk.sync_dir(&dir()).unwrap();
    disk
}

/// Whether two answer alike.
fn same(a: &CommitTimes, b: &CommitTimes) -> bool {
    a.entries().eq(b.entries()) && a.last_sequence == b.last_sequence && a.forgotten == b.forgotten
}

#[test]
fn files_grow_by_appending_and_give_back_what_was_pushed() {
    let (disk, rng) = (disk(), SeededRng::new(1));
    let (source, naive) = random_times(3, 4000);
    let mut times = CommitTimes::new();
    assert_eq!(times.append_to_file(&disk, &rng, &dir(), 5).unwrap(), None);
    let mut references = Vec::new();
    for chunk in naive.0.chunks(613) {
        chunk.iter().for_each(|(sequence, time)| times.push(*sequence, *time));
        let reference = times.append_to_file(&disk, &rng, &dir(), 5).unwrap().unwrap();
        assert_eq!(times.append_to_file(&disk, &rng, &dir(), 5).unwrap(), None);
        let loaded = CommitTimes::load(&disk, &dir(), 5, &reference).unwrap();
        assert!(same(&loaded, &times));
        references.push((reference, times.clone()));
        times = loaded;
    }
    assert!(source.entries().eq(times.entries()));
    // What lies behind the length that counts is ignored: every earlier reference still reads.
    for (reference, known) in &references {
        assert!(same(&CommitTimes::load(&disk, &dir(), 5, reference).unwrap(), known));
        assert_eq!(reference.file_id, references[0].0.file_id);
        assert_eq!(reference.len_bytes % 512, 0);
    }
    let forgotten = times.forget(naive.0[2000].1);
    let mut fresh = forgotten.clone();
    let reference = fresh.append_to_file(&disk, &rng, &dir(), 5).unwrap().unwrap();
    assert_ne!(reference.file_id, references[0].0.file_id);
    assert!(same(&CommitTimes::load(&disk, &dir(), 5, &reference).unwrap(), &forgotten));
}

#[test]
fn damage_inside_is_found_and_damage_behind_ignored() {
    let (disk, rng) = (disk(), SeededRng::new(1));
    let (mut times, _) = random_times(4, 300);
    times.append_to_file(&disk, &rng, &dir(), 5).unwrap();
    times.push(times.last_sequence().next(), i64::MAX / 2);
    let reference = times.append_to_file(&disk, &rng, &dir(), 5).unwrap().unwrap();
    let path = dir().join(format!("manifest/{}.times", reference.file_id));
    let load = || CommitTimes::load(&disk, &dir(), 5, &reference);
    let whole = disk.read_raw(&path).unwrap();
    assert_eq!(whole.len() as u64, reference.len_bytes);
    for offset in 0..reference.len_bytes {
        disk.flip_bit(&path, offset, u8::try_from(offset % 8).unwrap()).unwrap();
        assert_eq!(load().unwrap_err().kind(), ErrorKind::Corrupt, "byte {offset}");
        disk.flip_bit(&path, offset, u8::try_from(offset % 8).unwrap()).unwrap();
    }
    for len in 0..reference.len_bytes {
        disk.truncate_raw(&path, len).unwrap();
        assert_eq!(load().unwrap_err().kind(), ErrorKind::Corrupt, "cut to {len}");
        disk.write_raw(&path, &whole).unwrap();
    }
    let longer: Vec<u8> = whole.iter().copied().chain([0xa5; 700]).collect();
    disk.write_raw(&path, &longer).unwrap();
    assert!(same(&load().unwrap(), &times));
    assert_eq!(
        CommitTimes::load(&disk, &dir(), 6, &reference).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    disk.remove_raw(&path).unwrap();
    assert_eq!(load().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn another_version_has_a_sound_header() {
    let (disk, rng) = (disk(), SeededRng::new(1));
    let (mut times, _) = random_times(4, 30);
    let reference = times.append_to_file(&disk, &rng, &dir(), 5).unwrap().unwrap();
    let path = dir().join(format!("manifest/{}.times", reference.file_id));
    let mut bytes = disk.read_raw(&path).unwrap();
    bytes[8] = 9;
    let hash = *blake3::hash(&bytes[..480]).as_bytes();
    bytes[480..512].copy_from_slice(&hash);
    disk.write_raw(&path, &bytes).unwrap();
    let error = CommitTimes::load(&disk, &dir(), 5, &reference).unwrap_err();
    assert!(matches!(error, Error::UnsupportedVersion { found: 9, .. }), "{error}");
}

#[test]
fn lost_times_are_told_before_what_came_later() {
    let (disk, rng) = (disk(), SeededRng::new(1));
    let mut times = CommitTimes::lost();
    times.pass(seq(3, 70));
    let reference = times.append_to_file(&disk, &rng, &dir(), 5).unwrap().unwrap();
    let mut loaded = CommitTimes::load(&disk, &dir(), 5, &reference).unwrap();
    assert_eq!((loaded.sequence_at(i64::MAX), loaded.last_sequence()), (None, seq(3, 70)));
    loaded.push(seq(4, 71), 1_000_000_000);
    assert_eq!(loaded.sequence_at(999_999_999), None);
    assert_eq!(loaded.sequence_at(1_000_000_000), Some(seq(4, 71)));
    assert_eq!(loaded.time_of(seq(3, 70)), None);
}

#[test]
fn appends_that_fail_or_are_cut_leave_what_counts() {
    for (op, fault) in [
        (IoOp::Write, Fault::Enospc),
        (IoOp::Write, Fault::ShortWrite(100)),
        (IoOp::Sync, Fault::Eio),
    ] {
        let (disk, rng) = (disk(), SeededRng::new(1));
        let (mut times, _) = random_times(4, 300);
        let counts = times.append_to_file(&disk, &rng, &dir(), 5).unwrap().unwrap();
        let known = times.clone();
        times.push(times.last_sequence().next(), i64::MAX / 2);
        disk.fail_at(FaultAt::Nth { op, skip: 0 }, fault, false);
        let failed = times.append_to_file(&disk, &rng, &dir(), 5);
        assert!(matches!(failed, Err(Error::Io { .. })), "{op:?}");
        for seed in 0..50 {
            let image = disk.clone_image(CrashChoice::Random(seed));
            assert!(same(&CommitTimes::load(&image, &dir(), 5, &counts).unwrap(), &known));
        }
        let next = times.append_to_file(&disk, &rng, &dir(), 5).unwrap().unwrap();
        assert_eq!(
            next.file_id != counts.file_id,
            op == IoOp::Sync,
            "a new file after a failed sync"
        );
        for seed in 0..50 {
            let image = disk.clone_image(CrashChoice::Random(seed));
            assert!(same(&CommitTimes::load(&image, &dir(), 5, &next).unwrap(), &times));
            assert!(same(&CommitTimes::load(&image, &dir(), 5, &counts).unwrap(), &known));
        }
    }
}
