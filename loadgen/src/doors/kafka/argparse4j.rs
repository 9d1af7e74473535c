//! Command lines read as `argparse4j` reads them, the parser of kafka-producer-perf-test.
//!
//! Its grammar, seen from outside (0.7.0): `--name value` and `--name=value`, names may be cut
//! short, some options take every word up to the next option, of an option that is typed twice the
//! last counts. Pure.

/// One option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    /// Its name, without dashes.
    pub(super) name: &'static str,
    /// How many values it takes.
    pub(super) takes: Takes,
}

/// How many values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// None.
    Nothing,
    /// One.
    One,
    /// At least one.
    Some,
}

/// What was typed of one option: its name and its values.
pub(super) type Item = (&'static str, Vec<String>);

/// Reads `words`.
///
/// # Errors
/// What the library says, in its words.
pub(super) fn parse(flags: &[Flag], words: &[String]) -> Result<Vec<Item>, String> {
    let mut items: Vec<Item> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let word = &words[at];
        at += 1;
        let unknown = || format!("unrecognized arguments: '{word}'");
        let text = option(word).ok_or_else(unknown)?;
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let flag = find(flags, name)?.ok_or_else(unknown)?;
        let mut values: Vec<String> = attached.into_iter().collect();
        let wanted = match flag.takes {
            Takes::Nothing => 0,
            Takes::One => 1,
            Takes::Some => usize::MAX,
        };
        // With `=` the value is all there is.
        while values.len() < wanted && !text.contains('=') {
            let Some(next) = words.get(at).filter(|word| option(word).is_none()) else {
                break;
            };
            values.push(next.clone());
            at += 1;
        }
        let name = flag.name;
        if flag.takes == Takes::Nothing && !values.is_empty() {
            return Err(format!(
                "argument --{name}: ignored explicit argument '{}'",
                values[0]
            ));
        }
        if flag.takes != Takes::Nothing && values.is_empty() {
            return Err(format!("argument --{name}: expected 1 argument(s)"));
        }
        items.retain(|(typed, _)| *typed != name);
        items.push((name, values));
    }
    Ok(items)
}

/// The values of an option; `None`: it was not typed.
pub(super) fn values<'i>(items: &'i [Item], name: &str) -> Option<&'i [String]> {
    let item = items.iter().find(|(typed, _)| *typed == name);
    item.map(|(_, values)| values.as_slice())
}

/// The one value of an option.
pub(super) fn only<'i>(items: &'i [Item], name: &str) -> Option<&'i str> {
    values(items, name)?.first().map(String::as_str)
}

fn find<'f>(flags: &'f [Flag], name: &str) -> Result<Option<&'f Flag>, String> {
    if let Some(flag) = flags.iter().find(|flag| flag.name == name) {
        return Ok(Some(flag));
    }
    let begun: Vec<&Flag> = flags.iter().filter(|f| f.name.starts_with(name)).collect();
    match begun.as_slice() {
        [] => Ok(None),
        [flag] => Ok(Some(flag)),
        several => {
            let names: Vec<String> = several.iter().map(|f| format!("--{}", f.name)).collect();
            let names = names.join(", ");
            Err(format!("ambiguous option: --{name} could match {names}"))
        }
    }
}

/// The text behind the dashes, where the word is an option: a negative number is none.
fn option(word: &str) -> Option<&str> {
    if word == "-h" {
        return Some("help");
    }
    let text = word.strip_prefix("--")?;
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 5] = [
        flag("topic", Takes::One),
        flag("throughput", Takes::One),
        flag("producer-props", Takes::Some),
        flag("producer.config", Takes::One),
        flag("print-metrics", Takes::Nothing),
    ];

    const fn flag(name: &'static str, takes: Takes) -> Flag {
        Flag { name, takes }
    }

    fn read(line: &str) -> Result<Vec<Item>, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&FLAGS, &words)
    }

    #[test]
    fn one_value_several_values_and_none() {
        let items = read("--throughput -1 --producer-props a=1 b=2 --print --topic=t").unwrap();
        assert_eq!(only(&items, "throughput"), Some("-1"));
        assert_eq!(values(&items, "producer-props").unwrap(), ["a=1", "b=2"]);
        assert_eq!(values(&items, "print-metrics"), Some(&[][..]));
        assert_eq!(only(&items, "topic"), Some("t"));
        let twice = read("--topic t --topic u").unwrap();
        assert_eq!(values(&twice, "topic").unwrap(), ["u"]);
    }

    /// As kafka-producer-perf-test of 4.2.0 said them, behind `kafka-producer-perf-test: error: `.
    #[test]
    fn refusals_are_the_librarys() {
        for (line, said) in [
            ("--bogus", "unrecognized arguments: '--bogus'"),
            (
                "--producer-props",
                "argument --producer-props: expected 1 argument(s)",
            ),
            (
                "--pro a=1",
                "ambiguous option: --pro could match --producer-props, --producer.config",
            ),
        ] {
            assert_eq!(read(line), Err(said.to_owned()), "{line}");
        }
    }
}
