//! A progress bar on standard error, only where somebody sees it: a terminal.
//! It never ticks by itself, so it needs no thread; it moves when it is told to.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Redraws a second at most.
const DRAWS_PER_SECOND: u8 = 10;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressUnit {
    /// Bytes of a file.
    Bytes,
    /// Rows.
    Rows,
}

/// A bar, or nothing at all. It is wiped away when finished or dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar on standard error if that is a terminal, else one that stays silent.
    /// Without a `total` it shows the count alone.
    #[must_use]
    pub fn on_standard_error(label: &str, unit: ProgressUnit, total: Option<u64>) -> Self {
        if std::io::stderr().is_terminal() {
            Self::on(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND), label, unit, total)
        } else {
            Self::silent()
        }
    }

    /// A bar that is never shown (`--quiet`, tests).
    #[must_use]
    pub fn silent() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    fn on(target: ProgressDrawTarget, label: &str, unit: ProgressUnit, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, target)
            .with_style(style(unit, total.is_some()))
            .with_message(label.to_owned());
        Self { bar }
    }

    /// Moves to `position`, in the bar's unit.
    pub fn set(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Moves on by `count`.
    pub fn add(&self, count: u64) {
        self.bar.inc(count);
    }

    /// Says something else before the bar, such as the file at hand.
    pub fn relabel(&self, label: &str) {
        self.bar.set_message(label.to_owned());
    }

    /// Takes the bar away while `write` writes to the terminal.
    pub fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }

    /// Takes the bar away for good.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(unit: ProgressUnit, has_total: bool) -> ProgressStyle {
    let template = match (unit, has_total) {
        (ProgressUnit::Bytes, true) => {
            "{msg} [{bar:30}] {percent:>3}% {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left"
        }
        (ProgressUnit::Bytes, false) => "{msg} {bytes}, {bytes_per_sec}",
        (ProgressUnit::Rows, true) => {
            "{msg} [{bar:30}] {percent:>3}% {human_pos}/{human_len} rows, {per_sec}, {eta} left"
        }
        (ProgressUnit::Rows, false) => "{msg} {human_pos} rows, {per_sec}",
    };
    // The templates are ours and tested; a plain bar is better than no import.
    ProgressStyle::with_template(template)
        .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("=> "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{InMemoryTerm, TermLike};

    fn bar_on(term: &InMemoryTerm, unit: ProgressUnit, total: Option<u64>) -> Progress {
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        Progress::on(target, "ticks.csv", unit, total)
    }

    #[test]
    fn a_bar_shows_where_it_is_and_is_wiped_away() {
        let term = InMemoryTerm::new(10, 120);
        let progress = bar_on(&term, ProgressUnit::Bytes, Some(4096));
        progress.set(1024);
        progress.bar.force_draw();
        let shown = term.contents();
        assert!(shown.contains("ticks.csv [=======>"), "{shown}");
        assert!(shown.contains(" 25% 1.00 KiB/4.00 KiB"), "{shown}");
        progress.suspend(|| term.write_line("said").unwrap());
        progress.finish();
        assert_eq!(term.contents().trim_end(), "said");
    }

    #[test]
    fn every_template_is_valid() {
        for (unit, total, want) in [
            (ProgressUnit::Bytes, None, "ticks.csv 2.00 KiB"),
            (ProgressUnit::Rows, Some(8192), " 25% 2,048/8,192 rows"),
            (ProgressUnit::Rows, None, "ticks.csv 2,048 rows"),
        ] {
            let term = InMemoryTerm::new(10, 120);
            let progress = bar_on(&term, unit, total);
            progress.add(2048);
            progress.bar.force_draw();
            assert!(term.contents().contains(want), "{}", term.contents());
            drop(progress);
            assert_eq!(term.contents(), "");
        }
    }

    #[test]
    fn a_silent_bar_takes_everything() {
        let progress = Progress::silent();
        progress.set(5);
        progress.relabel("x");
        assert_eq!(progress.suspend(|| 7), 7);
        progress.finish();
    }
}
