//! One blocking connection to a broker: a request, its answer.
//!
//! For what is asked before and after a run and beside it, never for what is measured. Answers are
//! read up to a limit and grow only by what arrives.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use loadgen_core::address;
use loadgen_core::protocol::Handshake;
use loadgen_core::workload::Endpoint;

use super::ControlError;
use super::form::Form;
use crate::greeting::{Greeting, GreetingRules};

/// The longest answer: 100,000 partitions of one topic are about 5 MB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How often somebody who waits looks whether he still has to.
const SLICE: Duration = Duration::from_millis(100);

/// How long is waited, and who may end it.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    /// For connecting, and for each answer.
    pub(super) each: Duration,
    /// Nobody needs the answer any more.
    pub(super) over: Arc<AtomicBool>,
}

impl Patience {
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// A greeted connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    name: String,
    greeting: Greeting,
    client_id: StrBytes,
    correlation: i32,
    /// What it may be when the broker closes instead of answering.
    guess: &'static str,
}

impl Link {
    /// To `HOST:PORT`, every address in turn; `serial` as in [`Greeting::new`].
    pub(super) fn open(
        name: &str,
        port_default: u16,
        rules: &Arc<GreetingRules>,
        serial: u64,
        patience: &Patience,
    ) -> Result<Self, ControlError> {
        let fail = |text: String| ControlError::unreachable(format!("{name}: {text}"));
        let (host, port) = address::split(name)
            .map_err(|error| ControlError::refused(format!("{name}: {error}")))?;
        let port = port.unwrap_or(port_default);
        let endpoints = address::look_up(&host, port).map_err(&fail)?;
        let mut last = String::new();
        for endpoint in endpoints {
            let Endpoint::Tcp(address) = endpoint else {
                continue;
            };
            match TcpStream::connect_timeout(&address, patience.each) {
                Ok(stream) => {
                    let mut link = Self {
                        stream,
                        name: name.to_owned(),
                        greeting: Greeting::new(rules, serial),
                        client_id: StrBytes::from_string(rules.client_id.clone()),
                        correlation: 1000,
                        guess: ": does this listener want TLS?",
                    };
                    link.greet(patience)?;
                    // Kafka answers ApiVersions to everybody, and closes at the next request when it
                    // wants to know who asks.
                    link.guess = if rules.sasl.is_none() {
                        ": does this listener want SASL?"
                    } else {
                        ""
                    };
                    return Ok(link);
                }
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(fail(last))
    }

    fn greet(&mut self, patience: &Patience) -> Result<(), ControlError> {
        let deadline = Instant::now() + patience.each;
        let (mut input, mut out) = (Vec::new(), Vec::new());
        loop {
            let step = self.greeting.drive(&input, &mut out);
            let step = step.map_err(|fault| {
                ControlError::refused(format!("{}: {}", self.name, fault.detail))
            })?;
            self.send(&out, patience)?;
            out.clear();
            match step {
                Handshake::Done { .. } => return Ok(()),
                Handshake::More { eaten } => input.drain(..eaten),
            };
            self.read_some(&mut input, deadline, patience)?;
        }
    }

    /// The highest version of `R` that the broker and `form` know.
    fn version<R: Request>(&self, form: &Form) -> Result<i16, ControlError> {
        let (min, max) = (form.versions.min, form.versions.max);
        self.greeting.common(R::KEY, min, max).ok_or_else(|| {
            let name = ApiKey::try_from(R::KEY)
                .map_or_else(|()| R::KEY.to_string(), |key| format!("{key:?}"));
            ControlError::refused(format!(
                "{}: the broker has no version of {name} from {min} to {max}",
                self.name
            ))
        })
    }

    /// Asks once.
    pub(super) fn ask<R: Request>(
        &mut self,
        request: &R,
        form: &Form,
        patience: &Patience,
    ) -> Result<R::Response, ControlError> {
        let version = self.version::<R>(form)?;
        self.correlation = self.correlation.wrapping_add(1);
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
        self.send(&frame, patience)?;
        let mut answer = self.answer(patience)?;
        self.guess = "";
        let broken = |error: &dyn std::fmt::Display| {
            let what = ApiKey::try_from(R::KEY).map_or(String::new(), |key| format!("{key:?}"));
            ControlError::refused(format!(
                "{}: the answer to {what} in version {version} cannot be read: {error}",
                self.name
            ))
        };
        let header_version = R::Response::header_version(version);
        let head =
            ResponseHeader::decode(&mut answer, header_version).map_err(|error| broken(&error))?;
        if head.correlation_id != self.correlation {
            return Err(broken(&format!(
                "the request has correlation id {}, the answer {}",
                self.correlation, head.correlation_id
            )));
        }
        form.check(version, &answer)
            .map_err(|error| broken(&error))?;
        R::Response::decode(&mut answer, version).map_err(|error| broken(&error))
    }

    fn answer(&mut self, patience: &Patience) -> Result<Bytes, ControlError> {
        let deadline = Instant::now() + patience.each;
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
                if input.len() > 4 + length {
                    return Err(ControlError::refused(format!(
                        "{}: {} bytes follow the answer, and nothing was asked",
                        self.name,
                        input.len() - 4 - length
                    )));
                }
                if input.len() == 4 + length {
                    return Ok(Bytes::from(input).slice(4..));
                }
            }
            self.read_some(&mut input, deadline, patience)?;
        }
    }

    fn send(&mut self, bytes: &[u8], patience: &Patience) -> Result<(), ControlError> {
        let (name, guess) = (&self.name, self.guess);
        let fail = |error: std::io::Error| {
            ControlError::unreachable(match error.kind() {
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                    format!("{name}: the broker closed the connection{guess}")
                }
                _ => format!("{name}: {error}"),
            })
        };
        self.stream
            .set_write_timeout(Some(patience.each))
            .map_err(fail)?;
        self.stream.write_all(bytes).map_err(fail)
    }

    /// Reads what there is, once there is something.
    fn read_some(
        &mut self,
        input: &mut Vec<u8>,
        deadline: Instant,
        patience: &Patience,
    ) -> Result<(), ControlError> {
        let fail = |text: &str| ControlError::unreachable(format!("{}: {text}", self.name));
        let mut buffer = [0; 16 * 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let each = patience.each;
                return Err(fail(&format!("no whole answer within {each:?}")));
            }
            if patience.is_over() {
                return Err(fail("nobody waits for the answer any more"));
            }
            self.stream
                .set_read_timeout(Some(left.min(SLICE)))
                .map_err(|error| fail(&error.to_string()))?;
            match self.stream.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    input.extend_from_slice(&buffer[..count]);
                    return Ok(());
                }
                Err(error) if WAITING.contains(&error.kind()) => {}
                Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                    return Err(fail(&error.to_string()));
                }
                Ok(_) | Err(_) => {
                    let guess = self.guess;
                    let text = "the broker closed the connection instead of answering";
                    return Err(fail(&format!("{text}{guess}")));
                }
            }
        }
    }
}

/// Nothing came, and something may still come.
const WAITING: [ErrorKind; 3] = [
    ErrorKind::Interrupted,
    ErrorKind::WouldBlock,
    ErrorKind::TimedOut,
];
