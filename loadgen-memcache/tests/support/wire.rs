//! Connections for core's replay, and a server's replies byte for byte.
//!
//! The fuzz target uses it too.

use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::Session as _;
use loadgen_core::replay::{Replay, Skips};
use loadgen_core::time::Tick;
use loadgen_core::workload::{Scenario as _, Workload as _};
use loadgen_memcache::objects::Key;
use loadgen_memcache::session::Request;
use loadgen_memcache::wire::header::{Header, REPLY};
use loadgen_memcache::{MemcachePlan, MemcacheScenario, MemcacheSession, MemcacheSpec};

/// Key number `index`.
pub(crate) fn key(index: u64) -> Key {
    Key::new(0, index)
}

/// The default spec, for an address that nothing connects to.
pub(crate) fn spec() -> MemcacheSpec {
    MemcacheSpec {
        servers: vec!["127.0.0.1:1".to_owned()],
        ..MemcacheSpec::default()
    }
}

/// What connections of `spec` are made from.
pub(crate) fn scenario(spec: &MemcacheSpec) -> MemcacheScenario {
    MemcacheScenario::new(MemcachePlan::new(spec.clone()).expect("a plan"))
}

/// A connection with these requests in flight; their opaques count from 0.
pub(crate) fn connection(
    scenario: &MemcacheScenario,
    requests: Vec<Request>,
    skips: Skips,
) -> Replay<MemcacheSession> {
    let mut session = scenario.workload(0, 1).open(0, 0);
    let mut out = Outbox::default();
    let mut encode = |request| session.encode(request, Tick(0), &mut out);
    let tickets = requests.into_iter().map(&mut encode).collect();
    Replay::new(session, tickets, skips)
}

/// A reply.
pub(crate) fn reply(opcode: u8, status: u16, opaque: u32, body: [&[u8]; 3]) -> Vec<u8> {
    let [extras, key, _] = body;
    let bytes = body.concat();
    let header = Header {
        magic: REPLY,
        opcode,
        key_bytes: key.len() as u16,
        extras_bytes: extras.len() as u8,
        status,
        body_bytes: bytes.len() as u32,
        opaque,
    };
    [&header.encode()[..], &bytes].concat()
}
