//! The configuration: a TOML file, then the environment. All faults are reported at once, and unknown keys
//! are faults. `config.default.toml` is the reference.

mod section;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bromo_engine::{TaskSettings, WebhookSettings};
use bromo_providers::breaker::BreakerRules;
use bromo_providers::gate;
use bromo_providers::secret::Secret;
use bromo_rules::credit::{Credits, Prices};
use bromo_rules::egress::{Egress, Network};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::plan::{Plan, PlanTable};
use bromo_rules::retry::Attempts;
use bromo_rules::task::{BATCH_TASKS_MAX, QUEUED_TASKS_MAX};
use bromo_rules::webhook::Schedule;
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
    /// The data folder.
    pub data: PathBuf,
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
    /// The request log.
    pub logs: LogsConfig,
    /// What the program says of itself.
    pub telemetry: Telemetry,
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
    /// For running calls to end.
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
        let config = read(Section::root(table, &faults), env);
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

fn read(mut root: Section<'_>, env: &BTreeMap<String, String>) -> Config {
    let listen = listen(root.section("listen"));
    let data = root.section("store").parsed("url", "./bromo-data".into(), |url| {
        let folder = url.strip_prefix("sqlite://").filter(|folder| !folder.is_empty());
        folder.map(PathBuf::from).ok_or("must be sqlite:// and a folder")
    });
    root.section("admission")
        .parsed("url", (), |url| if url == "local" { Ok(()) } else { Err("must be \"local\"") });
    let api = api(root.section("api"));
    let token_file =
        root.section("admin").text("token_file").unwrap_or_else(|| "bromo-data/admin-token".to_owned());
    let mut answers = root.section("answers");
    let answer_deadline = answers.millis("deadline_ms", Duration::from_secs(290));
    let attempts = attempts(&mut answers, Attempts::default());
    drop(answers);
    let breaker = breaker(&mut root.section("breaker"), Duration::from_secs(10));
    let mut limits = root.section("limits");
    let requests_per_second = in_u32(limits.number("requests_per_second", 1000, 1..=u32::MAX.into()));
    let queued_max =
        in_u64(limits.number("queued_tasks_max", QUEUED_TASKS_MAX.cast_signed(), 1..=1_000_000_000));
    let batch_tasks_max = in_usize(limits.number("batch_tasks_max", in_i64(BATCH_TASKS_MAX), 1..=10_000));
    drop(limits);
    let tasks = tasks(root.section("tasks"), queued_max);
    let (webhooks, egress, seal_key_file) = webhooks(root.section("webhooks"));
    let seal_key_file = seal_key_file.unwrap_or_else(|| data.join("seal-key"));
    let endpoints = endpoints(root.section("endpoints"), env);
    let mut providers = root.section("providers");
    let embedded = embedded(providers.section("embedded"));
    let goto_base =
        providers.section("goto").parsed("base_url", "https://www.google.com".to_owned(), base_url);
    drop(providers);
    let prices = prices(root.section("prices"));
    let plans = plans(&mut root);
    let logs = logs(root.section("logs"));
    let telemetry = telemetry(root.section("telemetry"));
    Config {
        listen,
        data,
        api,
        token_file: token_file.into(),
        answer_deadline,
        attempts,
        breaker,
        requests_per_second,
        batch_tasks_max,
        tasks,
        webhooks,
        egress,
        seal_key_file,
        endpoints,
        embedded,
        goto_base,
        prices,
        plans,
        logs,
        telemetry,
    }
}

fn attempts(section: &mut Section<'_>, defaults: Attempts) -> Attempts {
    Attempts {
        max: in_u8(section.number("attempts_max", defaults.max.into(), 1..=20)),
        first_wait: section.millis("first_wait_ms", defaults.first_wait),
        wait_max: section.millis("wait_max_ms", defaults.wait_max),
    }
}

fn breaker(section: &mut Section<'_>, open_for: Duration) -> BreakerRules {
    BreakerRules {
        failures_max: NonZeroU32::new(in_u32(section.number("failures_max", 10, 0..=1_000_000))),
        open_for: section.millis("open_ms", open_for),
    }
}

fn tasks(mut section: Section<'_>, queued_max: u64) -> TaskSettings {
    let defaults = Attempts { max: 5, first_wait: Duration::from_secs(2), wait_max: Duration::from_secs(60) };
    TaskSettings {
        queued_max,
        running_max: in_usize(section.number("running_max", 1000, 1..=CALLS_MAX)),
        attempts: attempts(&mut section, defaults),
        deadline: section.millis("deadline_ms", Duration::from_secs(600)),
        keep: Duration::from_secs(in_u64(section.number("keep_s", 86_400, 1..=366 * 86_400))),
    }
}

fn webhooks(mut section: Section<'_>) -> (WebhookSettings, Egress, Option<PathBuf>) {
    let mut places = |key, default| in_usize(section.number(key, default, 1..=CALLS_MAX));
    let (per_host_max, fresh_max, retry_max) =
        (places("per_host_max", 32), places("fresh_max", 256), places("retry_max", 64));
    let defaults = Schedule::default();
    let waits = section.numbers("schedule_s", 1..=30 * 86_400);
    let waits = waits.map(|waits| waits.into_iter().map(|s| Duration::from_secs(in_u64(s))).collect());
    let settings = WebhookSettings {
        schedule: Schedule { waits: waits.unwrap_or(defaults.waits), ..defaults },
        timeout: section.millis("timeout_ms", Duration::from_secs(15)),
        per_host_max,
        fresh_max,
        retry_max,
        pending_max: in_u64(section.number("pending_max", 100_000, 1..=1_000_000_000)),
        breaker: breaker(&mut section, Duration::from_secs(30)),
    };
    let allow = section.texts("allow_networks").unwrap_or_default();
    let allow = allow.into_iter().filter_map(|text| match text.parse::<Network>() {
        Ok(network) => Some(network),
        Err(error) => {
            section.fault("allow_networks", format_args!("{error}, not {text:?}"));
            None
        }
    });
    let allow = allow.collect();
    let ports = section.numbers("ports", 1..=65_535).unwrap_or_default();
    let ports: Vec<u16> = ports.into_iter().filter_map(|port| u16::try_from(port).ok()).collect();
    let egress = Egress { allow, ports: Some(ports).filter(|ports| !ports.is_empty()) };
    (settings, egress, section.text("seal_key_file").map(PathBuf::from))
}

fn listen(mut section: Section<'_>) -> Listen {
    let address = |text: &str| text.parse::<SocketAddr>().map_err(|_| "must be an address and a port");
    let threads = in_usize(section.number("threads", 0, 0..=1024));
    Listen {
        api: section.parsed("api", SocketAddr::from(([127, 0, 0, 1], 8787)), address),
        admin: section.parsed("admin", SocketAddr::from(([127, 0, 0, 1], 8788)), address),
        threads: if threads == 0 {
            std::thread::available_parallelism().map_or(1, Into::into)
        } else {
            threads
        },
        head_timeout: section.millis("head_timeout_ms", Duration::from_secs(60)),
        body_timeout: section.millis("body_timeout_ms", Duration::from_secs(30)),
        shutdown: section.millis("shutdown_ms", Duration::from_secs(30)),
    }
}

fn api(mut section: Section<'_>) -> ApiConfig {
    const GIB: i64 = 1024 * 1024 * 1024;
    ApiConfig {
        strict: section.flag("strict", false),
        public_url: section.parsed("public_url", None, |text| base_url(text).map(Some)),
        body_bytes_max: in_usize(section.number("body_bytes_max", 1024 * 1024, 1024..=GIB)),
        batch_bytes_max: in_usize(section.number("batch_bytes_max", 20 * 1024 * 1024, 1024..=GIB)),
        bodies_bytes_max: in_usize(section.number("bodies_bytes_max", 256 * 1024 * 1024, 1024..=64 * GIB)),
        page_ttl: Duration::from_secs(in_u64(section.number("page_ttl_s", 86_400, 1..=366 * 86_400))),
    }
}

fn endpoints(
    mut section: Section<'_>,
    env: &BTreeMap<String, String>,
) -> [Option<EndpointConfig>; Endpoint::ALL.len()] {
    Endpoint::ALL.map(|endpoint| {
        let mut section = section.section(config_name(endpoint));
        if section.is_empty() {
            return None;
        }
        endpoint_config(&mut section, endpoint, env)
    })
}

/// The most calls that may be let through or wait: more than any machine serves.
const CALLS_MAX: i64 = 1_000_000;

fn endpoint_config(
    section: &mut Section<'_>,
    endpoint: Endpoint,
    env: &BTreeMap<String, String>,
) -> Option<EndpointConfig> {
    let parallel_max = in_usize(section.number("parallel_max", 1000, 1..=CALLS_MAX));
    let line_max =
        in_usize(section.number("line_max", i64::try_from(gate::LINE_MAX).unwrap_or(1000), 0..=CALLS_MAX));
    let Some(kind) = section.text("provider") else {
        section.fault("provider", "is missing");
        return None;
    };
    let provider = match kind.as_str() {
        "sandbox" => ProviderConfig::Sandbox,
        "embedded" | "openai-chat" if !endpoint.takes_prompt() => {
            section.fault("provider", format_args!("{kind} cannot search; {endpoint} takes \"sandbox\""));
            return None;
        }
        "embedded" => ProviderConfig::Embedded,
        "openai-chat" => ProviderConfig::OpenAiChat(openai_chat(section, env)),
        other => {
            section
                .fault("provider", format_args!("must be embedded, openai-chat or sandbox, not {other:?}"));
            return None;
        }
    };
    Some(EndpointConfig { provider, parallel_max, line_max })
}

fn openai_chat(
    section: &mut Section<'_>,
    env: &BTreeMap<String, String>,
) -> bromo_providers::openai_chat::OpenAiChatConfig {
    let base = section.parsed("base_url", String::new(), base_url);
    if base.is_empty() {
        section.fault("base_url", "is needed by openai-chat, for example \"http://127.0.0.1:9000/v1\"");
    }
    let model = section.text("model").unwrap_or_else(|| {
        section.fault("model", "is needed by openai-chat");
        String::new()
    });
    let api_key = section.text("api_key_env").and_then(|name| {
        let key = env.get(&name).map(|key| Secret::new(key));
        if key.is_none() {
            section.fault("api_key_env", format_args!("the variable {name} is not set"));
        }
        key
    });
    bromo_providers::openai_chat::OpenAiChatConfig {
        base_url: base,
        model,
        api_key,
        stream: section.flag("stream", true),
        system: section.text("system").filter(|text| !text.is_empty()),
        max_tokens: section.optional_number("max_tokens", 1..=1_000_000).map(in_u32),
    }
}

fn embedded(mut section: Section<'_>) -> EmbeddedConfig {
    let path = section.text("model_path");
    let path = path.unwrap_or_else(|| "bromo-data/models/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned());
    EmbeddedConfig {
        model_path: path.into(),
        max_tokens: in_usize(section.number("max_tokens", 200, 1..=3000)),
        threads: Some(in_usize(section.number("threads", 0, 0..=1024))).filter(|threads| *threads > 0),
    }
}

fn prices(mut section: Section<'_>) -> Prices {
    const PRICE_MAX: i64 = 1_000_000;
    let defaults = Prices::default();
    let mut price = |key, default: Credits| Credits::new(section.number(key, default.get(), 0..=PRICE_MAX));
    Prices {
        base: Endpoint::ALL.map(|endpoint| price(config_name(endpoint), defaults.base[endpoint.index()])),
        sync_surcharge: price("sync_surcharge", defaults.sync_surcharge),
        extended: price("extended", defaults.extended),
        state: price("state", defaults.state),
        page: price("page", defaults.page),
        ai_overview: price("ai_overview", defaults.ai_overview),
        clusters_max: in_u32(section.number("clusters_max", defaults.clusters_max.into(), 0..=1000)),
    }
}

fn plans(root: &mut Section<'_>) -> PlanTable {
    let Some(sections) = root.sections("plans") else { return PlanTable::default() };
    let plans = sections.into_iter().map(|mut section| {
        let name = section.text("name").unwrap_or_else(|| {
            section.fault("name", "is missing");
            String::new()
        });
        Plan {
            title: section.text("title").unwrap_or_else(|| name.clone()),
            name,
            usd_per_month: in_u32(section.number("usd_per_month", 0, 0..=u32::MAX.into())),
            credits: Credits::new(section.number("credits", 0, 0..=Credits::MAX.get())),
            slots: in_u32(section.number("slots", 1, 1..=CALLS_MAX)),
            seats: section.optional_number("seats", 1..=CALLS_MAX).map(in_u32),
            support: section.text("support").unwrap_or_default(),
            self_serve: section.flag("self_serve", false),
        }
    });
    PlanTable::new(plans.collect()).unwrap_or_else(|error| {
        root.fault("plans", error);
        PlanTable::default()
    })
}

fn logs(mut section: Section<'_>) -> LogsConfig {
    const DAY_S: u64 = 86_400;
    LogsConfig {
        bytes_max: in_u64(section.number("bytes_max", 1 << 30, 1 << 20..=1 << 50)),
        keep: Duration::from_secs(in_u64(section.number("keep_days", 30, 1..=36_500)) * DAY_S),
    }
}

fn telemetry(mut section: Section<'_>) -> Telemetry {
    let json = section.parsed("format", false, |format| match format {
        "human" => Ok(false),
        "json" => Ok(true),
        _ => Err("must be \"human\" or \"json\""),
    });
    let level = section.parsed("level", "info".to_owned(), |level| {
        level.parse::<tracing_subscriber::filter::Targets>().map(|_| level.to_owned())
    });
    Telemetry { json, level }
}

/// The name of an endpoint as a key: without the slash.
const fn config_name(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::GoogleNews => "google-news",
        other => other.name(),
    }
}

fn base_url(text: &str) -> Result<String, &'static str> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(|_| text.trim_end_matches('/').to_owned()).ok_or("must be an http or https address")
}

// Numbers come from `Section::number` within ranges that fit these types.
fn in_u8(number: i64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
fn in_u32(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
fn in_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
fn in_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
fn in_usize(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
