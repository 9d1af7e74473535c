//! Which servers there are behind the addresses of a run, and what each says before and after it.
//!
//! All are asked at once, in threads that are left behind when time is up or somebody has had
//! enough. One server with two addresses is one witness: whatever it counted is counted once. That
//! is judged by what servers say of themselves, never by their addresses.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use loadgen_core::workload::Endpoint;

use crate::reconcile::DELTAS;
use crate::spec::Credentials;
use crate::stats::ServerStats;

/// What a server said, or why it said nothing.
pub type Said = Result<ServerStats, String>;

/// Servers that are asked at once, at most; the next is asked when one has answered.
const ASKERS_MAX: usize = 64;
/// Between two looks at whether somebody has had enough.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// CPU time a server used, seconds: two that did the same work still differ in it.
const TIMES: [&str; 2] = ["rusage_user", "rusage_system"];

/// What one server said.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Its addresses, at the first of which it is asked. Never empty.
    pub endpoints: Vec<Endpoint>,
    /// Before the first request, prefill too.
    pub before: Said,
    /// After the last.
    pub after: Said,
    /// What the prefilled keys need there, bytes, at the least; `None`: there is no prefill.
    pub prefill_bytes: Option<u64>,
}

/// How servers are asked.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Who asks.
    pub sasl: Option<Credentials>,
    /// How long all of them may take together.
    pub patience: Duration,
}

/// One round of questions, as its threads share it.
struct Round {
    next: AtomicUsize,
    endpoints: Vec<Endpoint>,
    sasl: Option<Credentials>,
    until: Instant,
}

impl Round {
    /// The answers as they come.
    fn begin(self: &Arc<Self>) -> Receiver<(usize, Said)> {
        let (tell, hear) = channel();
        for _ in 0..self.endpoints.len().min(ASKERS_MAX) {
            let (round, tell) = (Arc::clone(self), tell.clone());
            let asker = move || {
                while let Some((at, endpoint)) = round.take() {
                    let patience = round.until.saturating_duration_since(Instant::now());
                    let said = ServerStats::ask(endpoint, round.sasl.as_ref(), patience);
                    if tell.send((at, said)).is_err() {
                        return;
                    }
                }
            };
            // Where the system has no thread left, those that there are do it.
            if thread::Builder::new()
                .name("stats".into())
                .spawn(asker)
                .is_err()
            {
                break;
            }
        }
        hear
    }

    fn take(&self) -> Option<(usize, &Endpoint)> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        self.endpoints.get(at).map(|endpoint| (at, endpoint))
    }
}

impl Asking {
    /// Asks the servers at `endpoints`, all at once; the answers in the same order. It ends when
    /// the last answer is there, when the patience is over, or soon after `enough` says so.
    #[must_use]
    pub fn all(&self, endpoints: &[Endpoint], enough: &dyn Fn() -> bool) -> Vec<Said> {
        let round = Arc::new(Round {
            next: AtomicUsize::new(0),
            endpoints: endpoints.to_vec(),
            sasl: self.sasl.clone(),
            until: Instant::now() + self.patience,
        });
        let hear = round.begin();
        let mut said: Vec<Option<Said>> = vec![None; endpoints.len()];
        let mut why = "not asked: the system has no thread left";
        while said.iter().any(Option::is_none) {
            match hear.recv_timeout(LOOK_EVERY) {
                Ok((at, answer)) => said[at] = Some(answer),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if enough() => {
                    why = "interrupted before there was an answer";
                    break;
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > round.until + LOOK_EVERY => {
                    why = "no answer in time";
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let or_why = |(endpoint, said): (&Endpoint, Option<Said>)| {
            said.unwrap_or_else(|| Err(format!("stats of {endpoint}: {why}")))
        };
        endpoints.iter().zip(said).map(or_why).collect()
    }

    /// The servers behind `endpoints`, each once, and what they say before a run. Every answer is
    /// from after the last question that looked for servers that are the same.
    #[must_use]
    pub fn before(&self, endpoints: &[Endpoint], enough: &dyn Fn() -> bool) -> Vec<Witness> {
        let said = self.all(endpoints, enough);
        let again = |at: usize| {
            let one = self.all(&endpoints[at..=at], enough);
            one.into_iter().next().and_then(Result::ok)
        };
        let asked = Cell::new(false);
        let groups = groups(&said, |at| {
            asked.set(true);
            again(at)
        });
        let first = |group: &Vec<usize>| endpoints[group[0]].clone();
        let said = if asked.get() {
            self.all(&groups.iter().map(first).collect::<Vec<_>>(), enough)
        } else {
            said
        };
        let witness = |(group, before): (&Vec<usize>, Said)| Witness {
            endpoints: group.iter().map(|at| endpoints[*at].clone()).collect(),
            before,
            after: Err("not asked yet".to_owned()),
            prefill_bytes: None,
        };
        groups.iter().zip(said).map(witness).collect()
    }

    /// Asks the same servers after the run.
    pub fn after(&self, witnesses: &mut [Witness], enough: &dyn Fn() -> bool) {
        let first = |witness: &Witness| witness.endpoints[0].clone();
        let endpoints: Vec<Endpoint> = witnesses.iter().map(first).collect();
        for (witness, after) in witnesses.iter_mut().zip(self.all(&endpoints, enough)) {
            witness.after = after;
        }
    }
}

/// Which of the answers are of one server, each group in their order. `ask` asks one of them anew.
fn groups(said: &[Said], mut ask: impl FnMut(usize) -> Option<ServerStats>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, this) in said.iter().enumerate() {
        let mut is_of = |group: &Vec<usize>| match (this, &said[group[0]]) {
            (Ok(this), Ok(first)) if alike(first, this) => {
                let turns = [group[0], at, group[0]].map(&mut ask);
                matches!(turns, [Some(a), Some(b), Some(c)] if are_one(&a, &b, &c))
            }
            _ => false,
        };
        match groups.iter().position(&mut is_of) {
            Some(group) => groups[group].push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

/// Whether two answers may be of one server: the same process, begun at the same second, with the
/// same settings. Twins in two containers say so too.
fn alike(one: &ServerStats, other: &ServerStats) -> bool {
    let begun = |stats: &ServerStats| stats.count("time")?.checked_sub(stats.count("uptime")?);
    let said = |stats: &ServerStats, name| stats.counters.get(name).cloned();
    let same = |name| said(one, name) == said(other, name);
    // Where the two are not read at one moment, the second may end between them.
    let begun = begun(one).zip(begun(other));
    one.count("pid").is_some()
        && same("pid")
        && same("version")
        && begun.is_some_and(|(a, b)| a.abs_diff(b) <= 1)
        && (one.settings.is_empty() || other.settings.is_empty() || one.settings == other.settings)
}

/// Whether answers to three questions, asked one after the other on connections of their own, are
/// of one server: each question is a connection in its count, and nothing it counts goes back. A
/// twin knows nothing of the question in the middle.
fn are_one(first: &ServerStats, between: &ServerStats, again: &ServerStats) -> bool {
    let number =
        |stats: &ServerStats, name: &str| -> Option<f64> { stats.counters.get(name)?.parse().ok() };
    let goes_on = |name: &&str| {
        let numbers = [first, between, again].map(|stats| number(stats, name));
        match numbers {
            [Some(a), Some(b), Some(c)] => a <= b && b <= c,
            _ => true,
        }
    };
    let connections = [first, between, again].map(|stats| stats.count("total_connections"));
    matches!(connections, [Some(a), Some(b), Some(c)] if a < b && b < c)
        && DELTAS.iter().chain(&TIMES).all(goes_on)
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
