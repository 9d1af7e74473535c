//! What the control plane asks of real Kafka, and what it says of listeners that want something else.
//!
//! Brokers of every version, in this process's own `Control`: no run, no load.

mod support;

use std::time::Duration;

use loadgen_kafka::control::{Control, Offset};
use loadgen_kafka::plan::NewTopic;
use loadgen_kafka::spec::{ClusterSpec, Credentials, Isolation, Mechanism};
use support::kafka::{USER, Version, shared};

const PATIENCE: Duration = Duration::from_secs(20);

fn spec(at: String, sasl: Option<(Mechanism, &str)>) -> ClusterSpec {
    let who = |(mechanism, password): (Mechanism, &str)| Credentials {
        mechanism,
        user: USER.0.into(),
        password: password.into(),
    };
    ClusterSpec {
        bootstrap: vec![at],
        sasl: sasl.map(who),
        client_id: "loadgen-test".into(),
    }
}

#[test]
fn topics_come_and_go_and_their_settings_are_told() {
    for version in Version::ALL {
        let broker = shared(version);
        let mut control = Control::open(&spec(broker.address(1), None), PATIENCE).unwrap();
        let topic_of = |name: &str, partitions, replication| NewTopic {
            name: name.into(),
            partitions,
            replication,
            settings: vec![("retention.ms".into(), "123456789".into())],
        };
        let new = topic_of("control", Some(3), Some(1));
        assert_eq!(control.create_topic(&new), Ok(true), "{version:?}");
        assert_eq!(control.create_topic(&new), Ok(false));
        // The broker's defaults.
        let defaults = topic_of("control-defaults", None, None);
        assert_eq!(control.create_topic(&defaults), Ok(true));
        let refused = control.create_topic(&topic_of("bad", Some(1), Some(9)));
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, Some(38), "{refused}");

        let topic = control.topic("control").unwrap().unwrap();
        assert_eq!(topic.partitions.len(), 3);
        // A leader may be on its way: offsets wait for it.
        let ends = control.offsets(&topic, Offset::Latest, Isolation::ReadCommitted);
        assert_eq!(ends, Ok(vec![0; 3]));
        assert!(topic.leader_epoch(0) >= 0);
        let routes = control.routes(&topic).unwrap();
        assert_eq!(routes[0].weight, 3);
        assert_eq!(routes[0].endpoints[0].to_string(), broker.address(1));

        let settings = control.describe(1, Some("control")).unwrap();
        assert_eq!(settings["topic"]["retention.ms"], "123456789");
        assert_eq!(settings["broker"]["num.network.threads"], "3");
        assert_eq!(settings["broker"]["socket.send.buffer.bytes"], "102400");
        let text = settings.to_string();
        assert!(!text.contains(USER.1) && !text.contains("jaas"), "{text}");

        assert_eq!(control.delete_topic("control"), Ok(true));
        assert_eq!(control.delete_topic("never-was"), Ok(false));
    }
}

#[test]
fn every_listener_says_what_it_wants() {
    for version in Version::ALL {
        let broker = shared(version);
        let (plain, sasl) = (broker.address(1), broker.sasl_address(1));
        for mechanism in [
            Mechanism::Plain,
            Mechanism::ScramSha256,
            Mechanism::ScramSha512,
        ] {
            let right = spec(sasl.clone(), Some((mechanism, USER.1)));
            let mut control = Control::open(&right, PATIENCE).unwrap();
            // More connections of the same user: the keys of SCRAM are there already.
            for name in ["control-a", "control-b"] {
                assert!(control.topic(name).unwrap().is_none());
            }
            let node = control.brokers()[0].node;
            assert!(control.describe(node, None).is_ok());
            let wrong = spec(sasl.clone(), Some((mechanism, "no")));
            let error = Control::open(&wrong, PATIENCE).unwrap_err();
            assert!(
                !error.unreachable && error.text.contains("the user or the password"),
                "{version:?} {mechanism:?}: {error}"
            );
        }
        let error = Control::open(&spec(sasl, None), PATIENCE).unwrap_err();
        assert!(error.text.contains("want SASL?"), "{version:?}: {error}");
        let asks = spec(plain, Some((Mechanism::Plain, USER.1)));
        let error = Control::open(&asks, PATIENCE).unwrap_err();
        assert!(
            error.text.contains("this listener has no SASL"),
            "{version:?}: {error}"
        );
    }
}
