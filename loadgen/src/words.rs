//! Numbers for people: three significant digits and a unit.
//!
//! Only for lines that are read and forgotten; the document has the exact values.

/// `999`, `45.1k`, `1.5M`: thousands. The caller adds the unit.
pub(crate) fn count(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    // 999.6 would be written as 1000, so it is a thousand already.
    let unit = UNITS.iter().find(|(scale, _)| value >= scale * 0.9995);
    match unit {
        Some((scale, name)) => format!("{}{name}", digits(value / scale)),
        None => digits(value),
    }
}

/// `88 µs`, `1.25 ms`, `3 s`.
pub(crate) fn time(ns: u64) -> String {
    const UNITS: [(f64, &str); 3] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let value = ns as f64;
    let unit = UNITS.iter().find(|(scale, _)| value >= scale * 0.9995);
    match unit {
        Some((scale, name)) => format!("{} {name}", digits(value / scale)),
        None => format!("{ns} ns"),
    }
}

/// Three significant digits, without zeros at the end.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (7.0, "7"),
            (99.96, "100"),
            (999.4, "999"),
            (999.6, "1k"),
            (45_123.0, "45.1k"),
            (1.5e6, "1.5M"),
            (999_900.0, "1M"),
            (2e9, "2G"),
        ] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn times_keep_three_digits() {
        for (ns, text) in [
            (7, "7 ns"),
            (88_000, "88 µs"),
            (1_254_000, "1.25 ms"),
            (999_999, "1 ms"),
            (3_000_000_000, "3 s"),
            (100_400_000_000, "100 s"),
        ] {
            assert_eq!(time(ns), text);
        }
    }
}
