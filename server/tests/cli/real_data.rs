//! Real ticks in and out again, against a reading of the file by these tests alone.

use std::collections::BTreeMap;

use crate::support::{Place, datasets, gunzip};

struct Tick {
    seconds: i64,
    price: f64,
    volume: i64,
}

fn read_ticks(text: &str) -> Vec<Tick> {
    let parse = |line: &str| {
        let parts: Vec<&str> = line.split(',').collect();
        Tick {
            seconds: parts[0].parse().unwrap(),
            price: parts[1].parse().unwrap(),
            volume: parts[2].parse().unwrap(),
        }
    };
    text.lines().skip(1).map(parse).collect()
}

/// Seconds of an exported time, by the calendar's rules (Gregorian, all dates after 1970).
fn seconds(text: &str) -> i64 {
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut days: i64 = (1970..year).map(|year| 365 + i64::from(is_leap(year))).sum();
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    days += lengths[..usize::try_from(month - 1).unwrap()].iter().sum::<i64>() + day - 1;
    assert_eq!(&text[19..], "Z");
    ((days * 24 + number(11, 13)) * 60 + number(14, 16)) * 60 + number(17, 19)
}

fn place_with(path: &std::path::Path) -> Place {
    let place = Place::new();
    let words = "import --no-flush --table t --time ts_s:s --tag symbol=@filename";
    let mut args: Vec<&str> = words.split(' ').collect();
    args.push(path.to_str().unwrap());
    place.run(&args).ok();
    place
}

#[test]
fn ticks_come_back_as_they_were() {
    let Some(path) = datasets("nse_ticks/NTPC.csv.gz") else { return };
    let mut ticks = read_ticks(&gunzip(&path));
    ticks.sort_by_key(|tick| tick.seconds);
    let place = place_with(&path);
    for step in ["stats", "flush", "compact"] {
        let said = place.words(step).ok();
        if step == "flush" {
            // Until now they were read from the log.
            assert!(said.contains(&format!("flushed {} rows", ticks.len())), "{said}");
        }
        let export = place.export();
        let mut lines = export.lines();
        assert_eq!(lines.next(), Some("time,symbol,ltp,volume"));
        let mut count = 0;
        for (line, tick) in lines.zip(&ticks) {
            let parts: Vec<&str> = line.split(',').collect();
            assert_eq!((seconds(parts[0]), parts[1]), (tick.seconds, "NTPC"), "row {count}");
            assert_eq!(
                parts[2].parse::<f64>().unwrap().to_bits(),
                tick.price.to_bits(),
                "row {count}"
            );
            assert_eq!(parts[3].parse::<i64>().unwrap(), tick.volume, "row {count}");
            count += 1;
        }
        assert_eq!((count, export.lines().count()), (ticks.len(), ticks.len() + 1), "after {step}");
    }
}

#[test]
fn minute_bars_of_real_ticks() {
    let Some(path) = datasets("nse_ticks/NTPC.csv.gz") else { return };
    let mut ticks = read_ticks(&gunzip(&path));
    ticks.sort_by_key(|tick| tick.seconds);
    let mut bars: BTreeMap<i64, (f64, f64, f64, f64, i64, u64)> = BTreeMap::new();
    let mut before: Option<i64> = None;
    for tick in &ticks {
        let rise =
            before.filter(|before| tick.volume >= *before).map_or(tick.volume, |b| tick.volume - b);
        before = Some(tick.volume);
        let p = tick.price;
        let bar = bars.entry(tick.seconds.div_euclid(60) * 60).or_insert((p, p, p, p, 0, 0));
        *bar = (bar.0, bar.1.max(p), bar.2.min(p), p, bar.4 + rise, bar.5 + 1);
    }
    let place = place_with(&path);
    let line = "bars --table t --every 1m --price ltp --volume volume --volume-kind cumulative --format csv";
    let out = place.words(line).ok();
    let found = out.lines().skip(1).map(|line| {
        let parts: Vec<&str> = line.split(',').collect();
        let price = |at: usize| parts[at].parse::<f64>().unwrap();
        let bar = (
            price(2),
            price(3),
            price(4),
            price(5),
            parts[6].parse().unwrap(),
            parts[7].parse().unwrap(),
        );
        (seconds(parts[0]), bar)
    });
    assert!(found.eq(bars));
}
