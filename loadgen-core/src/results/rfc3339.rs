//! A Unix time in words.
//!
//! The document needs one timestamp, in UTC, so a calendar crate is not worth its weight: years
//! that begin in March make the leap day the last one, and the rest is division. This module must
//! never read a clock.

const DAY_S: u64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01 in the Gregorian calendar extended backwards.
const DAYS_TO_1970: u64 = 719_468;
/// Days in 400 years: the period of the calendar.
const ERA_DAYS: u64 = 146_097;

/// `unix_ns` nanoseconds since 1970 as RFC 3339, UTC, to the millisecond (cut, not rounded).
#[must_use]
pub fn rfc3339(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let milli = unix_ns / 1_000_000 % 1000;
    let (year, month, day) = civil(seconds / DAY_S);
    let of_day = seconds % DAY_S;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + DAYS_TO_1970;
    let (era, of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    // A leap day every 1461 days but not every 36524, and again at the very end of the era.
    let leaps = of_era / 1460 + of_era / (ERA_DAYS - 1) - of_era / 36_524;
    let year_of_era = (of_era - leaps) / 365;
    let of_year = of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31, 30, 31, 30, 31 days over and over: 153 days for five.
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        let billion = 1_000_000_000_123_999_999;
        assert_eq!(rfc3339(billion), "2001-09-09T01:46:40.123Z");
        let leap_day = 951_782_399_000_000_000;
        assert_eq!(rfc3339(leap_day), "2000-02-28T23:59:59.000Z");
        assert_eq!(
            rfc3339(leap_day + 1_000_000_000),
            "2000-02-29T00:00:00.000Z"
        );
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let leap =
            |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..220_000 {
            assert_eq!(civil(days), (year, month, day), "day {days}");
            let length = lengths[month as usize - 1] + u64::from(month == 2 && leap(year));
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
