//! Runs the program on a directory of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder with a database (in `db`) and files.
pub(crate) struct Place {
    dir: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Succeeded; gives standard output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self.out
    }

    /// Ended with `code`.
    #[track_caller]
    pub(crate) fn code_is(self, code: i32) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
    }

    /// Failed with `code`, and says each of `parts` on standard error.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        assert!(self.err.starts_with("error: "), "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
        self
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.path("db")
    }

    /// Writes a file; gives its path as text.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The program with these arguments, on this place's database.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chronolith"));
        command
            .args(args)
            .env("CHRONOLITH_DATA", self.db())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().unwrap())
    }

    /// The same with `input` on standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // The program may refuse before it has read all.
                let _ = pipe.write_all(input);
            });
            ran(child.wait_with_output().unwrap())
        })
    }

    /// A run of words separated by spaces, on table `t`.
    pub(crate) fn words(&self, line: &str) -> Ran {
        self.run(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Imports `csv` as `name` into table `t`, with more arguments; the time is `ts`, in seconds.
    pub(crate) fn import(&self, name: &str, csv: impl AsRef<[u8]>, more: &str) -> Ran {
        let file = self.file(name, csv);
        let mut args = vec!["import", "--table", "t"];
        if !more.contains("--time") {
            args.extend(["--time", "ts:s"]);
        }
        args.extend(more.split_whitespace());
        args.push(&file);
        self.run(&args)
    }

    /// The export of table `t`.
    #[track_caller]
    pub(crate) fn export(&self) -> String {
        self.words("export --table t").ok()
    }
}

fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The folder of real data, or none, loudly.
pub(crate) fn datasets(what: &str) -> Option<PathBuf> {
    let named = std::env::var_os("CHRONOLITH_DATASETS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = named.unwrap_or(beside).join(what);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "SKIPPED, NOTHING WAS CHECKED: {} is not there (set CHRONOLITH_DATASETS)",
        path.display()
    );
    None
}

/// What gunzip makes of a file.
pub(crate) fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    let mut decoder = flate2::read::MultiGzDecoder::new(file);
    std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
    text
}

/// gzip of `bytes`.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
