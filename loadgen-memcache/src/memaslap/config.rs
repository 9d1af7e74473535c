//! The `-F` file: sizes of keys and values, and the shares of SET and GET.
//!
//! Sections may come in any order, and `1 0.9` may come before `0 0.1`: memaslap swaps the two
//! then, and loses the sections behind `cmd`. Every refusal names the line.

use crate::spec::{SizeRange, Sizes};

/// Lengths of a key: memaslap's prefix of 8 bytes needs room, memcached's limit is 250.
const KEY_BYTES: [u32; 2] = [16, 250];
/// Lengths of a value.
const VALUE_BYTES: [u32; 2] = [1, 1024 * 1024];

/// Shares are precise to 0.001 and add up to 1.
const PRECISION: f64 = 0.001;
/// As many as one: the weights of the spec.
const WHOLE: f64 = 1000.0;

/// The longest file that is read, bytes. The whole text is one argument.
const TEXT_MAX: usize = 1 << 20;

/// Lengths from `min_bytes` to `max_bytes`, and the share of the keys that have them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The shortest.
    pub min_bytes: u32,
    /// The longest.
    pub max_bytes: u32,
    /// 0 to 1.
    pub share: f64,
}

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Lengths of keys.
    pub key: Vec<Range>,
    /// Lengths of values.
    pub value: Vec<Range>,
    /// The share of SETs, 0 to 1.
    pub set: f64,
    /// The share of GETs, 0 to 1.
    pub get: f64,
}

impl Default for Config {
    /// What memaslap does without a file: 64-byte keys, 1024-byte values, 1 SET to 9 GETs.
    fn default() -> Self {
        let one = |bytes| Range {
            min_bytes: bytes,
            max_bytes: bytes,
            share: 1.0,
        };
        Self {
            key: vec![one(64)],
            value: vec![one(1024)],
            set: 0.1,
            get: 0.9,
        }
    }
}

/// Why a file cannot be used: one sentence that names the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadConfig(pub String);

impl std::fmt::Display for BadConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadConfig {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Key,
    Value,
    Cmd,
}

impl Section {
    /// The section that a line begins; memaslap looks at the first letters only.
    fn of(line: &str) -> Option<Self> {
        [
            ("key", Self::Key),
            ("value", Self::Value),
            ("cmd", Self::Cmd),
        ]
        .into_iter()
        .find(|(name, _)| line.starts_with(name))
        .map(|(_, section)| section)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Cmd => "cmd",
        }
    }
}

impl Config {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`BadConfig`]: what is wrong, with the line, the limit and the actual value.
    pub fn parse(text: &str) -> Result<Self, BadConfig> {
        if text.len() > TEXT_MAX {
            let bytes = text.len();
            return Err(BadConfig(format!(
                "the file has {bytes} bytes, above the limit of {TEXT_MAX}"
            )));
        }
        let mut read = Self {
            key: Vec::new(),
            value: Vec::new(),
            set: 0.0,
            get: 0.0,
        };
        let mut section = None;
        let mut commands = [false; 2];
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(begun) = Section::of(line) {
                section = Some(begun);
                continue;
            }
            let said = read.line(section, line, &mut commands);
            said.map_err(|why| BadConfig(format!("line {number} {line:?}: {why}")))?;
        }
        read.check(commands)?;
        Ok(read)
    }

    fn line(
        &mut self,
        section: Option<Section>,
        line: &str,
        commands: &mut [bool; 2],
    ) -> Result<(), String> {
        match section {
            None => Err("it is in no section; key, value or cmd must come first".to_owned()),
            Some(Section::Key) => {
                self.key.push(range(line, "a key", KEY_BYTES)?);
                Ok(())
            }
            Some(Section::Value) => {
                self.value.push(range(line, "a value", VALUE_BYTES)?);
                Ok(())
            }
            Some(Section::Cmd) => {
                let (number, share) = command(line)?;
                if std::mem::replace(&mut commands[number], true) {
                    return Err(format!("command {number} is there already"));
                }
                *if number == 0 {
                    &mut self.set
                } else {
                    &mut self.get
                } = share;
                Ok(())
            }
        }
    }

    fn check(&self, commands: [bool; 2]) -> Result<(), BadConfig> {
        let sum = |ranges: &[Range]| ranges.iter().map(|r| r.share).sum::<f64>();
        let sums = [
            (Section::Key, !self.key.is_empty(), sum(&self.key)),
            (Section::Value, !self.value.is_empty(), sum(&self.value)),
            (Section::Cmd, commands != [false; 2], self.set + self.get),
        ];
        for (section, is_there, sum) in sums {
            let name = section.name();
            if !is_there {
                return Err(BadConfig(format!("there is no {name} section with a line")));
            }
            // Half a step for each of the lines, and the error of binary fractions.
            if (sum - 1.0).abs() > PRECISION * 5.0 {
                return Err(BadConfig(format!(
                    "the shares of the {name} section add up to {sum:.3}, not to 1"
                )));
            }
        }
        Ok(())
    }

    /// The key lengths, for a spec.
    #[must_use]
    pub fn key_bytes(&self) -> Sizes {
        sizes(&self.key)
    }

    /// The value lengths, for a spec.
    #[must_use]
    pub fn value_bytes(&self) -> Sizes {
        sizes(&self.value)
    }

    /// SET and GET in thousandths.
    #[must_use]
    pub fn weights(&self) -> [u32; 2] {
        [weight(self.set), weight(self.get)]
    }
}

/// A share in thousandths, as precise as memaslap has them.
fn weight(share: f64) -> u32 {
    (share * WHOLE).round() as u32
}

/// A range of less than half a thousandth has no key.
fn sizes(ranges: &[Range]) -> Sizes {
    let ranges = ranges.iter().map(|range| SizeRange {
        min_bytes: range.min_bytes,
        max_bytes: range.max_bytes,
        weight: weight(range.share),
    });
    Sizes(ranges.filter(|range| range.weight > 0).collect())
}

/// `start_len end_len proportion`.
fn range(line: &str, what: &str, [least, most]: [u32; 2]) -> Result<Range, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [start, end, share] = words[..] else {
        return Err("write START_LENGTH END_LENGTH SHARE".to_owned());
    };
    let length = |word: &str| {
        let bytes = word.parse::<u32>().ok();
        bytes
            .filter(|bytes| (least..=most).contains(bytes))
            .ok_or_else(|| format!("{what} has {least} to {most} bytes, not {word}"))
    };
    let (start, end) = (length(start)?, length(end)?);
    if start > end {
        return Err(format!("{start} is above {end}"));
    }
    Ok(Range {
        min_bytes: start,
        max_bytes: end,
        share: share_of(share)?,
    })
}

/// `type proportion`; the documentation's own sample has `1.0` for 1, so that is one too.
fn command(line: &str) -> Result<(usize, f64), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [kind, share] = words[..] else {
        return Err("write TYPE SHARE, with 0 for SET and 1 for GET".to_owned());
    };
    let number = match kind {
        "0" | "0.0" => 0,
        "1" | "1.0" => 1,
        _ => return Err(format!("a command is 0 (SET) or 1 (GET), not {kind}")),
    };
    Ok((number, share_of(share)?))
}

fn share_of(word: &str) -> Result<f64, String> {
    let share = word.parse::<f64>().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("a share is from 0 to 1, not {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: &[Range]) -> Vec<(u32, u32, f64)> {
        of.iter()
            .map(|r| (r.min_bytes, r.max_bytes, r.share))
            .collect()
    }

    /// The sample of the documentation, its comments cut, its `1.0` kept.
    const SAMPLE: &str = "\
#comments should start with '#'
#key
#start_len end_len proportion
#
#          16 100 0.8
key
128 128 1
#value
value
2048 2048 1
#cmd
#cmd_type cmd_proportion
cmd
0    0.1
1.0 0.9
";

    #[test]
    fn the_documented_sample() {
        let read = Config::parse(SAMPLE).unwrap();
        assert_eq!(ranges(&read.key), [(128, 128, 1.0)]);
        assert_eq!(ranges(&read.value), [(2048, 2048, 1.0)]);
        assert_eq!((read.set, read.get), (0.1, 0.9));
        assert_eq!(read.weights(), [100, 900]);
    }

    #[test]
    fn the_documented_examples_of_ranges() {
        for (section, lines, expected) in [
            (
                "key",
                "16 100 0.8\n101 200 0.1\n201 249 0.1",
                vec![(16, 100, 800), (101, 200, 100), (201, 249, 100)],
            ),
            ("key", "128 128 1 ", vec![(128, 128, 1000)]),
            (
                "value",
                "1 1000 0.8\n1001 10000 0.1\n10001 100000 0.1",
                vec![(1, 1000, 800), (1001, 10_000, 100), (10_001, 100_000, 100)],
            ),
            ("value", "128 128 1", vec![(128, 128, 1000)]),
            (
                "value",
                "1 1 .333\n2 2 .333\n3 3 .333",
                vec![(1, 1, 333), (2, 2, 333), (3, 3, 333)],
            ),
        ] {
            let other = match section {
                "key" => "value\n1 1 1\n",
                _ => "key\n16 16 1\n",
            };
            let text = format!("{section}\n{lines}\n{other}cmd\n0 0.5\n1 0.5\n");
            let read = Config::parse(&text).unwrap();
            let sizes = match section {
                "key" => read.key_bytes(),
                _ => read.value_bytes(),
            };
            let found = sizes.0.iter().map(|r| (r.min_bytes, r.max_bytes, r.weight));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{lines}");
            assert_eq!(read.weights(), [500, 500]);
        }
    }

    #[test]
    fn the_default_is_what_memaslap_writes_for_itself() {
        let text = "key\n64 64 1\nvalue\n1024 1024 1\ncmd\n0 0.1\n1 0.9";
        assert_eq!(Config::parse(text), Ok(Config::default()));
    }

    #[test]
    fn order_does_not_matter() {
        let text = "cmd\n1 0.9\n0 0.1\n\n  # a remark\nvalue lengths\n1024 1024 1\nkey\n64 64 1\n";
        assert_eq!(Config::parse(text), Ok(Config::default()));
        let only_gets = "key\n16 16 1\nvalue\n1 1 1\ncmd\n1 1\n";
        assert_eq!(Config::parse(only_gets).unwrap().weights(), [0, 1000]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let with =
            |key: &str, value: &str, cmd: &str| format!("key\n{key}\nvalue\n{value}\ncmd\n{cmd}\n");
        for (text, said) in [
            (String::new(), "no key section"),
            (
                "64 64 1".to_owned(),
                "line 1 \"64 64 1\": it is in no section",
            ),
            (
                with("15 64 1", "1 1 1", "0 1"),
                "line 2 \"15 64 1\": a key has 16 to 250 bytes, not 15",
            ),
            (with("16 251 1", "1 1 1", "0 1"), "not 251"),
            (with("64 16 1", "1 1 1", "0 1"), "64 is above 16"),
            (with("16 16 2", "1 1 1", "0 1"), "from 0 to 1, not 2"),
            (with("16 16", "1 1 1", "0 1"), "START_LENGTH"),
            (
                with("16 16 0.5", "1 1 1", "0 1"),
                "key section add up to 0.500",
            ),
            (
                with("16 16 1", "0 1 1", "0 1"),
                "a value has 1 to 1048576 bytes, not 0",
            ),
            (with("16 16 1", "1 1048577 1", "0 1"), "not 1048577"),
            (with("16 16 1", "1 1 1", "2 1"), "0 (SET) or 1 (GET), not 2"),
            (
                with("16 16 1", "1 1 1", "0 0.5\n0 0.5"),
                "line 7 \"0 0.5\": command 0 is there already",
            ),
            (
                with("16 16 1", "1 1 1", "0 0.1\n1 0.8"),
                "cmd section add up to 0.900",
            ),
            (with("16 16 1", "1 1 1", "0 nan"), "not nan"),
            (with("16 16 1", "1 1 1", "set 1"), "not set"),
        ] {
            let why = Config::parse(&text).unwrap_err().to_string();
            assert!(why.contains(said), "{text:?}: {why}");
        }
        let long = "#".repeat(TEXT_MAX + 1);
        assert!(
            Config::parse(&long)
                .unwrap_err()
                .0
                .contains("1048577 bytes")
        );
    }
}
