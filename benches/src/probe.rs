//! What the machine itself can do: memory copies, small durable appends, bulk writes.
//! Invariant: nothing stays in the measured directory, also after an error.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

const COPY_BYTES: usize = 64 << 20;
const COPY_COUNT: usize = 12;
const APPEND_BYTES: usize = 4 << 10;
const APPEND_COUNT: usize = 400;
const BULK_BYTES: u64 = 512 << 20;
const BULK_WRITE_BYTES: usize = 1 << 20;
/// The first writing of the bulk file syncs this often, so that it notices a slow disk in time.
const BULK_SYNC_BYTES: u64 = 32 << 20;
/// One part of the probe stops here and reports what it has; the longest run is about four parts.
const PART_TIME: Duration = Duration::from_secs(4);

/// Figures of one machine and one disk.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Probe {
    /// Bytes copied a second by one thread between two 64 MiB buffers, best of several; reading
    /// and writing count once together.
    pub memcpy_bytes_per_s: f64,
    /// A 4 KiB write and fdatasync inside a file filled with zeros and synced before.
    pub append_filled: Latency,
    /// A 4 KiB write and fdatasync at the end of a file that grows by it.
    pub append_growing: Latency,
    /// Bytes a second of 1 MiB writes with one fdatasync at the end, its time included, into
    /// space that an equally large file just left.
    pub bulk_bytes_per_s: f64,
    /// Bytes of that file: 512 MiB, less on a disk that takes longer than some seconds for it.
    pub bulk_bytes: u64,
}

/// A distribution of times.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Latency {
    /// Median, in seconds.
    pub p50_s: f64,
    /// 99th percentile, in seconds.
    pub p99_s: f64,
    /// Times measured: 400, fewer on a slow disk.
    pub count: usize,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_s, p99_s, count } = *self;
        write!(f, "p50 {:.3} p99 {:.3} ms (n {count})", p50_s * 1e3, p99_s * 1e3)
    }
}

impl fmt::Display for Probe {
    /// One line, without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "probe: memcpy {:.1} GB/s; 4 KiB append + fdatasync: zero-filled {}, growing {}; \
             synced write {:.0} MB/s ({} MiB)",
            self.memcpy_bytes_per_s / 1e9,
            self.append_filled,
            self.append_growing,
            self.bulk_bytes_per_s / 1e6,
            self.bulk_bytes >> 20,
        )
    }
}

/// Measures this machine's memory and the disk that holds `dir`, in some seconds.
///
/// # Errors
/// The system's, when a file in `dir` cannot be created, written or synced: 512 MiB must be free.
pub fn run(dir: &Path) -> io::Result<Probe> {
    run_sized(dir, COPY_BYTES, APPEND_COUNT, BULK_BYTES)
}

fn run_sized(
    dir: &Path,
    copy_bytes: usize,
    append_count: usize,
    bulk_bytes: u64,
) -> io::Result<Probe> {
    let memcpy_bytes_per_s = copy_rate(copy_bytes);
    let append_filled = append_times(dir, append_count, true)?;
    let append_growing = append_times(dir, append_count, false)?;
    let (bulk_bytes, bulk_bytes_per_s) = bulk_rate(dir, bulk_bytes)?;
    Ok(Probe { memcpy_bytes_per_s, append_filled, append_growing, bulk_bytes_per_s, bulk_bytes })
}

/// Bytes a second, best of several copies.
fn copy_rate(bytes: usize) -> f64 {
    // Both buffers are written once first: untouched pages would be mapped inside the time.
    let source = vec![1_u8; bytes];
    let mut target = vec![2_u8; bytes];
    let mut best = Duration::MAX;
    for _ in 0..COPY_COUNT {
        let start = Instant::now();
        black_box(&mut target).copy_from_slice(black_box(&source));
        black_box(&target);
        best = best.min(start.elapsed());
    }
    bytes as f64 / best.as_secs_f64()
}

/// Times of small durable appends; `filled` writes the file's whole length beforehand.
fn append_times(dir: &Path, count: usize, filled: bool) -> io::Result<Latency> {
    let mut scratch = Scratch::create(dir)?;
    let page = [3_u8; APPEND_BYTES];
    if filled {
        for _ in 0..count {
            scratch.file.write_all(&[0; APPEND_BYTES])?;
        }
        scratch.file.rewind()?;
    }
    scratch.file.sync_all()?;
    let mut times = Vec::with_capacity(count);
    let part = Instant::now();
    while times.len() < count && (times.is_empty() || part.elapsed() < PART_TIME) {
        let start = Instant::now();
        scratch.file.write_all(&page)?;
        scratch.file.sync_data()?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(latency(times))
}

/// Nearest-rank percentiles: the least time that at least that share of all does not exceed.
fn latency(mut times: Vec<f64>) -> Latency {
    times.sort_by(f64::total_cmp);
    let count = times.len();
    let at = |percent: usize| {
        let rank = (count * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or_default()
    };
    Latency { p50_s: at(50), p99_s: at(99), count }
}

/// Bytes written and bytes a second, the sync included.
fn bulk_rate(dir: &Path, bytes: u64) -> io::Result<(u64, f64)> {
    // Not zeros: a disk may store those without writing.
    let block: Vec<u8> = (1..=251).cycle().take(BULK_WRITE_BYTES).collect();
    // The first writer of a block pays for its allocation below the file system (a virtual or
    // thinly provisioned disk), so an equally large file is written and deleted before.
    let mut first = Scratch::create(dir)?;
    let part = Instant::now();
    let mut written = 0;
    while written < bytes && (written == 0 || part.elapsed() < PART_TIME) {
        written += write_bulk(&mut first.file, &block, BULK_SYNC_BYTES.min(bytes - written))?;
    }
    drop(first);

    let mut second = Scratch::create(dir)?;
    let start = Instant::now();
    write_bulk(&mut second.file, &block, written)?;
    Ok((written, written as f64 / start.elapsed().as_secs_f64()))
}

/// Writes `bytes`, rounded up to whole blocks, and syncs once; returns the bytes written.
fn write_bulk(file: &mut File, block: &[u8], bytes: u64) -> io::Result<u64> {
    let mut written = 0;
    while written < bytes {
        file.write_all(block)?;
        written += block.len() as u64;
    }
    file.sync_data()?;
    Ok(written)
}

/// A file that is deleted with its value.
struct Scratch {
    path: PathBuf,
    file: File,
}

impl Scratch {
    fn create(dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!("chronolith-probe-{}.tmp", process::id()));
        // A leftover of a killed run with our number would otherwise stand in the way.
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody is left to tell, and the next run truncates what stays.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let found = latency((1..=200).rev().map(f64::from).collect());
        assert_eq!(found, Latency { p50_s: 100.0, p99_s: 198.0, count: 200 });
        assert_eq!(latency(vec![7.0]), Latency { p50_s: 7.0, p99_s: 7.0, count: 1 });
    }

    #[test]
    fn the_figures_fit_in_one_line() {
        let append = Latency { p50_s: 0.000_105, p99_s: 0.000_2, count: 400 };
        let probe = Probe {
            memcpy_bytes_per_s: 8.04e9,
            append_filled: append,
            append_growing: Latency { p50_s: 0.000_17, ..append },
            bulk_bytes_per_s: 1.2344e9,
            bulk_bytes: 512 << 20,
        };
        assert_eq!(
            probe.to_string(),
            "probe: memcpy 8.0 GB/s; 4 KiB append + fdatasync: zero-filled p50 0.105 p99 0.200 ms \
             (n 400), growing p50 0.170 p99 0.200 ms (n 400); synced write 1234 MB/s (512 MiB)"
        );
    }

    #[test]
    fn a_small_run_measures_and_leaves_nothing() {
        let dir = std::env::temp_dir().join(format!("chronolith-bench-test-{}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        let probe = run_sized(&dir, 1 << 20, 5, 3 << 20).unwrap();
        let left = fs::read_dir(&dir).unwrap().count();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(left, 0);
        assert_eq!((probe.append_filled.count, probe.append_growing.count), (5, 5));
        assert_eq!(probe.bulk_bytes, 3 << 20);
        for rate in [probe.memcpy_bytes_per_s, probe.bulk_bytes_per_s] {
            assert!(rate.is_finite() && rate > 0.0, "{probe}");
        }
        assert!(probe.append_filled.p50_s > 0.0 && probe.append_growing.p50_s > 0.0, "{probe}");
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let error = run_sized(Path::new("no/such/directory"), 1, 1, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
