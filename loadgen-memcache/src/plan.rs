//! What was asked for, judged: the one place that refuses a combination.
//!
//! [`MemcacheSpec`] is what a user or a program says, [`MemcachePlan`] what will be done. Names are
//! looked up here, once; nothing connects.

use loadgen_core::workload::Route;

use crate::spec::MemcacheSpec;

/// Why a spec cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// What was asked makes no sense; the sentence names the flag and the value.
    Refused(String),
    /// A name has no address, so the target cannot be reached.
    Unresolved(String),
}

/// What will be done.
#[derive(Clone, Debug)]
pub struct MemcachePlan {
    routes: Vec<Route>,
    spec: MemcacheSpec,
}
