//! The questions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, ListOffsetsRequest,
    MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use serde_json::{Map, Value, json};

use super::form::{self, Form};
use super::{Control, ControlError};
use crate::cluster::{Broker, Topic};
use crate::plan::NewTopic;
use crate::spec::Isolation;
use crate::tables;

/// `DescribeConfigs` resource types.
const OF_TOPIC: i8 = 2;
const OF_BROKER: i8 = 4;
/// `TOPIC_ALREADY_EXISTS`.
pub(super) const EXISTS: i16 = 36;
/// `UNKNOWN_TOPIC_OR_PARTITION`.
const UNKNOWN_TOPIC: i16 = 3;
/// `NOT_CONTROLLER`.
const NOT_CONTROLLER: i16 = 41;

/// Between two questions while a cluster makes up its mind.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// An end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// The first record there is.
    Earliest,
    /// Behind the last record that is visible: of those that all in-sync replicas have.
    Latest,
    /// Behind the last record that the leader has; its replicas may lack it. No isolation hides any.
    End,
}

/// `replica_id` of a consumer.
const CONSUMER: i32 = -1;
/// Any other that is no negative number, and no broker's: a leader tells replicas its log's end and not
/// the high watermark (`ReplicaManager.fetchOffset`), and nothing is changed by asking.
const NO_REPLICA: i32 = i32::MAX;

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

impl Control {
    /// Asks `node`, or anybody. A connection that broke in the meantime is made anew once.
    fn ask<R: Request>(
        &mut self,
        node: Option<i32>,
        request: &R,
        form: &Form,
    ) -> Result<R::Response, ControlError> {
        let patience = self.patience.clone();
        let mut again = true;
        loop {
            let link = match node {
                Some(node) => self.of_node(node)?,
                None => self.any()?,
            };
            let error = match link.ask(request, form, &patience) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            self.forget(node);
            if !error.unreachable || patience.is_over() || !std::mem::replace(&mut again, false) {
                return Err(error);
            }
        }
    }

    fn metadata(&mut self, topic: Option<&str>) -> Result<MetadataResponse, ControlError> {
        let of = |name| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request = MetadataRequest::default()
            // An empty list asks for the brokers only.
            .with_topics(Some(topic.map(of).into_iter().collect()))
            .with_allow_auto_topic_creation(false);
        let answer = self.ask(None, &request, &form::METADATA)?;
        self.controller = answer.controller_id.0;
        let mut brokers: Vec<Broker> = answer
            .brokers
            .iter()
            .map(|broker| Broker {
                node: broker.node_id.0,
                name: name_of(&broker.host, broker.port),
            })
            .collect();
        brokers.sort_by_key(|broker| broker.node);
        self.links
            .retain(|(node, _)| brokers.iter().any(|broker| broker.node == *node));
        self.brokers = brokers;
        Ok(answer)
    }

    /// Asks who the brokers are.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn refresh(&mut self) -> Result<(), ControlError> {
        self.metadata(None).map(drop)
    }

    /// The topic with all its partitions; `None`: there is none of this name.
    ///
    /// # Errors
    /// When no broker answers, or one refuses.
    pub fn topic(&mut self, name: &str) -> Result<Option<Topic>, ControlError> {
        let leaders = self.leaders(name)?;
        let brokers = self.brokers.clone();
        Ok(leaders.map(|leaders| Topic::new(name.to_owned(), brokers, &leaders)))
    }

    /// Partitions in ascending order: index, and the leader's node id and epoch.
    pub(super) fn leaders(&mut self, name: &str) -> Result<Option<Leaders>, ControlError> {
        let answer = self.metadata(Some(name))?;
        let of_it = |topic: &&_| {
            let topic: &kafka_protocol::messages::metadata_response::MetadataResponseTopic = topic;
            topic
                .name
                .as_ref()
                .is_some_and(|found| found.as_str() == name)
        };
        let Some(topic) = answer.topics.iter().find(of_it) else {
            return Ok(None);
        };
        match topic.error_code {
            // 5: some partition has no leader now; the partitions say which.
            0 | 5 => {}
            UNKNOWN_TOPIC => return Ok(None),
            code => return Err(ControlError::coded(&format!("topic {name}"), code, None)),
        }
        let mut leaders: Leaders = topic
            .partitions
            .iter()
            .map(|partition| {
                let leader = (partition.leader_id.0, partition.leader_epoch);
                (partition.partition_index, (leader.0 >= 0).then_some(leader))
            })
            .collect();
        leaders.sort_by_key(|(index, _)| *index);
        Ok(Some(leaders))
    }

    /// An end of every partition's log, in the order of `topic`. While a leader moves it is asked
    /// for again, and `topic` learns who leads.
    ///
    /// # Errors
    /// When a leader is missing for longer than there is patience, or refuses.
    pub fn offsets(
        &mut self,
        topic: &Topic,
        which: Offset,
        isolation: Isolation,
    ) -> Result<Vec<i64>, ControlError> {
        let deadline = Instant::now() + self.patience.each;
        loop {
            let error = match self.offsets_now(topic, which, isolation) {
                Err(error) if passing(&error) => error,
                answer => return answer,
            };
            if Instant::now() + AGAIN_AFTER > deadline || self.patience.is_over() {
                return Err(error);
            }
            std::thread::sleep(AGAIN_AFTER);
            match self.learn_leaders(topic) {
                Ok(true) => {}
                Ok(false) => {
                    let text = format!("the cluster has no topic {} any more", topic.name);
                    return Err(ControlError::refused(text));
                }
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks who leads what; whether the topic is there.
    pub(super) fn learn_leaders(&mut self, topic: &Topic) -> Result<bool, ControlError> {
        let Some(leaders) = self.leaders(&topic.name)? else {
            return Ok(false);
        };
        for (at, partition) in topic.partitions.iter().enumerate() {
            let leader = leaders.iter().find(|(index, _)| *index == partition.index);
            topic.learn(at, leader.and_then(|(_, leader)| *leader));
        }
        Ok(true)
    }

    /// [`Control::offsets`], asked once.
    fn offsets_now(
        &mut self,
        topic: &Topic,
        which: Offset,
        isolation: Isolation,
    ) -> Result<Vec<i64>, ControlError> {
        self.offsets_there(topic, which, isolation)
            .into_iter()
            .collect()
    }

    /// The same, for each partition by itself: those that have a leader who answers do not wait for the
    /// others.
    pub(super) fn offsets_there(
        &mut self,
        topic: &Topic,
        which: Offset,
        isolation: Isolation,
    ) -> Vec<Result<i64, ControlError>> {
        let mut by_node: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for (at, partition) in topic.partitions.iter().enumerate() {
            if let Some(route) = topic.leader(at) {
                let node = topic.brokers[route].node;
                by_node.entry(node).or_default().push(partition.index);
            }
        }
        let mut found = Found::new();
        for (node, partitions) in by_node {
            let asked = self.offsets_of(node, topic, &partitions, (which, isolation), &mut found);
            if let Err(error) = asked {
                found.extend(partitions.iter().map(|index| (*index, Err(error.clone()))));
            }
        }
        let name = &topic.name;
        let mut of = |(at, index): (usize, i32)| match topic.leader(at) {
            None => Err(ControlError::unreachable(format!(
                "partition {index} of {name} has no leader"
            ))),
            Some(_) => found.remove(&index).unwrap_or_else(|| {
                Err(ControlError::refused(format!(
                    "partition {index} of {name}: the broker did not say its offset"
                )))
            }),
        };
        let indices = topic.partitions.iter().map(|partition| partition.index);
        indices.enumerate().map(&mut of).collect()
    }

    fn offsets_of(
        &mut self,
        node: i32,
        topic: &Topic,
        partitions: &[i32],
        (which, isolation): (Offset, Isolation),
        found: &mut Found,
    ) -> Result<(), ControlError> {
        let timestamp = match which {
            Offset::Latest | Offset::End => -1,
            Offset::Earliest => -2,
        };
        let asking = match which {
            Offset::End => NO_REPLICA,
            Offset::Earliest | Offset::Latest => CONSUMER,
        };
        let of = |&index: &i32| {
            ListOffsetsPartition::default()
                .with_partition_index(index)
                .with_timestamp(timestamp)
        };
        let asked = ListOffsetsTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(partitions.iter().map(of).collect());
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(asking))
            .with_isolation_level(i8::from(isolation == Isolation::ReadCommitted))
            .with_topics(vec![asked]);
        let answer = self.ask(Some(node), &request, &form::LIST_OFFSETS)?;
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            let index = partition.partition_index;
            let offset = if partition.error_code == 0 {
                Ok(partition.offset)
            } else {
                let what = format!("offsets of {}-{index}", topic.name);
                Err(ControlError::coded(&what, partition.error_code, None))
            };
            found.insert(index, offset);
        }
        Ok(())
    }

    /// Creates a topic; whether it was new: one that exists is left as it is. Brokers may hear of
    /// it, and of its leaders, a little later.
    ///
    /// # Errors
    /// When the controller does not answer, or refuses.
    pub fn create_topic(&mut self, new: &NewTopic) -> Result<bool, ControlError> {
        let setting = |(name, value): &(String, String)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string(name.clone()))
                .with_value(Some(StrBytes::from_string(value.clone())))
        };
        let replication = new
            .replication
            .map_or(-1, |r| i16::try_from(r).unwrap_or(i16::MAX));
        let asked = CreatableTopic::default()
            .with_name(topic_name(&new.name))
            .with_num_partitions(new.partitions.unwrap_or(-1))
            .with_replication_factor(replication)
            .with_configs(new.settings.iter().map(setting).collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![asked])
            .with_timeout_ms(self.patience_ms());
        let form = if new.partitions.is_none() || new.replication.is_none() {
            form::CREATE_TOPICS_BY_DEFAULT
        } else {
            form::CREATE_TOPICS
        };
        let answer = self.at_controller(&request, &form, |answer| {
            answer.topics.iter().map(|topic| topic.error_code).max()
        })?;
        for topic in &answer.topics {
            match topic.error_code {
                0 => {}
                EXISTS => return Ok(false),
                code => {
                    let said = topic.error_message.as_deref();
                    let what = format!("creating topic {}", new.name);
                    return Err(ControlError::coded(&what, code, said));
                }
            }
        }
        Ok(true)
    }

    /// Deletes a topic; whether it was there.
    ///
    /// # Errors
    /// When the controller does not answer, or refuses.
    pub fn delete_topic(&mut self, name: &str) -> Result<bool, ControlError> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(vec![topic_name(name)])
            .with_timeout_ms(self.patience_ms());
        let answer = self.at_controller(&request, &form::DELETE_TOPICS, |answer| {
            answer.responses.iter().map(|topic| topic.error_code).max()
        })?;
        for topic in &answer.responses {
            match topic.error_code {
                0 => {}
                UNKNOWN_TOPIC => return Ok(false),
                code => {
                    let said = topic.error_message.as_deref();
                    return Err(ControlError::coded(
                        &format!("deleting topic {name}"),
                        code,
                        said,
                    ));
                }
            }
        }
        Ok(true)
    }

    /// Old brokers want the controller itself, and it may have moved; one of KRaft passes it on.
    fn at_controller<R: Request>(
        &mut self,
        request: &R,
        form: &Form,
        code: impl Fn(&R::Response) -> Option<i16>,
    ) -> Result<R::Response, ControlError> {
        let deadline = Instant::now() + self.patience.each;
        loop {
            let known = self
                .brokers
                .iter()
                .any(|broker| broker.node == self.controller);
            let node = known.then_some(self.controller);
            let answer = self.ask(node, request, form)?;
            if code(&answer) != Some(NOT_CONTROLLER) || Instant::now() + AGAIN_AFTER > deadline {
                return Ok(answer);
            }
            std::thread::sleep(AGAIN_AFTER);
            self.refresh()?;
        }
    }

    /// The settings of a broker and, if named, of a topic, as `{"broker": {…}, "topic": {…}}`:
    /// what shapes a measurement, secrets left out.
    ///
    /// # Errors
    /// When the broker does not answer, or refuses.
    pub fn describe(&mut self, node: i32, topic: Option<&str>) -> Result<Value, ControlError> {
        let resource = |kind: i8, name: String| {
            DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(StrBytes::from_string(name))
                .with_configuration_keys(None)
        };
        let mut resources = vec![resource(OF_BROKER, node.to_string())];
        resources.extend(topic.map(|name| resource(OF_TOPIC, name.to_owned())));
        let request = DescribeConfigsRequest::default().with_resources(resources);
        let answer = self.ask(Some(node), &request, &form::DESCRIBE_CONFIGS)?;
        let (mut broker, mut of_topic) = (Map::new(), Map::new());
        for result in &answer.results {
            if result.error_code != 0 {
                let what = format!("settings of {}", result.resource_name.as_str());
                let said = result.error_message.as_deref();
                return Err(ControlError::coded(&what, result.error_code, said));
            }
            let into = if result.resource_type == OF_BROKER {
                &mut broker
            } else {
                &mut of_topic
            };
            for setting in result
                .configs
                .iter()
                .filter(|setting| !setting.is_sensitive)
            {
                let name = setting.name.as_str();
                if result.resource_type == OF_TOPIC || tells(name) {
                    into.insert(name.to_owned(), json!(setting.value.as_deref()));
                }
            }
        }
        Ok(json!({"broker": broker, "topic": of_topic}))
    }

    fn patience_ms(&self) -> i32 {
        i32::try_from(self.patience.each.as_millis()).unwrap_or(i32::MAX)
    }
}

/// What was said of partitions, by index.
type Found = BTreeMap<i32, Result<i64, ControlError>>;

/// Partitions: index, and the leader's node id and epoch.
pub(super) type Leaders = Vec<(i32, Option<(i32, i32)>)>;

/// A broker has hundreds of settings; these shape what a client sees.
fn tells(name: &str) -> bool {
    const EXACTLY: [&str; 21] = [
        "num.network.threads",
        "num.io.threads",
        "num.replica.fetchers",
        "queued.max.requests",
        "message.max.bytes",
        "fetch.max.bytes",
        "replica.fetch.max.bytes",
        "replica.lag.time.max.ms",
        "max.incremental.fetch.session.cache.slots",
        "max.connections.per.ip",
        "connections.max.idle.ms",
        "connections.max.reauth.ms",
        "min.insync.replicas",
        "default.replication.factor",
        "num.partitions",
        "compression.type",
        "log.cleanup.policy",
        "log.flush.interval.messages",
        "log.segment.bytes",
        "group.initial.rebalance.delay.ms",
        "auto.create.topics.enable",
    ];
    const BEGINS: [&str; 3] = ["socket.", "log.retention.", "log.message.timestamp."];
    EXACTLY.contains(&name) || BEGINS.iter().any(|begin| name.starts_with(begin))
}

fn name_of(host: &str, port: i32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Whether asking again may help: the cluster is still making up its mind.
pub(super) fn passing(error: &ControlError) -> bool {
    // REQUEST_TIMED_OUT, BROKER_NOT_AVAILABLE, NETWORK_EXCEPTION, OFFSET_NOT_AVAILABLE.
    let later = |code| tables::leader_doubtful(code) || matches!(code, 7 | 8 | 13 | 78);
    error.unreachable || error.code.is_some_and(later)
}
