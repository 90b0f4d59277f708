//! From tables to the configuration: every setting with its default and its range, one function a section.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bromo_dashboard::Upgrades;
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

use super::section::Section;
use super::{
    ApiConfig, Config, DashboardConfig, Deployment, EmbeddedConfig, EndpointConfig, Listen, LogsConfig,
    ProviderConfig, Shared, Telemetry,
};

/// The configuration in `root`; where it is faulty, the faults are noted and defaults stand.
pub(super) fn config(mut root: Section<'_>, env: &BTreeMap<String, String>) -> Config {
    let listen = listen(root.section("listen"));
    let deployment = deployment(&mut root);
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
    let look = matches!(deployment, Deployment::Shared(_)).then_some(LOOK);
    let tasks = tasks(root.section("tasks"), queued_max, look);
    let (webhooks, egress, seal_key_file) = webhooks(root.section("webhooks"));
    let seal_key_file = seal_key_file.unwrap_or_else(|| match &deployment {
        Deployment::Embedded { data } => data.join("seal-key"),
        Deployment::Shared(_) => Path::new(DATA).join("seal-key"),
    });
    let endpoints = endpoints(root.section("endpoints"), env);
    let mut providers = root.section("providers");
    let embedded = embedded(providers.section("embedded"));
    let goto_base =
        providers.section("goto").parsed("base_url", "https://www.google.com".to_owned(), base_url);
    drop(providers);
    let prices = prices(root.section("prices"));
    let plans = plans(&mut root);
    let dashboard = dashboard(root.section("dashboard"), &plans);
    let logs = logs(root.section("logs"));
    let telemetry = telemetry(root.section("telemetry"));
    Config {
        listen,
        deployment,
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
        dashboard,
        logs,
        telemetry,
    }
}

/// Where data and keys lie by default.
const DATA: &str = "./bromo-data";
/// What keys in Redis begin with by default.
const PREFIX: &str = "bromo:";
/// How often a node looks for what the others did not tell.
const LOOK: Duration = Duration::from_secs(1);

/// The two deployments: what one process counts, others must not share.
fn deployment(root: &mut Section<'_>) -> Deployment {
    let mut store = root.section("store");
    let shared_store = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
    let url = store.parsed("url", format!("sqlite://{DATA}"), |url| match url.strip_prefix("sqlite://") {
        None if shared_store(url) => Ok(url.to_owned()),
        Some(folder) if !folder.is_empty() => Ok(url.to_owned()),
        _ => Err("must be sqlite:// and a folder, or postgres://user@host/database"),
    });
    let connections = in_usize(store.number("connections", 4, 1..=100));
    let migrate = store.flag("migrate", true);
    drop(store);
    let mut admission = root.section("admission");
    let counts = admission.parsed("url", "local".to_owned(), |url| {
        let known = ["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme));
        if known || url == "local" {
            Ok(url.to_owned())
        } else {
            Err("must be \"local\", or redis://host:6379, or rediss:// for TLS")
        }
    });
    let prefix = admission.parsed("prefix", PREFIX.to_owned(), |prefix| {
        let word = |letter: char| letter.is_ascii_alphanumeric() || "-_:.".contains(letter);
        let good = (1..=64).contains(&prefix.len()) && prefix.chars().all(word);
        if good { Ok(prefix.to_owned()) } else { Err("must be 1 to 64 letters, digits, or any of -_:.") }
    });
    let wait_replicas = in_u32(admission.number("wait_replicas", 0, 0..=10));
    if shared_store(&url) == (counts == "local") {
        admission
            .fault("url", "must be redis://… with a store of postgres://…, and \"local\" with sqlite://…");
    }
    match url.strip_prefix("sqlite://") {
        Some(folder) => Deployment::Embedded { data: folder.into() },
        None => Deployment::Shared(Shared {
            store: Secret::new(&url),
            connections,
            migrate,
            admission: Secret::new(&counts),
            prefix,
            wait_replicas,
        }),
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

fn tasks(mut section: Section<'_>, queued_max: u64, look: Option<Duration>) -> TaskSettings {
    let defaults = Attempts { max: 5, first_wait: Duration::from_secs(2), wait_max: Duration::from_secs(60) };
    TaskSettings {
        queued_max,
        running_max: in_usize(section.number("running_max", 1000, 1..=CALLS_MAX)),
        attempts: attempts(&mut section, defaults),
        deadline: section.millis("deadline_ms", Duration::from_secs(600)),
        keep: Duration::from_secs(in_u64(section.number("keep_s", 86_400, 1..=366 * 86_400))),
        look,
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
        drain: Duration::from_millis(in_u64(section.number("drain_ms", 0, 0..=3_600_000))),
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

fn dashboard(mut section: Section<'_>, plans: &PlanTable) -> DashboardConfig {
    let upgrades = section.parsed("upgrades", Upgrades::Immediate, |word| match word {
        "immediate" => Ok(Upgrades::Immediate),
        "approval" => Ok(Upgrades::Approval),
        _ => Err("must be \"immediate\" or \"approval\""),
    });
    let checkouts = section.sections("checkout").unwrap_or_default();
    let checkout = checkouts.into_iter().filter_map(|mut checkout| {
        let plan = checkout.parsed("plan", String::new(), |name| {
            plans.lookup(name).map(|plan| plan.name.clone()).ok_or("must be a plan's name")
        });
        let url = checkout.parsed("url", String::new(), base_url);
        for (key, value) in [("plan", &plan), ("url", &url)] {
            if value.is_empty() {
                checkout.fault(key, "is needed");
            }
        }
        (!plan.is_empty() && !url.is_empty()).then_some((plan, url))
    });
    let checkout = checkout.collect();
    DashboardConfig {
        sign_up: section.flag("sign_up", false),
        contact: section.text("contact").unwrap_or_default(),
        upgrades,
        checkout,
    }
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
