//! HTTP connections for core's replay, and what it sees in the words of HTTP.
//!
//! The fuzz target uses it too.

use std::sync::Arc;

use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{Cause, Phase, Session, Then};
use loadgen_core::replay::{self, Replay, Skips};
use loadgen_core::time::Tick;
use loadgen_http::HttpSession;
use loadgen_http::wire::request::Template;

/// What became of one request, or of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A reply: its code, its payload, the wire bytes up to its end, whether the connection closes.
    Reply(u16, u64, u64, bool),
    /// The session gave up.
    Fault(Phase, Cause),
    /// The target closed in the middle of a reply.
    Truncated,
    /// The target closed before anything of it.
    ClosedBeforeReply,
    /// The target left the reply unfinished and the connection open.
    Waiting,
}

/// A connection with these requests in flight, by method; the last of them says so when `limited`.
pub(crate) fn connection(methods: &[&str], limited: bool, skips: Skips) -> Replay<HttpSession> {
    let template = |method: &&str| Template::new(method, "/", &[], None);
    let templates: Arc<[Template]> = methods.iter().map(template).collect();
    let limit = limited.then_some(methods.len() as u64);
    let mut session = HttpSession::new(templates, limit);
    let mut out = Outbox::default();
    let tickets = (0..methods.len() as u32)
        .map(|request| session.encode(request, Tick(0), &mut out))
        .collect();
    Replay::new(session, tickets, skips)
}

/// In the words of HTTP.
pub(crate) fn named(seen: Vec<replay::Seen>) -> Vec<Seen> {
    let one = |seen| match seen {
        replay::Seen::Reply {
            status,
            payload_rx_bytes,
            at,
            then,
            ..
        } => {
            let payload = payload_rx_bytes.expect("HTTP knows its payload");
            Seen::Reply(100 + status, payload, at, then == Then::Close)
        }
        replay::Seen::Fault(phase, cause) => Seen::Fault(phase, cause),
        replay::Seen::Truncated => Seen::Truncated,
        replay::Seen::ClosedBeforeReply => Seen::ClosedBeforeReply,
        replay::Seen::Waiting => Seen::Waiting,
    };
    seen.into_iter().map(one).collect()
}
