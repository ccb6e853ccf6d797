//! The process that is killed. It tells every acknowledgement on standard output, a line each, after the engine gave
//! it: what is read there was promised. When all is written it waits to be killed. It ends when its parent does.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use chronolith_engine::Db;
use chronolith_engine::model::{Batch, FieldType, TableOptions};

use super::super::open::{self, DataArg};
use super::super::serve::end_with_standard_input;
use super::super::{CtlError, CtlResult};
use super::generator::{PRODUCER_COUNT, Stream, producer_name};
use super::{TABLE, WriterArgs, files};

/// Batches after which a producer stops: bounds memory and disk on a machine that is very fast.
pub(super) const BATCHES_MAX: u64 = 20_000;
/// What is said when everything is ready, right before the first row.
pub(super) const STARTED: &str = "started";
/// What is said when everything is written.
pub(super) const DONE: &str = "done";

pub(in super::super) fn run(args: &WriterArgs) -> CtlResult<()> {
    end_with_standard_input();
    if args.files.is_empty() {
        let db = open::or_create(&DataArg::at(&args.data))?;
        generated(&db, args.seed)?;
    } else {
        files::write(&args.data, &args.files)?;
    }
    acknowledge(DONE)?;
    loop {
        thread::park();
    }
}

/// Tells the parent that something was acknowledged, or how far this process has come.
pub(super) fn acknowledge(what: &str) -> CtlResult<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}").and_then(|()| out.flush()).map_err(CtlError::standard_output)
}

fn generated(db: &Db, seed: u64) -> CtlResult<()> {
    let options = TableOptions {
        tags: vec!["symbol".to_owned()],
        fields: vec![("price".to_owned(), FieldType::F64), ("size".to_owned(), FieldType::I64)],
        ..TableOptions::default()
    };
    db.create_table(TABLE, options)?;
    acknowledge(STARTED)?;
    let failed = AtomicU64::new(0);
    thread::scope(|scope| {
        let spawn = |producer| {
            let failed = &failed;
            scope.spawn(move || produce(db, seed, producer, failed))
        };
        let producers: Vec<_> = (0..PRODUCER_COUNT).map(spawn).collect();
        producers.into_iter().try_for_each(|producer| {
            producer
                .join()
                .unwrap_or_else(|_| Err(CtlError::Failed("a producer's thread died".to_owned())))
        })
    })
}

fn produce(db: &Db, seed: u64, producer: usize, failed: &AtomicU64) -> CtlResult<()> {
    let mut stream = Stream::new(seed, producer);
    let name = producer_name(producer);
    for number in 1..=BATCHES_MAX {
        if failed.load(Ordering::Relaxed) > 0 {
            break;
        }
        let batch = Batch::new().with(stream.next_rows(TABLE)).producer(&name, number);
        let written = db.write(batch).map_err(CtlError::from);
        let told = written.and_then(|_| acknowledge(&format!("{producer} {number}")));
        if told.is_err() {
            failed.fetch_add(1, Ordering::Relaxed);
            return told;
        }
    }
    Ok(())
}
