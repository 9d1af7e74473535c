//! One blocking connection to a broker: a request, its answer.
//!
//! For what is asked before and after a run and beside it, never for what is measured. Answers are
//! read up to a limit and grow only by what arrives.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Request, StrBytes, VersionRange,
};
use loadgen_core::address;
use loadgen_core::protocol::Handshake;
use loadgen_core::workload::Endpoint;

use super::ControlError;
use crate::greeting::{Greeting, GreetingRules};

/// The longest answer: metadata of 100,000 partitions are a few MB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A greeted connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    name: String,
    greeting: Greeting,
    client_id: StrBytes,
    patience: Duration,
    correlation: i32,
}

impl Link {
    /// To `HOST:PORT`, every address in turn.
    pub(super) fn open(
        name: &str,
        port_default: u16,
        rules: &Arc<GreetingRules>,
        patience: Duration,
    ) -> Result<Self, ControlError> {
        let fail = |text: String| ControlError::unreachable(format!("{name}: {text}"));
        let (host, port) = split(name, port_default);
        let endpoints = address::look_up(&host, port).map_err(&fail)?;
        let mut last = String::new();
        for endpoint in endpoints {
            let Endpoint::Tcp(address) = endpoint else {
                continue;
            };
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => {
                    let mut link = Self {
                        stream,
                        name: name.to_owned(),
                        greeting: Greeting::new(rules, u64::MAX),
                        client_id: StrBytes::from_string(rules.client_id.clone()),
                        patience,
                        correlation: 1000,
                    };
                    link.greet()?;
                    return Ok(link);
                }
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(fail(last))
    }

    fn greet(&mut self) -> Result<(), ControlError> {
        let deadline = Instant::now() + self.patience;
        let (mut input, mut out) = (Vec::new(), Vec::new());
        loop {
            let step = self.greeting.drive(&input, &mut out);
            let step = step.map_err(|fault| {
                ControlError::refused(format!("{}: {}", self.name, fault.detail))
            })?;
            self.send(&out)?;
            out.clear();
            match step {
                Handshake::Done { .. } => return Ok(()),
                Handshake::More { eaten } => input.drain(..eaten),
            };
            self.read_some(&mut input, deadline)?;
        }
    }

    /// The highest version of `R` that the broker, the codec and `range` know.
    fn version<R: Request>(&self, range: VersionRange) -> Result<i16, ControlError> {
        let known = R::VERSIONS.intersect(&range);
        let version = self.greeting.common(R::KEY, known.min, known.max);
        let name =
            ApiKey::try_from(R::KEY).map_or_else(|()| R::KEY.to_string(), |key| format!("{key:?}"));
        version.ok_or_else(|| {
            ControlError::refused(format!(
                "{}: the broker has no version of {name} from {} to {}",
                self.name, known.min, known.max
            ))
        })
    }

    /// Asks once. `range`: the versions whose fields are used.
    pub(super) fn ask<R: Request>(
        &mut self,
        request: &R,
        range: VersionRange,
    ) -> Result<R::Response, ControlError> {
        let version = self.version::<R>(range)?;
        self.correlation += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(self.client_id.clone()));
        let mut frame = BytesMut::from(&[0; 4][..]);
        let odd = |error| ControlError::refused(format!("a request cannot be encoded: {error}"));
        header
            .encode(&mut frame, R::header_version(version))
            .map_err(odd)?;
        request.encode(&mut frame, version).map_err(odd)?;
        let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.send(&frame)?;
        let mut answer = self.answer()?;
        let broken = |error| {
            ControlError::refused(format!("{}: the answer cannot be read: {error}", self.name))
        };
        let header_version = R::Response::header_version(version);
        let head = ResponseHeader::decode(&mut answer, header_version).map_err(broken)?;
        if head.correlation_id != self.correlation {
            return Err(ControlError::refused(format!(
                "{}: the request has correlation id {}, the answer {}",
                self.name, self.correlation, head.correlation_id
            )));
        }
        R::Response::decode(&mut answer, version).map_err(broken)
    }

    fn answer(&mut self) -> Result<Bytes, ControlError> {
        let deadline = Instant::now() + self.patience;
        let mut input = Vec::new();
        loop {
            if let Some(length) = input.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if length > ANSWER_BYTES_MAX {
                    return Err(ControlError::refused(format!(
                        "{}: the broker announces an answer of {length} bytes, {ANSWER_BYTES_MAX} are \
                         read at most",
                        self.name
                    )));
                }
                if input.len() >= 4 + length {
                    return Ok(Bytes::from(input).slice(4..4 + length));
                }
            }
            self.read_some(&mut input, deadline)?;
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), ControlError> {
        let name = &self.name;
        let fail = |error: std::io::Error| ControlError::unreachable(format!("{name}: {error}"));
        self.stream
            .set_write_timeout(Some(self.patience))
            .map_err(fail)?;
        self.stream.write_all(bytes).map_err(fail)
    }

    fn read_some(&mut self, input: &mut Vec<u8>, deadline: Instant) -> Result<(), ControlError> {
        let name = &self.name;
        let fail = |text: &str| ControlError::unreachable(format!("{name}: {text}"));
        let late = format!("no whole answer within {:?}", self.patience);
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(fail(&late));
        }
        let mut buffer = [0; 16 * 1024];
        self.stream
            .set_read_timeout(Some(left))
            .map_err(|error| fail(&error.to_string()))?;
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(fail(
                "the broker closed the connection instead of answering",
            )),
            Ok(count) => {
                input.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                Err(fail(&late))
            }
            Err(error) => Err(fail(&error.to_string())),
        }
    }
}

/// Host and port of `HOST:PORT`, `[V6]:PORT` or `HOST`.
pub(super) fn split(name: &str, port_default: u16) -> (String, u16) {
    let bare = |host: &str| {
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned()
    };
    match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (bare(host), port.parse().unwrap_or(port_default))
        }
        _ => (bare(name), port_default),
    }
}
