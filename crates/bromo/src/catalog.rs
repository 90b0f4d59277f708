//! Endpoint -> provider, from the configuration.

use std::sync::Arc;

use bromo_providers::Provider;
use bromo_providers::breaker::BreakerRules;
use bromo_providers::catalog::{Catalog, Line};
use bromo_providers::gate::Gate;
use bromo_providers::openai_chat::OpenAiChat;
use bromo_providers::sandbox::Sandbox;
use bromo_rules::endpoint::Endpoint;

use crate::config::{Config, ProviderConfig};

/// The lines of every configured endpoint. The model in this process begins to load only if one uses it.
pub(crate) fn build(config: &Config) -> anyhow::Result<Catalog> {
    let mut lines = [const { None }; Endpoint::ALL.len()];
    let mut embedded: Option<Arc<dyn Provider>> = None;
    for endpoint in Endpoint::ALL {
        let Some(settings) = &config.endpoints[endpoint.index()] else { continue };
        let provider: Arc<dyn Provider> = match &settings.provider {
            ProviderConfig::Sandbox => Arc::new(Sandbox),
            ProviderConfig::OpenAiChat(settings) => Arc::new(OpenAiChat::new(settings.clone())?),
            ProviderConfig::Embedded => match &embedded {
                Some(shared) => Arc::clone(shared),
                None => Arc::clone(embedded.insert(start_embedded(config)?)),
            },
        };
        let gate = Arc::new(Gate::new(settings.parallel_max, settings.line_max));
        let line = Line::new(Some(endpoint), provider, gate, config.breaker, config.attempts);
        lines[endpoint.index()] = Some(Arc::new(line));
    }
    // Customers' own tests must see failures as they scripted them: no circuit opens here.
    let sandbox =
        Line::new(None, Arc::new(Sandbox), Arc::new(Gate::open()), BreakerRules::NEVER, config.attempts);
    Ok(Catalog::new(lines, Arc::new(sandbox)))
}

#[cfg(feature = "embedded")]
fn start_embedded(config: &Config) -> anyhow::Result<Arc<dyn Provider>> {
    use bromo_providers::embedded::{Embedded, EmbeddedOptions};
    let options = EmbeddedOptions {
        max_tokens: config.embedded.max_tokens,
        threads: config.embedded.threads,
        ..EmbeddedOptions::default()
    };
    Ok(Arc::new(Embedded::start(&config.embedded.model_path, options)))
}

#[cfg(not(feature = "embedded"))]
fn start_embedded(_: &Config) -> anyhow::Result<Arc<dyn Provider>> {
    anyhow::bail!("this bromo was built without the embedded model: choose another provider")
}
