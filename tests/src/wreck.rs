//! Damage to a whole database: it is opened, read and verified. Damage is told by an error that names the file, or makes no
//! difference; what is intact stays readable; nothing panics.
//!
//! The one exception: what no witness follows. Where the end of the last log file is damaged or gone, a shorter log is found; then
//! the state is that of an earlier commit, and a tail that is not whole is reported and kept aside (docs/format/wal.md, "Reading").

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use chronolith_engine::Db;
use chronolith_engine::error::{Error, ErrorKind};
use chronolith_engine::vfs::sim::SimVfs;

use crate::blocks::pieces;
use crate::check::Outcome;
use crate::dice::Dice;
use crate::golden::{Golden, answer, answers, is_log, is_segment, is_users};

/// What became of damage.
#[derive(Debug, Default, Clone, Copy)]
pub struct Wrecks {
    /// Opening was refused; reading alone gave nothing or an earlier state.
    pub refused: u64,
    /// A table was refused, the others were read.
    pub unreadable: u64,
    /// Everything was read.
    pub harmless: u64,
    /// Everything was read, and verification told of the damage.
    pub told: u64,
    /// An earlier state, with a tail that was reported and kept.
    pub torn: u64,
    /// An earlier state: whole groups without a witness were gone.
    pub shorter: u64,
}

impl Wrecks {
    /// Takes in another count.
    pub fn merge(&mut self, other: Self) {
        self.refused += other.refused;
        self.unreadable += other.unreadable;
        self.harmless += other.harmless;
        self.told += other.told;
        self.torn += other.torn;
        self.shorter += other.shorter;
    }

    /// How much was tried.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.refused + self.unreadable + self.harmless + self.told + self.torn + self.shorter
    }
}

/// Damage of one file.
#[derive(Debug, Clone)]
pub enum Damage {
    /// A bit flips.
    Flip(u64, u8),
    /// The file ends here.
    Truncate(u64),
    /// The file is gone.
    Missing,
    /// These bytes are in the place of those from an offset on.
    Overwrite(u64, Vec<u8>),
    /// Another content.
    Replace(Vec<u8>),
}

/// Damages `path` and judges what the database makes of it.
///
/// # Errors
/// A wrong answer, a panic, an error of the wrong kind or that does not name the file.
pub fn judge(golden: &Golden, path: &Path, damage: &Damage, wrecks: &mut Wrecks) -> Outcome {
    let disk = golden.disk.clone_running();
    strike(&disk, path, damage)?;
    let before = golden.disk.read_raw(path).map_err(|error| error.to_string())?;
    if disk.read_raw(path).is_ok_and(|after| after == before) {
        // Bytes in the place of the same ones.
        return Ok(());
    }
    let shortens = may_shorten(golden, path, damage);
    let judged = catch_unwind(AssertUnwindSafe(|| opened(golden, &disk, path, shortens, wrecks)));
    judged
        .unwrap_or_else(|_| Err("it panicked".into()))
        .map_err(|text| format!("{}: {text}", place(path, damage)))
}

/// Damages a file.
///
/// # Errors
/// Where it is not there.
pub fn strike(disk: &SimVfs, path: &Path, damage: &Damage) -> Outcome {
    let done = match damage {
        Damage::Flip(offset, bit) => disk.flip_bit(path, *offset, *bit),
        Damage::Truncate(len) => disk.truncate_raw(path, *len),
        Damage::Missing => disk.remove_raw(path),
        Damage::Overwrite(offset, bytes) => disk.read_raw(path).and_then(|mut whole| {
            let (from, len) = (*offset as usize, bytes.len());
            whole[from..from + len].copy_from_slice(bytes);
            disk.write_raw(path, &whole)
        }),
        Damage::Replace(bytes) => disk.write_raw(path, bytes),
    };
    done.map_err(|error| error.to_string())
}

/// A piece of damage, for people.
#[must_use]
pub fn place(path: &Path, damage: &Damage) -> String {
    match damage {
        Damage::Overwrite(at, bytes) => {
            format!("{} with {} bytes of others at {at}", path.display(), bytes.len())
        }
        Damage::Replace(bytes) => format!("{} with {} older bytes", path.display(), bytes.len()),
        other => format!("{} with {other:?}", path.display()),
    }
}

/// Whether the error is one of damage and names the file, or the folder that lacks it.
fn tells(error: &Error, path: &Path) -> Outcome {
    let kind = error.kind() == ErrorKind::Corrupt
        || matches!(
            error,
            Error::UnsupportedVersion { .. }
                | Error::UnsupportedFeature { .. }
                | Error::NotADatabase { .. }
        );
    let text = error.to_string();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = path.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    if kind && (text.contains(name) || text.contains(&folder)) {
        return Ok(());
    }
    Err(format!("the error does not tell: {text}"))
}

fn opened(
    golden: &Golden,
    disk: &SimVfs,
    path: &Path,
    shortens: bool,
    wrecks: &mut Wrecks,
) -> Outcome {
    let reader = disk.clone_running();
    let db = match golden.open(disk, true) {
        Ok(db) => db,
        Err(error) => {
            tells(&error, path)?;
            wrecks.refused += 1;
            return match golden.open(&reader, false) {
                Err(error) => tells(&error, path),
                Ok(db) => prefix(golden, &db, path).map(|_| ()),
            };
        }
    };
    let count = db.snapshot().sequence().counter;
    if count != golden.last.counter {
        if !shortens || count > golden.last.counter {
            return Err(format!("{count} of {} commits are shown", golden.last.counter));
        }
        let is_torn = db.recovery().torn_tail.is_some();
        wrecks.torn += u64::from(is_torn);
        wrecks.shorter += u64::from(!is_torn);
        return prefix(golden, &db, path);
    }
    let damaged = read(golden, &db, path)?;
    let report = db.verify().map_err(|error| format!("verify: {error}"))?;
    let told = report.damage.iter().any(|part| part.path == path);
    if (damaged || is_segment(path)) && !told {
        return Err("verification does not see the damage".into());
    }
    match (damaged, told) {
        (true, _) => wrecks.unreadable += 1,
        (false, true) => wrecks.told += 1,
        (false, false) => wrecks.harmless += 1,
    }
    Ok(())
}

/// Compares what is answered; whether a table was refused, as only that of the damaged file may be.
fn read(golden: &Golden, db: &Db, path: &Path) -> Outcome<bool> {
    let snapshot = db.snapshot();
    let mut refused = false;
    for ((name, question), expected) in &golden.answers {
        match answer(&snapshot, name, *question) {
            Ok(found) if found == *expected => {}
            Ok(_) => return Err(format!("{question:?} of {name} are others, and no error")),
            Err(error) => {
                tells(&error, path).map_err(|text| format!("{question:?} of {name}: {text}"))?;
                if golden.table_of.get(path) != Some(name) {
                    return Err(format!("{name} is intact, and refused: {error}"));
                }
                refused = true;
            }
        }
    }
    Ok(refused)
}

/// Whether the damage may take away groups without a witness: only at the end of the last log file, whose last sector is a witness.
pub(crate) fn may_shorten(golden: &Golden, path: &Path, damage: &Damage) -> bool {
    let last = golden.paths().into_iter().filter(|path| is_log(path)).max();
    let len = golden.disk.read_raw(path).map_or(0, |bytes| bytes.len() as u64);
    last.is_some_and(|last| last == path)
        && match damage {
            Damage::Truncate(_) | Damage::Replace(_) => true,
            Damage::Overwrite(at, bytes) => at + bytes.len() as u64 > len.saturating_sub(512),
            Damage::Flip(..) | Damage::Missing => false,
        }
}

/// The state must be that of a prefix.
fn prefix(golden: &Golden, db: &Db, path: &Path) -> Outcome {
    let snapshot = db.snapshot();
    let count = snapshot.sequence().counter;
    let found = match answers(&snapshot, &is_users) {
        Ok(found) => found,
        Err(error) => return tells(&error, path),
    };
    let expected = golden.answers_at(count).ok_or_else(|| format!("no state {count} is known"))?;
    // Tables of later show no rows then: they are not there at all now.
    let fits = found.iter().all(|(name, answer)| expected.get(name) == Some(answer));
    if fits { Ok(()) } else { Err(format!("{count} commits are shown, and not their state")) }
}

/// One random piece of damage.
#[must_use]
pub fn random(golden: &Golden, other: &Golden, dice: &mut Dice) -> (PathBuf, Damage) {
    let paths = golden.paths();
    let path = dice.pick(&paths).clone();
    let bytes = golden.disk.read_raw(&path).unwrap_or_default();
    let len = bytes.len() as u64;
    let damage = match dice.below(10) {
        _ if len == 0 => Damage::Missing,
        0..4 => Damage::Flip(dice.below(len), dice.below(8) as u8),
        4 => Damage::Truncate(dice.below(len)),
        5 if dice.chance(20) => Damage::Missing,
        5 => Damage::Truncate(len - 1 - dice.below(len.min(3_000))),
        6 if !golden.older.is_empty() => {
            let (path, bytes) = dice.pick(&golden.older).clone();
            return (path, Damage::Replace(bytes));
        }
        _ => {
            // A sector, or a piece of any length, of this file, another, or another database's.
            let of = if dice.chance(50) { golden } else { other };
            let sources = of.paths();
            let source = of.disk.read_raw(dice.pick::<PathBuf>(&sources)).unwrap_or_default();
            let sector = if dice.chance(50) { 512 } else { 1 };
            let size = (1 + dice.below(8)) * sector.max(37);
            let pick = |dice: &mut Dice, len: u64| {
                dice.below(len.saturating_sub(size).max(1)) / sector * sector
            };
            let (from, to) = (pick(dice, source.len() as u64), pick(dice, len));
            let end = (from + size.min(len - to)) as usize;
            let piece = source.get(from as usize..end).unwrap_or_default().to_vec();
            Damage::Overwrite(to, piece)
        }
    };
    (path, damage)
}

/// Damages every file as a whole (gone, empty, an older content), and of every sealed piece `bits` random bits.
///
/// # Errors
/// As [`judge`].
pub fn each_piece(golden: &Golden, bits: u64, dice: &mut Dice, wrecks: &mut Wrecks) -> Outcome {
    for path in golden.paths() {
        judge(golden, &path, &Damage::Missing, wrecks)?;
        judge(golden, &path, &Damage::Truncate(0), wrecks)?;
    }
    for (path, bytes) in &golden.older {
        judge(golden, path, &Damage::Replace(bytes.clone()), wrecks)?;
    }
    for (path, (_, seals)) in pieces(golden) {
        for seal in seals.iter().filter(|seal| seal.len_bytes > 0) {
            for _ in 0..bits {
                let offset = seal.offset + dice.below(seal.len_bytes as u64);
                let damage = Damage::Flip(offset, dice.below(8) as u8);
                judge(golden, &path, &damage, wrecks)?;
            }
        }
    }
    Ok(())
}

/// `count` random pieces of damage, one at a time, to the database of `seed`.
///
/// # Errors
/// As [`judge`].
pub fn some(seed: u64, count: u64, wrecks: &mut Wrecks) -> Outcome {
    let (golden, other) = (Golden::new(seed), Golden::new(seed ^ 1));
    let mut dice = Dice::new(seed);
    (0..count).try_for_each(|_| {
        let (path, damage) = random(&golden, &other, &mut dice);
        judge(&golden, &path, &damage, wrecks)
    })
}
