//! Any OpenAI-compatible server: one call of `/chat/completions`, streamed or whole.
//!
//! The prompt goes out as the customer wrote it. A stream that stops before its end is an error, never a
//! short answer.

mod reply;
mod sse;
mod wire;

use std::borrow::Cow;
use std::time::Duration;

use bromo_rules::answer::Answer;
use bromo_rules::question::Question;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use crate::client::{Exchange, Target, within};
use crate::error::ProviderError;
use crate::secret::Secret;
use crate::{Answering, Provider};
use reply::Reply;
use wire::{ChatRequest, Message};

/// No error page is read past this.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// No Retry-After is believed past this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How one OpenAI-compatible server is called.
#[derive(Debug, Clone)]
pub struct OpenAiChatConfig {
    /// Up to and without `/chat/completions`, as in `http://127.0.0.1:9000/v1`.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// Sent as a bearer credential.
    pub api_key: Option<Secret>,
    /// Ask for a stream (the default elsewhere); off for servers that cannot.
    pub stream: bool,
    /// A system line before the prompt; `{country}`, `{state}` and `{language}` stand for the question's.
    pub system: Option<String>,
    /// Bound on the answer, in the model's tokens.
    pub max_tokens: Option<u32>,
}

/// An OpenAI-compatible server.
#[derive(Debug)]
pub struct OpenAiChat {
    target: Target,
    config: OpenAiChatConfig,
}

impl OpenAiChat {
    /// Prepares the calls; connects to nothing yet.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`], naming the setting, for an address or key that cannot be used.
    pub fn new(config: OpenAiChatConfig) -> Result<Self, ProviderError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
        if let Some(key) = &config.api_key {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| {
                ProviderError::Unavailable {
                    reason: "api_key holds characters no header can carry".to_owned(),
                }
            })?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let url = format!("{}/chat/completions", config.base_url.trim_end_matches('/'));
        let target = Target::new(&url, headers)
            .map_err(|error| ProviderError::Unavailable { reason: format!("base_url: {error}") })?;
        Ok(Self { target, config })
    }

    async fn call(&self, question: &Question) -> Result<Answer, ProviderError> {
        let mut exchange = self.target.send(Method::POST, self.body(question)?).await?;
        if exchange.status() != StatusCode::OK {
            return Err(self.refusal(exchange).await);
        }
        let mut reply = Reply::new(question.include.raw_response);
        if is_event_stream(exchange.headers()) {
            let mut events = sse::Events::default();
            loop {
                match exchange.chunk().await {
                    Ok(Some(bytes)) => events.feed(&bytes, |data| reply.take_event(data)),
                    Ok(None) => events.end(|data| reply.take_event(data)),
                    // The words are complete; what is missing could only be figures of usage.
                    Err(_) if reply.is_finished() => break,
                    Err(error) => return Err(error.into()),
                }
                .map_err(|error| self.redacted(error))?;
                if reply.is_done() || events.ended() {
                    break;
                }
            }
        } else {
            let bytes = exchange.read_all(crate::client::BODY_BYTES_MAX).await?;
            reply.take_whole(&bytes).map_err(|error| self.redacted(error))?;
        }
        let answer = reply.into_answer(OPENAI_CHAT)?;
        exchange.finish().await;
        Ok(answer)
    }

    fn body(&self, question: &Question) -> Result<Bytes, ProviderError> {
        let system = self.config.system.as_deref().map(|line| filled(line, question));
        let user = Message { role: "user", content: &question.prompt };
        let with_system = system.as_deref().map(|content| [Message { role: "system", content }, user]);
        let request = ChatRequest {
            model: &self.config.model,
            messages: match &with_system {
                Some(both) => both,
                None => std::slice::from_ref(&user),
            },
            stream: self.config.stream,
            max_tokens: self.config.max_tokens,
        };
        // Room for the JSON around the prompt and a few escapes.
        let mut body = Vec::with_capacity(question.prompt.len() + question.prompt.len() / 8 + 256);
        serde_json::to_writer(&mut body, &request)
            .map_err(|error| ProviderError::broken(format!("request: {error}")))?;
        Ok(body.into())
    }

    /// What a status other than 200 means.
    async fn refusal(&self, mut exchange: Exchange) -> ProviderError {
        let status = exchange.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let retry_after = retry_after(exchange.headers());
            if exchange.read_all(ERROR_BYTES_MAX).await.is_ok() {
                exchange.finish().await;
            }
            return ProviderError::Busy { retry_after };
        }
        let said = match exchange.read_all(ERROR_BYTES_MAX).await {
            Ok(bytes) => {
                exchange.finish().await;
                wire::error_message(&bytes)
            }
            Err(_) => String::new(),
        };
        let reason = format!("{}: {said}", status.as_u16());
        self.redacted(match status.as_u16() {
            300..400 => ProviderError::refused(format!("{reason}: a redirect; check base_url")),
            408 | 425 => ProviderError::broken(reason),
            400..500 => ProviderError::refused(reason),
            _ => ProviderError::broken(reason),
        })
    }

    /// The error without the key, which some servers echo.
    fn redacted(&self, error: ProviderError) -> ProviderError {
        let Some(key) = &self.config.api_key else { return error };
        match error {
            ProviderError::Refused { reason } => ProviderError::Refused { reason: key.redact(&reason) },
            ProviderError::Broken { reason } => ProviderError::Broken { reason: key.redact(&reason) },
            other => other,
        }
    }
}

const OPENAI_CHAT: &str = "openai-chat";

impl Provider for OpenAiChat {
    fn kind(&self) -> &'static str {
        OPENAI_CHAT
    }

    fn answer<'a>(&'a self, question: &'a Question, _attempt: u8, deadline: Instant) -> Answering<'a> {
        Box::pin(within(deadline, self.call(question)))
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes()
            .get(..b"text/event-stream".len())
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
    })
}

/// Retry-After in seconds. The form with a date is not used by these servers and is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn filled<'a>(line: &'a str, question: &Question) -> Cow<'a, str> {
    if !line.contains('{') {
        return Cow::Borrowed(line);
    }
    let line = line
        .replace("{country}", &question.country)
        .replace("{state}", question.state.as_deref().unwrap_or_default())
        .replace("{language}", question.hl.as_deref().unwrap_or("en"));
    Cow::Owned(line)
}

#[cfg(test)]
mod tests;
