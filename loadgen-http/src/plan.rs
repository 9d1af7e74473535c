//! What was asked for, judged: the one place that refuses a combination.
//!
//! [`HttpSpec`] is what a user or a program says, [`HttpPlan`] what will be done. Names are
//! looked up here, once; nothing connects.

use std::path::PathBuf;

use bytes::Bytes;
use loadgen_core::address;
use loadgen_core::buffer::Region;
use loadgen_core::host;
pub use loadgen_core::plan::PlanError;
use loadgen_core::plan::refuse;
use loadgen_core::workload::{Endpoint, Route, RouteId};
use serde_json::{Value, json};

use crate::url::{Url, host_and_port};
use crate::wire::head::is_token;
use crate::wire::request::{self, Field};

/// The most URLs of one run.
pub const URLS_MAX: usize = 1024;
/// The largest weight of one URL.
pub const WEIGHT_MAX: u32 = 1000;

/// A URL and how often it is asked, relative to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedUrl {
    /// As typed.
    pub url: String,
    /// 1 to [`WEIGHT_MAX`].
    pub weight: u32,
}

impl WeightedUrl {
    /// Reads `URL` or `WEIGHT@URL`.
    ///
    /// # Errors
    /// [`PlanError::Refused`], when what stands before the `@` is no weight.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let weighted = text
            .split_once('@')
            .filter(|(before, after)| !before.contains("://") && after.contains("://"));
        let Some((weight, url)) = weighted else {
            return Ok(text.into());
        };
        match weight.parse() {
            Ok(weight) => Ok(Self {
                url: url.to_owned(),
                weight,
            }),
            Err(_) => refuse(format!(
                "{text}: before the @ stands a weight, a whole number from 1 to {WEIGHT_MAX}, not \
                 {weight}"
            )),
        }
    }
}

impl From<&str> for WeightedUrl {
    fn from(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            weight: 1,
        }
    }
}

/// What to ask, as said by a user or a program. [`HttpPlan::new`] judges it.
#[derive(Clone, Debug, Default)]
pub struct HttpSpec {
    /// Where to; one at least.
    pub urls: Vec<WeightedUrl>,
    /// The method; `None`: GET, or POST with a body.
    pub method: Option<String>,
    /// Header fields, sent in this order; duplicates are sent as often as given. A field that
    /// loadgen would send itself takes the place of it.
    pub headers: Vec<Field>,
    /// The body of every request.
    pub body: Option<Bytes>,
    /// Requests a connection carries before we close it; `None`: no limit.
    pub requests_per_conn: Option<u64>,
    /// What `Host` says, instead of the URL's host.
    pub host: Option<String>,
    /// `HOST:PORT` that all connections go to, instead of the URLs' hosts.
    pub connect_to: Option<String>,
    /// The unix socket that all connections go to.
    pub unix_socket: Option<PathBuf>,
}

/// One kind of request: a URL and everything that is sent to it.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// The URL as typed.
    pub typed: String,
    /// The URL, taken apart.
    pub url: Url,
    /// How often it is asked, relative to the others.
    pub weight: u32,
    /// Where it goes: a position in [`HttpPlan::routes`].
    pub route: RouteId,
    /// The method.
    pub method: String,
    /// All header fields that are sent, in order: Host, User-Agent and Content-Length too.
    pub fields: Vec<Field>,
    /// The body, if there is one.
    pub body: Option<Region>,
}

/// What will be done.
#[derive(Clone, Debug)]
pub struct HttpPlan {
    requests: Vec<HttpRequest>,
    routes: Vec<Route>,
    /// Addresses that are left out.
    without_route: Vec<Endpoint>,
    method: String,
    requests_per_conn: Option<u64>,
    spec: HttpSpec,
}

/// Parts addresses into those to use and those this host cannot reach.
pub(crate) type Reach = fn(Vec<Endpoint>) -> (Vec<Endpoint>, Vec<Endpoint>);

impl HttpPlan {
    /// Judges a spec and looks up its names.
    ///
    /// # Errors
    /// [`PlanError`]: one sentence with the flag, the limit and the value.
    pub fn new(spec: HttpSpec) -> Result<Self, PlanError> {
        Self::judge(spec, host::with_route)
    }

    /// The same, told which addresses can be reached.
    pub(crate) fn judge(spec: HttpSpec, reach: Reach) -> Result<Self, PlanError> {
        let urls = read_urls(&spec.urls)?;
        let method = method(&spec)?;
        check_headers(&spec)?;
        let requests_per_conn = requests_per_conn(&spec)?;
        let body = spec.body.clone().map(Region::new);
        let diverted = diverted(&spec)?;
        let mut plan = Self {
            requests: Vec::with_capacity(urls.len()),
            routes: Vec::new(),
            without_route: Vec::new(),
            method,
            requests_per_conn,
            spec,
        };
        for (position, url) in urls.into_iter().enumerate() {
            let WeightedUrl { url: typed, weight } = plan.spec.urls[position].clone();
            let route = match &diverted {
                Some(endpoints) => plan.route(&url, weight, reach, || Ok(endpoints.clone()))?,
                None => {
                    let what = format!("URL {} ({typed})", position + 1);
                    plan.route(&url, weight, reach, || look_up(&what, &url.host, url.port))?
                }
            };
            let host = plan.spec.host.clone().unwrap_or_else(|| url.authority());
            let content = plan.spec.body.as_ref();
            let fields = request::fields(&plan.method, &host, &plan.spec.headers, content);
            plan.requests.push(HttpRequest {
                typed,
                url,
                weight,
                route,
                method: plan.method.clone(),
                fields,
                body: body.clone(),
            });
        }
        Ok(plan)
    }

    /// The route of a URL's origin, made when it is the first one there.
    fn route(
        &mut self,
        url: &Url,
        weight: u32,
        reach: Reach,
        endpoints: impl FnOnce() -> Result<Vec<Endpoint>, PlanError>,
    ) -> Result<RouteId, PlanError> {
        let name = url.origin();
        if let Some(at) = self.routes.iter().position(|route| route.name == name) {
            self.routes[at].weight += weight;
            self.routes[at].rate_weight += weight;
            return Ok(at);
        }
        let (endpoints, without_route) = reach(endpoints()?);
        for endpoint in without_route {
            if !self.without_route.contains(&endpoint) {
                self.without_route.push(endpoint);
            }
        }
        self.routes.push(Route {
            name,
            endpoints,
            weight,
            rate_weight: weight,
            paced: true,
        });
        Ok(self.routes.len() - 1)
    }

    /// The requests, in the order of the URLs.
    #[must_use]
    pub fn requests(&self) -> &[HttpRequest] {
        &self.requests
    }

    /// One per host and port, with every address that was found and that this host has a route to.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The method of all requests.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Requests a connection carries before we close it; `None`: no limit.
    #[must_use]
    pub fn requests_per_conn(&self) -> Option<u64> {
        self.requests_per_conn
    }

    /// What a user should know though it is allowed, at `depth` requests in flight.
    #[must_use]
    pub fn notes(&self, depth: u32) -> Vec<String> {
        let idempotent = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"];
        let mut notes = Vec::new();
        if depth > 1 && !idempotent.contains(&self.method.as_str()) {
            notes.push(format!(
                "{} is not idempotent: when a connection is lost, nobody knows which of the \
                 {depth} requests in flight took effect (RFC 9112 9.3.2)",
                self.method
            ));
        }
        if !self.without_route.is_empty() {
            let addresses = self.addresses_without_route().join(", ");
            notes.push(format!(
                "left out, because this host has no route to it: {addresses}"
            ));
        }
        notes
    }

    fn addresses_without_route(&self) -> Vec<String> {
        self.without_route.iter().map(Endpoint::to_string).collect()
    }

    /// What goes into `plan.http` of the document. Header values and bodies may be secret: names
    /// and sizes only.
    #[must_use]
    pub fn document(&self) -> Value {
        let names = |fields: &[Field]| -> Vec<String> {
            fields.iter().map(|(name, _)| name.clone()).collect()
        };
        let url = |request: &HttpRequest| json!({"url": request.typed, "weight": request.weight});
        json!({
            "urls": self.requests.iter().map(url).collect::<Vec<_>>(),
            "method": self.method,
            "headers": self.requests.first().map(|request| names(&request.fields)),
            "body_bytes": self.spec.body.as_ref().map_or(0, Bytes::len),
            "requests_per_conn": self.requests_per_conn,
            "host": self.spec.host,
            "connect_to": self.spec.connect_to,
            "addresses_without_route": self.addresses_without_route(),
            "unix_socket": self.spec.unix_socket.as_ref().map(|path| path.display().to_string()),
        })
    }
}

fn read_urls(urls: &[WeightedUrl]) -> Result<Vec<Url>, PlanError> {
    if urls.is_empty() || urls.len() > URLS_MAX {
        return refuse(format!(
            "give from 1 to {URLS_MAX} URLs, not {}",
            urls.len()
        ));
    }
    let read = |(position, WeightedUrl { url, weight }): (usize, &WeightedUrl)| {
        let what = format!("URL {} ({url})", position + 1);
        if !(1..=WEIGHT_MAX).contains(weight) {
            return refuse(format!(
                "{what}: a weight is from 1 to {WEIGHT_MAX}, not {weight}"
            ));
        }
        Url::parse(url).or_else(|why| refuse(format!("{what}: {why}")))
    };
    urls.iter().enumerate().map(read).collect()
}

fn method(spec: &HttpSpec) -> Result<String, PlanError> {
    let Some(method) = &spec.method else {
        let with_body = if spec.body.is_some() { "POST" } else { "GET" };
        return Ok(with_body.to_owned());
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return refuse(format!("--method: {method:?} is no method"));
    }
    let upper = method.to_ascii_uppercase();
    let known = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    if known.contains(&upper.as_str()) && *method != upper {
        return refuse(format!(
            "--method: methods are case-sensitive; write {upper}, not {method}"
        ));
    }
    if upper == "CONNECT" {
        return refuse("--method: CONNECT opens a tunnel, there is nothing in it to measure");
    }
    if upper == "TRACE" && spec.body.is_some() {
        return refuse("--method: TRACE must not carry a body (RFC 9110 9.3.8)");
    }
    Ok(method.clone())
}

fn check_headers(spec: &HttpSpec) -> Result<(), PlanError> {
    let mut hosts = u32::from(spec.host.is_some());
    let mut lengths = 0;
    for (name, value) in &spec.headers {
        if name.is_empty() || !name.bytes().all(is_token) {
            return refuse(format!("--header: {name:?} is no field name"));
        }
        check_value(&format!("--header {name}"), value)?;
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "transfer-encoding" => {
                return refuse(format!(
                    "--header {name}: bodies are sent with Content-Length, so this would be a lie"
                ));
            }
            "content-length" => {
                lengths += 1;
                let bytes = spec.body.as_ref().map_or(0, Bytes::len);
                if value.parse() != Ok(bytes) {
                    return refuse(format!(
                        "--header {name}: it says {value}, the body has {bytes} bytes"
                    ));
                }
            }
            _ => {}
        }
    }
    if hosts > 1 {
        return refuse(format!(
            "a request has one Host (RFC 9112 3.2), here are {hosts}"
        ));
    }
    if lengths > 1 {
        return refuse(format!(
            "a request has one Content-Length, here are {lengths}"
        ));
    }
    match &spec.host {
        Some(host) if host.is_empty() => refuse("--host: the name is empty"),
        Some(host) => check_value("--host", host),
        None => Ok(()),
    }
}

fn check_value(what: &str, value: &str) -> Result<(), PlanError> {
    match value.chars().find(|c| c.is_ascii_control() && *c != '\t') {
        Some(odd) => refuse(format!("{what}: a field value has no {odd:?}")),
        None => Ok(()),
    }
}

fn requests_per_conn(spec: &HttpSpec) -> Result<Option<u64>, PlanError> {
    match spec.requests_per_conn {
        Some(0) => refuse("--requests-per-conn: a connection carries 1 request at least, not 0"),
        // Who asks for the close must not send again (RFC 9112 9.6), and targets ignore it.
        limit if request::says_close(&spec.headers) => match limit {
            None | Some(1) => Ok(Some(1)),
            Some(limit) => refuse(format!(
                "--requests-per-conn {limit}: the header Connection: close allows 1"
            )),
        },
        limit => Ok(limit),
    }
}

/// Where all connections go, when it is not where the URLs say.
fn diverted(spec: &HttpSpec) -> Result<Option<Vec<Endpoint>>, PlanError> {
    match (&spec.connect_to, &spec.unix_socket) {
        (Some(_), Some(_)) => refuse("--connect-to and --unix-socket exclude each other"),
        (None, None) => Ok(None),
        (Some(place), None) => {
            let what = format!("--connect-to {place}");
            match host_and_port(place) {
                Ok((host, Some(port))) => look_up(&what, &host, port).map(Some),
                Ok((_, None)) => refuse(format!("{what}: give HOST:PORT, the port is missing")),
                Err(why) => refuse(format!("{what}: {why}")),
            }
        }
        (None, Some(path)) => {
            let endpoint =
                address::unix(path).or_else(|why| refuse(format!("--unix-socket: {why}")))?;
            Ok(Some(vec![endpoint]))
        }
    }
}

fn look_up(what: &str, host: &str, port: u16) -> Result<Vec<Endpoint>, PlanError> {
    address::look_up(host, port).map_err(|why| PlanError::Target(format!("{what}: {why}")))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
