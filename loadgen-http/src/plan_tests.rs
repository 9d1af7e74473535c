//! What is judged before a run: every refusal names the flag and the value.

use std::net::SocketAddr;

use super::*;

fn spec(urls: &[&str]) -> HttpSpec {
    HttpSpec {
        urls: urls.iter().map(|url| (*url).into()).collect(),
        ..HttpSpec::default()
    }
}

fn field(name: &str, value: &str) -> Field {
    (name.to_owned(), value.to_owned())
}

fn refused(change: impl FnOnce(&mut HttpSpec)) -> String {
    let mut spec = spec(&["http://127.0.0.1:8080/"]);
    change(&mut spec);
    match HttpPlan::new(spec) {
        Err(PlanError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn urls_of_one_origin_share_a_route() {
    let mut spec = spec(&[
        "http://127.0.0.1:81/a",
        "http://[::1]:81/",
        "http://127.0.0.1:81/b",
        "http://127.0.0.1/",
    ]);
    spec.urls[0].weight = 9;
    spec.urls[2].weight = 2;
    let plan = HttpPlan::new(spec).unwrap();
    let routes: Vec<_> = plan
        .routes()
        .iter()
        .map(|r| (r.name.as_str(), r.weight))
        .collect();
    assert_eq!(
        routes,
        [("127.0.0.1:81", 11), ("[::1]:81", 1), ("127.0.0.1:80", 1)]
    );
    let of: Vec<_> = plan
        .requests()
        .iter()
        .map(|request| request.route)
        .collect();
    assert_eq!(of, [0, 1, 0, 2]);
    let hosts: Vec<_> = plan
        .requests()
        .iter()
        .map(|r| r.fields[0].1.as_str())
        .collect();
    assert_eq!(
        hosts,
        ["127.0.0.1:81", "[::1]:81", "127.0.0.1:81", "127.0.0.1"]
    );
    let endpoint = Endpoint::Tcp("[::1]:81".parse().unwrap());
    assert_eq!(plan.routes()[1].endpoints, [endpoint]);
}

#[test]
fn the_method_follows_the_body() {
    let mut spec = spec(&["http://127.0.0.1/"]);
    assert_eq!(HttpPlan::new(spec.clone()).unwrap().method(), "GET");
    spec.body = Some(Bytes::from_static(b"abc"));
    assert_eq!(HttpPlan::new(spec.clone()).unwrap().method(), "POST");
    spec.method = Some("PURGE".to_owned());
    let plan = HttpPlan::new(spec).unwrap();
    assert_eq!(plan.method(), "PURGE");
    assert_eq!(
        plan.requests()[0].fields.last(),
        Some(&field("Content-Length", "3"))
    );
}

#[test]
fn connections_may_be_diverted() {
    let mut spec = spec(&["http://no-such-name.invalid/"]);
    assert!(matches!(
        HttpPlan::new(spec.clone()),
        Err(PlanError::Target(_))
    ));
    spec.connect_to = Some("127.0.0.1:81".to_owned());
    let plan = HttpPlan::new(spec.clone()).unwrap();
    let endpoint = Endpoint::Tcp("127.0.0.1:81".parse().unwrap());
    assert_eq!(plan.routes()[0].endpoints, [endpoint]);
    assert_eq!(
        plan.requests()[0].fields[0],
        field("Host", "no-such-name.invalid")
    );
    spec.connect_to = None;
    spec.unix_socket = Some("/run/x".into());
    spec.host = Some("other".to_owned());
    let plan = HttpPlan::new(spec).unwrap();
    assert_eq!(
        plan.routes()[0].endpoints,
        [Endpoint::Unix("/run/x".into())]
    );
    assert_eq!(plan.requests()[0].fields[0], field("Host", "other"));
}

#[test]
fn bad_urls_are_refused_by_position_and_reason() {
    let text = refused(|spec| spec.urls.push("https://h/".into()));
    assert!(
        text.starts_with("URL 2 (https://h/): https is not supported yet"),
        "{text}"
    );
    assert!(refused(|spec| spec.urls.clear()).contains("not 0"));
    assert!(refused(|spec| spec.urls[0].weight = 0).contains("not 0"));
    assert!(refused(|spec| spec.urls[0].weight = WEIGHT_MAX + 1).contains("not 1001"));
    let many = refused(|spec| spec.urls = vec!["http://h/".into(); URLS_MAX + 1]);
    assert!(many.contains("not 1025"), "{many}");
}

#[test]
fn methods_are_judged() {
    let method = |name: &str| refused(|spec| spec.method = Some(name.to_owned()));
    assert!(method("").contains("no method"));
    assert!(method("GE T").contains("\"GE T\""));
    assert!(method("get").contains("write GET"));
    assert!(method("CONNECT").contains("tunnel"));
    let trace = refused(|spec| {
        spec.method = Some("TRACE".to_owned());
        spec.body = Some(Bytes::new());
    });
    assert!(trace.contains("TRACE"));
}

#[test]
fn headers_that_would_break_framing_are_refused() {
    let header = |name: &str, value: &str| refused(|spec| spec.headers.push(field(name, value)));
    assert!(header("", "x").contains("no field name"));
    assert!(header("a b", "x").contains("\"a b\""));
    assert!(header("a", "x\r\ny: z").contains("--header a: a field value has no '\\r'"));
    assert!(header("Transfer-Encoding", "chunked").contains("Content-Length"));
    assert!(header("content-length", "5").contains("it says 5, the body has 0 bytes"));
    let hosts = refused(|spec| {
        spec.host = Some("a".to_owned());
        spec.headers.push(field("HOST", "b"));
    });
    assert!(hosts.contains("one Host"));
    let lengths = refused(|spec| spec.headers = vec![field("Content-Length", "0"); 2]);
    assert!(lengths.contains("one Content-Length"));
    assert!(refused(|spec| spec.host = Some(String::new())).contains("empty"));
    assert!(refused(|spec| spec.host = Some("a\nb".to_owned())).contains("--host"));
}

#[test]
fn connection_close_is_enforced_by_us() {
    let mut spec = spec(&["http://127.0.0.1/"]);
    spec.headers.push(field("connection", "Close"));
    assert_eq!(HttpPlan::new(spec).unwrap().requests_per_conn(), Some(1));
    let text = refused(|spec| {
        spec.headers.push(field("Connection", "close"));
        spec.requests_per_conn = Some(5);
    });
    assert!(text.contains("--requests-per-conn 5"), "{text}");
    assert!(refused(|spec| spec.requests_per_conn = Some(0)).contains("not 0"));
}

#[test]
fn diversions_are_judged() {
    let connect = |place: &str| refused(|spec| spec.connect_to = Some(place.to_owned()));
    assert!(connect("127.0.0.1").contains("the port is missing"));
    assert!(connect("::1:80").contains("brackets"));
    let both = refused(|spec| {
        spec.connect_to = Some("127.0.0.1:1".to_owned());
        spec.unix_socket = Some("/x".into());
    });
    assert!(both.contains("exclude each other"));
    let long = refused(|spec| spec.unix_socket = Some("x".repeat(108).into()));
    assert!(long.contains("107 bytes, this one 108"), "{long}");
}

#[test]
fn pipelining_what_is_not_idempotent_is_noted() {
    let mut spec = spec(&["http://127.0.0.1/"]);
    assert!(HttpPlan::new(spec.clone()).unwrap().notes(16).is_empty());
    spec.method = Some("POST".to_owned());
    let plan = HttpPlan::new(spec).unwrap();
    assert!(plan.notes(1).is_empty());
    assert!(plan.notes(16)[0].contains("POST is not idempotent"));
}

#[test]
fn the_document_tells_no_values() {
    let mut spec = spec(&["http://127.0.0.1/"]);
    spec.headers.push(field("Authorization", "secret"));
    spec.body = Some(Bytes::from_static(b"secret"));
    let document = HttpPlan::new(spec).unwrap().document();
    assert!(!document.to_string().contains("secret"));
    assert_eq!(document["body_bytes"], 6);
    assert_eq!(
        document["urls"][0],
        json!({"url": "http://127.0.0.1/", "weight": 1})
    );
    assert_eq!(document["headers"][2], "Authorization");
    assert!(document["requests_per_conn"].is_null());
}

#[test]
fn what_cannot_be_reached_is_left_out_and_said() {
    let no_v6 = |found: Vec<Endpoint>| -> (Vec<Endpoint>, Vec<Endpoint>) {
        let v4 = |e: &Endpoint| matches!(e, Endpoint::Tcp(address) if address.is_ipv4());
        let far = Endpoint::Tcp("[2001:db8::1]:81".parse().unwrap());
        found.into_iter().chain([far]).partition(v4)
    };
    let urls = ["http://127.0.0.1:81/", "http://127.0.0.1:82/"];
    let plan = HttpPlan::judge(spec(&urls), no_v6).unwrap();
    for (route, port) in plan.routes().iter().zip([81, 82]) {
        let here = SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(route.endpoints, [Endpoint::Tcp(here)]);
    }
    let left_out = &plan.document()["addresses_without_route"];
    assert_eq!(*left_out, json!(["[2001:db8::1]:81"]));
    let notes = plan.notes(1);
    assert!(notes[0].contains("no route") && notes[0].contains("[2001:db8::1]:81"));
    let plan = HttpPlan::new(spec(&urls)).unwrap();
    assert_eq!(plan.document()["addresses_without_route"], json!([]));
}
