//! Command lines read as `joptsimple` reads them, the parser of kafka-consumer-perf-test.
//!
//! Its grammar, seen from outside (5.0.4, as `CommandDefaultOptions` sets it up): whole names only,
//! with one dash or two; `--name value` and `--name=value`; what is no option is ignored. Pure.

/// One option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    /// Its name, without dashes.
    pub(super) name: &'static str,
    /// Whether it takes a value.
    pub(super) takes: Takes,
}

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// No.
    Nothing,
    /// Always: the next word, whatever it looks like.
    Value,
    /// The next word, unless it looks like an option.
    Optional,
}

/// What was typed of one option: its name and its value.
pub(super) type Item = (&'static str, Option<String>);

/// Reads `words`.
///
/// # Errors
/// What the library says, in its words: scripts may look for them.
pub(super) fn parse(flags: &[Flag], words: &[String]) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let word = &words[at];
        at += 1;
        if word == "--" {
            break;
        }
        let Some(text) = option(word) else {
            continue;
        };
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let flag = flags.iter().find(|flag| flag.name == name);
        let flag = flag.ok_or_else(|| format!("{name} is not a recognized option"))?;
        let next = words.get(at);
        let taken = match (flag.takes, &attached) {
            (Takes::Nothing, _) | (_, Some(_)) => None,
            (Takes::Value, None) => next,
            (Takes::Optional, None) => next.filter(|word| option(word).is_none()),
        };
        at += usize::from(taken.is_some());
        let value = attached.or_else(|| taken.cloned());
        let value = value.filter(|_| flag.takes != Takes::Nothing);
        if flag.takes == Takes::Value && value.is_none() {
            return Err(format!("Option {name} requires an argument"));
        }
        items.push((flag.name, value));
    }
    Ok(items)
}

/// The one value of an option; `None`: it was not typed.
///
/// # Errors
/// The library's sentence when it was typed more than once.
pub(super) fn only<'i>(items: &'i [Item], name: &str) -> Result<Option<&'i str>, String> {
    let mut values = items.iter().filter(|(typed, _)| *typed == name);
    let first = values.next();
    if values.next().is_some() {
        return Err(format!(
            "Found multiple arguments for option {name}, but you asked for only one"
        ));
    }
    Ok(first.and_then(|(_, value)| value.as_deref()))
}

/// Whether an option was typed.
pub(super) fn has(items: &[Item], name: &str) -> bool {
    items.iter().any(|(typed, _)| *typed == name)
}

/// The text behind the dashes, where the word looks like an option.
fn option(word: &str) -> Option<&str> {
    let text = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 3] = [
        flag("topic", Takes::Value),
        flag("timeout", Takes::Optional),
        flag("hide-header", Takes::Nothing),
    ];

    const fn flag(name: &'static str, takes: Takes) -> Flag {
        Flag { name, takes }
    }

    fn read(line: &str) -> Result<Vec<Item>, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&FLAGS, &words)
    }

    fn with(name: &'static str, value: &str) -> Item {
        (name, Some(value.to_owned()))
    }

    #[test]
    fn all_ways_to_write_a_value() {
        for line in [
            "--topic t",
            "--topic=t",
            "-topic t",
            "surplus --topic t more",
        ] {
            assert_eq!(read(line), Ok(vec![with("topic", "t")]), "{line}");
        }
        assert_eq!(
            read("--topic --hide-header"),
            Ok(vec![with("topic", "--hide-header")])
        );
        let bare = [("timeout", None), ("hide-header", None)];
        assert_eq!(read("--timeout --hide-header").unwrap(), bare);
        assert_eq!(read("--timeout 5").unwrap(), [with("timeout", "5")]);
        assert_eq!(
            read("--hide-header=x -- --nope").unwrap(),
            [("hide-header", None)]
        );
    }

    /// As kafka-consumer-perf-test of 4.2.0 said them.
    #[test]
    fn refusals_are_the_librarys() {
        for (line, said) in [
            ("--unknown", "unknown is not a recognized option"),
            ("--num 5", "num is not a recognized option"),
            ("--top t", "top is not a recognized option"),
            ("--topic", "Option topic requires an argument"),
        ] {
            assert_eq!(read(line), Err(said.to_owned()), "{line}");
        }
        let twice = read("--topic t --topic u").unwrap();
        let said = "Found multiple arguments for option topic, but you asked for only one";
        assert_eq!(only(&twice, "topic"), Err(said.to_owned()));
        assert_eq!(only(&twice, "timeout"), Ok(None));
        assert!(has(&twice, "topic") && !has(&twice, "timeout"));
    }
}
