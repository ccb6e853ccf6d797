//! The formats of files: by name, by `--format`, and what a file's first bytes say.

use std::path::Path;

use clap::ValueEnum;

use super::super::{CtlError, CtlResult};
use crate::text::input::unpacked_name;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(in super::super) enum Format {
    /// Comma-separated values.
    Csv,
    /// A JSON object a line (.ndjson, .jsonl, .json).
    Ndjson,
    /// InfluxDB's line protocol (.lp, .line).
    Line,
    /// Arrow IPC, file or stream (.arrow, .arrows, .feather, .ipc).
    Arrow,
    /// Parquet (.parquet).
    Parquet,
}

impl Format {
    /// By the file's name; CSV where it says nothing else.
    pub(super) fn of(path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ending = unpacked_name(name).rsplit_once('.').map_or("", |(_, ending)| ending);
        match ending.to_ascii_lowercase().as_str() {
            "parquet" => Self::Parquet,
            "arrow" | "arrows" | "feather" | "ipc" => Self::Arrow,
            "ndjson" | "jsonl" | "json" => Self::Ndjson,
            "lp" | "line" => Self::Line,
            _ => Self::Csv,
        }
    }

    /// As `--format` takes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Line => "line",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    /// What messages call it.
    fn title(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Ndjson => "NDJSON",
            Self::Line => "line protocol",
            Self::Arrow => "Arrow IPC",
            Self::Parquet => "Parquet",
        }
    }

    /// What a position in such a file is called.
    pub(super) fn position(self) -> &'static str {
        match self {
            Self::Arrow | Self::Parquet => "row",
            Self::Csv | Self::Ndjson | Self::Line => "line",
        }
    }

    /// Whether its texts may be numbers, times or words that stand for NULL.
    pub(super) fn has_words(self) -> bool {
        matches!(self, Self::Csv | Self::Ndjson)
    }

    /// What surely begins like `head`: the first bytes of a file, unpacked.
    fn found(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"PAR1") || head.starts_with(b"PARE") {
            return Some(Self::Parquet);
        }
        if head.starts_with(b"ARROW1") || head.starts_with(&[0xff; 4]) {
            return Some(Self::Arrow);
        }
        let line = head.trim_ascii_start().split(|byte| *byte == b'\n').next()?.trim_ascii_end();
        (line.starts_with(b"{\"") && line.ends_with(b"}")).then_some(Self::Ndjson)
    }

    /// Refuses contents that are of another format; `head` is their beginning, unpacked.
    ///
    /// # Errors
    /// `Invalid`, which says what to write instead.
    pub(super) fn check(self, head: &[u8], name: &str) -> CtlResult<()> {
        let found = Self::found(head);
        let has_magic = matches!(self, Self::Arrow | Self::Parquet);
        if head.is_empty() && !has_magic {
            let row = if self == Self::Csv { "header line" } else { "row" };
            return Err(CtlError::Invalid(format!("{name} is empty: there is no {row}")));
        }
        if found == Some(self) {
            return Ok(());
        }
        let read = format!("{name} is read as {}", self.title());
        if let Some(found) = found {
            return Err(CtlError::Invalid(format!(
                "{read}, but it holds {}: say --format {}",
                found.title(),
                found.name()
            )));
        }
        if has_magic {
            return Err(CtlError::Invalid(format!(
                "{read}, but it does not begin as such: it is damaged, or something else, which --format names"
            )));
        }
        let first = head.trim_ascii_start().first();
        match (self, first) {
            (Self::Ndjson, Some(b'[')) => Err(CtlError::Invalid(format!(
                "{read}, but it holds a JSON array: write an object a line, as `jq -c '.[]'` does"
            ))),
            (Self::Ndjson, Some(other)) if *other != b'{' => Err(CtlError::Invalid(format!(
                "{read}, but its first line is no JSON object: if it is something else, --format names it"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_first_bytes() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(
            (of("a/b.csv.gz"), of("b.Parquet"), of("BRK.B")),
            (Format::Csv, Format::Parquet, Format::Csv)
        );
        for name in ["x.ndjson", "x.jsonl.zst", "x.json.gz"] {
            assert_eq!(of(name), Format::Ndjson, "{name}");
        }
        for name in ["x.arrow", "x.arrows", "x.feather", "x.ipc.zst"] {
            assert_eq!(of(name), Format::Arrow, "{name}");
        }
        assert_eq!(
            (of("x.lp"), of("x.line.gz"), of("-")),
            (Format::Line, Format::Line, Format::Csv)
        );
        let check = |format: Format, head: &[u8]| match format.check(head, "f") {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(check(Format::Csv, b"ts,v\n"), "");
        assert_eq!(check(Format::Csv, b"{a},b\n"), "");
        assert_eq!(check(Format::Ndjson, b"\n {\n"), "");
        assert_eq!(check(Format::Arrow, b"\xff\xff\xff\xff\x10"), "");
        assert!(check(Format::Csv, b"PAR1").contains("holds Parquet: say --format parquet"));
        assert!(check(Format::Line, b"{\"a\":1}\n").contains("--format ndjson"));
        assert!(check(Format::Parquet, b"ARROW1\0\0").contains("--format arrow"));
        assert!(check(Format::Arrow, b"ts,v").contains("does not begin as such"));
        assert!(check(Format::Ndjson, b"[{}]").contains("jq -c"));
        assert!(check(Format::Ndjson, b"ts,v").contains("no JSON object"));
    }
}
