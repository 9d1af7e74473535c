//! What can be typed: the shared flags, their units and their defaults.
//!
//! Nothing here may reject a combination; see [`CommonArgs::options`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::addresses::BindIps;
use super::values;
use crate::driver::PortRange;
use crate::pace::{Arrival, Dispatch};
use crate::results::Label;

/// Every shared flag.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// How much load, in which shape.
    #[command(flatten)]
    pub load: LoadArgs,
    /// From which CPUs, addresses and sockets.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Which client makes it.
    #[command(flatten)]
    pub client: ClientArgs,
    /// What is said about it, and where.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How much load, in which shape.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// Worker threads [default: one per allowed CPU, never more than connections]
    #[arg(short = 't', long, alias = "threads", value_name = "N", value_parser = values::positive_u32)]
    pub workers: Option<u32>,

    /// Connections, in total [default: 10]
    #[arg(short = 'c', long, value_name = "N", value_parser = values::positive_u32)]
    pub connections: Option<u32>,

    /// Length of the measured window [default: 10s, unless -n is given]
    #[arg(short = 'd', long, value_name = "TIME", value_parser = values::time_span)]
    pub duration: Option<Duration>,

    /// Stop after so many requests, in total, and wait for all of them [default: stop by time]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = values::positive)]
    pub requests: Option<u64>,

    /// Open loop at so many requests per second, in total [default: closed loop, as fast as
    /// replies come]
    #[arg(short = 'R', long, value_name = "PER_SECOND", value_parser = values::rate)]
    pub rate: Option<f64>,

    /// Gaps between requests of an open loop [default: fixed]
    #[arg(long, value_name = "LAW", value_enum)]
    pub arrival: Option<ArrivalArg>,

    /// Requests in flight on a connection, at most
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::positive_u32)]
    pub depth: u32,

    /// How a due request of an open loop finds its connection: the one with the fewest in flight,
    /// or always the same (independent users) [default: pool]
    #[arg(long, value_name = "HOW", value_enum)]
    pub dispatch: Option<DispatchArg>,

    /// Load before the measured window [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub warmup: Option<Duration>,

    /// How long a request may take, from sent; then its connection is closed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::time_span)]
    pub timeout: Duration,

    /// How long a connection may take to be made
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::time_span)]
    pub connect_timeout: Duration,

    /// How long requests in flight are waited for at the end [default: the --timeout]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub drain: Option<Duration>,

    /// Seed of everything random: the same seed gives the same schedule
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
}

/// From which CPUs, addresses and sockets.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Machine and network")]
pub struct PlaceArgs {
    /// CPUs the workers are pinned to, such as 2-5,8, in the order of the workers [default: the
    /// allowed ones]
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    pub cpus: Option<CpuList>,

    /// Leave the workers to the scheduler [default: pinned]
    #[arg(long)]
    pub no_pin: bool,

    /// Local addresses, dealt over the connections: a list, or networks as 10.0.0.0/24; at most
    /// 65,536 [default: the kernel's choice]
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub bind_ip: Vec<BindIps>,

    /// Local ports, dealt in order, so that two runs use the same [default: the kernel's choice]
    #[arg(long, value_name = "LO-HI")]
    pub source_ports: Option<PortRange>,

    /// Receive buffer of each socket (SO_RCVBUF), such as 256Ki [default: the kernel tunes it]
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub recv_buf: Option<usize>,

    /// Send buffer of each socket (SO_SNDBUF) [default: the kernel tunes it]
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub send_buf: Option<usize>,

    /// Leave Nagle's algorithm on [default: off, TCP_NODELAY]
    #[arg(long)]
    pub nagle: bool,

    /// Copy every received byte to user space [default: bytes that are only counted are discarded
    /// in the kernel]
    #[arg(long)]
    pub no_discard: bool,
}

/// Which client makes the load.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct ClientArgs {
    /// Ours (native), or an ordinary client library, for what an application would see
    #[arg(long = "client", value_name = "NAME", default_value = "native")]
    pub name: String,

    /// How bytes reach a worker
    #[arg(
        long,
        value_name = "NAME",
        value_enum,
        default_value = "epoll",
        hide = true
    )]
    pub driver: DriverArg,
}

/// What is said about the run, and where.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Results")]
pub struct OutputArgs {
    /// Print the results document instead of the report; with =FILE, write it there besides
    /// [default: no document]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub json: Option<Option<PathBuf>>,

    /// What stdout carries [default: text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<Format>,

    /// Percentiles of the text report
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "50,90,99,99.9",
        value_parser = values::percentile
    )]
    pub percentiles: Vec<f64>,

    /// Length of an interval of the time series; at least 10ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::time_span)]
    pub interval: Duration,

    /// Write the intervals to FILE, one JSON object a line [default: only in the document]
    #[arg(long, value_name = "FILE")]
    pub timeseries: Option<PathBuf>,

    /// Exit 1 unless this is true, such as 'response_time.p99<2ms'; any numeric path of summary;
    /// may be repeated [default: nothing is required]
    #[arg(long, value_name = "EXPR")]
    pub require: Vec<String>,

    /// Doubts invalidate the run too [default: only invalidating findings do]
    #[arg(long)]
    pub strict: bool,

    /// Put a label on the document; may be repeated [default: none]
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::label)]
    pub label: Vec<Label>,

    /// No progress, no findings, no hints on stderr [default: all of them]
    #[arg(long)]
    pub quiet: bool,

    /// Print the plan as JSON and send nothing [default: run]
    #[arg(long)]
    pub dry_run: bool,
}

/// A rendering of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The report for people
    Text,
    /// The document itself
    Json,
    /// The report of wrk, for programs that read it
    Wrk,
    /// One header and one row: the numbers of summary
    Csv,
}

/// `--arrival`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArrivalArg {
    /// Equal gaps
    Fixed,
    /// Exponential gaps: independent users
    Poisson,
}

impl From<ArrivalArg> for Arrival {
    fn from(arg: ArrivalArg) -> Self {
        match arg {
            ArrivalArg::Fixed => Self::Fixed,
            ArrivalArg::Poisson => Self::Poisson,
        }
    }
}

/// `--dispatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DispatchArg {
    /// The connection with the fewest requests in flight
    Pool,
    /// Request n belongs to connection n mod connections
    Pinned,
}

impl From<DispatchArg> for Dispatch {
    fn from(arg: DispatchArg) -> Self {
        match arg {
            DispatchArg::Pool => Self::Pool,
            DispatchArg::Pinned => Self::Pinned,
        }
    }
}

/// `--driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DriverArg {
    /// Real sockets
    Epoll,
    /// A scripted target on a virtual clock: a whole run takes milliseconds and no socket
    Sim,
}

/// `--cpus`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(pub Vec<u32>);

fn cpu_list(text: &str) -> Result<CpuList, String> {
    crate::host::cpus::parse_list(text).map(CpuList)
}
