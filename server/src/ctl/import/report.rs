//! What an import says: the types, each file, the totals. Results go to standard output; when that is gone, the
//! import goes on.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use chronolith_engine::clock::{Clock, SystemClock};
use chronolith_engine::model::{ImportProgress, TableSchema};

use super::super::json::utc;
use super::super::remark;
use super::Planned;
use super::args::{ConstantValue, Settings};
use super::duplicates::Duplicates;
use super::identity::Identity;
use super::plan::{Origin, PlannedField};
use super::refusals::Refusals;
use super::survey::Survey;
use crate::text::progress::{Progress, ProgressUnit};

/// Tables that the last line names.
const TABLES_SHOWN: usize = 5;

/// Where an import tells what it does.
pub(in super::super) struct Report {
    is_silent: bool,
}

impl Report {
    pub(in super::super) fn on_standard_output() -> Self {
        Self { is_silent: false }
    }

    pub(in super::super) fn silent() -> Self {
        Self { is_silent: true }
    }

    /// A bar over the bytes of all files.
    pub(super) fn bar(&self, label: &str, total: u64) -> Progress {
        if self.is_silent {
            return Progress::silent();
        }
        Progress::on_standard_error(label, ProgressUnit::Bytes, Some(total))
    }

    fn say(&self, text: &str) {
        if !self.is_silent {
            // An import does not end because nobody reads its remarks.
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }

    /// The tables' columns and their types.
    pub(super) fn schemas(&self, planned: &[Planned], settings: &Settings, files: &[&str]) {
        for one in planned {
            self.say(&schema_text(one, settings));
            if self.is_silent {
                continue;
            }
            for field in &one.plan.fields {
                if let Some(text) = note_text(field, files) {
                    remark(&text);
                }
            }
        }
    }

    /// A file that is in the table already.
    pub(super) fn already(&self, survey: &Survey, done: &ImportProgress) {
        self.say(&format!(
            "{}: already imported: {} rows at {}\n",
            survey.name,
            done.mark.row_count,
            utc(done.commit_time_ns)
        ));
    }

    /// A file that was imported now.
    pub(super) fn file(&self, survey: &Survey, identity: &Identity) {
        let before = identity.row_count();
        let now = survey.row_count().saturating_sub(before);
        let resumed = if identity.progress.is_some() {
            format!(", resumed after {before} that were there")
        } else {
            String::new()
        };
        self.say(&format!("{}: {now} rows{resumed}\n", survey.name));
    }
}

fn schema_text(planned: &Planned, settings: &Settings) -> String {
    let existing = planned.target.existing.as_deref();
    let merge = existing.map_or(settings.merge.unwrap_or_default(), |schema| schema.merge);
    let newness = if existing.is_some() { "" } else { ", new" };
    let mut lines = vec![(
        "time".to_owned(),
        format!("from {:?}, {}", planned.time.column, planned.time.format),
    )];
    let constants = settings.constants.iter().map(|(tag, _)| tag);
    let is_constant = |tag: &&String| constants.clone().any(|constant| constant == *tag);
    let columns = planned.tags.iter().filter(|tag| !is_constant(tag));
    lines.extend(columns.map(|tag| (tag.clone(), "tag".to_owned())));
    lines.extend(settings.constants.iter().map(|(tag, value)| {
        let value = match value {
            ConstantValue::FileName => "the file's name".to_owned(),
            ConstantValue::Literal(text) => format!("{text:?}"),
        };
        (tag.clone(), format!("tag, {value}"))
    }));
    lines.extend(planned.plan.fields.iter().map(|field| {
        let origin = match field.origin {
            Origin::Named => ", by --types",
            Origin::Table => ", as the table has it",
            Origin::Rows => "",
        };
        let kind = match field.is_unseen {
            true => "no value yet, no column".to_owned(),
            false => format!("{}{origin}", field.kind),
        };
        (field.name.clone(), kind)
    }));
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = format!("table {} (merge {merge}{newness})\n", planned.target.name);
    for (name, kind) in lines {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {name:<width$}  {kind}");
    }
    text
}

fn note_text(field: &PlannedField, files: &[&str]) -> Option<String> {
    let note = field.note.as_ref()?;
    let place = note.example().map(|example| example.place.file as usize);
    let file = place.and_then(|at| files.get(at)).map(|name| format!(" of {name}"));
    let kind = if note.is_warning() { "warning" } else { "note" };
    Some(format!("{kind}: column {:?}{}: {note}", field.name, file.unwrap_or_default()))
}

/// What was committed in this run.
#[derive(Debug, Default)]
pub(super) struct Totals {
    row_count: u64,
    times: Option<(i64, i64)>,
}

impl Totals {
    /// Adds a chunk that is kept.
    pub(super) fn add(&mut self, row_count: u64, times: Option<(i64, i64)>) {
        self.row_count += row_count;
        if let Some((first, last)) = times {
            let (least, greatest) = self.times.unwrap_or((first, last));
            self.times = Some((least.min(first), greatest.max(last)));
        }
    }
}

/// What an import did.
#[derive(Debug)]
pub(in super::super) struct Summary {
    clock: SystemClock,
    start_ns: i64,
    totals: Totals,
    duplicates: Option<Duplicates>,
    /// Bytes of the files that were read, as they are stored.
    pub(super) raw_bytes: u64,
    pub(super) refusals: Refusals,
}

impl Summary {
    /// The clock starts.
    pub(super) fn begin(replaces: bool) -> Self {
        let clock = SystemClock::default();
        let start_ns = clock.monotonic_ns();
        Self {
            clock,
            start_ns,
            totals: Totals::default(),
            duplicates: replaces.then(Duplicates::default),
            raw_bytes: 0,
            refusals: Refusals::default(),
        }
    }

    /// What the parsing side and the committing side fill.
    pub(super) fn parts(&mut self) -> (Option<&mut Duplicates>, &mut Totals) {
        (self.duplicates.as_mut(), &mut self.totals)
    }

    /// Rows committed in this run.
    pub(in super::super) fn row_count(&self) -> u64 {
        self.totals.row_count
    }

    /// The totals, to be printed, of an import into these tables.
    pub(in super::super) fn text(self, tables: &[Arc<TableSchema>]) -> String {
        let seconds = seconds(self.clock.monotonic_ns() - self.start_ns);
        let rows = self.totals.row_count;
        let names: Vec<&str> =
            tables.iter().take(TABLES_SHOWN).map(|table| table.name.as_str()).collect();
        let more = match tables.len().saturating_sub(TABLES_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "imported {rows} rows into {}{more} ({} bytes read) in {seconds:.2} s",
            names.join(", "),
            self.raw_bytes
        );
        if rows > 0 && seconds > 0.0 {
            let _ = write!(text, ", {:.0} rows/s", count(rows) / seconds);
        }
        text.push('\n');
        if let Some((first, last)) = self.totals.times {
            let _ = writeln!(text, "first time {}, last time {}", utc(first), utc(last));
        }
        if let Some((replaced, is_cut)) = self.duplicates.map(Duplicates::count) {
            let replacing = tables.iter().map(|table| table.merge).find(|merge| merge.replaces());
            let merge = replacing.unwrap_or_default();
            let at_least = if is_cut { "at least " } else { "" };
            let _ = writeln!(
                text,
                "{at_least}{replaced} of these rows have the series and time of another one and replaced it or \
                 were replaced (merge {merge})"
            );
        }
        if self.refusals.count > 0 {
            let _ = writeln!(text, "{} rows refused; the first ones:", self.refusals.count);
            for refused in &self.refusals.first {
                let _ = writeln!(text, "  {refused}");
            }
        }
        text
    }
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(in super::super) fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// A count as a float.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(in super::super) fn count(count: u64) -> f64 {
    count as f64
}
