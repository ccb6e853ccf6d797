//! Prints bits a value and speed of both efforts on real columns, beside figures of other codecs
//! measured elsewhere on the same columns. `cargo run --release -p chronolith-codec --example
//! columns [name part]`; the data sets are found through CHRONOLITH_DATASETS.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::approx_constant)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chronolith_codec::{
    BLOCK_VALUES_MAX, Effort, PAGE_VALUES_MAX, decode_f64, decode_i64, encode_f64, encode_i64,
    plan_f64, plan_i64,
};

enum Column {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
}

struct Measured {
    bits: f64,
    encode: f64,
    decode: f64,
    plan: String,
}

macro_rules! measure {
    ($values:expr, $effort:expr, $plan:ident, $encode:ident, $decode:ident, $same:expr) => {{
        // Touched before the clock starts: first page faults are not the decoder's.
        let mut decoded = vec![Default::default(); BLOCK_VALUES_MAX];
        decoded.fill($values[0]);
        let mut bytes = 0;
        let (mut encode, mut decode) = (0.0, 0.0);
        let mut first = None;
        for block in $values.chunks(BLOCK_VALUES_MAX) {
            let started = Instant::now();
            let plan = $plan(block, $effort);
            let pages: Vec<Vec<u8>> = block
                .chunks(PAGE_VALUES_MAX)
                .map(|page| {
                    let mut out = Vec::new();
                    $encode(page, &plan, &mut out);
                    out
                })
                .collect();
            encode += started.elapsed().as_secs_f64();
            bytes += pages.iter().map(Vec::len).sum::<usize>();
            first.get_or_insert(plan);
            decoded.clear();
            decoded.reserve(block.len());
            let started = Instant::now();
            for (page, values) in pages.iter().zip(block.chunks(PAGE_VALUES_MAX)) {
                $decode(page, values.len(), &mut decoded).expect("own pages decode");
            }
            decode += started.elapsed().as_secs_f64();
            assert!(decoded.len() == block.len() && decoded.iter().zip(block).all($same));
        }
        let count = $values.len() as f64;
        Measured {
            bits: bytes as f64 * 8.0 / count,
            encode: count / encode / 1e6,
            decode: count / decode / 1e6,
            plan: format!("{:?}", first),
        }
    }};
}

fn main() {
    let Some(root) = datasets() else {
        println!("SKIPPED: no data sets; set CHRONOLITH_DATASETS");
        return;
    };
    let wanted = std::env::args().nth(1).unwrap_or_default();
    println!(
        "{:<24}{:>9} | bits fast dense | table pfor pco8_64k decint_vm | M values/s fast enc dec, dense enc dec | plans",
        "column", "n"
    );
    for (name, table) in COLUMNS.iter().filter(|(name, _)| name.contains(&wanted)) {
        let column = load(&root, name);
        let [fast, dense] = [Effort::Fast, Effort::Dense].map(|effort| match &column {
            Column::Ints(v) => {
                measure!(v, effort, plan_i64, encode_i64, decode_i64, |(a, b): (&i64, &i64)| a == b)
            }
            Column::Floats(v) => {
                let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
                measure!(v, effort, plan_f64, encode_f64, decode_f64, same)
            }
        });
        let len = match &column {
            Column::Ints(v) => v.len(),
            Column::Floats(v) => v.len(),
        };
        println!(
            "{name:<24}{len:>9} | {:6.2} {:6.2} | {:6.2} {:6.2} {:6.2} | {:5.0} {:5.0} {:5.0} {:5.0} | {} / {}",
            fast.bits,
            dense.bits,
            table[0],
            table[1],
            table[2],
            fast.encode,
            fast.decode,
            dense.encode,
            dense.decode,
            short(&fast.plan),
            short(&dense.plan)
        );
    }
}

fn short(plan: &str) -> String {
    let mut text = plan.to_string();
    for (from, to) in [
        ("Some(", ""),
        ("Plan", ""),
        ("encoding: ", ""),
        ("decimal: Decimal", ""),
        ("divisor", "d"),
        ("zstd_level", "z"),
        ("divide: true", "div"),
        ("divide: false", "mul"),
    ] {
        text = text.replace(from, to);
    }
    text
}

fn datasets() -> Option<PathBuf> {
    let given = std::env::var_os("CHRONOLITH_DATASETS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    given.or(Some(beside)).filter(|path| path.is_dir())
}

fn load(root: &Path, name: &str) -> Column {
    let (file, column) = name.split_once(':').unwrap_or((name, ""));
    let packed = std::fs::File::open(root.join(format!("{file}.csv.gz"))).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    if column.is_empty() {
        return Column::Floats(lines.filter_map(|line| line.trim().parse().ok()).collect());
    }
    let at = lines.next().unwrap().split(',').position(|head| head == column).unwrap();
    let cells = lines.filter_map(|line| line.split(',').nth(at));
    let floats = matches!(column, "ltp" | "p" | "q" | "b" | "B" | "value" | "q25");
    if floats {
        return Column::Floats(cells.filter_map(|cell| cell.parse().ok()).collect());
    }
    // Times as the engine holds them: nanoseconds.
    let scale = match column {
        "ts_s" => 1_000_000_000,
        "T" | "commit_ts_ms" | "started_at_ms" => 1_000_000,
        _ => 1,
    };
    Column::Ints(cells.filter_map(|cell| cell.parse::<i64>().ok()).map(|v| v * scale).collect())
}

/// Columns, and for each: packed (`pfor_delta` or `alp_pfor_delta`), `pco8_64k`, `decint_vm_8k`
/// (`vm_8k`), in bits a value; 0 where not measured.
const COLUMNS: &[(&str, [f64; 3])] = &[
    ("nse_ticks/RELIANCE:ts_s", [2.38, 0.94, 1.45]),
    ("nse_ticks/RELIANCE:ltp", [8.43, 4.97, 4.63]),
    ("nse_ticks/RELIANCE:volume", [12.81, 9.34, 10.40]),
    ("nse_ticks/TCS:ts_s", [2.41, 0.89, 1.42]),
    ("nse_ticks/TCS:ltp", [9.17, 5.02, 4.96]),
    ("nse_ticks/TCS:volume", [11.23, 7.16, 7.87]),
    ("nse_ticks/SBIN:ltp", [6.28, 3.60, 3.14]),
    ("nse_ticks/Nifty_Bank:ltp", [10.22, 8.01, 9.47]),
    ("floats/Air-pressure", [12.36, 8.84, 11.49]),
    ("floats/Basel-wind", [30.68, 17.96, 30.77]),
    ("floats/Bird-migration", [18.95, 15.06, 15.96]),
    ("floats/Bitcoin-price", [24.15, 22.07, 24.11]),
    ("floats/Blockchain-tr", [18.04, 12.44, 12.75]),
    ("floats/City-temp", [9.58, 7.70, 6.71]),
    ("floats/Dew-point-temp", [9.97, 8.94, 9.24]),
    ("floats/POI-lat", [55.86, 53.32, 64.26]),
    ("floats/SSD-bench", [16.34, 7.58, 8.43]),
    ("floats/Stocks-DE", [8.50, 6.46, 5.76]),
    ("floats/Stocks-USA", [6.29, 5.21, 4.71]),
    ("binance/usdm_btcusdt_20240808_book:local_ns", [27.16, 15.76, 19.08]),
    ("binance/usdm_btcusdt_20240808_book:T", [7.08, 3.10, 3.63]),
    ("binance/usdm_btcusdt_20240808_book:b", [1.80, 1.30, 0.47]),
    ("binance/usdm_btcusdt_20240808_book:B", [13.24, 6.00, 6.17]),
    ("binance/usdm_btcusdt_20240808_trade:p", [6.26, 3.31, 2.75]),
    ("binance/usdm_btcusdt_20240808_trade:q", [11.22, 7.28, 9.16]),
    ("asv_numpy/numpy_asv:value", [56.69, 44.88, 80.03]),
    ("asv_numpy/numpy_asv:started_at_ms", [30.19, 11.59, 5.14]),
];
