//! The library's way in: a plan, ready for the engine.
//!
//! Nothing is decided here; `plan` has judged, `workload` chooses.

use std::sync::Arc;

use loadgen_core::engine::shares;
use loadgen_core::protocol::Tables;
use loadgen_core::workload::{Route, Scenario};
use serde_json::Value;

use crate::local;
use crate::plan::MemcachePlan;
use crate::spec::{KeySpace, Placement};
use crate::tables;
use crate::workload::{MemcacheWorkload, PrefillList, Script};

/// A whole run's memcached work.
#[derive(Clone, Debug)]
pub struct MemcacheScenario {
    plan: Arc<MemcachePlan>,
    tables: Arc<Tables>,
    script: Arc<Script>,
    prefill: Option<Arc<PrefillList>>,
}

impl MemcacheScenario {
    /// Lays out what the plan says.
    #[must_use]
    pub fn new(plan: MemcachePlan) -> Self {
        Self {
            tables: Arc::new(tables::tables()),
            script: Arc::new(plan.script()),
            plan: Arc::new(plan),
            prefill: None,
        }
    }

    /// The plan behind it.
    #[must_use]
    pub fn memcache_plan(&self) -> &MemcachePlan {
        &self.plan
    }

    /// The run that comes before this one, if the plan has one: every key of the prefill is SET
    /// once. With it, the count of its requests, for [`loadgen_core::stop::Stop::Requests`].
    ///
    /// `connections` is what the measured run has: keys of connections are written for those. The
    /// prefill may run in a closed loop only, and needs a connection to each server in each of its
    /// workers: run it with one worker where `connections` is less than workers × servers. It did
    /// what it was for when that many requests completed as `ok`.
    #[must_use]
    pub fn prefill(&self, connections: u32) -> Option<(Self, u64)> {
        let keys = self.plan.prefill_keys()?;
        let servers = self.plan.routes().len();
        let spec = self.plan.spec();
        let (list, requests) = match spec.key_space {
            KeySpace::Shared => {
                let copies = match spec.placement {
                    Placement::Own => servers as u64,
                    Placement::Hashed => 1,
                };
                (PrefillList::shared(servers, keys), keys * copies)
            }
            KeySpace::PerConnection | KeySpace::Window { .. } => {
                let shares = shares(connections, self.plan.routes());
                let list = PrefillList::of_connections(&shares, keys);
                (list, keys * u64::from(connections))
            }
        };
        let prefill = Self {
            prefill: Some(Arc::new(list)),
            ..self.clone()
        };
        Some((prefill, requests))
    }
}

impl Scenario for MemcacheScenario {
    type Workload = MemcacheWorkload;

    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    fn routes(&self) -> Vec<Route> {
        self.plan.routes().to_vec()
    }

    fn workload(&self, worker: usize, workers: usize) -> MemcacheWorkload {
        let (script, prefill) = (Arc::clone(&self.script), self.prefill.clone());
        MemcacheWorkload::new(script, prefill, worker, workers)
    }

    fn plan(&self) -> Value {
        let mut document = self.plan.document();
        document["prefilling"] = self.prefill.is_some().into();
        document
    }

    fn details(&self, workers: Vec<Value>) -> Value {
        local::sum(&workers)
    }
}
