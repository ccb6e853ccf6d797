//! Ticks as a market has them: sessions of weekdays, gaps overnight, irregular moments, prices that walk on a grid of
//! ticks and are drawn back a little, sizes in lots. A seed gives the same ticks again, which is how they are checked.

use std::collections::BTreeMap;

use chronolith_engine::model::{
    Column, ColumnData, FieldColumn, FieldType, TableRows, TagColumn, TagValues,
};
use chronolith_engine::read::ScanBatch;
use chronolith_engine::rng::{Rng, SeededRng};

use super::super::{CtlError, CtlResult};
use super::SEED;

/// Producers, each with symbols of its own.
pub(super) const PRODUCER_COUNT: usize = 4;
/// Rows of a batch.
pub(super) const BATCH_ROWS: usize = 500;

pub(super) const SYMBOLS: [[&str; 2]; PRODUCER_COUNT] =
    [["ACME", "BOLT"], ["CRUX", "DYNE"], ["ECHO", "FLUX"], ["GRID", "HALO"]];
/// Monday, 2024-01-01, midnight UTC.
const FIRST_DAY_NS: i64 = 1_704_067_200_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
/// A session: 08:00 to 16:30 UTC.
const SESSION_NS: (i64, i64) = (28_800_000_000_000, 59_400_000_000_000);
/// Mean time between two ticks of a symbol.
const GAP_NS: u64 = 250_000_000;
/// Ticks to a unit of price.
const TICKS_PER_UNIT: f64 = 20.0;

/// The name under which a producer numbers its batches.
pub(super) fn producer_name(producer: usize) -> String {
    format!("feed-{producer}")
}

/// One tick; equal ones have equal bits.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tick {
    time: i64,
    price: f64,
    size: i64,
}

struct Symbol {
    name: &'static str,
    time: i64,
    /// In ticks; 1 at least.
    price: i64,
    anchor: i64,
}

/// What one producer writes.
pub(super) struct Stream {
    rng: SeededRng,
    symbols: Vec<Symbol>,
}

impl Stream {
    /// The ticks of `producer` from the first on.
    pub(super) fn new(seed: u64, producer: usize) -> Self {
        let rng = SeededRng::new(seed.wrapping_mul(31).wrapping_add(producer as u64));
        let names = SYMBOLS.get(producer).copied().unwrap_or_default();
        let symbols = names.map(|name| {
            let price = 400 + i64::try_from(rng.next_u64() % 40_000).unwrap_or(0);
            Symbol { name, time: FIRST_DAY_NS + SESSION_NS.0, price, anchor: price }
        });
        Self { rng, symbols: symbols.into() }
    }

    /// The next ticks of the symbol that is furthest behind.
    fn next(&mut self) -> Option<(&'static str, Tick)> {
        let rng = &self.rng;
        let symbol = self.symbols.iter_mut().min_by_key(|symbol| symbol.time)?;
        symbol.move_on(rng);
        #[expect(clippy::cast_precision_loss, reason = "prices stay far below 2^53 ticks")]
        let price = symbol.price as f64 / TICKS_PER_UNIT;
        let lots = 1 + rng.next_u64() % 8 * (rng.next_u64() % 4);
        let size = 100 * i64::try_from(lots).unwrap_or(1);
        Some((symbol.name, Tick { time: symbol.time, price, size }))
    }

    /// Passes over so many batches.
    pub(super) fn pass(&mut self, batches: u64) {
        for _ in 0..batches * BATCH_ROWS as u64 {
            self.next();
        }
    }

    /// The next batch.
    pub(super) fn next_rows(&mut self, table: &str) -> TableRows {
        let names: Vec<&str> = self.symbols.iter().map(|symbol| symbol.name).collect();
        let (mut time, mut codes) = (Vec::new(), Vec::new());
        let (mut prices, mut sizes) = (Vec::new(), Vec::new());
        for _ in 0..BATCH_ROWS {
            let Some((name, tick)) = self.next() else { break };
            let code = names.iter().position(|known| *known == name).unwrap_or(0);
            codes.push(u32::try_from(code).unwrap_or(0));
            time.push(tick.time);
            prices.push(tick.price);
            sizes.push(tick.size);
        }
        let values = names.into_iter().map(str::to_owned).collect();
        let field = |name: &str, field_type, data| FieldColumn {
            name: name.to_owned(),
            field_type,
            column: Column::new(data, None),
        };
        TableRows {
            table: table.to_owned(),
            create_if_missing: None,
            time,
            tags: vec![TagColumn {
                name: "symbol".to_owned(),
                values: TagValues::Dictionary { codes, values },
            }],
            fields: vec![
                field("price", FieldType::F64, ColumnData::F64(prices)),
                field("size", FieldType::I64, ColumnData::I64(sizes)),
            ],
        }
    }
}

impl Symbol {
    fn move_on(&mut self, rng: &SeededRng) {
        // The least of two: short gaps are frequent, long ones rare. Exchanges stamp milliseconds.
        let gap = (rng.next_u64() % (GAP_NS * 3)).min(rng.next_u64() % (GAP_NS * 3));
        let gap = i64::try_from(gap / 1_000_000 * 1_000_000).unwrap_or(0);
        self.time += gap.max(1_000_000);
        if (self.time - FIRST_DAY_NS).rem_euclid(DAY_NS) >= SESSION_NS.1 {
            self.next_session(rng);
        }
        let step = [-2, -1, -1, 0, 0, 0, 0, 1, 1, 2];
        let at = usize::try_from(rng.next_u64() % 10).unwrap_or(0);
        let pull =
            i64::from(rng.next_u64().is_multiple_of(50)) * (self.anchor - self.price).signum();
        self.price = (self.price + step.get(at).copied().unwrap_or(0) + pull).max(1);
    }

    fn next_session(&mut self, rng: &SeededRng) {
        let mut day = (self.time - FIRST_DAY_NS).div_euclid(DAY_NS) + 1;
        // The first day is a Monday.
        if day.rem_euclid(7) == 5 {
            day += 2;
        }
        self.time = FIRST_DAY_NS + day * DAY_NS + SESSION_NS.0;
        let gap = i64::try_from(rng.next_u64() % 41).unwrap_or(20) - 20;
        self.price = (self.price + gap).max(1);
        self.anchor = self.price;
    }
}

/// Compares every row with what was generated; gives the batches of each producer that are there.
///
/// # Errors
/// `Failed` where anything is lost, or there twice; those of the scan.
pub(super) fn check(
    batches: impl Iterator<Item = CtlResult<ScanBatch>>,
    acknowledged: &[u64],
) -> CtlResult<Vec<u64>> {
    let mut found: BTreeMap<String, Vec<Tick>> = BTreeMap::new();
    for batch in batches {
        collect(&batch?, &mut found)?;
    }
    let mut there = Vec::new();
    for (producer, (names, &acknowledged)) in SYMBOLS.iter().zip(acknowledged).enumerate() {
        let rows: usize = names.iter().filter_map(|name| found.get(*name)).map(Vec::len).sum();
        let batches = (rows / BATCH_ROWS) as u64;
        if !rows.is_multiple_of(BATCH_ROWS) || batches < acknowledged {
            return Err(CtlError::Failed(format!(
                "LOST: producer {producer} had {acknowledged} batches acknowledged, {rows} rows are there"
            )));
        }
        let mut expected: BTreeMap<&str, Vec<Tick>> = BTreeMap::new();
        let mut stream = Stream::new(SEED, producer);
        for _ in 0..rows {
            let Some((name, tick)) = stream.next() else { break };
            expected.entry(name).or_default().push(tick);
        }
        for (name, ticks) in expected {
            if found.get(name) != Some(&ticks) {
                return Err(CtlError::Failed(format!(
                    "LOST: the rows of {name} are not those that were written"
                )));
            }
        }
        there.push(batches);
    }
    Ok(there)
}

fn collect(batch: &ScanBatch, into: &mut BTreeMap<String, Vec<Tick>>) -> CtlResult<()> {
    let (Some(price), Some(size)) = (batch.column("price"), batch.column("size")) else {
        return Err(CtlError::Failed("LOST: a column is not there".to_owned()));
    };
    let (ColumnData::F64(prices), ColumnData::I64(sizes)) = (&price.data, &size.data) else {
        return Err(CtlError::Failed("LOST: a column has another type".to_owned()));
    };
    for run in &batch.series {
        let ticks = into.entry(run.key.tag(0).to_owned()).or_default();
        let rows = batch.time().iter().zip(prices.iter().zip(sizes));
        let rows = rows.skip(run.rows.start).take(run.rows.len());
        ticks.extend(rows.map(|(&time, (&price, &size))| Tick { time, price, size }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_a_market_s_and_come_again_by_their_seed() {
        let ticks = |seed| {
            let mut stream = Stream::new(seed, 1);
            (0..2_000_000).map(|_| stream.next().unwrap()).collect::<Vec<_>>()
        };
        let (a, b) = (ticks(1), ticks(1));
        assert!(a == b && a != ticks(2));
        let mut last: BTreeMap<&str, Tick> = BTreeMap::new();
        for (name, tick) in a {
            let of_day = (tick.time - FIRST_DAY_NS).rem_euclid(DAY_NS);
            assert!((SESSION_NS.0..SESSION_NS.1).contains(&of_day), "{tick:?}");
            assert!((tick.time - FIRST_DAY_NS).div_euclid(DAY_NS).rem_euclid(7) < 5, "{tick:?}");
            assert!(tick.price > 0.0 && (tick.price * TICKS_PER_UNIT).fract() == 0.0);
            assert!(tick.size > 0);
            if let Some(before) = last.insert(name, tick) {
                assert!(tick.time > before.time);
            }
        }
        assert!(last.values().all(|tick| tick.time > FIRST_DAY_NS + 7 * DAY_NS));
    }
}
