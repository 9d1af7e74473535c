//! The generators of Kafka, one file each.

pub(crate) mod floor;
pub(crate) mod java;
pub(crate) mod librdkafka;
pub(crate) mod ours;
