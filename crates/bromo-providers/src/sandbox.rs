//! Answers by script: for test keys, tests and load runs.
//!
//! The same question gets the same bytes, in every endpoint's shape (contract section 5). A prompt may
//! begin with directives: `[sandbox latency_ms=2000 fail=busy times=2] the question`.
//! Nothing in an answer is true, and every address in it ends in `.example`.

mod chat;
mod directive;
mod draw;
mod search;

use bromo_rules::answer::{Answer, Source};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::question::Question;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::error::ProviderError;
use crate::{Answering, Provider};
use directive::{Directives, Fail};
use draw::Draw;

pub use directive::PRODUCTS_MAX;

const SANDBOX: &str = "sandbox";

/// Fields of a result object.
type Fields = Map<String, Value>;

/// The provider without an upstream.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sandbox;

impl Provider for Sandbox {
    fn kind(&self) -> &'static str {
        SANDBOX
    }

    fn answer<'a>(&'a self, question: &'a Question, attempt: u8, deadline: Instant) -> Answering<'a> {
        Box::pin(async move {
            let (directives, prompt) = directive::read(&question.prompt)
                .map_err(|error| ProviderError::Invalid { reason: error.to_string() })?;
            wait(&directives, deadline).await?;
            match directives.fail_at(attempt) {
                Some(fail) => Err(failure(fail)),
                None => Ok(script(question, prompt, &directives)),
            }
        })
    }
}

/// # Errors
/// [`ProviderError::TimedOut`] at the deadline, if it comes first.
async fn wait(directives: &Directives, deadline: Instant) -> Result<(), ProviderError> {
    if directives.latency.is_zero() {
        return Ok(());
    }
    let asleep = tokio::time::sleep(directives.latency);
    tokio::time::timeout_at(deadline, asleep).await.map_err(|_| ProviderError::TimedOut)
}

fn failure(fail: Fail) -> ProviderError {
    match fail {
        Fail::Timeout => ProviderError::TimedOut,
        Fail::Refused => ProviderError::refused("the sandbox was told to refuse"),
        Fail::Broken => ProviderError::broken("the sandbox was told to break"),
        Fail::Busy => ProviderError::Busy { retry_after: None },
        Fail::Garbage => ProviderError::broken("not a chat completion: the sandbox was told to talk garbage"),
        Fail::Panic => panic!("the sandbox was told to panic"),
    }
}

/// The scripted answer. `prompt` is the question's without its directives.
fn script(question: &Question, prompt: &str, directives: &Directives) -> Answer {
    let mut draw = Draw::new(question, prompt);
    let sources = sources(&mut draw, prompt);
    let topic = draw::topic(prompt);
    // Drawn before the fields, whose number depends on flags.
    let markdown = markdown(&mut draw, question, prompt, &sources);
    let mut answer = Answer {
        model: Some("sandbox-1".to_owned()),
        provider: SANDBOX,
        search_queries: vec![topic.clone(), format!("{topic} reviews")],
        ..Answer::default()
    };
    answer.extra = match question.endpoint {
        Endpoint::Chatgpt => chat::chatgpt(&mut draw, question, &topic, &sources),
        Endpoint::Gemini => chat::gemini(&mut draw, &sources),
        Endpoint::Copilot => chat::copilot(&mut draw, &sources),
        Endpoint::Perplexity => chat::perplexity(&mut draw, &topic),
        Endpoint::Grok => Fields::new(),
        Endpoint::Aimode => {
            let products = directives.products_for(question.include.expand_products);
            search::aimode(&mut draw, &topic, &sources, products)
        }
        Endpoint::Google => search::google(&mut draw, question, &topic, &sources),
        Endpoint::GoogleNews => search::google_news(&mut draw, question, &topic),
    };
    // Search endpoints answer with lists alone.
    if question.endpoint.takes_prompt() {
        answer.markdown = markdown;
        answer.sources = sources;
    }
    answer
}

fn sources(draw: &mut Draw, prompt: &str) -> Vec<Source> {
    let slug = draw::slug(prompt);
    let names = draw.names::<3>();
    names
        .into_iter()
        .map(|name| Source {
            url: format!("https://{}.example/{slug}", name.to_lowercase()),
            label: format!("{name}: {}", draw::topic(prompt)),
            description: format!("What {name} says, made up by the sandbox."),
        })
        .collect()
}

fn markdown(draw: &mut Draw, question: &Question, prompt: &str, sources: &[Source]) -> String {
    use std::fmt::Write;

    let mut text = format!(
        "**Sandbox answer** of `{}` for {}, not from any model, to: {prompt}\n\n",
        question.endpoint, question.country,
    );
    for (place, source) in sources.iter().enumerate() {
        let name = source.label.split(':').next().unwrap_or_default();
        let _ = writeln!(
            text,
            "{}. **{name}**, rated {} of 5, from {} ([source]({}))",
            place + 1,
            draw.rating(),
            draw.price().raw,
            source.url,
        );
    }
    text
}

#[cfg(test)]
mod tests;
