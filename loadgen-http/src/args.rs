//! The flags of `loadgen http` that no other protocol has. What they mean is `plan`'s business.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;

use crate::plan::{HttpSpec, PlanError, WeightedUrl};
use crate::wire::request::Field;

/// What was typed.
#[derive(Args, Clone, Debug, Default)]
pub struct HttpArgs {
    /// Where to, as [WEIGHT@]http://HOST[:PORT][/PATH]; several are mixed evenly, 9@URL is asked
    /// nine times as often as 1@URL [default weight: 1]
    #[arg(value_name = "URL", required = true)]
    pub urls: Vec<String>,

    /// Method [default: GET, or POST with --body]
    #[arg(short = 'm', long, value_name = "METHOD", help_heading = "HTTP")]
    pub method: Option<String>,

    /// Header field "Name: value", repeatable; takes the place of what is sent otherwise
    /// [default: Host, User-Agent, and Content-Length with a body]
    #[arg(
        short = 'H',
        long = "header",
        value_name = "FIELD",
        help_heading = "HTTP"
    )]
    pub headers: Vec<String>,

    /// Body of every request: TEXT, or the content of a file with @FILE [default: none]
    #[arg(
        short = 'b',
        long,
        value_name = "TEXT|@FILE",
        allow_hyphen_values = true,
        help_heading = "HTTP"
    )]
    pub body: Option<String>,

    /// Requests a connection carries before we close it; 1: a new connection for each request
    /// [default: no limit]
    #[arg(long, value_name = "N", help_heading = "HTTP")]
    pub requests_per_conn: Option<u64>,

    /// Same as --requests-per-conn 1
    #[arg(long, conflicts_with = "requests_per_conn", help_heading = "HTTP")]
    pub disable_keepalive: bool,

    /// What the Host header says [default: the URL's host, with its port unless that is 80]
    #[arg(long, value_name = "NAME", help_heading = "HTTP")]
    pub host: Option<String>,

    /// Connect there, whatever the URLs say [default: the URL's host and port]
    #[arg(long, value_name = "HOST:PORT", help_heading = "HTTP")]
    pub connect_to: Option<String>,

    /// Connect to this unix socket, whatever the URLs say [default: none]
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "connect_to",
        help_heading = "HTTP"
    )]
    pub unix_socket: Option<PathBuf>,

    /// Same as --depth: requests in flight on a connection
    #[arg(
        short = 'p',
        long,
        value_name = "N",
        hide = true,
        help_heading = "HTTP"
    )]
    pub pipeline: Option<u32>,
}

impl HttpArgs {
    /// What was typed, for [`crate::plan::HttpPlan::new`] to judge. Reads the body's file.
    ///
    /// # Errors
    /// [`PlanError::Refused`]: a weight or a header that is none, a file that cannot be read.
    pub fn spec(&self) -> Result<HttpSpec, PlanError> {
        let urls = self.urls.iter().map(|url| WeightedUrl::parse(url));
        let headers = self.headers.iter().map(|header| field(header));
        let limit = if self.disable_keepalive {
            Some(1)
        } else {
            self.requests_per_conn
        };
        Ok(HttpSpec {
            urls: urls.collect::<Result<_, _>>()?,
            method: self.method.clone(),
            headers: headers.collect::<Result<_, _>>()?,
            body: self.body.as_deref().map(body).transpose()?,
            requests_per_conn: limit,
            host: self.host.clone(),
            connect_to: self.connect_to.clone(),
            unix_socket: self.unix_socket.clone(),
        })
    }
}

fn field(text: &str) -> Result<Field, PlanError> {
    let (name, value) = text.split_once(':').ok_or_else(|| {
        PlanError::Refused(format!(
            "--header {text:?}: write \"Name: value\", the colon is missing"
        ))
    })?;
    let blank = [' ', '\t'];
    Ok((
        name.trim_matches(blank).to_owned(),
        value.trim_matches(blank).to_owned(),
    ))
}

fn body(text: &str) -> Result<Bytes, PlanError> {
    match text.strip_prefix('@') {
        None => Ok(Bytes::copy_from_slice(text.as_bytes())),
        Some(path) => std::fs::read(path)
            .map(Bytes::from)
            .map_err(|error| PlanError::Refused(format!("--body @{path}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, Parser};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        http: HttpArgs,
    }

    fn spec(args: &[&str]) -> Result<HttpSpec, PlanError> {
        let cli = Cli::try_parse_from([&["x"], args].concat());
        cli.unwrap_or_else(|error| panic!("{error}")).http.spec()
    }

    #[test]
    fn clap_accepts_the_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn weights_headers_and_bodies_are_read() {
        let spec = spec(&[
            "9@http://a/x@y",
            "http://b/",
            "-H",
            "X-A:1",
            "-HX-B:  2 ",
            "-H",
            "X-C:",
            "-b",
            "-t",
            "--disable-keepalive",
        ])
        .unwrap();
        assert_eq!(
            spec.urls[0],
            WeightedUrl {
                url: "http://a/x@y".into(),
                weight: 9
            }
        );
        assert_eq!(spec.urls[1], "http://b/".into());
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            spec.headers,
            [field("X-A", "1"), field("X-B", "2"), field("X-C", "")]
        );
        assert_eq!(spec.body.as_deref(), Some(b"-t".as_slice()));
        assert_eq!(spec.requests_per_conn, Some(1));
    }

    #[test]
    fn a_body_may_come_from_a_file() {
        let manifest = concat!("@", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let body = spec(&["http://a/", "-b", manifest]).unwrap().body.unwrap();
        assert!(body.starts_with(b"[package]"));
        let missing = spec(&["http://a/", "-b", "@/no/such/file"])
            .unwrap_err()
            .to_string();
        assert!(missing.starts_with("--body @/no/such/file: "), "{missing}");
    }

    #[test]
    fn what_is_no_header_or_weight_is_refused_by_name() {
        let refused = |args: &[&str]| spec(args).unwrap_err().to_string();
        assert!(refused(&["http://a/", "-H", "Nonsense"]).contains("\"Nonsense\""));
        assert!(refused(&["x@http://a/"]).contains("not x"));
        assert!(refused(&["1.5@http://a/"]).contains("not 1.5"));
    }
}
