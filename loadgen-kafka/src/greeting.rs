//! The greeting of a connection, outside the measured window: which versions of which requests the
//! broker knows, and who we are.
//!
//! `ApiVersions` v0 is answered by every broker there is; SASL follows it (`SaslHandshake` v1,
//! `SaslAuthenticate` v0) where the run has credentials. A session like any other part of one: bytes
//! in, bytes out. (Kafka protocol guide, "Api Keys", "SASL Authentication Sequence".)

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use loadgen_core::protocol::{Fault, Handshake, Phase};
use loadgen_core::workload::Random;

use crate::sasl::{Exchange, Keys};
use crate::spec::Credentials;
use crate::tables;
use crate::wire::prim::{Reader, put_string};
use crate::wire::{WireError, Wrong};

/// The highest version of Fetch and Produce that is spoken: from 13 on topics have ids instead of
/// names.
pub const VERSION_MAX: i16 = 12;
/// The lowest Fetch: record batches of magic 2 came with it.
pub const FETCH_MIN: i16 = 4;
/// The lowest Produce. Kafka 4 says that it knows 0 to 2 and closes the connection when they come
/// (KAFKA-18659).
pub const PRODUCE_MIN: i16 = 3;

/// Numbers of requests.
pub mod api {
    /// Produce.
    pub const PRODUCE: i16 = 0;
    /// Fetch.
    pub const FETCH: i16 = 1;
    pub(crate) const SASL_HANDSHAKE: i16 = 17;
    pub(crate) const API_VERSIONS: i16 = 18;
    pub(crate) const SASL_AUTHENTICATE: i16 = 36;
}

/// What a listener without SASL answers to its handshake.
const ILLEGAL_SASL_STATE: i16 = 34;
/// The longest answer to any part of the greeting.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// The most requests a broker can list.
const APIS_MAX: i32 = 4096;

/// What all greetings of a run go by.
#[derive(Debug)]
pub struct GreetingRules {
    /// What we call ourselves.
    pub client_id: String,
    /// Who we are.
    pub sasl: Option<Credentials>,
    /// Seed of the nonces of SCRAM: with the serial of a connection it decides them, so that a run
    /// can be repeated byte for byte. They are no secret and never were (RFC 5802 section 5.1), but
    /// whoever knows the seed knows them beforehand: the server's own nonce is what then keeps an
    /// old exchange from being played again. That is enough for a test cluster, and no more.
    pub seed: u64,
    keys: Keys,
}

impl GreetingRules {
    /// The rules; see the fields.
    #[must_use]
    pub fn new(client_id: String, sasl: Option<Credentials>, seed: u64) -> Self {
        Self {
            client_id,
            sasl,
            seed,
            keys: Keys::default(),
        }
    }
}

/// The versions a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Of Fetch; 0: the broker and this client have none in common.
    pub fetch: i16,
    /// Of Produce; 0 likewise.
    pub produce: i16,
}

#[derive(Debug)]
enum Step {
    Begin,
    Versions,
    Mechanism,
    Authenticate,
    Over,
}

/// The greeting of one connection.
#[derive(Debug)]
pub struct Greeting {
    rules: Arc<GreetingRules>,
    exchange: Option<Exchange>,
    step: Step,
    correlation: i32,
    /// Lowest and highest version by request.
    ranges: Vec<(i16, i16, i16)>,
}

impl Greeting {
    /// `serial` tells connections apart: each has a nonce of its own. One that is opened anew may
    /// have the same again.
    #[must_use]
    pub fn new(rules: &Arc<GreetingRules>, serial: u64) -> Self {
        let exchange = rules.sasl.clone().map(|who| {
            let mut random = Random::new(rules.seed ^ serial.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let nonce: Vec<u8> = (0..3)
                .flat_map(|_| random.next_u64().to_be_bytes())
                .collect();
            Exchange::new(who, BASE64.encode(nonce))
        });
        Self {
            rules: Arc::clone(rules),
            exchange,
            step: Step::Begin,
            correlation: 0,
            ranges: Vec::new(),
        }
    }

    /// As [`loadgen_core::protocol::Session::handshake`].
    ///
    /// # Errors
    /// When the broker refuses, or talks nonsense.
    pub fn drive(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Handshake, Fault> {
        self.advance(input, out)
            .map_err(|error| error.fault(Phase::Handshake))
    }

    fn advance(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Handshake, WireError> {
        if let Step::Begin = self.step {
            self.ask(api::API_VERSIONS, 0, &[], out);
            self.step = Step::Versions;
        }
        let mut eaten = 0;
        while !matches!(self.step, Step::Over) {
            let Some((frame, body)) = self.frame(&input[eaten..])? else {
                return Ok(Handshake::More { eaten });
            };
            self.answered(body, out)?;
            eaten += frame;
        }
        Ok(Handshake::Done { eaten })
    }

    /// The bytes of the first whole frame, and its body behind the correlation id.
    fn frame<'a>(&self, input: &'a [u8]) -> Result<Option<(usize, &'a [u8])>, WireError> {
        let mut reader = Reader::new(input);
        let Some(length) = reader.i32() else {
            return Ok(None);
        };
        if !(4..=FRAME_BYTES_MAX as i32).contains(&length) {
            return Err(Wrong::Length.because(format!(
                "an answer to the greeting says it has {length} bytes, 4 to {FRAME_BYTES_MAX} are \
                 possible: is this a Kafka listener without TLS?"
            )));
        }
        let Some(frame) = reader.take(length as usize) else {
            return Ok(None);
        };
        let mut body = Reader::new(frame);
        let correlation = body.i32();
        if correlation != Some(self.correlation) {
            return Err(Wrong::Correlation.because(format!(
                "the greeting has correlation id {}, the answer {}",
                self.correlation,
                correlation.unwrap_or_default()
            )));
        }
        Ok(Some((4 + length as usize, body.rest())))
    }

    fn answered(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        match self.step {
            Step::Begin | Step::Over => Ok(()),
            Step::Versions => {
                self.ranges = ranges(body)?;
                let Some(sasl) = &self.rules.sasl else {
                    self.step = Step::Over;
                    return Ok(());
                };
                let mut mechanism = Vec::new();
                put_string(sasl.mechanism.name(), &mut mechanism);
                self.ask(api::SASL_HANDSHAKE, 1, &mechanism, out);
                self.step = Step::Mechanism;
                Ok(())
            }
            Step::Mechanism => {
                mechanism_taken(body)?;
                if let Some(first) = self.exchange.as_mut().map(Exchange::first) {
                    self.authenticate(&first, out);
                }
                self.step = Step::Authenticate;
                Ok(())
            }
            Step::Authenticate => {
                let said = authenticated(body)?;
                let next = match &mut self.exchange {
                    Some(exchange) => exchange.next(said, &self.rules.keys)?,
                    None => None,
                };
                match next {
                    Some(message) => self.authenticate(&message, out),
                    None => self.step = Step::Over,
                }
                Ok(())
            }
        }
    }

    fn authenticate(&mut self, message: &[u8], out: &mut Vec<u8>) {
        let length = i32::try_from(message.len()).unwrap_or(i32::MAX);
        let body = [&length.to_be_bytes(), message].concat();
        self.ask(api::SASL_AUTHENTICATE, 0, &body, out);
    }

    fn ask(&mut self, key: i16, version: i16, body: &[u8], out: &mut Vec<u8>) {
        self.correlation += 1;
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&self.correlation.to_be_bytes());
        put_string(&self.rules.client_id, out);
        out.extend_from_slice(body);
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// The versions to speak. Known once the greeting is done.
    #[must_use]
    pub fn versions(&self) -> Versions {
        Versions {
            fetch: self.common(api::FETCH, FETCH_MIN, VERSION_MAX).unwrap_or(0),
            produce: self
                .common(api::PRODUCE, PRODUCE_MIN, VERSION_MAX)
                .unwrap_or(0),
        }
    }

    /// The highest version of a request from `min` to `max` that the broker knows.
    #[must_use]
    pub fn common(&self, key: i16, min: i16, max: i16) -> Option<i16> {
        let (_, lowest, highest) = self.ranges.iter().find(|range| range.0 == key)?;
        let version = max.min(*highest);
        (version >= min.max(*lowest)).then_some(version)
    }
}

/// The version of `version`, or why there is none: `what` is the name of the request.
///
/// # Errors
/// [`Wrong::Version`] for 0.
pub fn spoken(version: i16, what: &str, min: i16) -> Result<i16, Fault> {
    if version != 0 {
        return Ok(version);
    }
    let text = format!("the broker has no version of {what} from {min} to {VERSION_MAX}");
    Err(Wrong::Version.because(text).fault(Phase::Handshake))
}

fn refused(code: i16, what: &str) -> WireError {
    let name = tables::name_of(code);
    Wrong::HandshakeRefused.because(format!("the broker answers {what} with {name} ({code})"))
}

fn cut(what: &str) -> WireError {
    Wrong::Length.because(format!("the broker's answer to {what} is cut short"))
}

fn ranges(body: &[u8]) -> Result<Vec<(i16, i16, i16)>, WireError> {
    let mut reader = Reader::new(body);
    let what = "ApiVersions";
    match reader.i16() {
        Some(0) => {}
        Some(code) => return Err(refused(code, what)),
        None => return Err(cut(what)),
    }
    let count = reader.i32().ok_or_else(|| cut(what))?;
    if !(0..=APIS_MAX).contains(&count) {
        return Err(Wrong::Length.because(format!(
            "the broker lists {count} requests, {APIS_MAX} are possible"
        )));
    }
    let mut row = || Some((reader.i16()?, reader.i16()?, reader.i16()?));
    (0..count).map(|_| row().ok_or_else(|| cut(what))).collect()
}

/// The answer to `SaslHandshake`: an error and the mechanisms there are.
fn mechanism_taken(body: &[u8]) -> Result<(), WireError> {
    let mut reader = Reader::new(body);
    let what = "SaslHandshake";
    let code = reader.i16().ok_or_else(|| cut(what))?;
    if code == 0 {
        return Ok(());
    }
    let mut names = Vec::new();
    for _ in 0..reader.i32().unwrap_or(0).clamp(0, 16) {
        let length = reader.i16().and_then(|length| usize::try_from(length).ok());
        let Some(name) = length.and_then(|length| reader.take(length)) else {
            break;
        };
        names.push(name.escape_ascii().to_string());
    }
    let name = tables::name_of(code);
    Err(Wrong::AuthRefused.because(if code == ILLEGAL_SASL_STATE {
        format!("this listener has no SASL, connect without it: {name} ({code})")
    } else {
        let names = match &names[..] {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        format!("the broker refuses the mechanism with {name} ({code}); it has {names}")
    }))
}

/// The answer to `SaslAuthenticate`: an error, its text, and a message.
fn authenticated(body: &[u8]) -> Result<&[u8], WireError> {
    let mut reader = Reader::new(body);
    let what = "SaslAuthenticate";
    let code = reader.i16().ok_or_else(|| cut(what))?;
    let length = reader.i16().ok_or_else(|| cut(what))?;
    let text = reader
        .take(usize::try_from(length).unwrap_or(0))
        .ok_or_else(|| cut(what))?;
    if code != 0 {
        return Err(Wrong::AuthRefused.because(format!(
            "the broker refuses the user or the password: {} ({code}): \"{}\"",
            tables::name_of(code),
            text.escape_ascii()
        )));
    }
    let length = reader.i32().ok_or_else(|| cut(what))?;
    reader
        .take(usize::try_from(length).unwrap_or(0))
        .ok_or_else(|| cut(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Mechanism;

    fn rules(sasl: Option<Credentials>) -> Arc<GreetingRules> {
        Arc::new(GreetingRules::new("loadgen".into(), sasl, 1))
    }

    fn plain() -> Option<Credentials> {
        Some(Credentials {
            mechanism: Mechanism::Plain,
            user: "u".into(),
            password: "p".into(),
        })
    }

    fn answer(correlation: i32, body: &[u8]) -> Vec<u8> {
        let length = 4 + body.len() as i32;
        [&length.to_be_bytes(), &correlation.to_be_bytes(), body].concat()
    }

    fn versions(rows: &[[i16; 3]]) -> Vec<u8> {
        let mut body = vec![0, 0];
        body.extend((rows.len() as i32).to_be_bytes());
        body.extend(rows.iter().flatten().flat_map(|n| n.to_be_bytes()));
        body
    }

    const KAFKA_4: [[i16; 3]; 3] = [[0, 0, 13], [1, 4, 18], [18, 0, 4]];

    #[test]
    fn the_highest_common_versions_are_spoken() {
        let cases: [(&[[i16; 3]], i16, i16); 4] = [
            (&KAFKA_4, 12, 12),
            (&[[0, 0, 7], [1, 0, 11]], 11, 7),
            (&[[0, 0, 2], [1, 0, 3]], 0, 0),
            (&[], 0, 0),
        ];
        for (rows, fetch, produce) in cases {
            let mut greeting = Greeting::new(&rules(None), 0);
            let mut out = Vec::new();
            assert_eq!(
                greeting.drive(&[], &mut out),
                Ok(Handshake::More { eaten: 0 })
            );
            assert_eq!(out[..12], [0, 0, 0, 17, 0, 18, 0, 0, 0, 0, 0, 1]);
            let said = answer(1, &versions(rows));
            for cut in 0..said.len() {
                let more = greeting.drive(&said[..cut], &mut Vec::new());
                assert_eq!(more, Ok(Handshake::More { eaten: 0 }), "{cut}");
            }
            let done = Handshake::Done { eaten: said.len() };
            assert_eq!(greeting.drive(&said, &mut Vec::new()), Ok(done));
            assert_eq!(greeting.versions(), Versions { fetch, produce });
        }
        assert!(spoken(0, "Fetch", FETCH_MIN).is_err() && spoken(4, "Fetch", 4) == Ok(4));
    }

    #[test]
    fn plain_takes_three_answers() {
        let mut greeting = Greeting::new(&rules(plain()), 0);
        let mut out = Vec::new();
        greeting.drive(&[], &mut out).unwrap();
        let mut said = answer(1, &versions(&KAFKA_4));
        said.extend(answer(2, &[0, 0, 0, 0, 0, 0]));
        said.extend(answer(3, &[0, 0, 0xff, 0xff, 0, 0, 0, 0]));
        let done = Handshake::Done { eaten: said.len() };
        assert_eq!(greeting.drive(&said, &mut out), Ok(done));
        assert!(out.windows(4).any(|w| w == b"\0u\0p"));
    }

    #[test]
    fn refusals_and_nonsense_are_told_apart() {
        let refusal = |frames: &[Vec<u8>]| {
            let mut greeting = Greeting::new(&rules(plain()), 0);
            greeting.drive(&[], &mut Vec::new()).unwrap();
            let fault = greeting
                .drive(&frames.concat(), &mut Vec::new())
                .unwrap_err();
            (fault.cause, fault.detail)
        };
        let known = answer(1, &versions(&KAFKA_4));
        let cause = |wrong: Wrong| loadgen_core::protocol::Cause::Protocol(wrong as u8);
        let (got, text) = refusal(&[known.clone(), answer(2, &[0, 33, 0, 0, 0, 1, 0, 1, b'X'])]);
        assert_eq!(got, cause(Wrong::AuthRefused));
        assert!(
            text.contains("unsupported_sasl_mechanism") && text.contains("it has X"),
            "{text}"
        );
        let taken = answer(2, &[0, 0, 0, 0, 0, 0]);
        let (got, text) = refusal(&[
            known.clone(),
            taken,
            answer(3, &[0, 58, 0, 2, b'n', b'o', 0, 0, 0, 0]),
        ]);
        assert_eq!(got, cause(Wrong::AuthRefused));
        assert!(text.contains("\"no\""), "{text}");
        assert_eq!(refusal(&[answer(2, &[])]).0, cause(Wrong::Correlation));
        assert_eq!(refusal(&[b"HTTP/1.1 400".to_vec()]).0, cause(Wrong::Length));
        assert_eq!(
            refusal(&[i32::MIN.to_be_bytes().to_vec()]).0,
            cause(Wrong::Length)
        );
        assert_eq!(
            refusal(&[answer(1, &[0, 35])]).0,
            cause(Wrong::HandshakeRefused)
        );
        assert_eq!(
            refusal(&[answer(1, &[0, 0, 0x7f, 0xff, 0xff, 0xff])]).0,
            cause(Wrong::Length)
        );
        assert_eq!(
            refusal(&[answer(1, &[0, 0, 0, 0, 0, 2, 0, 0])]).0,
            cause(Wrong::Length)
        );
    }
}
