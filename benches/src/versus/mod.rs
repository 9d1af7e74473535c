//! `versus`: ours and the peers, side by side on the same target.

mod child;
mod compare;
mod difference;
mod goal;
mod http;
mod kafka;
mod lane;
mod machine;
mod memcache;
mod model;
mod render;
mod run;
mod stats;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

pub(crate) use model::on_path;

use compare::{Bench, Only, Side};
use lane::{Lane, Link};
use machine::Machine;
use model::{Peer, Protocol, Setup, Work};
use render::{Absent, Report, Series};
use run::Timing;

use crate::stop;

/// Every protocol; a new one is a line here and a directory beside `http`.
const PROTOCOLS: [&dyn Protocol; 3] = [&http::Http, &memcache::Memcache, &kafka::Kafka];

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Set {
    /// Every work against every peer
    All,
    /// The table of goals
    Goals,
    /// Nothing: print the works and the peers there are
    List,
}

/// What was typed.
#[derive(Args, Debug)]
pub(crate) struct VersusArgs {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    set: Set,
    /// Only this work, repeatable; see `list`
    #[arg(long, value_name = "NAME")]
    work: Vec<String>,
    /// Only this peer, repeatable
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
    /// Only this protocol
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// The network between generator and target [default: both; goals: loopback]
    #[arg(long, value_enum)]
    link: Vec<Link>,
    /// Pairs of runs
    #[arg(long, value_name = "N", default_value_t = 7)]
    pairs: usize,
    /// Measured part of a run, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0)]
    measure: f64,
    /// Warm-up of a run, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warmup: f64,
    /// A long run of the Java tools, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    java: f64,
    /// Payload of a Kafka topic that is read again and again, MB: it lies in memory
    #[arg(long, value_name = "MB", default_value_t = 2000)]
    topic_mb: u64,
    /// Three pairs of one second: to see that it works, not to publish
    #[arg(long)]
    quick: bool,
    /// The loadgen binary [default: built from this checkout in release mode]
    #[arg(long, value_name = "FILE")]
    loadgen: Option<PathBuf>,
    /// Write the Markdown there [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write every run as JSON there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures and writes.
pub(crate) fn run(args: &VersusArgs) -> Result<(), String> {
    let (timing, pairs) = check(args)?;
    let protocols = protocols(args)?;
    if args.set == Set::List {
        list(&protocols);
        return Ok(());
    }
    loadgen_core::host::raise_open_files();
    let program = match &args.loadgen {
        Some(program) if program.is_file() => program.clone(),
        Some(program) => return Err(format!("--loadgen {}: no such file", program.display())),
        None => crate::build::binary("loadgen", "loadgen")?,
    };
    let links = match (&args.link[..], args.set) {
        ([], Set::Goals) => vec![Link::Loopback],
        ([], _) => vec![Link::Loopback, Link::Veth],
        (asked, _) => asked.to_vec(),
    };
    let mut report = Report {
        schema: "loadgen.versus/1",
        machine: Machine::read(),
        timing,
        pairs,
        series: Vec::new(),
    };
    for protocol in protocols {
        for &link in &links {
            if stop::check().is_err() {
                break;
            }
            let series = series(protocol, link, args, &report, &program);
            report.series.push(series);
            // After each series: hours of measuring must not be lost with the last of them.
            write(args, &report)?;
        }
    }
    if args.out.is_none() {
        print!("{}", render::markdown(&report));
    }
    stop::check()
}

fn check(args: &VersusArgs) -> Result<(Timing, usize), String> {
    let (warmup_s, measure_s, slow_s, pairs) = if args.quick {
        (0.5, 1.0, 3.0, 3)
    } else {
        (args.warmup, args.measure, args.java, args.pairs)
    };
    if !(0.0..=600.0).contains(&warmup_s) {
        return Err(format!("--warmup {warmup_s}: 0 to 600 seconds"));
    }
    if !(0.1..=600.0).contains(&measure_s) {
        return Err(format!("--measure {measure_s}: 0.1 to 600 seconds"));
    }
    if !(1.0..=3600.0).contains(&slow_s) {
        return Err(format!("--java {slow_s}: 1 to 3600 seconds"));
    }
    if !(100..=1_000_000).contains(&args.topic_mb) {
        return Err(format!("--topic-mb {}: 100 to 1000000", args.topic_mb));
    }
    if !(1..=1000).contains(&pairs) {
        return Err(format!("--pairs {pairs}: 1 to 1000"));
    }
    let timing = Timing {
        warmup_s,
        measure_s,
        slow_s,
    };
    Ok((timing, pairs))
}

fn protocols(args: &VersusArgs) -> Result<Vec<&'static dyn Protocol>, String> {
    let wanted = |p: &&dyn Protocol| args.protocol.as_ref().is_none_or(|name| name == p.name());
    let found: Vec<_> = PROTOCOLS.into_iter().filter(wanted).collect();
    if let (Some(name), []) = (&args.protocol, &found[..]) {
        return Err(format!("--protocol {name}: there is no such protocol"));
    }
    let known = |what: &str, names: &[String], all: &[String]| {
        let unknown = names.iter().find(|name| !all.contains(name));
        unknown.map_or(Ok(()), |name| {
            Err(format!("--{what} {name}: one of {}", all.join(", ")))
        })
    };
    let works = found.iter().flat_map(|p| p.works());
    let works: Vec<String> = works.map(|w| w.name).collect();
    known("work", &args.work, &works)?;
    let peers = found.iter().flat_map(|p| p.peers(Path::new("")));
    let peers: Vec<String> = peers.map(|p| p.name().to_owned()).collect();
    known("peer", &args.peer, &peers)?;
    Ok(found)
}

fn list(protocols: &[&dyn Protocol]) {
    for protocol in protocols {
        println!("{}", protocol.name());
        for work in protocol.works() {
            println!("  work {}", work.name);
        }
        for peer in protocol.peers(Path::new("loadgen")) {
            let there = peer.program().map_or_else(|why| why, |_| "there".into());
            println!("  peer {:<14} {there}", peer.name());
        }
    }
}

fn series(
    protocol: &dyn Protocol,
    link: Link,
    args: &VersusArgs,
    report: &Report,
    program: &Path,
) -> Series {
    let mut series = Series {
        link,
        protocol: protocol.name(),
        target: None,
        comparisons: Vec::new(),
        goals: Vec::new(),
        absent: Vec::new(),
    };
    let started = Lane::make(link).and_then(|lane| {
        let target = protocol.start(&Setup {
            lane: &lane,
            program,
            topic_bytes: args.topic_mb * 1_000_000,
        })?;
        Ok((target, lane))
    });
    let (target, lane) = match started {
        Ok(started) => started,
        Err(reason) => {
            eprintln!("{link:?}: not measured: {reason}");
            let what = format!("everything over {link:?}");
            series.absent.push(Absent { what, reason });
            return series;
        }
    };
    series.target = Some(target.name());
    let mut bench = Bench::new(lane, target, report.timing, report.pairs);
    bench.only = Only {
        works: args.work.clone(),
        peers: args.peer.clone(),
    };
    let ours = protocol.ours(program);
    if args.set == Set::Goals {
        protocol.goals(&mut bench, &*ours, &mut series);
    } else {
        matrix(&mut bench, protocol, &*ours, program, &mut series);
    }
    series
}

/// Every wanted work against every wanted peer that is there.
fn matrix(
    bench: &mut Bench,
    protocol: &dyn Protocol,
    ours: &dyn Peer,
    program: &Path,
    series: &mut Series,
) {
    let mut peers = protocol.peers(program);
    peers.retain(|peer| bench.only.peer(peer.name()));
    peers.retain(|peer| match peer.program() {
        Ok(_) => true,
        Err(reason) => {
            let what = peer.name().to_owned();
            series.absent.push(Absent { what, reason });
            false
        }
    });
    let works = protocol.works().into_iter();
    let works: Vec<Work> = works.filter(|w| bench.only.work(&w.name)).collect();
    for work in &works {
        for peer in &peers {
            eprintln!("{} over {:?}: {}", work.name, series.link, peer.name());
            let sides = (
                Side { peer: ours, work },
                Side {
                    peer: &**peer,
                    work,
                },
            );
            match bench.compare(sides.0, sides.1) {
                Ok(made) => series.comparisons.push(made),
                Err(reason) => {
                    eprintln!("  not measured: {reason}");
                    let what = format!("{} with {}", work.name, peer.name());
                    series.absent.push(Absent { what, reason });
                }
            }
        }
    }
}

fn write(args: &VersusArgs, report: &Report) -> Result<(), String> {
    let save = |path: &PathBuf, text: String| {
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    if let Some(path) = &args.out {
        save(path, render::markdown(report))?;
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(report);
        save(path, text.map_err(|error| format!("report: {error}"))?)?;
    }
    Ok(())
}
