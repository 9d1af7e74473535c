//! Frames of a broker's replies, and connections that are greeted: the same for all requests.
//!
//! Nothing here may use an encoder or a decoder under test.

use bytes::BytesMut;
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{Handshake, Session};
use loadgen_core::workload::{Endpoint, Route};
use loadgen_kafka::cluster::Broker;

/// The topic of all replies.
pub(crate) const TOPIC: &str = "t";

/// Two brokers, and a route to each.
pub(crate) fn brokers() -> (Vec<Broker>, Vec<Route>) {
    let broker = |(node, name): (i32, &str)| Broker {
        node,
        name: name.to_owned(),
    };
    let brokers: Vec<Broker> = [(1, "one:9092"), (2, "two:9092")].map(broker).into();
    let route = |broker: &Broker| Route {
        name: broker.name.clone(),
        endpoints: vec![Endpoint::Unix(broker.name.clone().into())],
        weight: 1,
        rate_weight: 1,
        paced: true,
    };
    let routes = brokers.iter().map(route).collect();
    (brokers, routes)
}

/// The answer to the greeting: this version of this request and no other.
pub(crate) fn versions(correlation: i32, api: u8, version: i16) -> Vec<u8> {
    let mut body = correlation.to_be_bytes().to_vec();
    body.extend([0, 0, 0, 0, 0, 1, 0, api]);
    body.extend(version.to_be_bytes());
    body.extend(version.to_be_bytes());
    framed(&body)
}

/// With its length in front.
pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes()[..], body].concat()
}

/// A reply's bytes, with the frame and header around them.
pub(crate) fn encoded<M: Encodable + HeaderVersion>(
    version: i16,
    correlation: i32,
    response: &M,
) -> Vec<u8> {
    let mut body = BytesMut::new();
    ResponseHeader::default()
        .with_correlation_id(correlation)
        .encode(&mut body, M::header_version(version))
        .expect("a header");
    response.encode(&mut body, version).expect("a body");
    framed(&body)
}

/// Greets `session`, which hears of this version of this request.
pub(crate) fn greet<S: Session>(session: &mut S, api: u8, version: i16) {
    let mut out = Outbox::default();
    let greeted = session.handshake(&[], &mut out).expect("a greeting");
    assert_eq!(greeted, Handshake::More { eaten: 0 });
    let answer = versions(1, api, version);
    let greeted = session.handshake(&answer, &mut out).expect("versions");
    let eaten = answer.len();
    assert_eq!(greeted, Handshake::Done { eaten });
}
