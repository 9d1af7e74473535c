//! memaslap's numbers: which suffixes there are, and that some must be there.
//!
//! Pure. memaslap reads as far as it can and ignores the rest (`-x 1k` is 1 there); here a number
//! that is not one is refused.

use std::time::Duration;

/// A time with its unit: `s`, `m`, `h` or `d`, of either case; a bare number is none.
#[must_use]
pub fn time(text: &str) -> Option<Duration> {
    let (digits, unit) = split(text)?;
    let seconds = match unit.to_ascii_lowercase() {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let seconds = whole(digits)?.checked_mul(seconds)?;
    // memaslap keeps seconds in an int.
    i32::try_from(seconds).ok()?;
    Some(Duration::from_secs(seconds))
}

/// A count with its unit: `k`, `m` or `g`, of either case, in steps of 1024; a bare number is none.
#[must_use]
pub fn scaled(text: &str) -> Option<u64> {
    let (digits, unit) = split(text)?;
    let scale = match unit.to_ascii_lowercase() {
        'k' => 1 << 10,
        'm' => 1 << 20,
        'g' => 1 << 30,
        _ => return None,
    };
    whole(digits)?.checked_mul(scale)
}

/// A count without a unit, above 0.
#[must_use]
pub fn positive(text: &str) -> Option<u64> {
    whole(text).filter(|n| *n > 0)
}

/// A share: above 0 and at most 1.
#[must_use]
pub fn share(text: &str) -> Option<f64> {
    let share = text.parse::<f64>().ok()?;
    (share > 0.0 && share <= 1.0).then_some(share)
}

/// The digits and the letter behind them.
fn split(text: &str) -> Option<(&str, char)> {
    let unit = text.chars().next_back()?;
    Some((&text[..text.len() - unit.len_utf8()], unit))
}

fn whole(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    are_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_their_unit() {
        for (text, seconds) in [
            ("10s", Some(10)),
            ("20S", Some(20)),
            ("2m", Some(120)),
            ("2M", Some(120)),
            ("24h", Some(86_400)),
            ("1d", Some(86_400)),
            ("0s", Some(0)),
            ("10", None),
            ("s", None),
            ("", None),
            ("5x", None),
            ("-1s", None),
            ("1.5s", None),
            ("99999d", None),
        ] {
            assert_eq!(time(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn counts_step_by_1024() {
        for (text, count) in [
            ("10k", Some(10_240)),
            ("40K", Some(40_960)),
            ("1m", Some(1 << 20)),
            ("2G", Some(2 << 30)),
            ("10", None),
            ("k", None),
            ("", None),
            ("10kb", None),
            ("99999999999999999g", None),
        ] {
            assert_eq!(scaled(text), count, "{text}");
        }
        assert_eq!(positive("100"), Some(100));
        assert_eq!(positive("0"), None);
        assert_eq!(positive("1k"), None, "memaslap would take it for 1");
        assert_eq!(positive("5µ"), None);
    }

    #[test]
    fn shares_are_above_0_and_at_most_1() {
        assert_eq!(share("0.2"), Some(0.2));
        assert_eq!(share("1"), Some(1.0));
        for text in ["0", "1.01", "-0.5", "x", "", "nan"] {
            assert_eq!(share(text), None, "{text}");
        }
    }
}
