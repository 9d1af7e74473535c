//! The target on real sockets, asked and understood by a codec of others (`kafka-protocol`), in
//! every version it says it serves.

mod control;
mod fetch;
mod groups;
mod produce;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};

use super::api::{APIS, Key};
use super::{Target, TargetHandle, TargetOptions};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What comes back with a request.
const CORRELATION: i32 = 0x0bad_cafe;

/// A client that says what it is told.
struct Client(TcpStream);

impl Client {
    fn new(target: &TargetHandle) -> Self {
        let stream = TcpStream::connect(target.socket_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next reply, without its length.
    fn read(&mut self) -> Bytes {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).unwrap();
        body.into()
    }

    fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(&frame(version, request));
        let body = self.read();
        understand::<R>(version, body)
    }

    fn is_closed(&mut self) -> bool {
        !matches!(self.0.read(&mut [0; 1]), Ok(n) if n > 0)
    }
}

/// A whole request.
fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let head = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(CORRELATION)
        .with_client_id(Some(text("a client")));
    let mut bytes = BytesMut::new();
    head.encode(&mut bytes, R::header_version(version)).unwrap();
    request.encode(&mut bytes, version).unwrap();
    [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat()
}

/// A reply, all of it.
fn understand<R: Request>(version: i16, mut body: Bytes) -> R::Response {
    use kafka_protocol::protocol::HeaderVersion as _;
    let header = <R::Response>::header_version(version);
    let head = ResponseHeader::decode(&mut body, header).unwrap();
    assert_eq!(head.correlation_id, CORRELATION);
    let reply = <R::Response>::decode(&mut body, version).unwrap();
    assert!(body.is_empty(), "{} bytes too many", body.len());
    reply
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

fn versions(key: Key) -> std::ops::RangeInclusive<i16> {
    let api = APIS.iter().find(|api| api.key == key).unwrap();
    api.min..=api.max
}

/// Four partitions, batches of about ten records of 100 bytes.
fn options() -> TargetOptions {
    TargetOptions {
        record_bytes: 100,
        batch_bytes: 1200,
        ..TargetOptions::default()
    }
}

/// Records in a full batch of [`options`].
const FULL: i64 = 10;

/// A target with a topic `t`.
fn start(options: TargetOptions) -> (TargetHandle, Client) {
    use kafka_protocol::messages::MetadataRequest;
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
    let target = Target::start(options).unwrap();
    let mut client = Client::new(&target);
    let wanted = MetadataRequestTopic::default().with_name(Some(topic("t")));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
    let reply = client.ask(9, &request);
    assert_eq!(reply.topics[0].error_code, 0);
    (target, client)
}
