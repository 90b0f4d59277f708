//! Collects a completion, event by event or whole, into an answer.

use std::collections::HashSet;

use bromo_rules::answer::{Answer, Source};
use serde_json::value::RawValue;

use super::wire::{Completion, Part};
use crate::error::ProviderError;

/// No answer names more pages.
const SOURCES_MAX: usize = 1000;

pub(super) struct Reply {
    markdown: String,
    model: Option<String>,
    sources: Vec<Source>,
    /// Addresses already among the sources.
    named: HashSet<String>,
    events: Vec<Box<RawValue>>,
    keep_events: bool,
    /// A completion came at all.
    begun: bool,
    /// The model has said its last word.
    finished: bool,
    /// `[DONE]` came: nothing follows.
    done: bool,
}

impl Reply {
    pub(super) fn new(keep_events: bool) -> Self {
        Self {
            markdown: String::new(),
            model: None,
            sources: Vec::new(),
            named: HashSet::new(),
            events: Vec::new(),
            keep_events,
            begun: false,
            finished: false,
            done: false,
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Takes the data of one event.
    pub(super) fn take_event(&mut self, data: &[u8]) -> Result<(), ProviderError> {
        if self.done || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        self.take_json(data)
    }

    /// Takes a body that is no event stream by its header: one completion, or events all the same.
    pub(super) fn take_whole(&mut self, body: &[u8]) -> Result<(), ProviderError> {
        if body.trim_ascii_start().first() == Some(&b'{') {
            self.take_json(body)?;
            // It is whole where its JSON is.
            self.finished = true;
            return Ok(());
        }
        let mut events = super::sse::Events::default();
        events.feed(body, |data| self.take_event(data))?;
        events.end(|data| self.take_event(data))
    }

    fn take_json(&mut self, data: &[u8]) -> Result<(), ProviderError> {
        let garbage =
            |error: serde_json::Error| ProviderError::broken(format!("not a chat completion: {error}"));
        let completion: Completion<'_> = serde_json::from_slice(data).map_err(garbage)?;
        if let Some(error) = &completion.error {
            return Err(if error.is_busy() {
                ProviderError::Busy { retry_after: None }
            } else {
                ProviderError::broken(error.message())
            });
        }
        if self.keep_events {
            self.events.push(serde_json::from_slice(data).map_err(garbage)?);
        }
        if self.model.is_none() {
            self.model = completion.model.map(|model| model.as_str().to_owned());
        }
        for choice in completion.choices.into_iter().flatten().filter(|choice| choice.index == 0) {
            self.begun = true;
            if let Some(part) = choice.delta.or(choice.message) {
                self.take_part(&part);
            }
            if let Some(reason) = choice.finish_reason {
                if reason.as_str() == "error" {
                    return Err(ProviderError::broken("the model ended with an error"));
                }
                self.finished = true;
            }
        }
        for result in completion.search_results.into_iter().flatten() {
            let title = result.title.as_ref().map(|title| title.as_str());
            self.name_source(result.url.as_str(), title, result.snippet.as_ref().map(|s| s.as_str()));
        }
        for url in completion.citations.into_iter().flatten() {
            self.name_source(url.as_str(), None, None);
        }
        Ok(())
    }

    fn take_part(&mut self, part: &Part<'_>) {
        // A refusal in words is the model's answer.
        for text in [&part.content, &part.refusal].into_iter().flatten() {
            self.markdown.push_str(text.as_str());
        }
        for citation in part.annotations.iter().flatten().filter_map(|a| a.url_citation.as_ref()) {
            let title = citation.title.as_ref().map(|title| title.as_str());
            self.name_source(citation.url.as_str(), title, citation.content.as_ref().map(|c| c.as_str()));
        }
    }

    /// Adds a page, once; streams repeat their citations.
    fn name_source(&mut self, url: &str, title: Option<&str>, description: Option<&str>) {
        if url.is_empty() || self.sources.len() >= SOURCES_MAX || self.named.contains(url) {
            return;
        }
        self.named.insert(url.to_owned());
        let label = match title {
            Some(title) if !title.trim().is_empty() => title.to_owned(),
            // A page without a title goes by its host.
            _ => url::Url::parse(url)
                .ok()
                .and_then(|url| url.host_str().map(str::to_owned))
                .unwrap_or_else(|| url.to_owned()),
        };
        let description = description.unwrap_or_default().to_owned();
        self.sources.push(Source { url: url.to_owned(), label, description });
    }

    /// # Errors
    /// [`ProviderError::Broken`] unless the model came to its end.
    pub(super) fn into_answer(self, provider: &'static str) -> Result<Answer, ProviderError> {
        if !self.begun {
            return Err(ProviderError::broken("no completion in the response"));
        }
        if !self.finished && !self.done {
            return Err(ProviderError::broken("the stream ended before the answer did"));
        }
        Ok(Answer {
            markdown: self.markdown,
            sources: self.sources,
            model: self.model,
            provider,
            events: self.events,
            ..Answer::default()
        })
    }
}
