//! The memcached binary protocol for loadgen. Not built yet: the front refuses `loadgen memcache`
//! with one sentence. This crate will hold the same rooms as `loadgen-http`.
