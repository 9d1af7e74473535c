//! Numbers and times as Java writes them: what Kafka's tools print is scraped byte for byte.
//!
//! `java.util.Formatter` rounds the shortest decimal text of a double half up, where Rust rounds the
//! double itself; `java.text.SimpleDateFormat` has patterns of its own. Nothing here may be made
//! nicer.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;

/// `%.Nf` of a double.
#[must_use]
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    let sign = if value.is_sign_negative() && !value.is_nan() {
        "-"
    } else {
        ""
    };
    if !value.is_finite() {
        let name = if value.is_nan() { "NaN" } else { "Infinity" };
        return format!("{sign}{name}");
    }
    // The shortest text that reads back as the value: d.ddde±x.
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = exponent.parse::<i64>().unwrap_or(0) + 1;
    let mut digits: Vec<u8> = mantissa
        .bytes()
        .filter(|b| *b != b'.')
        .map(|b| b - b'0')
        .collect();
    // A zero in front for the carry, and those between the point and the first digit.
    let front = usize::try_from(1 - point.min(0)).unwrap_or(1);
    digits.splice(0..0, std::iter::repeat_n(0, front));
    let whole = usize::try_from(point.max(0)).unwrap_or(0) + 1;
    let keep = whole + decimals;
    let mut carry = digits.get(keep).is_some_and(|digit| *digit >= 5);
    digits.resize(keep, 0);
    for digit in digits.iter_mut().rev() {
        let next = *digit + u8::from(carry);
        carry = next == 10;
        *digit = next % 10;
    }
    let text: String = digits
        .iter()
        .map(|digit| char::from(b'0' + digit))
        .collect();
    let (before, after) = text.split_at(whole);
    let before = before.trim_start_matches('0');
    let before = if before.is_empty() { "0" } else { before };
    match decimals {
        0 => format!("{sign}{before}"),
        _ => format!("{sign}{before}.{after}"),
    }
}

/// A pattern of `java.text.SimpleDateFormat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JavaDate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A letter, and how many of it.
    Field(char, usize),
    /// One of the zone's letters likewise.
    Zone(char, usize),
}

/// The letters of its documentation.
const LETTERS: &str = "GyYMLwWDdFEuaHkKhmsSzZX";

impl JavaDate {
    /// What Kafka's tools write times with, unless told otherwise.
    pub const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss:SSS";

    /// Reads a pattern.
    ///
    /// # Errors
    /// What Java says.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                // Two in a row are one, inside quotes and outside.
                '\'' if chars.next_if_eq(&'\'').is_some() => text(&mut parts, '\''),
                '\'' => loop {
                    match chars.next().ok_or("Unterminated quote")? {
                        '\'' if chars.next_if_eq(&'\'').is_none() => break,
                        c => text(&mut parts, c),
                    }
                },
                c if LETTERS.contains(c) => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    if c == 'X' && count > 3 {
                        return Err(format!("invalid ISO 8601 format: length={count}"));
                    }
                    let zone = matches!(c, 'z' | 'Z' | 'X');
                    let part = if zone { Part::Zone } else { Part::Field };
                    parts.push(part(c, count));
                }
                c if c.is_ascii_alphabetic() => {
                    return Err(format!("Illegal pattern character '{c}'"));
                }
                c => text(&mut parts, c),
            }
        }
        Ok(Self(parts))
    }

    /// Writes a time in milliseconds since 1970, as a clock in `zone` shows it.
    #[must_use]
    pub fn format(&self, unix_ms: i64, zone: &TimeZone) -> String {
        let moment = Timestamp::from_millisecond(unix_ms).unwrap_or_default();
        let time = zone.to_datetime(moment);
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(letter, count) => write_field(&mut out, time, *letter, *count),
                Part::Zone(letter, count) => write_zone(&mut out, moment, zone, *letter, *count),
            }
        }
        out
    }
}

fn text(parts: &mut Vec<Part>, c: char) {
    if let Some(Part::Text(text)) = parts.last_mut() {
        text.push(c);
    } else {
        parts.push(Part::Text(c.to_string()));
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

fn write_field(out: &mut String, time: DateTime, letter: char, count: usize) {
    let date = time.date();
    let hour = i32::from(time.hour());
    let weekday = date.weekday().to_sunday_zero_offset();
    let number = match letter {
        'y' | 'Y' => {
            let year = if letter == 'y' {
                date.year()
            } else {
                week(date).0
            };
            if count == 2 {
                i32::from(year) % 100
            } else {
                i32::from(year)
            }
        }
        'M' | 'L' if count > 2 => return name(out, MONTHS[date.month() as usize - 1], count),
        'M' | 'L' => i32::from(date.month()),
        'E' => return name(out, DAYS[weekday as usize], count),
        'w' => week(date).1,
        'W' => (i32::from(date.day()) - 1 + i32::from(first(date).to_sunday_zero_offset())) / 7 + 1,
        'D' => i32::from(date.day_of_year()),
        'd' => i32::from(date.day()),
        'F' => (i32::from(date.day()) - 1) / 7 + 1,
        'u' => i32::from(date.weekday().to_monday_one_offset()),
        'H' => hour,
        'k' => (hour + 23) % 24 + 1,
        'K' => hour % 12,
        'h' => (hour + 11) % 12 + 1,
        'm' => i32::from(time.minute()),
        's' => i32::from(time.second()),
        'S' => i32::from(time.millisecond()),
        'a' => return out.push_str(if hour < 12 { "AM" } else { "PM" }),
        // 'G': nobody measures before our era.
        _ => return out.push_str("AD"),
    };
    let _ = write!(out, "{number:0count$}");
}

fn name(out: &mut String, name: &str, count: usize) {
    out.push_str(if count > 3 { name } else { &name[..3] });
}

fn first(date: Date) -> Weekday {
    date.first_of_month().weekday()
}

/// Year and number of a week that begins on Sunday; the one with 1 January is the first.
fn week(date: Date) -> (i16, i32) {
    let lead = |of: Date| i32::from(of.weekday().to_sunday_zero_offset());
    let days_left = i32::from(date.days_in_year()) - i32::from(date.day_of_year());
    if days_left < 6 - lead(date) {
        return (date.year() + 1, 1);
    }
    let whole = i32::from(date.day_of_year()) - 1 + lead(date.first_of_year());
    (date.year(), whole / 7 + 1)
}

fn write_zone(out: &mut String, moment: Timestamp, zone: &TimeZone, letter: char, count: usize) {
    let zone = zone.to_offset_info(moment);
    let seconds = zone.offset().seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let written = match (letter, count) {
        ('z', _) => {
            let short = zone.abbreviation();
            let long = count > 3 && short == "UTC";
            write!(
                out,
                "{}",
                if long {
                    "Coordinated Universal Time"
                } else {
                    short
                }
            )
        }
        ('X', _) if seconds == 0 => write!(out, "Z"),
        ('X', 1) => write!(out, "{sign}{hours:02}"),
        ('X', 3) => write!(out, "{sign}{hours:02}:{minutes:02}"),
        _ => write!(out, "{sign}{hours:02}{minutes:02}"),
    };
    // Writing to a string cannot fail.
    let _ = written;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `String.format` of Java 17 gives.
    #[test]
    fn doubles_are_rounded_as_java_does() {
        for (value, decimals, expected) in [
            (0.0, 4, "0.0000"),
            (9.71984, 4, "9.7198"),
            (0.15, 1, "0.2"),
            (0.25, 1, "0.3"),
            (1.005, 2, "1.01"),
            (2.5, 0, "3"),
            (0.5, 0, "1"),
            (0.04999, 1, "0.0"),
            (0.05, 1, "0.1"),
            (0.000_04, 4, "0.0000"),
            (0.000_05, 4, "0.0001"),
            (9.999_96, 4, "10.0000"),
            (99.95, 1, "100.0"),
            (-0.25, 1, "-0.3"),
            (45_297.777_777_8, 4, "45297.7778"),
            (11_764.705_882_352_94, 6, "11764.705882"),
            (1e21, 2, "1000000000000000000000.00"),
            (1.5e-10, 3, "0.000"),
            (f64::NAN, 2, "NaN"),
            (f64::INFINITY, 4, "Infinity"),
            (f64::NEG_INFINITY, 1, "-Infinity"),
        ] {
            assert_eq!(fixed(value, decimals), expected, "{value:?} {decimals}");
        }
    }

    /// As kafka-consumer-perf-test printed them, with `--date-format`, on 25 November 2026 in UTC.
    #[test]
    fn patterns_are_javas() {
        for (pattern, unix_ms, expected) in [
            (
                JavaDate::DEFAULT,
                1_795_594_146_727,
                "2026-11-25 08:09:06:727",
            ),
            ("yy-M-d H:m:s.S", 1_795_594_924_508, "26-11-25 8:22:4.508"),
            (
                "EEE EEEE MMM MMMM MMMMM a h K k",
                1_795_594_924_508,
                "Wed Wednesday Nov November November AM 8 8 8",
            ),
            (
                "D w W F u z zzzz Z X XX XXX G",
                1_795_594_924_508,
                "329 48 4 4 3 UTC Coordinated Universal Time +0000 Z Z Z AD",
            ),
            (
                "yyyyy-MM-dd'T'HH:mm:ss.SSSXXX",
                1_795_594_927_360,
                "02026-11-25T08:22:07.360Z",
            ),
            ("''y''", 1_795_594_924_508, "'2026'"),
            ("HH 'o''clock'", 1_795_594_924_508, "08 o'clock"),
            ("Y YYYY yyy", 1_795_594_924_508, "2026 2026 2026"),
        ] {
            let date = JavaDate::parse(pattern).unwrap();
            assert_eq!(date.format(unix_ms, &TimeZone::UTC), expected, "{pattern}");
        }
        let kolkata = TimeZone::fixed(jiff::tz::Offset::from_seconds(5 * 3600 + 30 * 60).unwrap());
        let date = JavaDate::parse("HH:mm Z X XX XXX").unwrap();
        let text = date.format(1_795_594_924_508, &kolkata);
        assert_eq!(text, "13:52 +0530 +05 +0530 +05:30");
        let date = JavaDate::parse("Y w h k K a").unwrap();
        // Thursday, 31 December 2026 and Friday, 1 January 2027 are in one week; midnight, noon.
        assert_eq!(
            date.format(1_798_675_200_000, &TimeZone::UTC),
            "2027 1 12 24 0 AM"
        );
        assert_eq!(
            date.format(1_798_804_800_000, &TimeZone::UTC),
            "2027 1 12 12 0 PM"
        );
        for (pattern, said) in [
            ("bad b", "Illegal pattern character 'b'"),
            ("'x", "Unterminated quote"),
            ("XXXX", "invalid ISO 8601 format: length=4"),
        ] {
            assert_eq!(JavaDate::parse(pattern), Err(said.to_owned()), "{pattern}");
        }
    }
}
