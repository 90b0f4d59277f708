//! `bromo dev`: everything at once, for a first look.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bromo_rules::key::KeyHash;
use bromo_store::StoreError;
use serde_json::{Value, json};

use super::{ask_itself, print, serve};
use crate::clock::SystemClock;
use crate::config::Deployment;
use crate::{Running, secret_file, telemetry};

/// Every endpoint that a model alone can answer, answered by the model in this process.
const SETTINGS: &str = r#"
[endpoints]
chatgpt = { provider = "embedded" }
gemini = { provider = "embedded" }
copilot = { provider = "embedded" }
perplexity = { provider = "embedded" }
grok = { provider = "embedded" }
aimode = { provider = "embedded" }
[webhooks]
allow_networks = ["127.0.0.0/8", "::1/128"]
[telemetry]
level = "warn"
"#;

const ACCOUNT: &str = "demo";
const PLAN: &str = "hobby";
const OWNER: &str = "demo@localhost";

pub(super) fn run(file: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let config = super::load(SETTINGS, file)?;
    telemetry::init(&config.telemetry);
    let Deployment::Embedded { data } = &config.deployment else {
        anyhow::bail!(
            "`bromo dev` keeps everything in a data folder; with servers that nodes share there is `bromo serve`"
        );
    };
    let running = crate::start(&config, Arc::new(SystemClock::start()))?;
    let runtime = crate::runtime()?;
    let key = runtime.block_on(demo_key(&running, data))?;
    let link = runtime.block_on(demo_link(&running))?;
    let (api, admin) = (running.api, running.admin);
    if json {
        let answer = ask_itself::ask(api, &key)?;
        let (status, headers) = (answer.status().as_u16(), ask_itself::shown(&answer));
        let body: Value = serde_json::from_slice(answer.body())?;
        print::line(json!({
            "account": ACCOUNT, "plan": PLAN, "key": key, "dashboard": link, "api": api, "admin": admin,
            "answer": { "status": status, "headers": headers, "body": body },
        }));
        return serve::until_signal(running, Duration::ZERO);
    }
    print::line(format_args!(
        "bromo {version} listens.\n\n\
         API key    {key}   (account \"{ACCOUNT}\", plan {PLAN})\n\
         Dashboard  {link}\n           \
                    (signs in once, within an hour; `bromo sign-in-link {ACCOUNT}` makes another)\n\
         Reference  http://{api}/docs\n\
         Operator   http://{admin}/   (signs in with {token}; metrics, health, admin API)\n\n\
         Ask it something:\n\n  \
         curl -i http://{api}/v1/monitor/chatgpt \\\n    \
         -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"prompt\":\"What is the capital of France?\",\"country\":\"US\"}}'\n",
        token = config.token_file.display(),
        version = env!("CARGO_PKG_VERSION"),
    ));
    ask_itself::run(api, &key)?;
    print::line("\nServing. Ctrl+C ends it.");
    serve::until_signal(running, Duration::ZERO)
}

/// A link to the demo account's dashboard.
async fn demo_link(running: &Running) -> anyhow::Result<String> {
    let account = running.engine.find_account(ACCOUNT).await?;
    Ok(crate::admin::members::link(&running.engine, account.id, Some(OWNER)).await?.0)
}

/// The demo account's key: the one of the last start, if it still works.
async fn demo_key(running: &Running, data: &Path) -> anyhow::Result<String> {
    let file = data.join("demo-key");
    let engine = &running.engine;
    if let Some(key) = secret_file::read(&file)?
        && let Ok((_, hash)) = KeyHash::of_presented(key.as_bytes())
        && engine.caller(&hash).await?.is_some()
    {
        return Ok(key);
    }
    let key = match engine.create_account(ACCOUNT, PLAN).await {
        Ok(made) => made.key,
        Err(bromo_engine::account::AccountError::Store(StoreError::Conflict { .. })) => {
            let account = engine.find_account(ACCOUNT).await?;
            engine.create_key(account.id, bromo_rules::key::KeyKind::Live, Some("demo")).await?.1
        }
        Err(error) => return Err(error.into()),
    };
    secret_file::write(&file, key.reveal())?;
    Ok(key.reveal().to_owned())
}
