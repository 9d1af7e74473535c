//! Whole runs over the sim driver: plan, scenario, session, engine and document, no socket.

use std::sync::Arc;
use std::time::Duration;

use loadgen_core::engine::{Native, Simulated};
use loadgen_core::results::Document;
use loadgen_core::run::{Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_memcache::{
    Credentials, KeySpace, MemcachePeer, MemcachePlan, MemcacheScenario, MemcacheSpec, Mix, Op,
    Placement, Popularity, Prefill,
};

const REQUESTS: u64 = 10_000;
const DELAY_NS: u64 = 100_000;

fn spec() -> MemcacheSpec {
    MemcacheSpec {
        servers: vec!["127.0.0.1:1".to_owned()],
        ..MemcacheSpec::default()
    }
}

fn options(requests: u64, connections: u32, depth: u32) -> Options {
    let mut options = Options {
        workers: Some(1),
        unpinned: true,
        ..Options::default()
    };
    options.engine.connections = connections;
    options.engine.depth = depth;
    options.engine.stop = Stop::Requests(requests);
    options.engine.timeout = Duration::from_secs(1);
    options
}

fn run_against(
    spec: MemcacheSpec,
    options: Options,
    peer: impl Fn() -> MemcachePeer + Send + Sync + 'static,
) -> Document {
    let scenario = MemcacheScenario::new(MemcachePlan::new(spec).expect("a plan"));
    let client = Arc::new(Simulated(Arc::new(scenario), peer));
    start_client(client, options).expect("a start").join()
}

fn run(spec: MemcacheSpec, connections: u32, depth: u32) -> Document {
    let peer = || MemcachePeer::new(DELAY_NS);
    run_against(spec, options(REQUESTS, connections, depth), peer)
}

/// Requests and units of a row over the whole run.
fn row(document: &Document, op: &str, status: &str) -> (u64, u64) {
    let rows = document.operations.iter();
    let mut found = rows.filter(|row| row.op == op && row.status == status);
    let row = found.next();
    row.map_or((0, 0), |row| (row.total_count, row.total_units))
}

fn all_answered(document: &Document) {
    let totals = &document.totals;
    assert_eq!(totals.sent, totals.completed);
    assert_eq!((totals.failed, totals.unanswered, totals.unsent), (0, 0, 0));
    assert!(document.errors.is_empty(), "{:?}", document.errors);
}

#[test]
fn the_default_load_is_counted_to_the_byte() {
    let mut spec = spec();
    spec.mix = Mix::Rotation;
    let document = run(spec, 1, 8);
    all_answered(&document);
    assert_eq!(document.totals.completed, REQUESTS);
    let (sets, hits, misses) = (
        row(&document, "set", "ok").0,
        row(&document, "get", "ok").0,
        row(&document, "get", "not_found").0,
    );
    assert_eq!((sets, hits + misses), (REQUESTS / 10, REQUESTS / 10 * 9));
    assert!(hits > 0 && misses > 0);
    let totals = &document.totals;
    assert_eq!(totals.payload_tx_bytes, Some(sets * 1024));
    assert_eq!(totals.payload_rx_bytes, Some(hits * 1024));
    // One NOOP greets: 24 bytes each way.
    let up = 24 + sets * (24 + 8 + 64 + 1024) + (hits + misses) * (24 + 64);
    let down = 24 + sets * 24 + hits * (24 + 4 + 1024) + misses * (24 + 9);
    assert_eq!(totals.wire_tx_bytes, Some(up));
    assert_eq!(totals.wire_rx_bytes, Some(down));
    let details = &document.protocol_details;
    assert_eq!(details["object_tx_bytes"], sets * (64 + 1024));
    assert_eq!(document.plan.protocol["memcache"]["keys"], 10_000);
}

#[test]
fn a_prefill_makes_every_get_a_hit() {
    let mut spec = spec();
    spec.ops = vec![(Op::Get, 1)];
    (spec.prefill, spec.verify, spec.keys) = (Prefill::All, 1.0, 500);
    let scenario = MemcacheScenario::new(MemcachePlan::new(spec).unwrap());
    let (prefill, requests) = scenario.prefill(4).expect("a prefill");
    assert_eq!(requests, 500);
    // Both runs on one server that outlives them.
    let peer = Arc::new(std::sync::Mutex::new(MemcachePeer::new(DELAY_NS)));
    let shared = {
        let peer = Arc::clone(&peer);
        move || Shared(Arc::clone(&peer))
    };
    let run = |scenario, requests| {
        let client = Arc::new(Simulated(Arc::new(scenario), shared.clone()));
        start_client(client, options(requests, 4, 8))
            .expect("a start")
            .join()
    };
    let filled = run(prefill, requests);
    all_answered(&filled);
    assert_eq!(row(&filled, "set", "ok"), (500, 500));
    assert_eq!(peer.lock().unwrap().items(), 500);
    assert_eq!(filled.plan.protocol["memcache"]["prefilling"], true);
    let measured = run(scenario, REQUESTS);
    all_answered(&measured);
    assert_eq!(row(&measured, "get", "ok"), (REQUESTS, REQUESTS));
    assert_eq!(measured.protocol_details["verified"], REQUESTS);
    assert_eq!(measured.protocol_details["mismatched"], 0);
}

/// A peer that several runs talk to, one after the other.
struct Shared(Arc<std::sync::Mutex<MemcachePeer>>);

impl loadgen_core::driver::sim::Peer for Shared {
    fn connect(
        &mut self,
        id: u64,
        endpoint: &loadgen_core::workload::Endpoint,
        at: loadgen_core::time::Tick,
    ) -> loadgen_core::driver::sim::Accept {
        self.0.lock().unwrap().connect(id, endpoint, at)
    }

    fn receive(
        &mut self,
        id: u64,
        bytes: &[u8],
        at: loadgen_core::time::Tick,
        script: &mut loadgen_core::driver::sim::Script,
    ) {
        self.0.lock().unwrap().receive(id, bytes, at, script);
    }

    fn closed(&mut self, id: u64, at: loadgen_core::time::Tick) {
        self.0.lock().unwrap().closed(id, at);
    }
}

#[test]
fn multigets_are_one_request_of_many_units() {
    let mut spec = spec();
    (spec.multiget, spec.multiset) = (50, 5);
    (spec.keys, spec.return_keys, spec.verify) = (2000, true, 0.5);
    let document = run(spec, 3, 4);
    all_answered(&document);
    let hits = row(&document, "multiget", "ok");
    let misses = row(&document, "multiget", "not_found");
    let sets = row(&document, "multiset", "ok");
    assert_eq!(hits.0 + misses.0 + sets.0, REQUESTS);
    assert_eq!(hits.1 + misses.1, 50 * (REQUESTS - sets.0));
    assert_eq!(sets.1, 5 * sets.0);
    assert!(hits.1 > 0 && misses.1 > 0);
    assert_eq!(document.totals.payload_rx_bytes, Some(hits.1 * 1024));
    let verified = document.protocol_details["verified"].as_u64().unwrap();
    assert!(
        verified.abs_diff(hits.1 / 2) <= 3,
        "{verified} of {}",
        hits.1
    );
}

#[test]
fn misses_are_filled_on_the_way() {
    let mut spec = spec();
    spec.ops = vec![(Op::Get, 1)];
    (spec.set_on_miss, spec.keys) = (true, 100);
    spec.popularity = Popularity::Sequential;
    for multiget in [1, 10] {
        let mut spec = spec.clone();
        spec.multiget = multiget;
        let document = run(spec, 1, 1);
        let (get, set) = if multiget == 1 {
            ("get", "set")
        } else {
            ("multiget", "multiset")
        };
        assert_eq!(row(&document, get, "not_found").1, 100);
        assert_eq!(row(&document, set, "ok").1, 100);
        let hits = row(&document, get, "ok");
        assert_eq!(hits.1, (REQUESTS * u64::from(multiget)) - 100);
        assert_eq!(document.totals.failed, 0);
    }
}

#[test]
fn all_ops_at_once() {
    let mut spec = spec();
    spec.ops = Op::ALL.map(|op| (op, 1)).to_vec();
    spec.keys = 50;
    // Some large enough to leave from the shared region, and to be discarded on the way back.
    spec.value_bytes = loadgen_memcache::Sizes::range(0, 100_000);
    let document = run_against(spec, options(2000, 4, 3), || MemcachePeer::new(DELAY_NS));
    all_answered(&document);
    for (op, statuses) in [
        ("get", &["ok", "not_found"][..]),
        ("gat", &["ok", "not_found"]),
        ("set", &["ok"]),
        ("add", &["ok", "exists"]),
        ("replace", &["ok", "not_found"]),
        ("delete", &["ok", "not_found"]),
        ("incr", &["ok"]),
        ("touch", &["ok", "not_found"]),
    ] {
        let all: u64 = statuses
            .iter()
            .map(|status| row(&document, op, status).0)
            .sum();
        assert!(all.abs_diff(2000 / 8) < 80, "{op}: {all}");
        for status in statuses {
            assert!(row(&document, op, status).0 > 0, "{op} {status}");
        }
    }
    assert_eq!(document.summary.rate.error_ratio, Some(0.0));
}

#[test]
fn servers_with_keys_by_hash_add_up_to_one() {
    let mut spec = spec();
    spec.servers = (1..=3).map(|port| format!("127.0.0.1:{port}")).collect();
    (spec.placement, spec.prefill) = (Placement::Hashed, Prefill::All);
    spec.keys = 1000;
    let scenario = MemcacheScenario::new(MemcachePlan::new(spec).unwrap());
    let (prefill, requests) = scenario.prefill(9).unwrap();
    let peer = || MemcachePeer::new(DELAY_NS);
    let client = Arc::new(Simulated(Arc::new(prefill), peer));
    let document = start_client(client, options(requests, 9, 2))
        .unwrap()
        .join();
    all_answered(&document);
    assert_eq!(row(&document, "set", "ok").0, 1000);
    let completed: Vec<u64> = document.targets.iter().map(|t| t.completed).collect();
    assert_eq!(completed.len(), 3);
    assert!(completed.iter().all(|c| *c > 250), "{completed:?}");
}

#[test]
fn windows_hit_whatever_fits_and_miss_nothing() {
    let mut spec = spec();
    spec.key_space = KeySpace::Window { overwrite: 0.1 };
    (spec.mix, spec.keys, spec.verify) = (Mix::Rotation, 64, 1.0);
    (spec.verify_expiry, spec.expiry_s) = (true, 60);
    let document = run(spec, 4, 1);
    all_answered(&document);
    assert_eq!(row(&document, "get", "not_found").0, 0);
    assert_eq!(document.protocol_details["mismatched"], 0);
    assert_eq!(document.protocol_details["early_misses"], 0);
}

#[test]
fn refused_values_are_errors_of_their_class() {
    let mut spec = spec();
    spec.ops = vec![(Op::Set, 1)];
    let limited = || {
        let mut peer = MemcachePeer::new(DELAY_NS);
        peer.value_bytes_max = 1000;
        peer
    };
    for (multiset, op, units) in [(1, "set", 1), (7, "multiset", 7)] {
        let mut spec = spec.clone();
        spec.multiset = multiset;
        let document = run_against(spec, options(REQUESTS, 2, 2), limited);
        assert_eq!(
            row(&document, op, "too_large"),
            (REQUESTS, REQUESTS * units)
        );
        assert_eq!(document.summary.rate.error_ratio, Some(1.0));
        assert_eq!(document.verdict.exit_code, 3);
    }
}

#[test]
fn credentials_go_first() {
    let mut spec = spec();
    spec.sasl = Some(Credentials {
        user: "u".into(),
        password: "p".into(),
    });
    let document = run(spec, 2, 1);
    all_answered(&document);
    assert_eq!(document.connections.opened, 2);
}

#[test]
fn a_scenario_may_run_natively() {
    // Only that the types fit: nothing listens there.
    let scenario = MemcacheScenario::new(MemcachePlan::new(spec()).unwrap());
    let mut options = options(1, 1, 1);
    options.engine.connect_timeout = Duration::from_millis(50);
    let client = Arc::new(Native(Arc::new(scenario)));
    let document = start_client(client, options).unwrap().join();
    assert_eq!(document.verdict.exit_code, 3);
}
