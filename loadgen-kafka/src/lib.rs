//! The Kafka wire protocol for loadgen. Not built yet: the front refuses `loadgen kafka` with one
//! sentence. This crate will hold the same rooms as `loadgen-http`.
