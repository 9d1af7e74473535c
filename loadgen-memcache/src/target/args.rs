//! The flags of `loadgen serve memcache`: what was typed, and nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;

use loadgen_core::workload::Endpoint;

use super::{ITEM_BYTES, ITEM_BYTES_MAX, TargetOptions};

/// Serve the memcached binary protocol from memory, and count everything.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeMemcacheArgs {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:11211")]
    pub listen: SocketAddr,

    /// Unix socket to listen on instead
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    pub unix_socket: Option<PathBuf>,

    /// Threads that serve
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,

    /// Memory for items, MiB, as memcached's -m
    #[arg(short = 'm', long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub memory_mib: u32,

    /// Answer "out of memory" instead of evicting, as memcached's -M
    #[arg(long)]
    pub no_evict: bool,

    /// Largest item: key, value and 56 bytes
    #[arg(long, value_name = "BYTES", default_value_t = ITEM_BYTES, value_parser = clap::value_parser!(u32).range(1024..=i64::from(ITEM_BYTES_MAX)))]
    pub item_max: u32,

    /// Connections at a time; one more is told so in text and closed, as memcached's -c
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_max: u32,

    /// SASL PLAIN that every connection must give first [default: none]
    #[arg(long, value_name = "NAME:PASSWORD", value_parser = user)]
    pub user: Option<(String, String)>,
}

fn user(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() => Ok((name.to_owned(), password.to_owned())),
        // It may be a password.
        _ => Err("give NAME:PASSWORD, with a name and a colon".to_owned()),
    }
}

impl ServeMemcacheArgs {
    /// What they mean.
    #[must_use]
    pub fn options(&self) -> TargetOptions {
        TargetOptions {
            listen: match &self.unix_socket {
                Some(path) => Endpoint::Unix(path.clone()),
                None => Endpoint::Tcp(self.listen),
            },
            workers: usize::from(self.workers),
            memory_bytes: u64::from(self.memory_mib) << 20,
            evict: !self.no_evict,
            item_max_bytes: self.item_max,
            connections_max: self.connections_max as usize,
            user: self.user.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};

    fn parse(line: &str) -> Result<TargetOptions, String> {
        let command = ServeMemcacheArgs::augment_args(clap::Command::new("memcache"));
        let words = ["memcache"].into_iter().chain(line.split_whitespace());
        let matches = command.try_get_matches_from(words);
        let matches = matches.map_err(|e| e.to_string())?;
        let args = ServeMemcacheArgs::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        Ok(args.options())
    }

    #[test]
    fn flags_become_options() {
        let plain = TargetOptions {
            listen: Endpoint::Tcp(([127, 0, 0, 1], 11211).into()),
            ..TargetOptions::default()
        };
        assert_eq!(parse(""), Ok(plain));
        let line = "--unix-socket=/run/x -m 2 --no-evict --item-max=2048 --connections-max=9 --user=a:b:c --workers=3";
        let full = parse(line).unwrap();
        assert_eq!(full.listen, Endpoint::Unix("/run/x".into()));
        assert_eq!((full.memory_bytes, full.evict), (2 << 20, false));
        assert_eq!((full.item_max_bytes, full.connections_max), (2048, 9));
        assert_eq!(full.user, Some(("a".into(), "b:c".into())));
        assert_eq!(full.workers, 3);
    }

    #[test]
    fn bad_flags_are_named() {
        for (arg, word) in [
            ("--memory-mib=0", "--memory-mib"),
            ("--item-max=1", "--item-max"),
            ("--workers=0", "--workers"),
            ("--user=nobody", "NAME:PASSWORD"),
            ("--listen=nowhere", "--listen"),
        ] {
            let error = parse(arg).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
