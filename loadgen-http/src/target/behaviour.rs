//! The known behaviours of the target: how long it takes, when it stalls, what it breaks.
//!
//! Laws are values; a delay is a function of the seed and of its number, so two runs of one seed
//! give the same sequence. Nothing here may read a clock or wait.

use std::str::FromStr;
use std::time::Duration;

use loadgen_core::workload::Random;

/// The longest delay, stall or period that is accepted.
const LONGEST: Duration = Duration::from_secs(3600);

/// The law of the service time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Law {
    /// No delay at all.
    #[default]
    None,
    /// Always the same.
    Fixed(Duration),
    /// Exponential with this mean.
    Exponential(Duration),
    /// The second with the given probability, else the first.
    Bimodal(Duration, Duration, f64),
}

/// One step of the `SplitMix64` sequence: delay `n` is drawn from a state that many steps on.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Law {
    /// Delay number `n` of the sequence of `seed`.
    #[must_use]
    pub fn draw(&self, seed: u64, n: u64) -> Duration {
        let mut random = Random::new(seed.wrapping_add(n.wrapping_mul(STEP)));
        match *self {
            Self::None => Duration::ZERO,
            Self::Fixed(delay) => delay,
            // At most 37 means: the smallest value of unit() is 2^-53.
            Self::Exponential(mean) => {
                Duration::from_nanos(random.exponential(mean.as_nanos() as f64) as u64)
            }
            Self::Bimodal(usual, rare, p) => {
                if random.unit() <= p {
                    rare
                } else {
                    usual
                }
            }
        }
    }
}

impl FromStr for Law {
    type Err = String;

    /// `none`, `fixed:D`, `exp:MEAN` or `bimodal:D1,D2,P` (D2 with probability P).
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("delay {text:?}: {why}");
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "none" if rest.is_empty() => Ok(Self::None),
            "fixed" => Ok(Self::Fixed(duration(rest).map_err(wrong)?)),
            "exp" => Ok(Self::Exponential(duration(rest).map_err(wrong)?)),
            "bimodal" => {
                let parts: Vec<&str> = rest.split(',').collect();
                let [usual, rare, p] = parts[..] else {
                    return Err(wrong(format!("bimodal takes D1,D2,P, not {rest:?}")));
                };
                let p = match p.trim().parse::<f64>() {
                    Ok(p) if (0.0..=1.0).contains(&p) => p,
                    _ => return Err(wrong(format!("{p:?} is not a probability from 0 to 1"))),
                };
                let usual = duration(usual).map_err(wrong)?;
                Ok(Self::Bimodal(usual, duration(rare).map_err(wrong)?, p))
            }
            _ => Err(wrong(
                "the laws are none, fixed:D, exp:MEAN and bimodal:D1,D2,P".to_owned(),
            )),
        }
    }
}

/// No reply leaves for `length` in every `period`.
///
/// The phase counts from the first request: window *k*, from 1 on, is
/// [*k* × period, *k* × period + length) after it. A reply that would be complete in a window is
/// given at its end, whenever its request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// How long a stall lasts. Shorter than the period.
    pub length: Duration,
    /// From the beginning of one to the beginning of the next.
    pub period: Duration,
}

impl Stall {
    /// When a reply that is ready `at` after the first request may leave, on the same scale.
    #[must_use]
    pub fn release(&self, at: Duration) -> Duration {
        let period_ns = self.period.as_nanos().max(1);
        let (window, into_ns) = (at.as_nanos() / period_ns, at.as_nanos() % period_ns);
        if window == 0 || into_ns >= self.length.as_nanos() {
            return at;
        }
        let end_ns = window * period_ns + self.length.as_nanos();
        Duration::from_nanos(u64::try_from(end_ns).unwrap_or(u64::MAX))
    }
}

impl FromStr for Stall {
    type Err = String;

    /// `D/P`: a stall of D every P.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("stall {text:?}: {why}");
        let (length, period) = text
            .split_once('/')
            .ok_or_else(|| wrong("it is D/P, a stall of D every P"))?;
        let length = duration(length).map_err(|why| wrong(&why))?;
        let period = duration(period).map_err(|why| wrong(&why))?;
        if length.is_zero() || length >= period {
            return Err(wrong("D must be longer than 0 and shorter than P"));
        }
        Ok(Self { length, period })
    }
}

/// One way of breaking a reply. They are done below HTTP, on the bytes that leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Instead of the reply a reset (`SO_LINGER` 0).
    ResetBeforeHead,
    /// The head, then a reset.
    ResetAfterHead,
    /// The head with its whole length, half of the body, then an orderly close.
    Truncate,
    /// Bytes that are no HTTP, then an orderly close.
    Garbage,
    /// Nothing, and the connection stays open.
    Hang,
    /// The whole reply, then bytes that answer nothing; the connection stays open.
    Surplus,
    /// An orderly close instead of the reply.
    CloseBeforeReply,
}

impl Fault {
    /// All of them, with their names in paths and queries.
    pub const ALL: [(&'static str, Self); 7] = [
        ("reset-before-head", Self::ResetBeforeHead),
        ("reset-after-head", Self::ResetAfterHead),
        ("truncate", Self::Truncate),
        ("garbage", Self::Garbage),
        ("hang", Self::Hang),
        ("surplus", Self::Surplus),
        ("close-before-reply", Self::CloseBeforeReply),
    ];

    /// Whether the client gets the whole reply all the same.
    #[must_use]
    pub const fn replies(self) -> bool {
        matches!(self, Self::Surplus)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(name, _)| *name == text);
        known.map(|(_, fault)| *fault).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is none of the faults {}", names.join(", "))
        })
    }
}

/// A duration as `20ms`, `1.5s`, `100us`, `50ns`, `2m`; an hour at the most.
///
/// # Errors
/// One sentence.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not a duration such as 20ms, 1.5s or 100us");
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(wrong)?;
    let unit_s = match &text[digits..] {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(wrong()),
    };
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    match Duration::try_from_secs_f64(number * unit_s) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        _ => Err(format!("{text} is longer than the limit of 1 h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn laws_are_read() {
        assert_eq!("none".parse(), Ok(Law::None));
        assert_eq!("fixed:20ms".parse(), Ok(Law::Fixed(20 * MS)));
        assert_eq!("exp:1.5s".parse(), Ok(Law::Exponential(1500 * MS)));
        assert_eq!(
            "bimodal:10ms,50ms,0.1".parse(),
            Ok(Law::Bimodal(10 * MS, 50 * MS, 0.1))
        );
        for wrong in [
            "",
            "fixed",
            "fixed:",
            "fixed:5",
            "fixed:-5ms",
            "fixed:2h",
            "fixed:61m",
            "fixed:1.2.3ms",
            "exp:xms",
            "bimodal:1ms,2ms",
            "bimodal:1ms,2ms,1.5",
            "bimodal:1ms,2ms,nan",
            "none:1",
        ] {
            let error = wrong.parse::<Law>().unwrap_err();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let law = Law::Exponential(20 * MS);
        let draw = |seed| (0..10).map(|n| law.draw(seed, n)).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn draws_follow_their_law() {
        const N: u64 = 100_000;
        let mut all: Vec<Duration> = (0..N)
            .map(|n| Law::Exponential(20 * MS).draw(7, n))
            .collect();
        all.sort_unstable();
        for (p, means) in [(0.5, 2_f64.ln()), (0.9, 10_f64.ln()), (0.99, 100_f64.ln())] {
            let got = all[(p * N as f64) as usize].as_secs_f64();
            assert!((got / (0.02 * means) - 1.0).abs() < 0.02, "p{p}: {got} s");
        }
        let law = Law::Bimodal(10 * MS, 50 * MS, 0.1);
        let rare = (0..N).filter(|&n| law.draw(7, n) == 50 * MS).count() as f64;
        // Five standard deviations of a binomial count.
        assert!((rare - 10_000.0).abs() < 5.0 * (10_000.0_f64 * 0.9).sqrt());
        let never = Law::Bimodal(10 * MS, 50 * MS, 0.0);
        assert!((0..N).all(|n| never.draw(7, n) == 10 * MS));
    }

    #[test]
    fn no_reply_leaves_in_a_stall() {
        let stall: Stall = "100ms/1s".parse().unwrap();
        for (ready, leaves) in [
            (0, 0),
            (50, 50),
            (999, 999),
            (1000, 1100),
            (1099, 1100),
            (1100, 1100),
            (5050, 5100),
        ] {
            assert_eq!(stall.release(ready * MS), leaves * MS, "{ready} ms");
        }
        for wrong in ["", "100ms", "0s/1s", "1s/1s", "2s/1s", "a/b"] {
            assert!(wrong.parse::<Stall>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn faults_have_names() {
        for (name, fault) in Fault::ALL {
            assert_eq!(name.parse(), Ok(fault));
        }
        let error = "explode".parse::<Fault>().unwrap_err();
        assert!(
            error.contains("\"explode\"") && error.contains("truncate"),
            "{error}"
        );
    }
}
