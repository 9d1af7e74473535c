//! What memaslap's users bring: its `-F` files, its numbers with suffixes, and what its flags ask
//! of a run.
//!
//! Facts are those of memaslap 1.1.4 (libmemcached), tried on the program itself. Where it does
//! not do what it says, this does what it says; docs/migrating-from-memaslap.md names each case.
//! Nothing here may print or read a file: text goes in, a [`crate::spec::MemcacheSpec`] comes out.

mod ask;
mod config;
mod values;

pub use ask::{Ask, BadAsk};
pub use config::{BadConfig, Config, Range};
pub use values::{positive, scaled, share, time};
