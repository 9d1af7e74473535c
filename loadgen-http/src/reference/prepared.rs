//! The plan's requests as hyper takes them.
//!
//! Made once; a request sent is a clone, as an application would make one. What hyper's types
//! refuse is said here, before anything is sent.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};

use crate::plan::{HttpPlan, HttpRequest};
use crate::wire::request::{Field, says_close};

/// The body of a request.
pub(super) type Body = Full<Bytes>;

/// All requests of a plan, in its order.
#[derive(Debug)]
pub(super) struct Prepared {
    requests: Vec<One>,
    /// Requests a connection carries before we close it.
    pub(super) per_connection: Option<u64>,
}

#[derive(Debug)]
struct One {
    method: Method,
    target: Uri,
    fields: HeaderMap,
    /// The same for the last request of a connection.
    last_fields: HeaderMap,
    body: Bytes,
}

impl Prepared {
    pub(super) fn new(plan: &HttpPlan) -> Result<Self, String> {
        Ok(Self {
            requests: plan
                .requests()
                .iter()
                .map(One::new)
                .collect::<Result<_, _>>()?,
            per_connection: plan.requests_per_conn(),
        })
    }

    /// Request number `request` of the plan; `last`: of its connection.
    pub(super) fn request(&self, request: u32, last: bool) -> Request<Body> {
        let one = &self.requests[request as usize];
        let mut made = Request::new(Full::new(one.body.clone()));
        *made.method_mut() = one.method.clone();
        *made.uri_mut() = one.target.clone();
        let fields = if last { &one.last_fields } else { &one.fields };
        made.headers_mut().clone_from(fields);
        made
    }

    /// The length of its body, bytes.
    pub(super) fn body_bytes(&self, request: u32) -> u64 {
        self.requests[request as usize].body.len() as u64
    }
}

impl One {
    fn new(request: &HttpRequest) -> Result<Self, String> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|e| format!("--method {}: --client hyper: {e}", request.method))?;
        let target: Uri = (request.url.target.parse())
            .map_err(|e| format!("URL {}: --client hyper: {e}", request.typed))?;
        let fields = header_map(&request.fields)?;
        let mut last_fields = fields.clone();
        if !says_close(&request.fields) {
            last_fields.append(CONNECTION, HeaderValue::from_static("close"));
        }
        let body = request.body.as_ref();
        Ok(Self {
            method,
            target,
            fields,
            last_fields,
            body: body.map_or_else(Bytes::new, |region| region.bytes().clone()),
        })
    }
}

fn header_map(fields: &[Field]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(fields.len() + 1);
    for (name, value) in fields {
        let wrong = |e: &dyn std::fmt::Display| format!("--header {name}: --client hyper: {e}");
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|e| wrong(&e))?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|e| wrong(&e))?;
        map.append(field, value);
    }
    Ok(map)
}
