//! The library's way in: a plan, ready for the engine.
//!
//! Nothing is decided here; `plan` has judged, `workload` chooses.

use std::sync::Arc;

use loadgen_core::protocol::Tables;
use loadgen_core::workload::{Route, Scenario};
use serde_json::Value;

use crate::plan::HttpPlan;
use crate::session;
use crate::wire::request::Template;
use crate::workload::{HttpWorkload, Rotation, Turn};

/// A whole run's HTTP work.
#[derive(Clone, Debug)]
pub struct HttpScenario {
    plan: Arc<HttpPlan>,
    tables: Arc<Tables>,
    templates: Arc<[Template]>,
    rotations: Vec<Rotation>,
}

impl HttpScenario {
    /// Encodes the plan's requests and fixes their order.
    #[must_use]
    pub fn new(plan: HttpPlan) -> Self {
        let template = |request: &crate::plan::HttpRequest| {
            let (method, target) = (&request.method, &request.url.target);
            Template::new(method, target, &request.fields, request.body.clone())
        };
        let members = |route: usize| -> Vec<(u32, u32)> {
            let numbered = (0..).zip(plan.requests());
            numbered
                .filter(|(_, request)| request.route == route)
                .map(|(number, request)| (number, request.weight))
                .collect()
        };
        Self {
            tables: Arc::new(session::tables(&[plan.method().to_owned()])),
            templates: plan.requests().iter().map(template).collect(),
            rotations: (0..plan.routes().len())
                .map(|route| Rotation::new(&members(route)))
                .collect(),
            plan: Arc::new(plan),
        }
    }

    /// The plan behind it.
    #[must_use]
    pub fn http_plan(&self) -> &HttpPlan {
        &self.plan
    }

    /// Where `worker` of `workers` is in each route's rotation; what it yields are positions in
    /// [`HttpPlan::requests`].
    #[must_use]
    pub fn turns(&self, worker: usize, workers: usize) -> Vec<Turn> {
        let turn = |rotation: &Rotation| Turn::new(rotation.clone(), worker, workers);
        self.rotations.iter().map(turn).collect()
    }
}

impl Scenario for HttpScenario {
    type Workload = HttpWorkload;

    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    fn routes(&self) -> Vec<Route> {
        self.plan.routes().to_vec()
    }

    fn workload(&self, worker: usize, workers: usize) -> HttpWorkload {
        let templates = Arc::clone(&self.templates);
        let limit = self.plan.requests_per_conn();
        HttpWorkload::new(templates, self.turns(worker, workers), limit)
    }

    fn requests_per_connection(&self) -> Option<u64> {
        self.plan.requests_per_conn()
    }

    fn plan(&self) -> Value {
        self.plan.document()
    }
}
