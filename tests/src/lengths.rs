//! Every length of every file, judged by the part of the engine that opens it: a segment by its reader, a log file by recovery, the manifest's
//! files by the manifest. Exhaustive where the whole database ([`crate::wreck`]) is sampled. Also the bits of the manifest's files, which no seal
//! of a piece covers ([`crate::blocks`]).

use std::path::Path;
use std::sync::Arc;

use chronolith_engine::error::{Error, ErrorKind};
use chronolith_engine::manifest::{CommitTimes, Manifest, Version};
use chronolith_engine::rng::SeededRng;
use chronolith_engine::segment::SegmentReader;
use chronolith_engine::vfs::Vfs;
use chronolith_engine::vfs::sim::SimVfs;
use chronolith_engine::wal;

use crate::check::Outcome;
use crate::golden::{Golden, is_log, is_segment};

/// What was tried.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lengths {
    /// Lengths of segments, each refused.
    pub segments: u64,
    /// Lengths of log files that were refused.
    pub logs: u64,
    /// Lengths of the last log file that give a shorter log.
    pub shorter: u64,
    /// Lengths of the manifest's files, and flipped bits of them, that were refused.
    pub manifests: u64,
    /// The same that another file makes up for: the state is what it was.
    pub unneeded: u64,
}

impl Lengths {
    /// How much was tried.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.segments + self.logs + self.shorter + self.manifests + self.unneeded
    }
}

struct Judge<'a> {
    golden: &'a Golden,
    version: Arc<Version>,
    /// Records of the whole log.
    record_count: u64,
}

fn manifest(disk: &SimVfs) -> Result<Arc<Version>, Error> {
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let rng = Arc::new(SeededRng::new(1));
    Manifest::open(vfs, rng, Path::new("/db"), false).map(|manifest| manifest.version())
}

/// Tries every length of every file in steps of `step`, and every bit of the manifest's files in the same steps.
///
/// # Errors
/// A length or bit that is not refused and makes a difference.
pub fn each(golden: &Golden, step: usize, lengths: &mut Lengths) -> Outcome {
    let version = manifest(&golden.disk).map_err(|error| error.to_string())?;
    let mut judge = Judge { golden, version, record_count: 0 };
    judge.record_count = judge.log(&golden.disk).map_err(|error| error.to_string())?;
    for path in golden.paths() {
        let disk = golden.disk.clone_running();
        let bytes = disk.read_raw(&path).map_err(|error| error.to_string())?;
        for len in (0..bytes.len()).rev().step_by(step) {
            disk.truncate_raw(&path, len as u64).map_err(|error| error.to_string())?;
            judge
                .one(&disk, &path, lengths)
                .map_err(|text| format!("{} of {len} bytes: {text}", path.display()))?;
        }
        if is_segment(&path) || is_log(&path) {
            continue;
        }
        disk.write_raw(&path, &bytes).map_err(|error| error.to_string())?;
        for bit in (0..bytes.len() * 8).step_by(step) {
            let (offset, bit) = ((bit / 8) as u64, (bit % 8) as u8);
            let flip = || disk.flip_bit(&path, offset, bit).map_err(|error| error.to_string());
            flip()?;
            judge.one(&disk, &path, lengths).map_err(|text| {
                format!("{}, bit {bit} of byte {offset}: {text}", path.display())
            })?;
            flip()?;
        }
    }
    Ok(())
}

impl Judge<'_> {
    fn one(&self, disk: &SimVfs, path: &Path, lengths: &mut Lengths) -> Outcome {
        if is_segment(path) {
            let infos = self.version.all_segments();
            let name = |id| format!("{id}.seg");
            let mut infos = infos.filter(|info| path.ends_with(name(info.file_id)));
            let info = infos.next().ok_or("the manifest does not know it")?;
            let folder = Path::new("/db/segments");
            refused(SegmentReader::open(disk, folder, self.version.database_id, info), path)?;
            lengths.segments += 1;
            return Ok(());
        }
        if is_log(path) {
            return match self.log(disk) {
                Ok(count) if count <= self.record_count && self.is_last(path) => {
                    lengths.shorter += 1;
                    Ok(())
                }
                Ok(count) => Err(format!("{count} records are read")),
                Err(error) => {
                    lengths.logs += 1;
                    refused::<()>(Err(error), path)
                }
            };
        }
        let opened = manifest(disk).and_then(|version| {
            let times = version.commit_times.as_ref();
            let load =
                |times| CommitTimes::load(disk, Path::new("/db"), version.database_id, times);
            times.map(load).transpose()?;
            Ok(version)
        });
        match opened {
            Ok(version) if version == self.version => lengths.unneeded += 1,
            Ok(version) => return Err(format!("the state is another, of edit {}", version.number)),
            Err(error) => {
                refused::<()>(Err(error), path)?;
                lengths.manifests += 1;
            }
        }
        Ok(())
    }

    fn is_last(&self, path: &Path) -> bool {
        self.golden
            .paths()
            .into_iter()
            .filter(|path| is_log(path))
            .max()
            .is_some_and(|last| last == path)
    }

    fn log(&self, disk: &SimVfs) -> Result<u64, Error> {
        let version = &self.version;
        let (floor, head) = (version.log_floor, version.log_head);
        let folder = Path::new("/db/wal");
        let visit = &mut |_: wal::RawRecord<'_>| Ok(());
        wal::recover(disk, folder, version.database_id, floor, head, false, visit)
            .map(|recovery| recovery.record_count)
    }
}

/// An error of damage is expected, which names the file.
fn refused<T>(opened: Result<T, Error>, path: &Path) -> Outcome {
    match opened {
        Ok(_) => Err("it passes".into()),
        Err(error) if error.kind() != ErrorKind::Corrupt => Err(format!("refused: {error}")),
        Err(error) if error.to_string().contains(&path.display().to_string()) => Ok(()),
        Err(error) => Err(format!("the error does not name it: {error}")),
    }
}
