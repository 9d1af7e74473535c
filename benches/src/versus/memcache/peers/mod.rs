//! The memcached generators, one file each: its command for a job, what must be set before, and
//! how its report is read.

pub(crate) mod floor;
pub(crate) mod memaslap;
pub(crate) mod memtier;
pub(crate) mod ours;
