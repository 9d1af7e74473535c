//! Numbers for people: three or four digits and a unit. The reports and the live line use the same.
//!
//! wrk's own formats are in `wrk.rs`: scrapers depend on them, people do not.

/// Nanoseconds with the unit that fits: `812 ns`, `1.24 ms`, `12.3 s`.
#[must_use]
pub fn time(ns: f64) -> String {
    // What would be written as 1000 of a unit is 1 of the next.
    let (value, unit) = match ns {
        n if n < 999.5 => (n, "ns"),
        n if n < 999.5e3 => (n / 1e3, "µs"),
        n if n < 999.5e6 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// A count or a rate: `812`, `1.24 k`, `12.3 M`.
#[must_use]
pub fn number(value: f64) -> String {
    let (value, unit) = match value {
        n if n < 9_999.5 => return digits(n),
        n if n < 999.5e3 => (n / 1e3, "k"),
        n if n < 999.5e6 => (n / 1e6, "M"),
        n => (n / 1e9, "G"),
    };
    format!("{} {unit}", digits(value))
}

/// A whole count, in groups of three digits.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three digits, or as many as there are before the point.
pub(super) fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        v if v == 0.0 || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') && value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        text
    }
}

/// `text` and as many spaces in front as make it `width` letters wide.
pub(super) fn right(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{}{text}", " ".repeat(missing))
}

/// Not longer than `width` letters.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(time(0.0), "0 ns");
        assert_eq!(time(812.0), "812 ns");
        assert_eq!(time(1_240.0), "1.24 µs");
        assert_eq!(time(12_345_678.0), "12.3 ms");
        assert_eq!(time(123_456_789.0), "123 ms");
        assert_eq!(time(3.6e12), "3600 s");
        assert_eq!(time(999_999.0), "1.00 ms");
        assert_eq!(time(999_400.0), "999 µs");
        assert_eq!(number(999_900.0), "1.00 M");
        assert_eq!(number(9_999.9), "10.0 k");
        assert_eq!(number(9_876.4), "9876");
        assert_eq!(number(12_345.0), "12.3 k");
        assert_eq!(number(1.5e9), "1.50 G");
        assert_eq!(number(0.123), "0.12");
        assert_eq!(number(800.0), "800");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(right("≥1", 4), "  ≥1");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
