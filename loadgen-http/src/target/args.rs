//! The flags of `loadgen serve http`: what was typed, and nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;

use loadgen_core::workload::Endpoint;

use super::{Law, Stall, TargetOptions};

/// Serve HTTP/1.1 with a behaviour that is known exactly.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeHttpArgs {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Unix socket to listen on instead
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    pub unix_socket: Option<PathBuf>,

    /// Threads that serve
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,

    /// Service time: none, fixed:D, exp:MEAN or bimodal:D1,D2,P (D2 with probability P)
    #[arg(long, value_name = "LAW", default_value = "none")]
    pub delay: Law,

    /// Hold back every reply for D in every P, counted from the first request
    #[arg(long, value_name = "D/P")]
    pub stall: Option<Stall>,

    /// Reset the connection instead of answering every Nth request
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub reset_every: Option<u64>,

    /// Send half of the body and close on every Nth request
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub truncate_every: Option<u64>,

    /// Close a connection after this many requests [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub keepalive_requests: Option<u64>,

    /// Seed of the delays
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

impl ServeHttpArgs {
    /// What they mean.
    #[must_use]
    pub fn options(&self) -> TargetOptions {
        TargetOptions {
            listen: match &self.unix_socket {
                Some(path) => Endpoint::Unix(path.clone()),
                None => Endpoint::Tcp(self.listen),
            },
            workers: usize::from(self.workers),
            delay: self.delay,
            stall: self.stall,
            reset_every: self.reset_every,
            truncate_every: self.truncate_every,
            keepalive_requests: self.keepalive_requests,
            seed: self.seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};

    fn parse(args: &[&str]) -> Result<TargetOptions, String> {
        let command = ServeHttpArgs::augment_args(clap::Command::new("http"));
        let matches = command
            .try_get_matches_from([&["http"], args].concat())
            .map_err(|e| e.to_string())?;
        let args = ServeHttpArgs::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        Ok(args.options())
    }

    #[test]
    fn flags_become_options() {
        let plain = TargetOptions {
            listen: Endpoint::Tcp(([127, 0, 0, 1], 8080).into()),
            ..TargetOptions::default()
        };
        assert_eq!(parse(&[]), Ok(plain));
        let full = parse(&[
            "--unix-socket=/run/x.sock",
            "--delay=exp:20ms",
            "--stall=100ms/1s",
            "--reset-every=7",
            "--keepalive-requests=100",
        ])
        .unwrap();
        assert_eq!(full.listen, Endpoint::Unix("/run/x.sock".into()));
        assert_eq!(full.delay, "exp:20ms".parse().unwrap());
        assert_eq!(full.reset_every, Some(7));
        assert_eq!(full.keepalive_requests, Some(100));
    }

    #[test]
    fn bad_flags_are_named() {
        for (arg, word) in [
            ("--delay=soon", "--delay"),
            ("--stall=1s/1s", "--stall"),
            ("--reset-every=0", "--reset-every"),
            ("--workers=0", "--workers"),
            ("--listen=nowhere", "--listen"),
        ] {
            let error = parse(&[arg]).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
