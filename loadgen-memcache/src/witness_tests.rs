//! Servers told apart and told to be one, in words and on sockets.

use super::*;
use crate::target::{Target, TargetHandle, TargetOptions};

const PATIENCE: Duration = Duration::from_secs(10);

fn asking(patience: Duration) -> Asking {
    Asking {
        sasl: None,
        patience,
    }
}

fn never() -> bool {
    false
}

/// What a memcached says that was begun at second 100.
fn stats(numbers: &[(&str, &str)]) -> ServerStats {
    let usual = [
        ("pid", "1"),
        ("uptime", "10"),
        ("time", "110"),
        ("version", "1.6.18"),
        ("total_connections", "5"),
        ("cmd_get", "0"),
        ("rusage_user", "0.007808"),
    ];
    let all = usual.iter().chain(numbers);
    ServerStats {
        counters: all
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        settings: [("maxbytes".to_owned(), "67108864".to_owned())].into(),
        asked_bytes: 56,
    }
}

#[test]
fn another_process_another_beginning_and_other_settings_are_other_servers() {
    let one = stats(&[]);
    assert!(alike(&one, &stats(&[("cmd_get", "9")])));
    assert!(alike(&one, &stats(&[("time", "111"), ("uptime", "11")])));
    for other in [
        stats(&[("pid", "2")]),
        stats(&[("version", "1.6.19")]),
        stats(&[("time", "210")]),
    ] {
        assert!(!alike(&one, &other), "{other:?}");
    }
    let mut larger = stats(&[]);
    larger.settings.insert("maxbytes".into(), "1".into());
    assert!(!alike(&one, &larger));
    larger.settings.clear();
    assert!(alike(&one, &larger), "it has not said");
    let mut silent = stats(&[]);
    silent.counters.remove("pid");
    assert!(!alike(&silent, &silent), "nobody knows");
}

#[test]
fn a_twin_knows_nothing_of_the_question_in_the_middle() {
    let with = |connections: &str, user: &str| {
        stats(&[("total_connections", connections), ("rusage_user", user)])
    };
    let one = [with("5", "0.1"), with("6", "0.2"), with("7", "0.2")];
    assert!(are_one(&one[0], &one[1], &one[2]));
    for twins in [
        [with("5", "0.1"), with("5", "0.1"), with("6", "0.2")],
        [with("5", "0.1"), with("6", "0.1"), with("6", "0.1")],
        // Somebody else connected, but the other one has worked less.
        [with("5", "0.1"), with("6", "0.05"), with("7", "0.1")],
    ] {
        assert!(!are_one(&twins[0], &twins[1], &twins[2]), "{twins:?}");
    }
    let gets = |n| stats(&[("total_connections", n), ("cmd_get", n)]);
    assert!(are_one(&gets("5"), &gets("6"), &gets("7")));
    let mut back = gets("7");
    back.counters.insert("cmd_get".into(), "5".into());
    assert!(!are_one(&gets("5"), &gets("6"), &back));
}

fn target(listen: Endpoint) -> TargetHandle {
    Target::start(TargetOptions {
        listen,
        ..TargetOptions::default()
    })
    .unwrap()
}

/// A target that listens on every address of this machine, at two of them.
fn twice() -> (TargetHandle, [Endpoint; 2]) {
    let target = target(Endpoint::Tcp(([0, 0, 0, 0], 0).into()));
    let Endpoint::Tcp(bound) = target.address() else {
        panic!("it listens on TCP")
    };
    let port = bound.port();
    let at = |last| Endpoint::Tcp(([127, 0, 0, last], port).into());
    (target, [at(1), at(2)])
}

#[test]
fn one_server_with_two_addresses_is_one_witness_and_twins_are_two() {
    let (_target, [one, other]) = twice();
    // Of the same process, begun at the same moment: only its counts tell it apart.
    let twin = target(Endpoint::Tcp(([127, 0, 0, 1], 0).into()));
    let endpoints = [one.clone(), twin.address().clone(), other.clone()];
    let mut witnesses = asking(PATIENCE).before(&endpoints, &never);
    let found: Vec<_> = witnesses.iter().map(|w| w.endpoints.clone()).collect();
    assert_eq!(found, [vec![one, other], vec![twin.address().clone()]]);
    // Between its two answers there is the connection of the second, and nothing else.
    asking(PATIENCE).after(&mut witnesses, &never);
    for witness in &witnesses {
        let (before, after) = (witness.before.as_ref(), witness.after.as_ref());
        let of = |said: Result<&ServerStats, &String>| said.unwrap().count("total_connections");
        assert_eq!(of(after), of(before).map(|n| n + 1), "{witness:?}");
    }
}

/// Sockets that take a connection and say nothing.
fn silent(count: usize) -> (Vec<std::net::TcpListener>, Vec<Endpoint>) {
    let listen = |_| std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let all: Vec<_> = (0..count).map(listen).collect();
    let addresses = all.iter().map(|l| Endpoint::Tcp(l.local_addr().unwrap()));
    let addresses = addresses.collect();
    (all, addresses)
}

#[test]
fn many_silent_servers_take_the_patience_of_one_and_hide_no_other() {
    let (_listeners, mut endpoints) = silent(20);
    let (_target, [speaks, _]) = twice();
    endpoints.push(speaks);
    let begun = Instant::now();
    let said = asking(Duration::from_secs(1)).all(&endpoints, &never);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(said.iter().filter(|said| said.is_err()).count(), 20);
    assert!(said[20].is_ok(), "{:?}", said[20]);
    let why = said[0].as_ref().unwrap_err();
    assert!(why.starts_with("stats of 127.0.0.1:"), "{why}");
}

#[test]
fn who_has_had_enough_does_not_wait() {
    let (_listeners, endpoints) = silent(2);
    let begun = Instant::now();
    let witnesses = asking(Duration::from_secs(60)).before(&endpoints, &|| true);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(witnesses.len(), 2);
    for witness in witnesses {
        let why = witness.before.unwrap_err();
        assert!(
            why.ends_with("interrupted before there was an answer"),
            "{why}"
        );
    }
}
