//! The same work through librdkafka: what an ordinary application would see.
//!
//! One instance in each worker's thread, the same plan, pacing and recorder as the native client, so
//! that two documents differ in the client alone. `consume` and `produce` are the work, `course` when
//! it begins and ends, `settings` what librdkafka is told, `context` what it tells, `threads` what its
//! own threads cost, `fault` its errors in our words, `records` what is handed over. What librdkafka
//! does not tell stays unknown, and what it cannot do is refused by name; nothing here may be done a
//! little differently in silence.

mod consume;
mod context;
mod course;
mod fault;
mod produce;
mod records;
mod settings;
mod threads;

use loadgen_core::engine::EngineOptions;

pub use consume::LibrdkafkaConsumer;
pub use produce::LibrdkafkaProducer;

/// What neither direction can do; one sentence that names the flag.
fn refuses(options: &EngineOptions) -> Option<String> {
    let sockets = &options.sockets;
    if let Some(ip) = sockets.bind_ips.first() {
        return Some(format!(
            "--bind-ip {ip}: librdkafka makes its own sockets, which have no local address"
        ));
    }
    if let Some(ports) = &sockets.source_ports {
        return Some(format!(
            "--source-ports {ports}: librdkafka makes its own sockets, which have no local port"
        ));
    }
    None
}
