//! A door for the fuzz targets: both passes of an import, over bytes in memory and without a database.

use std::path::Path;
use std::sync::Arc;

use chronolith_engine::model::{TableId, TableRows, TableSchema};

use super::super::CtlResult;
use super::args::Settings;
use super::format::Format;
use super::load::{parse_all, parts_of};
use super::rows::{Opening, RowSource, Visit};
use super::survey::{Observer, Seen, known_columns};
use super::targets::Targets;
use super::{Destination, plan};
use crate::text::time::{TimeFormat, TimeSpec, TimeUnit, Zone};

/// The first pass.
struct Pass<'a, 'b, 't> {
    observer: Observer<'a>,
    targets: &'b mut Targets<'t>,
}

impl Visit for Pass<'_, '_, '_> {
    type Out = Seen;

    fn visit<S: RowSource>(mut self, mut rows: S) -> CtlResult<Seen> {
        while self.observer.observe_next(&mut rows, self.targets)? {}
        self.observer.finish(&rows, self.targets)
    }
}

fn settings(format: Format, choice: u8) -> Settings {
    let time = TimeSpec::parse(if choice & 1 == 0 { "ts" } else { "ts:ms" }).ok();
    let mut settings = Settings {
        table: Some("t".to_owned()),
        format: Some(format),
        time,
        skip: choice & 2 != 0,
        has_header: choice & 4 == 0 || format != Format::Csv,
        zone: if choice & 8 == 0 {
            Zone::Utc
        } else {
            Zone::parse("Asia/Kolkata").unwrap_or(Zone::Utc)
        },
        precision: if choice & 16 == 0 { TimeUnit::Ns } else { TimeUnit::S },
        ..Settings::new("t", TimeSpec { column: "ts".to_owned(), format: TimeFormat::Iso })
    };
    if !settings.has_header {
        settings.time = TimeSpec::parse("c1:s").ok();
    }
    if choice & 32 != 0 {
        settings.tag_columns = vec!["sym".to_owned()];
    }
    match format {
        Format::Line => {
            (settings.time, settings.table) = (None, None);
            settings.tag_columns.clear();
        }
        Format::Arrow if choice & 64 != 0 => settings.time = None,
        _ => {}
    }
    settings
}

/// The rows that a file of `bytes` gives, by settings that `choice` picks: as many as its first pass said.
///
/// # Errors
/// Those of the file, in words.
pub fn import(format: u8, choice: u8, bytes: &[u8]) -> Result<Vec<TableRows>, String> {
    let all = [Format::Csv, Format::Line, Format::Ndjson, Format::Arrow];
    let format = all.get(usize::from(format)).copied().unwrap_or(Format::Csv);
    both_passes(&settings(format, choice), format, bytes).map_err(|error| error.to_string())
}

fn both_passes(settings: &Settings, format: Format, bytes: &[u8]) -> CtlResult<Vec<TableRows>> {
    let path = Path::new("f");
    let known = known_columns(format, settings);
    let opening = Opening { format, name: "f", settings, known: &known, is_settled: false };
    let mut targets = Targets::new(None, settings)?;
    let observer = Observer::new(0, path, &opening);
    let seen = opening.bytes(bytes, Pass { observer, targets: &mut targets })?;
    let planned = plan(targets, &[("f", &seen)], settings)?;
    let destinations: Vec<Destination> = planned
        .into_iter()
        .map(|planned| Destination {
            schema: Arc::new(TableSchema::new(TableId(1), &planned.target.name)),
            plan: planned.plan,
        })
        .collect();
    let parts = parts_of(&destinations, &seen, ("f", format), settings)?;
    let opening = Opening { known: &seen.sources, is_settled: true, ..opening };
    let rows = parse_all(&parts, &opening, bytes)?;
    let found: usize = rows.iter().map(|rows| rows.time.len()).sum();
    assert_eq!(found as u64, seen.source_rows - seen.refusals.count, "rows of both passes");
    Ok(rows)
}
