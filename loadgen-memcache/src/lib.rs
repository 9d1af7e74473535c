//! The memcached binary protocol for loadgen: an embedded target, and what memaslap's users bring.
//!
//! The rooms: `target` is a memcached on sockets.

pub mod target;
