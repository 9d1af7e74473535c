//! What is asked next, counted.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::plan::MemcachePlan;
use crate::scenario::MemcacheScenario;
use crate::spec::{MemcacheSpec, Mix, Popularity, Prefill};
use loadgen_core::workload::Scenario;

fn spec(servers: usize) -> MemcacheSpec {
    MemcacheSpec {
        servers: (0..servers)
            .map(|i| format!("127.0.0.1:{}", 1000 + i))
            .collect(),
        ..MemcacheSpec::default()
    }
}

fn scenario(spec: MemcacheSpec) -> MemcacheScenario {
    MemcacheScenario::new(MemcachePlan::new(spec).unwrap())
}

fn ready(workload: &mut MemcacheWorkload, route: RouteId, conn: u32) -> Request {
    match workload.next(route, conn, 0) {
        Next::Ready(request) => request,
        other => panic!("{other:?}"),
    }
}

fn one(workload: &mut MemcacheWorkload, route: RouteId, conn: u32) -> (Op, Key) {
    match ready(workload, route, conn) {
        Request::One(op, key) => (op, key),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_fixed_mix_is_exact_on_every_connection() {
    let mut spec = spec(1);
    spec.mix = Mix::Rotation;
    let mut workload = scenario(spec).workload(0, 1);
    for conn in [0, 1, 2] {
        workload.open(0, conn);
    }
    let mut sets = HashMap::new();
    for i in 0..3000 {
        let conn = i % 3;
        if one(&mut workload, 0, conn).0 == Op::Set {
            *sets.entry(conn).or_insert(0) += 1;
        }
    }
    assert_eq!(sets, HashMap::from([(0, 100), (1, 100), (2, 100)]));
}

#[test]
fn a_seed_gives_one_sequence_and_workers_differ() {
    let sequence = |seed: u64, worker: usize| {
        let mut spec = spec(1);
        spec.seed = seed;
        let mut workload = scenario(spec).workload(worker, 2);
        workload.open(0, worker as u32);
        let next = |_| one(&mut workload, 0, worker as u32);
        (0..100).map(next).collect::<Vec<_>>()
    };
    assert_eq!(sequence(1, 0), sequence(1, 0));
    assert_ne!(sequence(1, 0), sequence(1, 1));
    assert_ne!(sequence(1, 0), sequence(2, 0));
}

#[test]
fn reads_and_writes_walk_by_themselves() {
    let mut spec = spec(1);
    spec.popularity = Popularity::Sequential;
    spec.mix = Mix::Rotation;
    spec.keys = 20;
    let mut workload = scenario(spec).workload(0, 1);
    workload.open(0, 0);
    let mut written = Vec::new();
    for _ in 0..200 {
        let (op, key) = one(&mut workload, 0, 0);
        if op == Op::Set {
            written.push(key.index());
        }
    }
    assert_eq!(
        written,
        (0..20).collect::<Vec<_>>(),
        "every key gets its SET"
    );
}

#[test]
fn connections_have_keys_of_their_own() {
    let mut spec = spec(1);
    spec.key_space = KeySpace::PerConnection;
    let mut workload = scenario(spec).workload(1, 2);
    for conn in [1, 3] {
        workload.open(0, conn);
        for _ in 0..100 {
            assert_eq!(one(&mut workload, 0, conn).1.space(), u64::from(conn));
        }
    }
}

#[test]
fn a_window_reads_only_what_it_wrote_last() {
    let mut spec = spec(1);
    spec.key_space = KeySpace::Window { overwrite: 0.25 };
    spec.keys = 8;
    spec.ops = vec![(Op::Set, 1), (Op::Get, 3)];
    let mut workload = scenario(spec).workload(0, 1);
    workload.open(0, 0);
    let (mut newest, mut sets, mut new) = (None::<u64>, 0, 0);
    for i in 0..10_000 {
        let (op, key) = one(&mut workload, 0, 0);
        assert!(i > 0 || op == Op::Set, "there is nothing to read yet");
        let index = key.index();
        if op == Op::Set {
            sets += 1;
            if newest.is_none_or(|newest| index > newest) {
                assert_eq!(index, newest.map_or(0, |newest| newest + 1));
                newest = Some(index);
                new += 1;
                continue;
            }
        }
        let newest = newest.unwrap();
        assert!(index <= newest && index + 8 > newest, "{index} of {newest}");
    }
    let overwritten = f64::from(sets - new) / f64::from(sets);
    assert!((overwritten - 0.25).abs() < 0.01, "{overwritten}");
}

#[test]
fn hashed_keys_are_asked_of_their_server_only() {
    let mut spec = spec(3);
    spec.placement = Placement::Hashed;
    let scenario = scenario(spec);
    let mut workload = scenario.workload(0, 1);
    let mut seen: Vec<HashSet<u64>> = vec![HashSet::new(); 3];
    for (route, seen) in seen.iter_mut().enumerate() {
        workload.open(route, route as u32);
        for _ in 0..20_000 {
            seen.insert(one(&mut workload, route, route as u32).1.index());
        }
    }
    assert!(seen[0].is_disjoint(&seen[1]) && seen[1].is_disjoint(&seen[2]));
    let all: usize = seen.iter().map(HashSet::len).sum();
    assert!(all > 9_900, "{all} of 10000 keys");
}

#[test]
fn batches_have_their_size_and_lists_are_used_again() {
    let mut spec = spec(1);
    spec.multiget = 100;
    spec.multiset = 7;
    let mut workload = scenario(spec).workload(0, 1);
    workload.open(0, 0);
    for _ in 0..100 {
        let Request::Batch(op, keys) = ready(&mut workload, 0, 0) else {
            panic!("no batch");
        };
        assert_eq!(keys.len(), if op == Op::Set { 7 } else { 100 });
        workload.local.give_back(keys);
    }
    assert!(workload.local.list().capacity() > 0);
}

#[test]
fn misses_are_followed_by_sets_of_the_same_keys() {
    let mut workload = scenario(spec(1)).workload(0, 1);
    let key = Key::new(0, 5);
    let request = workload.feedback(0, 0, Missed::One(key));
    assert!(matches!(request, Some(Request::One(Op::Set, k)) if k == key));
    let request = workload.feedback(0, 0, Missed::Many(vec![key, key]));
    assert!(matches!(request, Some(Request::Batch(Op::Set, keys)) if keys == [key, key]));
}

/// What two workers write when they take turns, by route; each worker's connections are dealt as
/// the engine deals them.
fn prefilled(spec: MemcacheSpec, connections: u32) -> (Vec<Vec<Key>>, u64) {
    let scenario = scenario(spec);
    let routes = scenario.routes();
    let (prefill, requests) = scenario.prefill(connections).expect("a prefill");
    let hands = loadgen_core::engine::deal(connections, &routes, 2);
    let mut workers: Vec<_> = (0..2).map(|worker| prefill.workload(worker, 2)).collect();
    for (worker, hand) in workers.iter_mut().zip(&hands) {
        for dealt in hand {
            worker.open(dealt.route, dealt.number);
        }
    }
    let mut written = vec![Vec::new(); routes.len()];
    let mut live = [true; 2];
    while live != [false; 2] {
        for (worker, hand) in hands.iter().enumerate() {
            for dealt in hand {
                match workers[worker].next(dealt.route, dealt.number, 0) {
                    Next::Ready(Request::One(Op::Set, key)) => written[dealt.route].push(key),
                    Next::Idle => {}
                    Next::Done => live[worker] = false,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    (written, requests)
}

fn sorted(mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort_unstable();
    keys
}

#[test]
fn a_prefill_writes_every_key_once_on_every_server() {
    let mut own = spec(2);
    (own.keys, own.prefill) = (1000, Prefill::All);
    let (written, requests) = prefilled(own.clone(), 5);
    assert_eq!(requests, 2000);
    let wanted: Vec<Key> = (0..1000).map(|index| Key::new(0, index)).collect();
    for keys in written {
        assert_eq!(sorted(keys), wanted);
    }
    own.prefill = Prefill::First(10);
    let (written, requests) = prefilled(own, 5);
    assert_eq!((requests, written[0].len(), written[1].len()), (20, 10, 10));
}

#[test]
fn a_prefill_by_hash_writes_every_key_on_its_server() {
    let mut hashed = spec(3);
    (hashed.keys, hashed.prefill) = (1000, Prefill::All);
    hashed.placement = Placement::Hashed;
    let (written, requests) = prefilled(hashed, 6);
    assert_eq!(requests, 1000);
    for (route, keys) in written.iter().enumerate() {
        assert!(keys.iter().all(|key| server_of(*key, 3) == route));
    }
    assert_eq!(sorted(written.concat()).len(), 1000);
}

#[test]
fn a_prefill_of_connections_writes_for_each_of_them() {
    let mut own = spec(2);
    (own.keys, own.prefill) = (10, Prefill::All);
    own.key_space = KeySpace::PerConnection;
    let (written, requests) = prefilled(own.clone(), 5);
    assert_eq!(requests, 50);
    // Of five connections the first three go to the first server.
    let spaces = |keys: &[Key]| keys.iter().map(|k| k.space()).collect::<HashSet<_>>();
    assert_eq!(spaces(&written[0]), HashSet::from([0, 1, 2]));
    assert_eq!(spaces(&written[1]), HashSet::from([3, 4]));
    assert_eq!(
        written.concat().into_iter().collect::<HashSet<_>>().len(),
        50
    );
    // A window that was filled goes on behind it.
    own.key_space = KeySpace::Window { overwrite: 0.0 };
    let mut workload = scenario(own).workload(0, 1);
    workload.open(0, 0);
    for _ in 0..200 {
        let (op, key) = one(&mut workload, 0, 0);
        if op == Op::Set {
            assert_eq!(key.index(), 10);
            return;
        }
        assert!(key.index() < 10);
    }
    panic!("no SET in 200 ops of 1:9");
}
