//! HTTP/1.1 for loadgen: a native session, its workload, a reference client, an embedded target.
//!
//! The rooms: `wire` encodes and decodes without state, `session` is one connection, `workload`
//! says what to ask, `scenario` is the library's way in, `args` and `plan` the command line's.

mod stream;
pub mod target;
mod timer;
