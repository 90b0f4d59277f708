//! The result object of each endpoint (contract section 5), written from an answer.

use bromo_rules::answer::{Answer, Source};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::question::Question;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use crate::render;

/// Addresses of pages that were kept for an answer.
#[derive(Debug, Default)]
pub struct Pages {
    /// The answer as a page.
    pub html: Option<String>,
}

/// An answer, ready to be written in its endpoint's shape.
#[derive(Debug)]
pub struct ResultObject<'a> {
    /// What was asked: decides the shape.
    pub question: &'a Question,
    /// What came back.
    pub answer: &'a Answer,
    /// Kept pages.
    pub pages: &'a Pages,
}

impl ResultObject<'_> {
    /// The object as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("writing to memory cannot fail, and every key is a string")
    }
}

/// Lists that a result of this endpoint always has, empty where the provider gave none.
const fn lists(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::Chatgpt | Endpoint::Gemini | Endpoint::Copilot | Endpoint::Grok => &[],
        Endpoint::Perplexity => &[
            "related_queries",
            "search_model_queries",
            "videos",
            "images",
            "hotels",
            "places",
            "shopping_cards",
        ],
        Endpoint::Aimode => &["places", "map", "shoppingCards", "inlineProducts", "videos"],
        Endpoint::Google => &["organicResults", "peopleAlsoAsk", "relatedSearches", "ads"],
        Endpoint::GoogleNews => &["newsResults"],
    }
}

impl Serialize for ResultObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { question, answer, pages } = self;
        let (endpoint, include) = (question.endpoint, &question.include);
        let mut map = serializer.serialize_map(None)?;
        if endpoint.takes_prompt() {
            map.serialize_entry("text", &render::text(&answer.markdown))?;
            if include.markdown {
                map.serialize_entry("markdown", &answer.markdown)?;
            }
            map.serialize_entry("sources", &Sources { sources: &answer.sources, endpoint })?;
        }
        if let Some(html) = &pages.html {
            match endpoint {
                Endpoint::Google | Endpoint::GoogleNews => map.serialize_entry("html", &[html])?,
                _ => map.serialize_entry("html", html)?,
            }
        }
        if include.raw_response {
            map.serialize_entry("rawResponse", &answer.events)?;
        }
        if searches_are_shown(question, answer) {
            map.serialize_entry("searchQueries", &answer.search_queries)?;
        }
        let shopping: &[&str] = if endpoint == Endpoint::Chatgpt && include.shopping {
            &["shoppingCards", "inlineProducts"]
        } else {
            &[]
        };
        for list in lists(endpoint).iter().chain(shopping) {
            if !answer.extra.contains_key(*list) {
                map.serialize_entry(list, &[(); 0])?;
            }
        }
        if endpoint == Endpoint::Aimode && !answer.extra.contains_key("ads") {
            map.serialize_entry("ads", &Ads { title: "", ads: [] })?;
        }
        for (key, value) in &answer.extra {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("model", &answer.model)?;
        map.serialize_entry("provider", answer.provider)?;
        map.end()
    }
}

fn searches_are_shown(question: &Question, answer: &Answer) -> bool {
    match question.endpoint {
        Endpoint::Chatgpt => question.include.search_queries,
        Endpoint::Grok => true,
        Endpoint::Copilot => !answer.search_queries.is_empty(),
        _ => false,
    }
}

/// The block of advertisements of AI Mode, which is always there.
#[derive(Serialize)]
struct Ads {
    title: &'static str,
    ads: [(); 0],
}

struct Sources<'a> {
    sources: &'a [Source],
    endpoint: Endpoint,
}

impl Serialize for Sources<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.sources.len()))?;
        for (index, source) in self.sources.iter().enumerate() {
            list.serialize_element(&Placed {
                position: index + 1,
                url: &source.url,
                label: &source.label,
                description: &source.description,
                footnote: (self.endpoint == Endpoint::Chatgpt).then_some(false),
            })?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct Placed<'a> {
    position: usize,
    url: &'a str,
    label: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    footnote: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(endpoint: Endpoint, change: impl FnOnce(&mut Question, &mut Answer)) -> serde_json::Value {
        let mut question = Question::plain(endpoint, "q");
        let mut answer = Answer {
            markdown: "**Hi** there".to_owned(),
            sources: vec![Source { url: "https://a.example/".to_owned(), ..Source::default() }],
            model: Some("m".to_owned()),
            provider: "sandbox",
            ..Answer::default()
        };
        change(&mut question, &mut answer);
        serde_json::from_slice(
            &ResultObject { question: &question, answer: &answer, pages: &Pages::default() }.to_json(),
        )
        .unwrap()
    }

    #[test]
    fn text_is_plain_and_markdown_is_there_only_when_asked_for() {
        let plain = result(Endpoint::Gemini, |_, _| {});
        assert_eq!((&plain["text"], plain.get("markdown")), (&"Hi there".into(), None));
        let both = result(Endpoint::Gemini, |question, _| question.include.markdown = true);
        assert_eq!(both["markdown"], "**Hi** there");
    }

    #[test]
    fn every_result_says_who_answered() {
        for endpoint in Endpoint::ALL {
            let result = result(endpoint, |_, _| {});
            assert_eq!((&result["model"], &result["provider"]), (&"m".into(), &"sandbox".into()));
        }
    }

    #[test]
    fn lists_of_an_endpoint_are_there_even_when_empty_and_never_twice() {
        let result = result(Endpoint::Perplexity, |_, answer| {
            answer.extra.insert("images".to_owned(), serde_json::json!([1]));
        });
        assert_eq!((&result["images"], &result["videos"]), (&serde_json::json!([1]), &serde_json::json!([])));
    }

    #[test]
    fn sources_are_numbered_from_one_with_the_footnote_of_chatgpt() {
        let chatgpt = result(Endpoint::Chatgpt, |_, _| {});
        assert_eq!(chatgpt["sources"][0]["position"], 1);
        assert_eq!(chatgpt["sources"][0]["footnote"], false);
        assert_eq!(result(Endpoint::Gemini, |_, _| {})["sources"][0].get("footnote"), None);
    }
}
