//! HTTP/1.1 for loadgen: a native session, its workload, a reference client, an embedded target.
//!
//! The rooms: `wire` encodes and decodes without state, `session` is one connection, `workload`
//! says what to ask, `scenario` is the library's way in, `args` and `plan` the command line's,
//! `url` reads URLs for the plan, `sim` is a target for the sim driver.

pub mod session;
pub mod wire;

pub use session::HttpSession;
