//! What is asked of a cluster beside a run: who leads what, where logs begin and end, how things are
//! set.
//!
//! Blocking, with a codec from outside (kafka-protocol, made from Kafka's own message files); it
//! must never be used where something is measured.

mod ask;
mod form;
mod link;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use loadgen_core::address;
use loadgen_core::workload::Route;

use crate::cluster::{Broker, Topic};
use crate::greeting::GreetingRules;
use crate::plan::PORT_DEFAULT;
use crate::spec::ClusterSpec;
use link::{Link, Patience};

pub use ask::Offset;
pub(crate) use watch::Missing;
pub use watch::Watcher;

/// Why a cluster could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlError {
    /// Whether nobody answered; otherwise somebody did, and refused.
    pub unreachable: bool,
    /// One sentence.
    pub text: String,
    /// The broker's error code, where it is one.
    pub code: Option<i16>,
}

impl ControlError {
    fn unreachable(text: String) -> Self {
        Self {
            unreachable: true,
            text,
            code: None,
        }
    }

    fn refused(text: String) -> Self {
        Self {
            unreachable: false,
            text,
            code: None,
        }
    }

    /// The broker answered `what` with an error code.
    fn coded(what: &str, code: i16, said: Option<&str>) -> Self {
        let name = crate::tables::name_of(code);
        let said = said.map_or_else(String::new, |said| format!(": {}", said.escape_debug()));
        Self {
            unreachable: false,
            text: format!("{what}: the broker answers {name} ({code}){said}"),
            code: Some(code),
        }
    }
}

impl std::fmt::Display for ControlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ControlError {}

/// A cluster that answers.
#[derive(Debug)]
pub struct Control {
    rules: Arc<GreetingRules>,
    patience: Patience,
    /// Connections opened so far.
    opened: u64,
    /// How often the connection metadata comes from was lost.
    lost: usize,
    /// Where to begin again when the connection is lost.
    bootstrap: Vec<String>,
    /// The connection metadata comes from.
    link: Option<Link>,
    /// Connections to brokers by node id, for what only they know.
    links: Vec<(i32, Link)>,
    brokers: Vec<Broker>,
    controller: i32,
}

impl Control {
    /// Asks the brokers of `spec` in turn; the first one that answers is good enough. `patience`:
    /// how long each may take, for connecting and for every answer.
    ///
    /// # Errors
    /// What the last one did when none answered well.
    pub fn open(spec: &ClusterSpec, patience: Duration) -> Result<Self, ControlError> {
        // Beside the run: its seed is not needed to repeat anything.
        let seed = std::process::id().into();
        let rules = GreetingRules::new(spec.client_id.clone(), spec.sasl.clone(), seed);
        let mut control = Self {
            rules: Arc::new(rules),
            patience: Patience {
                each: patience,
                over: Arc::new(AtomicBool::new(false)),
            },
            opened: 0,
            lost: 0,
            bootstrap: spec.bootstrap.clone(),
            link: None,
            links: Vec::new(),
            brokers: Vec::new(),
            controller: -1,
        };
        control.refresh()?;
        Ok(control)
    }

    /// All brokers, in ascending order of their node id.
    #[must_use]
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// A route for each broker of `topic`, in its order. A broker's weight is the number of
    /// partitions it leads, and at least 1.
    ///
    /// # Errors
    /// When a broker advertises a name that has no address.
    pub fn routes(&self, topic: &Topic) -> Result<Vec<Route>, ControlError> {
        let route = |(route, broker): (usize, &Broker)| {
            let found = address::split(&broker.name)
                .and_then(|(host, port)| address::look_up(&host, port.unwrap_or(PORT_DEFAULT)));
            let endpoints = found.map_err(|error| {
                ControlError::unreachable(format!(
                    "broker {} advertises {}: {error}",
                    broker.node, broker.name
                ))
            })?;
            let weight = u32::try_from(topic.leads(route).max(1)).unwrap_or(u32::MAX);
            Ok(Route {
                name: format!("broker {}", broker.node),
                endpoints,
                weight,
                rate_weight: weight,
                paced: true,
            })
        };
        topic.brokers.iter().enumerate().map(route).collect()
    }

    fn open_link(&mut self, name: &str) -> Result<Link, ControlError> {
        self.opened += 1;
        // From the other end of the numbers than those of the run's connections.
        let serial = u64::MAX - self.opened;
        Link::open(name, PORT_DEFAULT, &self.rules, serial, &self.patience)
    }

    /// A connection to any broker.
    fn any(&mut self) -> Result<&mut Link, ControlError> {
        let link = match self.link.take() {
            Some(link) => link,
            None => self.first_that_answers()?,
        };
        Ok(self.link.insert(link))
    }

    /// After a loss it begins with the next name: the one that was lost may be mute and not gone,
    /// and every look at it costs all patience there is.
    fn first_that_answers(&mut self) -> Result<Link, ControlError> {
        let mut names: Vec<String> = Vec::new();
        let advertised = self.brokers.iter().map(|broker| &broker.name);
        for name in self.bootstrap.iter().chain(advertised) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let first = self.lost.checked_rem(names.len()).unwrap_or(0);
        names.rotate_left(first);
        let mut last = ControlError::unreachable("no broker was named".to_owned());
        for name in names {
            match self.open_link(&name) {
                Ok(link) => return Ok(link),
                Err(error) => last = error,
            }
            if self.patience.is_over() {
                break;
            }
            self.lost += 1;
        }
        Err(last)
    }

    /// A connection to this broker.
    fn of_node(&mut self, node: i32) -> Result<&mut Link, ControlError> {
        let at = match self.links.iter().position(|(known, _)| *known == node) {
            Some(at) => at,
            None => {
                let broker = self.brokers.iter().find(|broker| broker.node == node);
                let name = broker.map(|broker| broker.name.clone()).ok_or_else(|| {
                    ControlError::unreachable(format!("the cluster names no broker {node} now"))
                })?;
                let link = self.open_link(&name)?;
                self.links.push((node, link));
                self.links.len() - 1
            }
        };
        Ok(&mut self.links[at].1)
    }

    /// Forgets a connection whose answer did not come or cannot be read: where the next one begins
    /// is not known.
    fn forget(&mut self, node: Option<i32>) {
        match node {
            None => {
                self.link = None;
                self.lost += 1;
            }
            Some(node) => self.links.retain(|(known, _)| *known != node),
        }
    }
}
