//! The settings that every Java client has: where the cluster is, who we are, how sockets are made.
//!
//! What changes the meaning of a run and cannot be had here is refused; what has no meaning here is
//! named in a note. No sentence repeats a password. Pure.

use std::time::Duration;

use loadgen_kafka::spec::{ClusterSpec, Credentials, Mechanism};

use super::properties::Properties;

/// What both doors read from the settings of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// The cluster.
    pub(super) cluster: ClusterSpec,
    /// `request.timeout.ms`.
    pub(super) timeout: Duration,
    /// `receive.buffer.bytes`; `None`: the kernel's default.
    pub(super) receive_buffer_bytes: Option<usize>,
    /// `send.buffer.bytes` likewise.
    pub(super) send_buffer_bytes: Option<usize>,
}

/// What a tool has where nothing is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// `client.id`.
    pub(super) client_id: &'static str,
    /// `receive.buffer.bytes`.
    pub(super) receive_buffer_bytes: i64,
}

/// `request.timeout.ms` of both clients.
const TIMEOUT_MS: i64 = 30_000;
/// `send.buffer.bytes` of both clients.
const SEND_BUFFER_BYTES: i64 = 131_072;

impl Client {
    /// Takes them out of `settings`.
    ///
    /// # Errors
    /// One sentence that names the setting.
    pub(super) fn take(settings: &mut Properties, defaults: Defaults) -> Result<Self, String> {
        let servers = settings.take("bootstrap.servers").unwrap_or_default();
        let bootstrap: Vec<String> = servers
            .split(',')
            .map(|server| server.trim().to_owned())
            .filter(|server| !server.is_empty())
            .collect();
        if bootstrap.is_empty() {
            return Err("no broker is named: give --bootstrap-server HOST:PORT".to_owned());
        }
        let client_id = settings.take("client.id").filter(|name| !name.is_empty());
        let i32_max = i64::from(i32::MAX);
        let timeout = settings.take_number("request.timeout.ms", 1, i32_max)?;
        let buffer = |bytes: i64| usize::try_from(bytes).ok();
        let receive = settings.take_number("receive.buffer.bytes", -1, i32_max)?;
        let send = settings.take_number("send.buffer.bytes", -1, i32_max)?;
        Ok(Self {
            cluster: ClusterSpec {
                bootstrap,
                sasl: sasl(settings)?,
                client_id: client_id.unwrap_or_else(|| defaults.client_id.to_owned()),
            },
            timeout: Duration::from_millis(timeout.unwrap_or(TIMEOUT_MS).unsigned_abs()),
            receive_buffer_bytes: buffer(receive.unwrap_or(defaults.receive_buffer_bytes)),
            send_buffer_bytes: buffer(send.unwrap_or(SEND_BUFFER_BYTES)),
        })
    }
}

fn sasl(settings: &mut Properties) -> Result<Option<Credentials>, String> {
    let protocol = settings.take("security.protocol");
    match protocol.as_deref().unwrap_or("PLAINTEXT") {
        "PLAINTEXT" => return Ok(None),
        "SASL_PLAINTEXT" => {}
        "SSL" | "SASL_SSL" => {
            return Err(format!(
                "security.protocol={}: TLS is not spoken here; measure a listener with PLAINTEXT or \
                 SASL_PLAINTEXT",
                protocol.unwrap_or_default()
            ));
        }
        other => {
            return Err(format!(
                "security.protocol={other} is none of PLAINTEXT and SASL_PLAINTEXT"
            ));
        }
    }
    let known = [
        Mechanism::Plain,
        Mechanism::ScramSha256,
        Mechanism::ScramSha512,
    ];
    let typed = settings.take("sasl.mechanism");
    let typed = typed.as_deref().unwrap_or("GSSAPI");
    let mechanism = known.into_iter().find(|known| known.name() == typed);
    let mechanism = mechanism.ok_or_else(|| {
        format!("sasl.mechanism={typed} is none of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512")
    })?;
    let login = settings.take("sasl.jaas.config");
    let login = login.ok_or("sasl.jaas.config is missing: it has the user and the password")?;
    let option = |name| jaas_option(&login, name);
    match (option("username"), option("password")) {
        (Some(user), Some(password)) => Ok(Some(Credentials {
            mechanism,
            user,
            password,
        })),
        (user, _) => {
            let missing = if user.is_none() {
                "username"
            } else {
                "password"
            };
            Err(format!("sasl.jaas.config has no {missing}=\"…\""))
        }
    }
}

/// An option of a login configuration: `CLASS required name="value" … ;`, as
/// `javax.security.auth.login.Configuration` has it. A backslash quotes what follows.
fn jaas_option(login: &str, wanted: &str) -> Option<String> {
    let mut rest = login;
    while let Some((before, after)) = rest.split_once('=') {
        let name = before
            .trim_end()
            .rsplit([' ', '\t', '\n', '"', '\''])
            .next();
        let (value, next) = jaas_value(after.trim_start());
        if name == Some(wanted) {
            return Some(value);
        }
        rest = next;
    }
    None
}

fn jaas_value(text: &str) -> (String, &str) {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let end = text.find([' ', '\t', '\n', ';']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = text[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c if c == quote => return (value, &text[1 + at + 1..]),
            c => value.push(c),
        }
    }
    (value, "")
}

/// A note about settings that have no meaning here.
pub(super) fn note(names: &[&str]) -> Option<String> {
    (!names.is_empty())
        .then(|| format!("these settings have no meaning here: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults {
        client_id: "perf-consumer-client",
        receive_buffer_bytes: 65_536,
    };

    fn taken(words: &[&str]) -> Result<Client, String> {
        let mut settings = Properties::default();
        for word in words {
            settings
                .typed(word, super::super::properties::Missing::Empty)
                .unwrap();
        }
        Client::take(&mut settings, DEFAULTS)
    }

    #[test]
    fn a_cluster_and_who_we_are() {
        let client = taken(&["bootstrap.servers=a:1, b:2,"]).unwrap();
        assert_eq!(client.cluster.bootstrap, ["a:1", "b:2"]);
        assert_eq!(client.cluster.client_id, "perf-consumer-client");
        assert_eq!(client.timeout, Duration::from_secs(30));
        assert_eq!(client.receive_buffer_bytes, Some(65_536));
        assert_eq!(client.send_buffer_bytes, Some(131_072));
        let client = taken(&[
            "bootstrap.servers=a:1",
            "security.protocol=SASL_PLAINTEXT",
            "sasl.mechanism=SCRAM-SHA-512",
            r#"sasl.jaas.config=org.apache.X required username="al=\"i" password='p w;"';"#,
            "client.id=me",
            "receive.buffer.bytes=-1",
            "request.timeout.ms=500",
        ]);
        let client = client.unwrap();
        let sasl = Credentials {
            mechanism: Mechanism::ScramSha512,
            user: "al=\"i".to_owned(),
            password: "p w;\"".to_owned(),
        };
        assert_eq!(client.cluster.sasl, Some(sasl));
        assert_eq!(client.cluster.client_id, "me");
        assert_eq!(client.receive_buffer_bytes, None);
        assert_eq!(client.timeout, Duration::from_millis(500));
    }

    #[test]
    fn refusals_name_the_setting_and_no_password() {
        let sasl = "security.protocol=SASL_PLAINTEXT";
        for (words, said) in [
            (vec![], "--bootstrap-server"),
            (vec!["security.protocol=SSL"], "security.protocol=SSL: TLS"),
            (
                vec!["security.protocol=SASL_SSL"],
                "security.protocol=SASL_SSL: TLS",
            ),
            (vec!["security.protocol=x"], "security.protocol=x"),
            (vec![sasl], "sasl.mechanism=GSSAPI"),
            (
                vec![sasl, "sasl.mechanism=PLAIN"],
                "sasl.jaas.config is missing",
            ),
            (
                vec![
                    sasl,
                    "sasl.mechanism=PLAIN",
                    "sasl.jaas.config=C required password=\"secret\";",
                ],
                "sasl.jaas.config has no username",
            ),
            (vec!["request.timeout.ms=0"], "request.timeout.ms: \"0\""),
            (
                vec!["receive.buffer.bytes=64k"],
                "receive.buffer.bytes: \"64k\"",
            ),
        ] {
            let mut all = if words.is_empty() {
                vec![]
            } else {
                vec!["bootstrap.servers=a:1"]
            };
            all.extend(words);
            let why = taken(&all).unwrap_err();
            assert!(
                why.contains(said) && !why.contains("secret"),
                "{all:?}: {why}"
            );
        }
    }
}
