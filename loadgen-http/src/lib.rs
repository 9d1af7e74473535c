//! HTTP/1.1 for loadgen: a native session, its workload, a reference client, an embedded target.
//!
//! The rooms: `wire` encodes and decodes without state, `session` is one connection, `workload`
//! says what to ask, `scenario` is the library's way in, `args` and `plan` the command line's,
//! `url` reads URLs for the plan, `sim` is a target for the sim driver, `target` one on sockets,
//! `reference` the same work through hyper; `stream` and `timer` are what those two share.

#[cfg(feature = "cli")]
pub mod args;
pub mod plan;
pub mod reference;
pub mod scenario;
pub mod session;
pub mod sim;
mod stream;
pub mod target;
mod timer;
pub mod url;
pub mod wire;
pub mod workload;

pub use plan::{HttpPlan, HttpRequest, HttpSpec, PlanError, WeightedUrl};
pub use reference::HyperClient;
pub use scenario::HttpScenario;
pub use session::HttpSession;
pub use sim::HttpPeer;
pub use workload::HttpWorkload;
