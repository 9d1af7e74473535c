//! The flags of `loadgen serve kafka`: what was typed, and nothing else.

use std::net::SocketAddr;

use super::{BATCH_BYTES, BATCH_BYTES_MAX, MESSAGE_MAX_BYTES, TargetOptions};

/// Serve the Kafka protocol from a synthetic log, count what is produced, keep nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeKafkaArgs {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    pub listen: SocketAddr,

    /// Host, and port, that clients are told to connect to [default: where they came to]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = advertised)]
    pub advertise: Option<(String, Option<u16>)>,

    /// Threads that serve
    #[arg(long, visible_alias = "threads", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,

    /// A topic that is there from the start; may be given again
    #[arg(long = "topic", value_name = "NAME")]
    pub topics: Vec<String>,

    /// Partitions of a topic that does not say how many
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub partitions: u32,

    /// Do not make a topic because somebody asked for it
    #[arg(long)]
    pub no_auto_create: bool,

    /// Value of a record
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(..=i64::from(BATCH_BYTES_MAX)))]
    pub record_bytes: u32,

    /// A batch, its header included: as many records as fit, at least one
    #[arg(long, value_name = "BYTES", default_value_t = BATCH_BYTES, value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH_BYTES_MAX)))]
    pub batch_bytes: u32,

    /// Records in every partition at the start [default: endless]
    #[arg(long, value_name = "N")]
    pub records: Option<u64>,

    /// Largest batch that may be produced
    #[arg(long, value_name = "BYTES", default_value_t = MESSAGE_MAX_BYTES, value_parser = clap::value_parser!(u32).range(61..=i64::from(BATCH_BYTES_MAX)))]
    pub message_max_bytes: u32,

    /// Check the CRC of every batch that is produced
    #[arg(long)]
    pub check_crc: bool,
}

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
fn advertised(text: &str) -> Result<(String, Option<u16>), String> {
    let wrong = || format!("{text:?} is not HOST or HOST:PORT");
    let (host, port) = match text.rsplit_once(':') {
        // More than one colon and no bracket: an IPv6 address alone.
        Some((front, _)) if front.contains(':') && !front.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || port == Some(0) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

impl ServeKafkaArgs {
    /// What they mean.
    #[must_use]
    pub fn options(&self) -> TargetOptions {
        TargetOptions {
            listen: self.listen,
            advertise: self.advertise.clone(),
            workers: usize::from(self.workers),
            topics: self.topics.clone(),
            partitions: self.partitions,
            auto_create: !self.no_auto_create,
            record_bytes: self.record_bytes,
            batch_bytes: self.batch_bytes,
            records: self.records,
            message_max_bytes: self.message_max_bytes,
            check_crc: self.check_crc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};

    fn parse(line: &str) -> Result<TargetOptions, String> {
        let command = ServeKafkaArgs::augment_args(clap::Command::new("kafka"));
        let words = ["kafka"].into_iter().chain(line.split_whitespace());
        let matches = command.try_get_matches_from(words);
        let matches = matches.map_err(|e| e.to_string())?;
        let args = ServeKafkaArgs::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        Ok(args.options())
    }

    #[test]
    fn flags_become_options() {
        let plain = TargetOptions {
            listen: ([127, 0, 0, 1], 9092).into(),
            ..TargetOptions::default()
        };
        assert_eq!(parse(""), Ok(plain));
        let line = "--advertise=h:7 --threads=2 --partitions=9 --no-auto-create --record-bytes=0 \
                    --batch-bytes=16384 --topic=a --topic=b --records=0 --message-max-bytes=100 --check-crc";
        let full = parse(line).unwrap();
        assert_eq!(full.advertise, Some(("h".into(), Some(7))));
        assert_eq!((full.workers, full.partitions), (2, 9));
        assert_eq!(full.topics, ["a", "b"]);
        assert_eq!((full.record_bytes, full.batch_bytes), (0, 16384));
        assert_eq!((full.records, full.message_max_bytes), (Some(0), 100));
        assert!(full.check_crc && !full.auto_create);
    }

    #[test]
    fn hosts_are_told_from_ports() {
        let rows = [
            ("h", Some(("h", None))),
            ("h:1", Some(("h", Some(1)))),
            ("::1", Some(("::1", None))),
            ("[::1]:9092", Some(("::1", Some(9092)))),
            ("h:0", None),
            ("h:x", None),
            (":1", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(advertised(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn bad_flags_are_named() {
        for (arg, word) in [
            ("--workers=0", "--workers"),
            ("--partitions=0", "--partitions"),
            ("--batch-bytes=0", "--batch-bytes"),
            ("--record-bytes=99999999", "--record-bytes"),
            ("--message-max-bytes=60", "--message-max-bytes"),
            ("--advertise=h:x", "HOST:PORT"),
            ("--listen=nowhere", "--listen"),
        ] {
            let error = parse(arg).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
