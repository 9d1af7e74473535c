//! SASL PLAIN and SCRAM, the client's side: messages in, messages out.
//!
//! Sources: RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM), Kafka documentation "SASL
//! authentication". Nothing here may talk to a socket or draw randomness of its own: the nonce comes
//! from outside, so that a run can be repeated. Names and passwords are taken as they are typed;
//! SASLprep (RFC 4013) is not applied, as in librdkafka.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256, Sha512};

use crate::spec::{Credentials, Mechanism};
use crate::wire::{WireError, Wrong};

/// The most rounds of PBKDF2 a server may ask for: Kafka's default is 4096, and the work is ours.
const ITERATIONS_MAX: u32 = 1_000_000;

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
    pub(crate) fn next(&mut self, said: &[u8]) -> Result<Option<Vec<u8>>, WireError> {
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::First | Step::Over => Ok(None),
            Step::Challenged(bare) => self.answer(&bare, text(said)?).map(Some),
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

    fn answer(&mut self, bare: &str, said: &str) -> Result<Vec<u8>, WireError> {
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
        // `biws` is the header `n,,` in base64.
        let without_proof = format!("c=biws,r={nonce}");
        let all = format!("{bare},{said},{without_proof}");
        let (proof, signature) = match self.who.mechanism {
            Mechanism::ScramSha512 => sha512(&self.who.password, &salt, rounds, all.as_bytes()),
            Mechanism::Plain | Mechanism::ScramSha256 => {
                sha256(&self.who.password, &salt, rounds, all.as_bytes())
            }
        };
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
        /// Proof and the server's signature (RFC 5802 section 3).
        fn $name(password: &str, salt: &[u8], rounds: u32, all: &[u8]) -> (Vec<u8>, Vec<u8>) {
            fn mac(key: &[u8], of: &[u8]) -> [u8; $bytes] {
                // A key of any length is a key.
                let Ok(mut mac) = <Hmac<$hash> as KeyInit>::new_from_slice(key) else {
                    return [0; $bytes];
                };
                mac.update(of);
                mac.finalize().into_bytes().into()
            }
            let mut salted = [0; $bytes];
            pbkdf2_hmac::<$hash>(password.as_bytes(), salt, rounds, &mut salted);
            let client = mac(&salted, b"Client Key");
            let stored = <$hash>::digest(client);
            let signature = mac(&stored, all);
            let proof = client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
            let server = mac(&salted, b"Server Key");
            (proof, mac(&server, all).to_vec())
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
        let mut exchange = Exchange::new(who, "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(exchange.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = exchange.next(challenge.as_bytes()).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let end = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(exchange.next(end), Ok(None));
    }

    #[test]
    fn a_server_that_knows_nothing_is_refused() {
        let start = || {
            let who = who(Mechanism::ScramSha512, "a=b,c", "x");
            let mut exchange = Exchange::new(who, "abc".into());
            assert_eq!(exchange.first(), b"n,,n=a=3Db=2Cc,r=abc");
            exchange
        };
        for bad in [
            "",
            "r=abc,s=AA==,i=1",
            "r=abz1,s=AA==,i=1",
            "r=abc1,i=1",
            "r=abc1,s=AA==",
            "r=abc1,s=AA==,i=0",
            "r=abc1,s=AA==,i=9999999",
            "r=abc1,s=!,i=1",
        ] {
            assert!(start().next(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(start().next(b"\xff").is_err());
        for bad in ["v=AA==", "e=unknown-user", ""] {
            let mut exchange = start();
            assert!(exchange.next(b"r=abc1,s=AA==,i=1").unwrap().is_some());
            assert!(exchange.next(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_is_one_message() {
        let mut exchange = Exchange::new(who(Mechanism::Plain, "u", "p"), String::new());
        assert_eq!(exchange.first(), b"\0u\0p");
        assert_eq!(exchange.next(b""), Ok(None));
    }
}
