//! SASL PLAIN and SCRAM, the client's side: messages in, messages out.
//!
//! Sources: RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM), Kafka documentation "SASL
//! authentication". Nothing here may talk to a socket or draw randomness of its own: the nonce comes
//! from outside, so that a run can be repeated. Names and passwords are taken as they are typed;
//! SASLprep (RFC 4013) is not applied, as in librdkafka.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256, Sha512};

use crate::spec::{Credentials, Mechanism};
use crate::wire::{WireError, Wrong};

/// The most rounds of PBKDF2 a server may ask for: the work is ours, in a worker's thread. Kafka asks
/// for 4096 unless told otherwise and itself allows 16384 (`ScramMechanism`).
const ITERATIONS_MAX: u32 = 100_000;
/// The longest salt; Kafka's have about 26 bytes.
const SALT_BYTES_MAX: usize = 1024;

/// The keys of a user, which thousands of rounds of hashing make of a password. Every broker has the
/// same salt for a user, so one connection of a run pays and the others find them here: otherwise a
/// broker that comes back would hold each worker up for milliseconds a connection.
#[derive(Default)]
pub(crate) struct Keys(OnceLock<Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

#[derive(Clone)]
struct Key {
    salt: Vec<u8>,
    rounds: u32,
    client: Vec<u8>,
    server: Vec<u8>,
}

impl Keys {
    /// Where they are of another salt (the password was changed meanwhile), they are made for this
    /// exchange alone.
    fn of(&self, who: &Credentials, salt: Vec<u8>, rounds: u32) -> Key {
        let known = self.0.get();
        if let Some(known) = known.filter(|known| known.salt == salt && known.rounds == rounds) {
            return known.clone();
        }
        let derive = match who.mechanism {
            Mechanism::ScramSha512 => sha512::derive,
            Mechanism::Plain | Mechanism::ScramSha256 => sha256::derive,
        };
        let (client, server) = derive(&who.password, &salt, rounds);
        let key = Key {
            salt,
            rounds,
            client,
            server,
        };
        // Another worker may have been first, with the same.
        let _ = self.0.set(key.clone());
        key
    }
}

/// One exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    who: Credentials,
    nonce: String,
    step: Step,
}

#[derive(Debug)]
enum Step {
    First,
    /// The client-first message without its header.
    Challenged(String),
    /// What the server must prove.
    Proven(Vec<u8>),
    Over,
}

impl Exchange {
    pub(crate) fn new(who: Credentials, nonce: String) -> Self {
        Self {
            who,
            nonce,
            step: Step::First,
        }
    }

    /// The first message.
    pub(crate) fn first(&mut self) -> Vec<u8> {
        if self.who.mechanism == Mechanism::Plain {
            self.step = Step::Over;
            return [b"", self.who.user.as_bytes(), self.who.password.as_bytes()].join(&0);
        }
        let user = self.who.user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={}", self.nonce);
        let message = format!("n,,{bare}").into_bytes();
        self.step = Step::Challenged(bare);
        message
    }

    /// The answer to what the server said; `None`: it is over, and the server is who it should be.
    ///
    /// # Errors
    /// When the server does not know the secret, or what it says is no SCRAM.
    pub(crate) fn next(&mut self, said: &[u8], keys: &Keys) -> Result<Option<Vec<u8>>, WireError> {
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::First | Step::Over => Ok(None),
            Step::Challenged(bare) => self.answer(&bare, text(said)?, keys).map(Some),
            Step::Proven(signature) => {
                let said = text(said)?;
                let theirs = attribute(said, 'v').and_then(|v| BASE64.decode(v).ok());
                if theirs.as_deref() == Some(&signature[..]) {
                    return Ok(None);
                }
                Err(Wrong::AuthRefused.because(match attribute(said, 'e') {
                    Some(error) => {
                        format!("the broker ends SCRAM with \"{}\"", error.escape_debug())
                    }
                    None => "the broker does not prove that it knows the password".to_owned(),
                }))
            }
        }
    }

    fn answer(&mut self, bare: &str, said: &str, keys: &Keys) -> Result<Vec<u8>, WireError> {
        let wrong = |what: &str| {
            Wrong::AuthRefused.because(format!("SCRAM: the broker's challenge {what}"))
        };
        let nonce = attribute(said, 'r').ok_or_else(|| wrong("has no nonce"))?;
        let salt = attribute(said, 's').and_then(|s| BASE64.decode(s).ok());
        let salt = salt.ok_or_else(|| wrong("has no salt"))?;
        let rounds = attribute(said, 'i').and_then(|i| i.parse::<u32>().ok());
        let rounds = rounds.ok_or_else(|| wrong("has no number of iterations"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(wrong("is not the answer to our nonce"));
        }
        if !(1..=ITERATIONS_MAX).contains(&rounds) {
            return Err(wrong(&format!(
                "asks for {rounds} iterations, 1 to {ITERATIONS_MAX} are allowed"
            )));
        }
        if salt.len() > SALT_BYTES_MAX {
            return Err(wrong(&format!(
                "has a salt of {} bytes, {SALT_BYTES_MAX} are allowed",
                salt.len()
            )));
        }
        // `biws` is the header `n,,` in base64.
        let without_proof = format!("c=biws,r={nonce}");
        let all = format!("{bare},{said},{without_proof}");
        let key = keys.of(&self.who, salt, rounds);
        let sign = match self.who.mechanism {
            Mechanism::ScramSha512 => sha512::sign,
            Mechanism::Plain | Mechanism::ScramSha256 => sha256::sign,
        };
        let (proof, signature) = sign(&key.client, &key.server, all.as_bytes());
        self.step = Step::Proven(signature);
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes())
    }
}

fn text(said: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(said)
        .map_err(|_| Wrong::AuthRefused.because("SCRAM: the broker's message is no UTF-8"))
}

/// The value of an attribute; attributes are separated by commas.
fn attribute(said: &str, name: char) -> Option<&str> {
    said.split(',')
        .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

macro_rules! scram {
    ($name:ident, $hash:ty, $bytes:literal) => {
        /// RFC 5802 section 3 with this hash.
        mod $name {
            use super::*;

            fn mac(key: &[u8], of: &[u8]) -> [u8; $bytes] {
                // A key of any length is a key.
                let Ok(mut mac) = <Hmac<$hash> as KeyInit>::new_from_slice(key) else {
                    return [0; $bytes];
                };
                mac.update(of);
                mac.finalize().into_bytes().into()
            }

            /// The client's key and the server's.
            pub(super) fn derive(password: &str, salt: &[u8], rounds: u32) -> (Vec<u8>, Vec<u8>) {
                let mut salted = [0; $bytes];
                pbkdf2_hmac::<$hash>(password.as_bytes(), salt, rounds, &mut salted);
                let key = |name: &[u8]| mac(&salted, name).to_vec();
                (key(b"Client Key"), key(b"Server Key"))
            }

            /// The proof, and the server's signature.
            pub(super) fn sign(client: &[u8], server: &[u8], all: &[u8]) -> (Vec<u8>, Vec<u8>) {
                let signature = mac(&<$hash>::digest(client), all);
                let proof = client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
                (proof, mac(server, all).to_vec())
            }
        }
    };
}

scram!(sha256, Sha256, 32);
scram!(sha512, Sha512, 64);

#[cfg(test)]
mod tests {
    use super::*;

    fn who(mechanism: Mechanism, user: &str, password: &str) -> Credentials {
        Credentials {
            mechanism,
            user: user.into(),
            password: password.into(),
        }
    }

    /// The exchange printed in RFC 7677 section 3.
    #[test]
    fn the_example_of_the_rfc() {
        let who = who(Mechanism::ScramSha256, "user", "pencil");
        let keys = Keys::default();
        // The second time the keys are known.
        for _ in 0..2 {
            let mut exchange = Exchange::new(who.clone(), "rOprNGfwEbeRWgbNEkqO".into());
            assert_eq!(exchange.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
            let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
            let answer = exchange.next(challenge.as_bytes(), &keys).unwrap().unwrap();
            assert_eq!(
                String::from_utf8(answer).unwrap(),
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
            );
            let end = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
            assert_eq!(exchange.next(end, &keys), Ok(None));
        }
    }

    #[test]
    fn keys_of_another_salt_are_not_taken() {
        let who = who(Mechanism::ScramSha512, "u", "p");
        let keys = Keys::default();
        for (salt, rounds) in [("AAAA", 3), ("AAAB", 3), ("AAAA", 4), ("AAAA", 3)] {
            let mut exchange = Exchange::new(who.clone(), "abc".into());
            let first = String::from_utf8(exchange.first()).unwrap();
            let challenge = format!("r=abcd,s={salt},i={rounds}");
            let answer = exchange.next(challenge.as_bytes(), &keys).unwrap().unwrap();
            let answer = String::from_utf8(answer).unwrap();
            let (without_proof, proof) = answer.rsplit_once(",p=").unwrap();
            let all = format!("{},{challenge},{without_proof}", &first[3..]);
            let salt = BASE64.decode(salt).unwrap();
            let (client, server) = sha512::derive("p", &salt, rounds);
            let (expected, signature) = sha512::sign(&client, &server, all.as_bytes());
            assert_eq!(BASE64.decode(proof).unwrap(), expected);
            let end = format!("v={}", BASE64.encode(signature));
            assert_eq!(exchange.next(end.as_bytes(), &keys), Ok(None));
        }
    }

    #[test]
    fn a_server_that_knows_nothing_is_refused() {
        let keys = Keys::default();
        let start = || {
            let who = who(Mechanism::ScramSha512, "a=b,c", "x");
            let mut exchange = Exchange::new(who, "abc".into());
            assert_eq!(exchange.first(), b"n,,n=a=3Db=2Cc,r=abc");
            exchange
        };
        let long = format!("r=abc1,s={},i=1", "AAAA".repeat(400));
        for bad in [
            "",
            "r=abc,s=AA==,i=1",
            "r=abz1,s=AA==,i=1",
            "r=abc1,i=1",
            "r=abc1,s=AA==",
            "r=abc1,s=AA==,i=0",
            "r=abc1,s=AA==,i=100001",
            "r=abc1,s=!,i=1",
            &long,
        ] {
            assert!(start().next(bad.as_bytes(), &keys).is_err(), "{bad}");
        }
        assert!(start().next(b"\xff", &keys).is_err());
        for bad in ["v=AA==", "e=unknown-user", ""] {
            let mut exchange = start();
            let answer = exchange.next(b"r=abc1,s=AA==,i=1", &keys);
            assert!(answer.unwrap().is_some());
            assert!(exchange.next(bad.as_bytes(), &keys).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_is_one_message_and_the_password_is_in_no_other() {
        let who = who(Mechanism::Plain, "u", "hunter2");
        let mut exchange = Exchange::new(who, String::new());
        assert_eq!(exchange.first(), b"\0u\0hunter2");
        assert!(!format!("{exchange:?}").contains("hunter2"));
        assert_eq!(exchange.next(b"", &Keys::default()), Ok(None));
    }
}
