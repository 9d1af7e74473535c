//! What the shared flags mean together: the only place that rejects a combination of them.
//!
//! Pure: nothing here may look at the machine.

use std::net::IpAddr;
use std::time::Duration;

use super::UsageError;
use super::addresses::ADDRESSES_MAX;
use super::args::{CommonArgs, Format, LoadArgs, OutputArgs, PlaceArgs};
use crate::driver::SocketOptions;
use crate::engine::EngineOptions;
use crate::pace::{Dispatch, Pacing};
use crate::record::INTERVALS_MAX;
use crate::results::{Caption, require};
use crate::run::Options;
use crate::stop::Stop;

/// When neither -d nor -n is given.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// When -c is not given; a protocol may have a better one.
const CONNECTIONS_DEFAULT: u32 = 10;

/// Below this an interval holds too little to say anything, and is only rows.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

impl CommonArgs {
    /// What was asked for. `command` is the command line, for the document.
    ///
    /// # Errors
    /// One sentence, when two flags contradict each other or a limit is passed.
    pub fn options(&self, command: &[String]) -> Result<Options, UsageError> {
        self.check().map_err(UsageError)?;
        let load = &self.load;
        let pacing = match load.rate {
            None => Pacing::Closed,
            Some(rate_per_s) => Pacing::Open {
                rate_per_s,
                arrival: load.arrival.map_or(crate::pace::Arrival::Fixed, Into::into),
            },
        };
        let stop = match load.requests {
            Some(requests) => Stop::Requests(requests),
            None => Stop::After(load.duration.unwrap_or(DURATION_DEFAULT)),
        };
        let engine = EngineOptions {
            connections: load.connections.unwrap_or(CONNECTIONS_DEFAULT),
            depth: load.depth,
            pacing,
            dispatch: load.dispatch.map_or(Dispatch::Pool, Into::into),
            stop,
            warmup: load.warmup.unwrap_or_default(),
            timeout: load.timeout,
            connect_timeout: load.connect_timeout,
            drain: load.drain.unwrap_or(load.timeout),
            interval: self.output.interval,
            seed: load.seed,
            sockets: self.place.sockets().map_err(UsageError)?,
            discard: !self.place.no_discard,
        };
        let output = &self.output;
        let caption = Caption {
            labels: output.label.clone(),
            command: command.to_vec(),
            requirements: output.require.clone(),
            strict: output.strict,
        };
        Ok(Options {
            engine,
            workers: load.workers.map(|n| n as usize),
            cpus: self.place.cpus.as_ref().map(|list| list.0.clone()),
            unpinned: self.place.no_pin,
            caption,
        })
    }

    /// The client asked for, one of `known`.
    ///
    /// # Errors
    /// One sentence that names those there are.
    pub fn client_of(&self, known: &[&'static str]) -> Result<&'static str, UsageError> {
        let name = self.client.name.as_str();
        let found = known.iter().find(|one| **one == name);
        found.copied().ok_or_else(|| {
            let known = known.join(" or ");
            UsageError(format!("--client {name} is not there; it is {known}"))
        })
    }

    fn check(&self) -> Result<(), String> {
        self.load.check()?;
        self.place.check()?;
        self.output.check()?;
        let window = self.load.window();
        let intervals = window.as_nanos() / self.output.interval.as_nanos().max(1);
        if intervals > INTERVALS_MAX as u128 {
            return Err(format!(
                "--interval {:?} makes {intervals} intervals of -d {window:?}, above the limit of {INTERVALS_MAX}",
                self.output.interval
            ));
        }
        Ok(())
    }
}

impl LoadArgs {
    /// The planned window; zero when it is not known.
    fn window(&self) -> Duration {
        match self.requests {
            Some(_) => Duration::ZERO,
            None => self.duration.unwrap_or(DURATION_DEFAULT),
        }
    }

    fn check(&self) -> Result<(), String> {
        if let (Some(duration), Some(requests)) = (self.duration, self.requests) {
            return Err(format!(
                "-d {duration:?} and -n {requests} both say when to stop; give one of them"
            ));
        }
        if let (Some(warmup), Some(requests)) = (self.warmup, self.requests)
            && !warmup.is_zero()
        {
            return Err(format!(
                "--warmup {warmup:?} needs -d: with -n {requests} every request counts"
            ));
        }
        let connections = self.connections.unwrap_or(CONNECTIONS_DEFAULT);
        if let Some(workers) = self.workers
            && workers > connections
        {
            return Err(format!(
                "-t {workers} is more workers than -c {connections} connections; each worker needs one"
            ));
        }
        if self.rate.is_none() && self.arrival.is_some() {
            return Err("--arrival needs --rate: in a closed loop replies set the pace".to_owned());
        }
        if self.rate.is_none() && self.dispatch.is_some() {
            return Err(
                "--dispatch needs --rate: in a closed loop each connection asks for itself"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

impl PlaceArgs {
    fn check(&self) -> Result<(), String> {
        if self.no_pin && self.cpus.is_some() {
            return Err("--cpus names CPUs to pin to, --no-pin pins to none; give one".to_owned());
        }
        Ok(())
    }

    fn sockets(&self) -> Result<SocketOptions, String> {
        let all = self.bind_ip.iter().map(|ips| ips.0.len()).sum::<usize>();
        if all > ADDRESSES_MAX {
            return Err(format!(
                "--bind-ip stands for {all} addresses, above the limit of {ADDRESSES_MAX}"
            ));
        }
        let bind_ips: Vec<IpAddr> = self.bind_ip.iter().flat_map(|ips| ips.0.clone()).collect();
        Ok(SocketOptions {
            nagle: self.nagle,
            receive_buffer_bytes: self.recv_buf,
            send_buffer_bytes: self.send_buf,
            bind_ips,
            source_ports: self.source_ports,
        })
    }
}

impl OutputArgs {
    /// What stdout carries: `--format`, or the document for a bare `--json`.
    #[must_use]
    pub fn rendering(&self) -> Format {
        match self.json {
            Some(None) => Format::Json,
            _ => self.format.unwrap_or(Format::Text),
        }
    }

    fn check(&self) -> Result<(), String> {
        if let (Some(None), Some(format)) = (&self.json, self.format)
            && format != Format::Json
        {
            return Err(format!(
                "--json and --format {} both name what stdout carries; --json=FILE writes the document to a file besides",
                format!("{format:?}").to_lowercase()
            ));
        }
        for expr in &self.require {
            require::parse(expr).map_err(|why| format!("--require: {why}"))?;
        }
        if self.interval < INTERVAL_MIN {
            return Err(format!(
                "--interval {:?} is below the limit of {INTERVAL_MIN:?}",
                self.interval
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::pace::Arrival;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        common: CommonArgs,
    }

    fn typed(line: &str) -> Result<CommonArgs, clap::Error> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Program::try_parse_from(words).map(|program| program.common)
    }

    fn options(line: &str) -> Options {
        typed(line).unwrap().options(&[]).unwrap()
    }

    fn refused(line: &str) -> String {
        match typed(line) {
            Ok(args) => args.options(&[]).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let typed = format!("{:?}", options("").engine);
        assert_eq!(typed, format!("{:?}", EngineOptions::default()));
    }

    #[test]
    fn flags_reach_their_options() {
        let all = options(
            "-t 2 -c100 -R 1.5k --arrival poisson --dispatch pinned --depth 4 -d 1m --warmup 2s \
             --timeout 3s --connect-timeout 1s --interval 100ms --cpus 3,1 --bind-ip 10.0.0.8/30,::1 \
             --source-ports 1000-1999 --recv-buf 64Ki --nagle --no-discard --seed 7 --strict \
             --label a=b --require response_time.p99<2ms",
        );
        let engine = &all.engine;
        let open = Pacing::Open {
            rate_per_s: 1500.0,
            arrival: Arrival::Poisson,
        };
        assert_eq!(engine.pacing, open);
        assert_eq!(engine.dispatch, Dispatch::Pinned);
        assert_eq!((engine.connections, engine.depth, engine.seed), (100, 4, 7));
        assert_eq!(engine.stop, Stop::After(Duration::from_secs(60)));
        assert_eq!(engine.warmup, Duration::from_secs(2));
        assert_eq!(engine.drain, Duration::from_secs(3), "the timeout");
        assert_eq!(engine.interval, Duration::from_millis(100));
        assert_eq!(engine.sockets.bind_ips.len(), 3);
        assert_eq!(engine.sockets.receive_buffer_bytes, Some(65_536));
        assert!(engine.sockets.nagle && !engine.discard && all.caption.strict);
        assert_eq!((all.workers, all.cpus), (Some(2), Some(vec![3, 1])));
        assert_eq!(all.caption.labels[0].value, "b");
        assert_eq!(all.caption.requirements, ["response_time.p99<2ms"]);
        assert_eq!(options("-n 10k").engine.stop, Stop::Requests(10_000));
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        for (line, parts) in [
            ("-d 5 -n 10", ["-d 5s", "-n 10"]),
            ("-n 10 --warmup 1s", ["--warmup 1s", "-n 10"]),
            ("-t 3 -c 2", ["-t 3", "-c 2"]),
            ("--arrival poisson", ["--arrival", "--rate"]),
            ("--dispatch pool", ["--dispatch", "--rate"]),
            ("--cpus 1 --no-pin", ["--cpus", "--no-pin"]),
            ("--json --format csv", ["--json", "--format csv"]),
            ("--interval 1ms", ["--interval 1ms", "10ms"]),
            ("-d 300h --interval 10ms", ["--interval 10ms", "1000000"]),
            ("--bind-ip 10.0.0.0/16,10.1.0.0/16", ["--bind-ip", "65536"]),
            ("--driver uring", ["--driver", "epoll"]),
            ("--require p98<2", ["--require", "p98"]),
            ("-c 0", ["--connections", "limit of 1"]),
            ("-R 0", ["--rate", "0"]),
            ("-d 0", ["--duration", "limit"]),
            ("-d 5x", ["--duration", "5x"]),
            ("--cpus 1-", ["--cpus", "1-"]),
            ("--source-ports 5", ["--source-ports", "LO-HI"]),
            ("--label x", ["--label", "KEY=VALUE"]),
            ("--percentiles 50,200", ["--percentiles", "200"]),
        ] {
            let text = refused(line);
            for part in parts {
                assert!(text.contains(part), "{line}: {text}");
            }
        }
    }

    #[test]
    fn json_alone_is_a_rendering_and_with_a_file_is_not() {
        let rendering = |line| typed(line).unwrap().output.rendering();
        assert_eq!(rendering(""), Format::Text);
        assert_eq!(rendering("--json"), Format::Json);
        assert_eq!(rendering("--json=x"), Format::Text);
        assert_eq!(rendering("--json=x --format wrk"), Format::Wrk);
        let file = typed("--json=x").unwrap().output.json;
        assert_eq!(file, Some(Some("x".into())));
    }

    #[test]
    fn a_client_that_is_not_there_is_refused() {
        let args = typed("--client curl").unwrap();
        let text = args
            .client_of(&["native", "hyper"])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("curl") && text.contains("native or hyper"),
            "{text}"
        );
        assert_eq!(typed("").unwrap().client_of(&["native"]), Ok("native"));
    }

    #[test]
    fn every_flag_states_its_default() {
        use clap::CommandFactory;
        let command = Program::command();
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            if id == "help" {
                continue;
            }
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let stated = help.contains("[default: ") || !arg.get_default_values().is_empty();
            assert!(stated, "--{id} does not say its default: {help}");
        }
    }
}
