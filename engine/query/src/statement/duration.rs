//! Spans of time as options spell them: `24h`, `90m`, `7d`.

const UNITS: [(&str, i64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Nanoseconds of `text`: a whole number and one of `d`, `h`, `m`, `s`, `ms`, `us`, `ns`.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim();
    let (_, ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<i64>().ok()?.checked_mul(*ns)
}

/// The shortest such text for `ns`, which is not negative; days only from two on, as people say 24h.
pub(crate) fn format(ns: i64) -> String {
    let fits =
        |(name, unit): &&(&str, i64)| ns % unit == 0 && ns != 0 && (*name != "d" || ns / unit > 1);
    let (name, unit) = UNITS.iter().find(fits).copied().unwrap_or(("s", 1_000_000_000));
    format!("{}{name}", ns / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_reads_back() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (86_400_000_000_000, "24h"),
            (172_800_000_000_000, "2d"),
            (5_400_000_000_000, "90m"),
            (1_500_000_000, "1500ms"),
            (i64::MAX, "9223372036854775807ns"),
        ] {
            assert_eq!(format(ns), text);
            assert_eq!(parse(text), Some(ns));
        }
        for bad in ["", "h", "24", "-1h", "1.5h", "24 hours", "9223372036854775807d", "1h2"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(" 7 d "), Some(7 * 86_400_000_000_000));
    }
}
