//! File, environment, flags: each laid over the one before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ServerConfig};

/// How a setting is written in the environment and in a flag.
#[derive(Clone, Copy)]
enum Kind {
    /// As it stands.
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
}

/// Every setting: section, key, kind. `OUTDIAL_SECTION_KEY` is its name in the environment.
const SETTINGS: &[(&str, &str, Kind)] = &[
    ("server", "listen", Kind::Text),
    ("server", "role", Kind::Text),
    ("server", "node_name", Kind::Text),
    ("server", "body_max_bytes", Kind::Number),
    ("server", "body_idle_timeout_ms", Kind::Number),
    ("server", "body_min_rate_bytes_per_s", Kind::Number),
    ("server", "body_timeout_ms", Kind::Number),
    ("server", "body_expansion_max", Kind::Number),
    ("server", "connections_max", Kind::Number),
    ("server", "connections_per_address_max", Kind::Number),
    ("server", "head_timeout_ms", Kind::Number),
    ("server", "head_max_bytes", Kind::Number),
    ("server", "head_fields_max", Kind::Number),
    ("server", "keep_alive_ms", Kind::Number),
    ("server", "write_timeout_ms", Kind::Number),
    ("server", "answer_min_rate_bytes_per_s", Kind::Number),
    ("server", "key_requests_per_s", Kind::Number),
    ("server", "key_requests_burst", Kind::Number),
    ("server", "address_requests_per_s", Kind::Number),
    ("server", "address_requests_burst", Kind::Number),
    ("server", "address_failures_per_s", Kind::Number),
    ("server", "address_failures_burst", Kind::Number),
    ("server", "trusted_proxies", Kind::Text),
    ("server", "unlimited_addresses", Kind::Text),
    ("database", "url", Kind::Text),
    ("database", "state_dir", Kind::Text),
    ("database", "pool", Kind::Number),
    ("database", "statement_timeout_ms", Kind::Number),
    ("ingest", "records_max", Kind::Number),
    ("ingest", "body_max_bytes", Kind::Number),
    ("ingest", "memory_max_bytes", Kind::Number),
    ("ingest", "chunks_in_flight", Kind::Number),
    ("ingest", "upload_max_bytes", Kind::Number),
    ("ingest", "upload_rows_max", Kind::Number),
    ("ingest", "uploads_at_once", Kind::Number),
    ("ingest", "spool_dir", Kind::Text),
    ("engine", "node_calls", Kind::Number),
    ("engine", "turn_limit", Kind::Number),
    ("engine", "ring_limit_ms", Kind::Number),
    ("engine", "beat_ms", Kind::Number),
    ("engine", "marks_ms", Kind::Number),
    ("engine", "drain_limit_ms", Kind::Number),
    ("engine", "supervise_ms", Kind::Number),
    ("engine", "groups_ms", Kind::Number),
    ("engine", "recall_ms", Kind::Number),
    ("engine", "close_ms", Kind::Number),
    ("engine", "resolve_ms", Kind::Number),
    ("engine", "prune_ms", Kind::Number),
    ("webhooks", "allow_http", Kind::Flag),
    ("webhooks", "allow_private", Kind::Flag),
    ("webhooks", "ca_file", Kind::Text),
    ("webhooks", "timeout_ms", Kind::Number),
    ("webhooks", "in_flight", Kind::Number),
    ("webhooks", "in_flight_per_endpoint", Kind::Number),
    ("sip", "listen", Kind::Text),
    ("sip", "tls_listen", Kind::Text),
    ("sip", "tls_certificate", Kind::Text),
    ("sip", "tls_key", Kind::Text),
    ("sip", "ca_file", Kind::Text),
    ("sip", "public_address", Kind::Text),
    ("sip", "rtp_ports", Kind::Text),
    ("sip", "sound", Kind::Text),
    ("simulated", "speed", Kind::Number),
    ("simulated", "log", Kind::Text),
    ("log", "format", Kind::Text),
    ("log", "filter", Kind::Text),
    ("monitoring", "metrics_token", Kind::Text),
    ("monitoring", "traces_endpoint", Kind::Text),
    ("monitoring", "traces_ratio", Kind::Number),
];

/// Settings given as flags: (section, key) → text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides(BTreeMap<(&'static str, &'static str), String>);

impl Overrides {
    /// A flag, if it was given. Section and key must be known settings.
    pub(crate) fn set(&mut self, section: &'static str, key: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.0.insert((section, key), value);
        }
    }
}

/// Reads the configuration. `environment` is what the process was started with.
pub(crate) fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &Overrides,
) -> Result<Config> {
    let mut table = match file {
        Some(path) => read_file(path)?,
        None => Table::new(),
    };
    let (environment, state_of_service) = sorted(environment);
    for (name, text) in environment {
        let Some((section, key, kind)) = setting_of(&name)? else { continue };
        let value = parse(kind, &text).with_context(|| format!("in the environment, {name}"))?;
        put(&mut table, section, key, value);
        // Not with its value: the URL of a database may carry a password.
        check(&table).with_context(|| format!("in the environment, {name}"))?;
    }
    for ((section, key), text) in &flags.0 {
        let kind = SETTINGS.iter().find(|(s, k, _)| s == section && k == key).map(|s| s.2);
        let flag = flag_name(section, key);
        let value = parse(kind.unwrap_or(Kind::Text), text).with_context(|| flag.clone())?;
        put(&mut table, section, key, value);
        check(&table).with_context(|| flag)?;
    }
    let mut config = check(&table)?;
    config.validate_whole()?;
    config.database.state_of_service = state_of_service;
    Ok(config)
}

fn read_file(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the configuration file {} cannot be read", path.display()))?;
    // Read as the typed structs first: those errors name the line and the keys that exist.
    let whole = || format!("in the configuration file {}", path.display());
    let config = toml::from_str::<Config>(&text).with_context(whole)?;
    config.validate().with_context(whole)?;
    toml::from_str(&text).with_context(whole)
}

fn check(table: &Table) -> Result<Config> {
    // Its message without the place, which whoever asks knows better.
    let config =
        Config::deserialize(Value::Table(table.clone())).map_err(|e| anyhow!("{}", e.message()))?;
    config.validate()?;
    Ok(config)
}

impl Config {
    /// What the types cannot say.
    fn validate(&self) -> Result<()> {
        let speed = self.simulated.speed;
        if !(0.001..=1_000_000.0).contains(&speed) {
            bail!("simulated.speed must be between 0.001 and 1000000, not {speed}");
        }
        let engine = &self.engine;
        for (key, value) in [
            ("node_calls", u64::from(engine.node_calls)),
            ("turn_limit", u64::from(engine.turn_limit)),
            ("ring_limit_ms", engine.ring_limit_ms),
            ("marks_ms", engine.marks_ms),
            ("supervise_ms", engine.supervise_ms),
            ("groups_ms", engine.groups_ms),
            ("recall_ms", engine.recall_ms),
            ("close_ms", engine.close_ms),
            ("resolve_ms", engine.resolve_ms),
            ("prune_ms", engine.prune_ms),
        ] {
            if value == 0 {
                bail!("engine.{key} must be at least 1");
            }
        }
        if !(100..=5_000).contains(&engine.beat_ms) {
            bail!("engine.beat_ms must be between 100 and 5000, not {}", engine.beat_ms);
        }
        if self.server.node_name.as_ref().is_some_and(|name| !is_node_name(name)) {
            bail!("server.node_name: write 1 to 100 characters without spaces");
        }
        self.server.validate()?;
        let database = &self.database;
        if database.pool < 2 || database.pool > 1_000 {
            bail!("database.pool must be between 2 and 1000, not {}", database.pool);
        }
        if !(1_000..=600_000).contains(&database.statement_timeout_ms) {
            bail!(
                "database.statement_timeout_ms must be between 1000 and 600000, not {}",
                database.statement_timeout_ms
            );
        }
        self.webhooks.validate()?;
        if self.ingest.uploads_at_once == 0 {
            bail!("ingest.uploads_at_once must be at least 1");
        }
        if self.ingest.chunks_in_flight == 0 {
            bail!("ingest.chunks_in_flight must be at least 1");
        }
        if self.ingest.memory_max_bytes < self.ingest.body_max_bytes {
            bail!(
                "ingest.memory_max_bytes ({}) must not be below ingest.body_max_bytes ({}): no \
                 request of that size could ever be taken",
                self.ingest.memory_max_bytes,
                self.ingest.body_max_bytes
            );
        }
        Ok(())
    }

    /// What can be said only when everything was laid over: settings that go together may come
    /// from several places.
    fn validate_whole(&self) -> Result<()> {
        let sip = &self.sip;
        if [&sip.tls_certificate, &sip.tls_key]
            .iter()
            .any(|f| f.is_some() != sip.tls_listen.is_some())
        {
            bail!(
                "sip.tls_listen, sip.tls_certificate and sip.tls_key go together: write all or none"
            );
        }
        Ok(())
    }
}

impl ServerConfig {
    fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("body_timeout_ms", self.body_timeout_ms),
            ("body_expansion_max", self.body_expansion_max),
            ("connections_max", self.connections_max as u64),
            ("connections_per_address_max", self.connections_per_address_max as u64),
            ("head_timeout_ms", self.head_timeout_ms),
            ("head_fields_max", self.head_fields_max as u64),
            ("keep_alive_ms", self.keep_alive_ms),
            ("write_timeout_ms", self.write_timeout_ms),
        ] {
            if value == 0 {
                bail!("server.{key} must be at least 1");
            }
        }
        if !(1_024..=1_048_576).contains(&self.head_max_bytes) {
            let bytes = self.head_max_bytes;
            bail!("server.head_max_bytes must be between 1024 and 1048576, not {bytes}");
        }
        Ok(())
    }
}

fn is_node_name(name: &str) -> bool {
    (1..=100).contains(&name.chars().count())
        && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn put(table: &mut Table, section: &str, key: &str, value: Value) {
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(key.to_owned(), value);
    }
}

fn parse(kind: Kind, text: &str) -> Result<Value> {
    match kind {
        Kind::Text => Ok(Value::String(text.to_owned())),
        Kind::Flag => match text.parse() {
            Ok(flag) => Ok(Value::Boolean(flag)),
            Err(_) => bail!("`{text}` is neither true nor false"),
        },
        Kind::Number => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => Ok(Value::Integer(whole)),
            (_, Ok(number)) => Ok(Value::Float(number)),
            _ => bail!("`{text}` is not a number"),
        },
    }
}

fn environment_name(section: &str, key: &str) -> String {
    format!("OUTDIAL_{section}_{key}").to_uppercase()
}

fn flag_name(section: &str, key: &str) -> String {
    match (section, key) {
        ("database", "url") => "--database-url".to_owned(),
        ("database", "state_dir") => "--state-dir".to_owned(),
        ("log", "format") => "--log-format".to_owned(),
        (_, key) => format!("--{key}"),
    }
}

/// The setting that an environment variable names. One that begins like a section of ours and ends
/// like nothing is a typing error, and refused; the rest is somebody else's (a container runtime
/// makes `OUTDIAL_PORT` and `OUTDIAL_SERVICE_HOST` by itself).
fn setting_of(name: &str) -> Result<Option<(&'static str, &'static str, Kind)>> {
    let known = SETTINGS.iter().find(|(section, key, _)| environment_name(section, key) == name);
    if known.is_some() {
        return Ok(known.copied());
    }
    let sections = SETTINGS.iter().map(|s| s.0);
    let Some(section) = sections.into_iter().find(|s| name.starts_with(&environment_name(s, "")))
    else {
        return Ok(None);
    };
    let keys: Vec<String> = SETTINGS
        .iter()
        .filter(|(s, ..)| *s == section)
        .map(|(s, k, _)| environment_name(s, k))
        .collect();
    bail!("unknown setting {name} in the environment; there are {}", keys.join(", "))
}

/// What is ours, and the first directory that systemd keeps the state of the service in.
fn sorted(
    environment: impl Iterator<Item = (String, String)>,
) -> (BTreeMap<String, String>, Option<PathBuf>) {
    let mut service = None;
    let ours = environment
        .filter(|(name, text)| {
            if name == "STATE_DIRECTORY" {
                service = text.split(':').next().filter(|d| !d.is_empty()).map(PathBuf::from);
            }
            name.starts_with("OUTDIAL_")
        })
        .collect();
    (ours, service)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::{DEFAULT_FILE, LogFormat, Role};
    use super::*;

    fn from(
        file: &str,
        env: &[(&str, &str)],
        flags: &[(&'static str, &'static str, &str)],
    ) -> Result<Config> {
        let mut on_disk = tempfile::NamedTempFile::new().unwrap();
        on_disk.write_all(file.as_bytes()).unwrap();
        let mut overrides = Overrides::default();
        for (section, key, value) in flags {
            overrides.set(section, key, Some((*value).to_owned()));
        }
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(Some(on_disk.path()), env, &overrides)
    }

    fn message(result: Result<Config>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    #[test]
    fn the_default_file_is_the_default() {
        assert_eq!(toml::from_str::<Config>(DEFAULT_FILE).unwrap(), Config::default());
    }

    #[test]
    fn the_default_file_names_every_setting_and_no_other() {
        let mut section = String::new();
        let mut named = Vec::new();
        for line in DEFAULT_FILE.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else if let Some((key, _)) = line.strip_prefix("#:").unwrap_or(line).split_once(" =")
                && !line.starts_with("# ")
            {
                named.push((section.clone(), key.trim().to_owned()));
            }
        }
        let known: Vec<_> =
            SETTINGS.iter().map(|(s, k, _)| ((*s).to_owned(), (*k).to_owned())).collect();
        assert_eq!(named, known);
    }

    #[test]
    fn every_setting_can_be_given_in_the_environment() {
        for (section, key, kind) in SETTINGS {
            let value = match (*section, *key, kind) {
                (_, "role", _) => "api",
                (_, "format", _) => "json",
                (_, "url", _) => "sqlite:x.db",
                (_, "memory_max_bytes", _) => "999999999999",
                (_, "statement_timeout_ms", _) => "7000",
                (_, "beat_ms", _) => "700",
                (_, "head_max_bytes", _) => "9999",
                (_, "trusted_proxies" | "unlimited_addresses", _) => "10.0.0.0/8",
                ("sip", "listen", _) => "127.0.0.1:5070",
                ("sip", "public_address", _) => "203.0.113.5",
                ("sip", "rtp_ports", _) => "20000-20099",
                // Alone they are refused.
                ("sip", "tls_listen" | "tls_certificate" | "tls_key", _) => continue,
                (_, _, Kind::Number) => "7",
                (_, _, Kind::Flag) => "true",
                _ => "x",
            };
            let config = from("", &[(&environment_name(section, key), value)], &[]).unwrap();
            assert_ne!(config, Config::default(), "{section}.{key}");
        }
    }

    #[test]
    fn systemd_says_where_the_state_of_its_service_is() {
        let env = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")];
        let config = from("", &env, &[]).unwrap();
        assert_eq!(config.database.state_of_service, Some("/var/lib/a".into()));
        assert_eq!(config.database.state_dir, None, "what is set wins");
    }

    #[test]
    fn settings_that_go_together_may_come_from_several_places() {
        let file = "[sip]\ntls_key = \"k\"\n";
        let env =
            [("OUTDIAL_SIP_TLS_CERTIFICATE", "c"), ("OUTDIAL_SIP_TLS_LISTEN", "127.0.0.1:5061")];
        assert!(from(file, &env, &[]).unwrap().sip.tls_listen.is_some());
        assert!(message(from(file, &env[..1], &[])).contains("go together"));
    }

    #[test]
    fn flags_over_environment_over_file() {
        let file = "[server]\nlisten = \"file:1\"\nrole = \"api\"\n[log]\nformat = \"json\"\n";
        let env = [("OUTDIAL_SERVER_LISTEN", "env:1"), ("OUTDIAL_SERVER_ROLE", "dialer")];
        let config = from(file, &env, &[("server", "listen", "flag:1")]).unwrap();
        assert_eq!(config.server.listen, "flag:1");
        assert_eq!(config.server.role, Role::Dialer);
        assert_eq!(config.log.format, LogFormat::Json);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let text = message(from("[server]\nlisen = \"x\"\n", &[], &[]));
        assert!(text.contains("lisen") && text.contains("listen"), "{text}");
        let text = message(from("[sever]\n", &[], &[]));
        assert!(text.contains("sever"), "{text}");
        let text = message(from("", &[("OUTDIAL_SERVER_LISEN", "x")], &[]));
        assert!(text.contains("OUTDIAL_SERVER_LISEN"), "{text}");
        assert!(text.contains("OUTDIAL_SERVER_LISTEN"), "{text}");
    }

    #[test]
    fn other_peoples_variables_are_left_alone() {
        let env = [("OUTDIAL_PORT", "tcp://10.0.0.1:80"), ("OUTDIAL_API_KEY", "k")];
        assert_eq!(from("", &env, &[]).unwrap(), Config::default());
    }

    #[test]
    fn bad_values_say_where_they_stand() {
        let text = message(from("", &[("OUTDIAL_SIMULATED_SPEED", "fast")], &[]));
        assert!(text.contains("OUTDIAL_SIMULATED_SPEED") && text.contains("fast"), "{text}");
        let text = message(from("[simulated]\nspeed = 0\n", &[], &[]));
        assert!(text.contains("simulated.speed"), "{text}");
        let text = message(from("", &[], &[("server", "role", "boss")]));
        assert!(text.contains("--role") && text.contains("boss"), "{text}");
        let text = message(from("[ingest]\nmemory_max_bytes = 1\n", &[], &[]));
        assert!(text.contains("memory_max_bytes"), "{text}");
    }
}
