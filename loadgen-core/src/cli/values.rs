//! Reading numbers with units: times, counts, rates, sizes.
//!
//! Every refusal says what was typed and what would have been right; the caller's parser adds the
//! flag. Nothing here may guess: `1e6`, `5 s` or `10K` are refused, not interpreted.

use std::time::Duration;

use crate::results::Label;

/// The longest time a flag takes.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// The highest rate: the clock of the schedule counts nanoseconds.
const RATE_MAX_PER_S: f64 = 1e9;

/// Nanoseconds in each unit of time. A bare number is seconds, as in wrk.
const TIME_UNITS: [(&str, f64); 9] = [
    ("", 1e9),
    ("ns", 1.0),
    ("us", 1e3),
    // U+00B5 and U+03BC look the same.
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Decimal suffixes as wrk has them, and the binary ones spelt as IEC does.
const COUNT_UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
];

/// Splits `1.5ms` into the digits and the unit.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Digits, at most one point, a digit on each side of it.
fn decimal(digits: &str) -> Option<f64> {
    let well_formed = !digits.is_empty() && !digits.starts_with('.') && !digits.ends_with('.');
    well_formed.then(|| digits.parse().ok()).flatten()
}

/// A time: `1.5s`, `100ms`, `2m`, `1h`, `50us`, `20ns`; a bare number is seconds. 0 is allowed.
///
/// # Errors
/// What was typed, and what would have been right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = split(text);
    let scale = TIME_UNITS.iter().find(|(name, _)| *name == unit);
    let (Some(value), Some((_, scale))) = (decimal(digits), scale) else {
        return Err(format!(
            "{text:?} is not a time; write 1.5s, 100ms, 2m, 1h, 50us, or a number of seconds"
        ));
    };
    let ns = (value * scale).round();
    if ns > TIME_MAX.as_nanos() as f64 {
        return Err(format!("{text} is above the limit of 365 days"));
    }
    Ok(Duration::from_nanos(ns as u64))
}

/// A time above 0.
///
/// # Errors
/// As [`duration`], and for 0.
pub fn time_span(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    if span.is_zero() {
        return Err(format!("{text} is below the limit of 1ns"));
    }
    Ok(span)
}

/// A whole number with an SI suffix: `10k`, `1.5M`, `2G`, `64Ki`. 0 is allowed.
///
/// # Errors
/// What was typed, and what would have been right.
pub fn count(text: &str) -> Result<u64, String> {
    let (digits, unit) = split(text);
    let wrong = || {
        format!(
            "{text:?} is not a count; write a whole number, with k, M, G, T (thousands) or Ki, Mi, Gi, Ti (1024s) behind it if you like"
        )
    };
    let scale = COUNT_UNITS.iter().find(|(name, _)| *name == unit);
    let (_, scale) = scale.ok_or_else(wrong)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if decimal(digits).is_none() {
        return Err(wrong());
    }
    let too_large = || format!("{text} is above the limit of {}", u64::MAX);
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let whole = whole.checked_mul(*scale).ok_or_else(too_large)?;
    whole
        .checked_add(fraction_of(fraction, *scale).ok_or_else(wrong)?)
        .ok_or_else(too_large)
}

/// The digits behind the point, times the scale; `None` when that is not a whole number.
fn fraction_of(digits: &str, scale: u64) -> Option<u64> {
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let tenth = 10_u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let parts = digits
        .parse::<u128>()
        .ok()?
        .checked_mul(u128::from(scale))?;
    (parts % tenth == 0).then(|| u64::try_from(parts / tenth).ok())?
}

/// A count of at least 1.
///
/// # Errors
/// As [`count`], and for 0.
pub fn positive(text: &str) -> Result<u64, String> {
    match count(text)? {
        0 => Err(format!("{text} is below the limit of 1")),
        n => Ok(n),
    }
}

/// A count from 1 to 2^32 - 1.
pub(super) fn positive_u32(text: &str) -> Result<u32, String> {
    let n = positive(text)?;
    u32::try_from(n).map_err(|_| format!("{text} is above the limit of {}", u32::MAX))
}

/// A size in bytes, from 1 to 2^31 - 1: what a socket option holds.
///
/// # Errors
/// As [`count`], and outside the limits.
pub fn bytes(text: &str) -> Result<usize, String> {
    let n = positive(text)?;
    let fits = i32::try_from(n).ok().and_then(|n| usize::try_from(n).ok());
    fits.ok_or_else(|| format!("{text} is above the limit of {} bytes", i32::MAX))
}

/// A rate per second: `50k`, `0.5`, `1.5M`. Above 0, at most 10^9.
///
/// # Errors
/// What was typed, and what would have been right.
pub fn rate(text: &str) -> Result<f64, String> {
    let (digits, unit) = split(text);
    let scale = COUNT_UNITS.iter().find(|(name, _)| *name == unit);
    let (Some(value), Some((_, scale))) = (decimal(digits), scale) else {
        return Err(format!(
            "{text:?} is not a rate; write a number per second such as 50k, 1.5M or 0.5"
        ));
    };
    let per_s = value * *scale as f64;
    if per_s <= 0.0 {
        Err(format!("{text} is not above 0 per second"))
    } else if per_s > RATE_MAX_PER_S {
        Err(format!("{text} is above the limit of 1G per second"))
    } else {
        Ok(per_s)
    }
}

/// A percentile, above 0 and at most 100.
///
/// # Errors
/// What was typed, and the limits.
pub fn percentile(text: &str) -> Result<f64, String> {
    match decimal(text) {
        Some(p) if p > 0.0 && p <= 100.0 => Ok(p),
        _ => Err(format!(
            "{text:?} is not a percentile above 0 and at most 100, such as 99.9"
        )),
    }
}

/// `KEY=VALUE`.
///
/// # Errors
/// What was typed.
pub fn label(text: &str) -> Result<Label, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Label {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ns) in [
            ("2", 2_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.5", 500_000_000),
            ("100ms", 100_000_000),
            ("50us", 50_000),
            ("50\u{b5}s", 50_000),
            ("50\u{3bc}s", 50_000),
            ("7ns", 7),
            ("2m", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
        for text in [
            "", "s", "1 s", "-1s", "1e3", "1.s", ".5s", "1..5s", "1d", "inf", "1S",
        ] {
            let refused = duration(text).unwrap_err();
            assert!(refused.contains(&format!("{text:?}")), "{refused}");
        }
        assert!(duration("8761h").unwrap_err().contains("365 days"));
        assert!(duration("99999999999999999999999999h").is_err());
        assert!(time_span("0ms").unwrap_err().contains("limit"));
    }

    #[test]
    fn counts() {
        for (text, n) in [
            ("10", 10),
            ("10k", 10_000),
            ("1.5M", 1_500_000),
            ("2G", 2_000_000_000),
            ("64Ki", 65_536),
            ("0.5Mi", 524_288),
            ("1.50k", 1500),
            ("0", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(count(text), Ok(n), "{text}");
        }
        for text in [
            "", "k", "1.5", "1.0005k", "10K", "10kb", "-5", "1e6", "1,000", ".5k",
        ] {
            let refused = count(text).unwrap_err();
            assert!(refused.contains(&format!("{text:?}")), "{refused}");
        }
        for text in ["18446744073709551616", "18446744073709551615k", "99999999T"] {
            assert!(count(text).unwrap_err().contains("limit"), "{text}");
        }
        assert!(positive("0").unwrap_err().contains("limit of 1"));
        assert!(positive_u32("5G").unwrap_err().contains("4294967295"));
        assert!(bytes("3G").unwrap_err().contains("2147483647"));
        assert_eq!(bytes("256Ki"), Ok(262_144));
    }

    #[test]
    fn rates_may_have_fractions() {
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(rate("1.5k"), Ok(1500.0));
        assert_eq!(rate("1G"), Ok(1e9));
        for text in ["0", "0.0k", "2G", "-1", "nan", "1/s", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentiles_and_labels() {
        assert_eq!(percentile("99.9"), Ok(99.9));
        assert_eq!(percentile("100"), Ok(100.0));
        for text in ["0", "101", "p99", ""] {
            assert!(percentile(text).is_err(), "{text}");
        }
        let both = label("cni=cilium=1").unwrap();
        assert_eq!(
            (both.key.as_str(), both.value.as_str()),
            ("cni", "cilium=1")
        );
        assert!(label("=x").is_err() && label("x").is_err());
    }
}
