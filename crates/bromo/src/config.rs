//! The configuration: a TOML file, then the environment. All faults are reported at once, and unknown keys
//! are faults. `config.default.toml` is the reference.

mod read;
mod section;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bromo_dashboard::Upgrades;
use bromo_engine::{TaskSettings, WebhookSettings};
use bromo_providers::breaker::BreakerRules;
use bromo_providers::secret::Secret;
use bromo_rules::credit::Prices;
use bromo_rules::egress::Egress;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::plan::PlanTable;
use bromo_rules::retry::Attempts;
use toml::{Table, Value};

use self::section::{Faults, Section};

/// The reference, as it stands in the documentation.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// What environment variables of bromo begin with.
pub const ENV_PREFIX: &str = "BROMO__";

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses and times of connections.
    pub listen: Listen,
    /// Where everything lives.
    pub deployment: Deployment,
    /// The API.
    pub api: ApiConfig,
    /// Holds the admin API's token.
    pub token_file: PathBuf,
    /// A call is answered or given up within this time.
    pub answer_deadline: Duration,
    /// The schedule of provider attempts.
    pub attempts: Attempts,
    /// When an endpoint's circuit opens.
    pub breaker: BreakerRules,
    /// Per key and endpoint.
    pub requests_per_second: u32,
    /// Tasks in one batch.
    pub batch_tasks_max: usize,
    /// The later way.
    pub tasks: TaskSettings,
    /// How ends of tasks are told.
    pub webhooks: WebhookSettings,
    /// Which addresses webhooks may have.
    pub egress: Egress,
    /// Holds the key that seals webhook secrets.
    pub seal_key_file: PathBuf,
    /// Who answers, by [`Endpoint::index`].
    pub endpoints: [Option<EndpointConfig>; Endpoint::ALL.len()],
    /// The model in this process.
    pub embedded: EmbeddedConfig,
    /// Where Google redirects are resolved.
    pub goto_base: String,
    /// The prices.
    pub prices: Prices,
    /// The plans.
    pub plans: PlanTable,
    /// What people may do in a browser.
    pub dashboard: DashboardConfig,
    /// The request log.
    pub logs: LogsConfig,
    /// What the program says of itself.
    pub telemetry: Telemetry,
}

/// Where everything lives.
#[derive(Debug, Clone)]
pub enum Deployment {
    /// In one process and a data folder: SQLite, and counts in memory.
    Embedded {
        /// The data folder.
        data: PathBuf,
    },
    /// In servers that many nodes share.
    Shared(Shared),
}

/// The servers that nodes share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// PostgreSQL: `postgres://user:password@host/database`.
    pub store: Secret,
    /// Connections of a node that read; a few more write.
    pub connections: usize,
    /// Pending migrations are applied at start.
    pub migrate: bool,
    /// Redis or Valkey: `redis://user:password@host:6379`, or `rediss://` for TLS.
    pub admission: Secret,
    /// What every key there begins with. Under `test:` time is what requests say it is.
    pub prefix: String,
    /// Replicas that must have each decision before it counts; 0: none.
    pub wait_replicas: u32,
}

/// Addresses and times of connections.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Customers and pages.
    pub api: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
    /// Threads that serve the API.
    pub threads: usize,
    /// For a head to arrive.
    pub head_timeout: Duration,
    /// For a body to arrive.
    pub body_timeout: Duration,
    /// From the first sign of an end, which load balancers see, to the last connection taken.
    pub drain: Duration,
    /// For running calls to end after that.
    pub shutdown: Duration,
}

/// The API.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The documented 400s instead of lenient defaults.
    pub strict: bool,
    /// What links begin with; none: the address it listens on.
    pub public_url: Option<String>,
    /// One body.
    pub body_bytes_max: usize,
    /// The body of a batch.
    pub batch_bytes_max: usize,
    /// All bodies.
    pub bodies_bytes_max: usize,
    /// Stored pages.
    pub page_ttl: Duration,
}

/// Who answers an endpoint.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// The kind.
    pub provider: ProviderConfig,
    /// Calls at once.
    pub parallel_max: usize,
    /// Calls in line.
    pub line_max: usize,
}

/// A kind of provider, with what it needs.
#[derive(Debug, Clone)]
pub enum ProviderConfig {
    /// The model in this process.
    Embedded,
    /// Scripted answers.
    Sandbox,
    /// Any OpenAI-compatible server.
    OpenAiChat(bromo_providers::openai_chat::OpenAiChatConfig),
}

/// The model in this process.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Its weights.
    pub model_path: PathBuf,
    /// Of an answer.
    pub max_tokens: usize,
    /// Its worker threads; none: one less than cores.
    pub threads: Option<usize>,
}

/// What people may do in a browser.
#[derive(Debug, Clone)]
pub struct DashboardConfig {
    /// Strangers may open accounts, on plan `free`.
    pub sign_up: bool,
    /// Where to ask for plans that are not self-serve: an e-mail address or a URL; empty: nowhere.
    pub contact: String,
    /// What becomes of an upgrade.
    pub upgrades: Upgrades,
    /// Where plans are paid for, by name.
    pub checkout: HashMap<String, String>,
}

/// The request log.
#[derive(Debug, Clone)]
pub struct LogsConfig {
    /// Of its file.
    pub bytes_max: u64,
    /// How long lines are kept.
    pub keep: Duration,
}

/// What the program says of itself.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// One JSON object a line.
    pub json: bool,
    /// A filter of `tracing`.
    pub level: String,
}

/// All that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl std::error::Error for ConfigError {}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the configuration has faults:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl Config {
    /// The configuration of `base`, then `file`, then the variables of `env`.
    ///
    /// # Errors
    /// Every fault of all three.
    pub fn load(
        base: &str,
        file: Option<&Path>,
        env: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let mut table: Table = toml::from_str(base).map_err(|error| ConfigError(vec![error.to_string()]))?;
        if let Some(path) = file {
            let at =
                |error: &dyn std::fmt::Display| ConfigError(vec![format!("{}: {error}", path.display())]);
            let text = std::fs::read_to_string(path).map_err(|error| at(&error))?;
            merge(&mut table, toml::from_str(&text).map_err(|error| at(&error))?);
        }
        let faults = Faults::default();
        for (name, value) in env {
            if let Some(path) = name.strip_prefix(ENV_PREFIX) {
                overlay(&mut table, path, value, &faults);
            }
        }
        let config = read::config(Section::root(table, &faults), env);
        match faults.into_vec() {
            none if none.is_empty() => Ok(config),
            faults => Err(ConfigError(faults)),
        }
    }
}

/// The variables of this process that concern bromo: its own, and the ones a configuration may name.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Sets one variable: `LISTEN__API` is `listen.api`. A value that is no TOML is a text.
fn overlay(table: &mut Table, path: &str, value: &str, faults: &Faults) {
    let parsed =
        toml::from_str::<Table>(&format!("value = {value}")).ok().and_then(|mut t| t.remove("value"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let mut keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
    let Some(last) = keys.pop().filter(|last| !last.is_empty()) else {
        faults.note(format!("{ENV_PREFIX}{path}: names no setting"));
        return;
    };
    let mut table = table;
    for key in keys {
        let Value::Table(next) = table.entry(key).or_insert_with(|| Value::Table(Table::new())) else {
            faults.note(format!("{ENV_PREFIX}{path}: names no setting"));
            return;
        };
        table = next;
    }
    table.insert(last, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(text, None, &env)
    }

    #[test]
    fn the_reference_holds_every_setting_at_its_default() {
        let mut reference = load(DEFAULTS, &[]).unwrap();
        // The address stands there as an example; by default it follows the listener.
        assert_eq!(reference.api.public_url.take().as_deref(), Some("http://127.0.0.1:8787"));
        assert_eq!(format!("{reference:?}"), format!("{:?}", load("", &[]).unwrap()));
    }

    #[test]
    fn every_fault_is_reported_at_once_and_a_typo_gets_a_hint() {
        let text = "[listen]\napi = 3\nthreds = 2\n[prices]\nchatgpt = -1\n[endpoints.gemini]\nprovider = \"openai-chat\"\n[shop]\nx = 1\n";
        let ConfigError(faults) = load(text, &[]).unwrap_err();
        let all = faults.join("\n");
        for expected in [
            "listen.api: must be a text, not integer",
            "listen.threds: unknown key, did you mean `threads`?",
            "prices.chatgpt: must be 0 to 1000000, not -1",
            "endpoints.gemini.base_url: is needed by openai-chat",
            "endpoints.gemini.model: is needed by openai-chat",
            "shop: unknown key",
        ] {
            assert!(all.contains(expected), "{expected} in\n{all}");
        }
    }

    #[test]
    fn the_environment_comes_last() {
        let env = [("BROMO__LISTEN__API", "0.0.0.0:9999"), ("BROMO__API__STRICT", "true"), ("OTHER", "x")];
        let config = load("[listen]\napi = \"127.0.0.1:1\"", &env).unwrap();
        assert_eq!(config.listen.api.port(), 9999);
        assert!(config.api.strict);
    }

    #[test]
    fn a_key_of_a_provider_comes_from_the_variable_that_is_named() {
        let text = "[endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\napi_key_env = \"K\"";
        assert!(load(text, &[]).unwrap_err().0[0].contains("the variable K is not set"));
        let config = load(text, &[("K", "sesame")]).unwrap();
        assert!(config.endpoints[0].is_some() && !format!("{config:?}").contains("sesame"));
    }

    #[test]
    fn lists_are_checked_item_by_item() {
        let text =
            "[webhooks]\nallow_networks = [\"10.0.0.0/8\", \"ten\"]\nports = [443, 70000]\nschedule_s = 3\n";
        let ConfigError(faults) = load(text, &[]).unwrap_err();
        let all = faults.join("\n");
        for expected in [
            "webhooks.allow_networks: ",
            "webhooks.ports[1]: must be 1 to 65535",
            "webhooks.schedule_s: must be a list",
        ] {
            assert!(all.contains(expected), "{expected} in\n{all}");
        }
    }

    #[test]
    fn own_plans_replace_the_table() {
        let config = load("[[plans]]\nname = \"all\"\nslots = 7\n", &[]).unwrap();
        assert_eq!(config.plans.iter().map(|plan| plan.slots).collect::<Vec<_>>(), [7]);
        let twice = load("[[plans]]\nname = \"a\"\n[[plans]]\nname = \"a\"\n", &[]).unwrap_err();
        assert_eq!(twice.0, ["plans: plan `a` stands twice in the table"]);
    }
}
