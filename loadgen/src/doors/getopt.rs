//! Command lines read as `getopt_long(3)` of the C library reads them.
//!
//! The doors need its grammar: attached values (`-c100`), clusters (`-Ld5`), abbreviated long
//! names (`--lat`), options behind words. Pure.

/// One option of an old tool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    /// Its letter, if it has one.
    pub(super) short: Option<char>,
    /// Its long name; empty when it has none.
    pub(super) long: &'static str,
    /// Whether it takes a value.
    pub(super) value: Takes,
    /// What the tool calls it; several flags may be one.
    pub(super) id: char,
}

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// No.
    Nothing,
    /// Always.
    Value,
    /// Only with `=`.
    Optional,
}

/// One thing that was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An option, and its value.
    Flag(char, Option<String>),
    /// Something else.
    Word(String),
}

/// Reads `words`.
///
/// # Errors
/// What the C library would say, in its words, as scripts may look for them.
pub(super) fn parse(tool: &str, flags: &[Flag], words: &[String]) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            items.extend(words.by_ref().cloned().map(Item::Word));
        } else if let Some(long) = word.strip_prefix("--") {
            items.push(read_long(tool, flags, long, &mut words)?);
        } else if word.len() > 1 && word.starts_with('-') {
            read_cluster(tool, flags, &word[1..], &mut words, &mut items)?;
        } else {
            items.push(Item::Word(word.clone()));
        }
    }
    Ok(items)
}

fn read_long<'a>(
    tool: &str,
    flags: &[Flag],
    text: &str,
    words: &mut impl Iterator<Item = &'a String>,
) -> Result<Item, String> {
    let (name, attached) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let flag = find_long(tool, flags, name)?;
    let long = flag.long;
    let value = match (flag.value, attached) {
        (Takes::Nothing, Some(_)) => {
            return Err(format!(
                "{tool}: option '--{long}' doesn't allow an argument"
            ));
        }
        (Takes::Value, None) => {
            let next = words.next().cloned();
            Some(next.ok_or_else(|| format!("{tool}: option '--{long}' requires an argument"))?)
        }
        (_, attached) => attached,
    };
    Ok(Item::Flag(flag.id, value))
}

fn find_long<'f>(tool: &str, flags: &'f [Flag], name: &str) -> Result<&'f Flag, String> {
    let named = flags.iter().filter(|flag| !flag.long.is_empty());
    let begun: Vec<&Flag> = named.filter(|f| f.long.starts_with(name)).collect();
    let exact = begun.iter().find(|flag| flag.long == name);
    match (exact, begun.as_slice()) {
        (Some(flag), _) | (None, [flag]) => Ok(flag),
        (None, []) => Err(format!("{tool}: unrecognized option '--{name}'")),
        (None, several) => {
            let names: Vec<String> = several.iter().map(|f| format!("'--{}'", f.long)).collect();
            Err(format!(
                "{tool}: option '--{name}' is ambiguous; possibilities: {}",
                names.join(" ")
            ))
        }
    }
}

fn read_cluster<'a>(
    tool: &str,
    flags: &[Flag],
    letters: &str,
    words: &mut impl Iterator<Item = &'a String>,
    items: &mut Vec<Item>,
) -> Result<(), String> {
    let mut rest = letters.chars();
    while let Some(letter) = rest.next() {
        let flag = flags.iter().find(|flag| flag.short == Some(letter));
        let flag = flag.ok_or_else(|| format!("{tool}: invalid option -- '{letter}'"))?;
        if flag.value != Takes::Value {
            items.push(Item::Flag(flag.id, None));
            continue;
        }
        let attached = rest.as_str();
        let value = match attached {
            "" => words.next().cloned(),
            _ => Some(attached.to_owned()),
        };
        let missing = || format!("{tool}: option requires an argument -- '{letter}'");
        items.push(Item::Flag(flag.id, Some(value.ok_or_else(missing)?)));
        break;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        flag(Some('c'), "connections", Takes::Value),
        flag(Some('L'), "latency", Takes::Nothing),
        flag(Some('l'), "lateral", Takes::Nothing),
        flag(None, "json", Takes::Optional),
    ];

    const fn flag(short: Option<char>, long: &'static str, value: Takes) -> Flag {
        let id = match short {
            Some(letter) => letter,
            None => 'j',
        };
        Flag {
            short,
            long,
            value,
            id,
        }
    }

    fn read(line: &str) -> Result<Vec<Item>, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse("tool", FLAGS, &words)
    }

    fn with(id: char, value: &str) -> Item {
        Item::Flag(id, Some(value.to_owned()))
    }

    #[test]
    fn all_ways_to_write_a_value() {
        let expected = Ok(vec![with('c', "5")]);
        for line in [
            "-c5",
            "-c 5",
            "--connections 5",
            "--connections=5",
            "--conn 5",
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
        let cluster = [Item::Flag('L', None), Item::Flag('l', None), with('c', "5")];
        assert_eq!(read("-Llc5").unwrap(), cluster);
        assert_eq!(read("-c -5").unwrap(), [with('c', "-5")]);
        assert_eq!(read("--json").unwrap(), [Item::Flag('j', None)]);
        assert_eq!(read("--json=x").unwrap(), [with('j', "x")]);
    }

    #[test]
    fn words_may_come_first_and_a_double_dash_ends_options() {
        let url = Item::Word("url".to_owned());
        assert_eq!(
            read("url -L").unwrap(),
            [url.clone(), Item::Flag('L', None)]
        );
        assert_eq!(read("-- -L").unwrap(), [Item::Word("-L".to_owned())]);
        assert_eq!(read("-").unwrap(), [Item::Word("-".to_owned())]);
    }

    #[test]
    fn refusals_are_those_of_the_c_library() {
        for (line, said) in [
            ("-q", "tool: invalid option -- 'q'"),
            ("-c", "tool: option requires an argument -- 'c'"),
            (
                "--connections",
                "tool: option '--connections' requires an argument",
            ),
            (
                "--latency=5",
                "tool: option '--latency' doesn't allow an argument",
            ),
            ("--nope", "tool: unrecognized option '--nope'"),
            (
                "--lat",
                "tool: option '--lat' is ambiguous; possibilities: '--latency' '--lateral'",
            ),
        ] {
            assert_eq!(read(line), Err(said.to_owned()));
        }
    }
}
