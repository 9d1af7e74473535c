//! Micro benches: the pieces of the hot path one by one, in time.
//!
//! For looking at a change while it is made; what is claimed is measured by `versus`.
#![allow(
    missing_docs,
    reason = "criterion's macro makes a function without any"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use loadgen_core::buffer::Outbox;
use loadgen_core::pace::{Arrival, Part, Schedule};
use loadgen_core::protocol::{Input, Session, Tally};
use loadgen_core::record::{Answer, Exchange, Recorder, Window};
use loadgen_core::time::Tick;
use loadgen_http::session::{HttpSession, tables};
use loadgen_http::wire::chunked::Chunked;
use loadgen_http::wire::head;
use loadgen_http::wire::request::{Template, fields};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/octet-stream\r\n\
    Content-Length: 1024\r\nLast-Modified: Sun, 06 Nov 1994 08:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"5f5e1000-400\"\r\nAccept-Ranges: bytes\r\n\r\n";

fn template() -> Template {
    let fields = fields("GET", "127.0.0.1", &[], None);
    Template::new("GET", "/1k", &fields, None)
}

fn session() -> HttpSession {
    HttpSession::new(Arc::from([template()]), None)
}

fn request_encode(c: &mut Criterion) {
    let mut session = session();
    let mut out = Outbox::default();
    c.bench_function("request encode", |b| {
        b.iter(|| {
            out.clear();
            session.encode(black_box(0), Tick(1), &mut out)
        });
    });
}

fn head_decode(c: &mut Criterion) {
    c.bench_function("head decode, new head", |b| {
        b.iter(|| {
            let end = head::find_end(black_box(HEAD), 0).ok().flatten();
            head::parse(&HEAD[..end.unwrap_or(0)], false)
        });
    });
    let reply = [HEAD, &[b'k'; 1024]].concat();
    let mut session = session();
    let (mut out, mut tally) = (Outbox::default(), Tally::default());
    let mut group = c.benchmark_group("reply decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("1 KB, head as before", |b| {
        b.iter(|| {
            out.clear();
            let mut ticket = session.encode(0, Tick(1), &mut out);
            let input = Input {
                bytes: black_box(&reply),
                skipped: 0,
                end: false,
            };
            session.decode(&mut ticket, input, &mut tally)
        });
    });
    group.finish();
}

fn chunked_decode(c: &mut Criterion) {
    let mut body = Vec::new();
    for _ in 0..16 {
        body.extend_from_slice(b"1000\r\n");
        body.extend_from_slice(&[b'c'; 4096]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let mut group = c.benchmark_group("chunked decode");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("16 chunks of 4 KiB", |b| {
        b.iter_batched_ref(
            Chunked::default,
            |chunked| chunked.read(black_box(&body)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn recorder_answered(c: &mut Criterion) {
    for (name, open_loop) in [("closed", false), ("open", true)] {
        let window = Window {
            epoch: Tick(0),
            begin: Tick(0),
            end: Tick::NEVER,
            interval_ns: u64::MAX / 4,
        };
        let tables = tables(&["GET".to_owned()]);
        let unknown = Window::unknown(window.interval_ns);
        let mut recorder = Recorder::new(
            0,
            open_loop,
            &tables,
            unknown,
            Arc::new(Exchange::default()),
        );
        recorder.set_window(window, Tick(0));
        let mut at = 0;
        c.bench_function(&format!("recorder answered, {name} loop"), |b| {
            b.iter(|| {
                at += 1000;
                let answer = Answer {
                    op: 0,
                    status: 100,
                    units: 1,
                    payload_rx_bytes: Some(1024),
                    intended: Tick(at),
                    sent: Tick(at),
                    first: Tick(at + 20_000 + at % 8192),
                    last: Tick(at + 21_000 + at % 8192),
                    origin: None,
                };
                recorder.answered(black_box(&answer), false);
            });
        });
    }
}

fn pacer_take(c: &mut Criterion) {
    for arrival in [Arrival::Fixed, Arrival::Poisson] {
        let part = Part {
            index: 0,
            of: 1,
            phase: 0.0,
        };
        let mut schedule = Schedule::new(arrival, 1e6, part, 1, Tick(0));
        c.bench_function(&format!("pacer take, {}", arrival.name()), |b| {
            b.iter(|| black_box(schedule.take()));
        });
    }
}

criterion_group!(
    micro,
    request_encode,
    head_decode,
    chunked_decode,
    recorder_answered,
    pacer_take
);
criterion_main!(micro);
