//! The playground: a question asked the way a program asks it, with all that comes back.

use askama::Template;
use axum::extract::State;
use bromo_rules::credit::Credits;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::RequestId;
use bromo_rules::key::KeyKind;
use bromo_rules::validate::{self, PROMPT_UNITS_MAX};
use bromo_rules::{country, state};
use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value, json};

use super::{Answer, At, Query, page};
use crate::Dashboard;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::posted::{Posted, Work};
use crate::snippet::{self, Snippet};
use crate::visitor::Visitor;

/// What is to be asked.
struct Question {
    endpoint: Endpoint,
    prompt: String,
    country: String,
    state: String,
    include: Vec<String>,
    kind: KeyKind,
    later: bool,
}

impl Question {
    fn of(form: &Form) -> Self {
        Self {
            endpoint: form.text("endpoint").parse().unwrap_or(Endpoint::Chatgpt),
            prompt: form.raw("prompt").replace("\r\n", "\n"),
            country: Some(form.text("country"))
                .filter(|country| !country.is_empty())
                .unwrap_or("US")
                .to_owned(),
            state: form.text("state").to_owned(),
            include: form.all("include").map(str::to_owned).collect(),
            kind: if form.text("kind") == KeyKind::Live.word() { KeyKind::Live } else { KeyKind::Test },
            later: form.text("act") == "task",
        }
    }

    fn includes(&self, flag: &&str) -> bool {
        self.include.iter().any(|set| set == *flag)
    }

    /// The body of the same call over HTTP.
    fn body(&self) -> Value {
        let mut body = Map::new();
        let asked = if self.endpoint.takes_prompt() { "prompt" } else { "query" };
        body.insert(asked.to_owned(), json!(self.prompt));
        body.insert("country".to_owned(), json!(self.country));
        if !self.state.is_empty() {
            body.insert("state".to_owned(), json!(self.state));
        }
        let flags = validate::include_flags(self.endpoint).filter(|flag| self.includes(flag));
        let include: Map<String, Value> = flags.map(|flag| (flag.to_owned(), json!(true))).collect();
        if !include.is_empty() {
            body.insert("include".to_owned(), Value::Object(include));
        }
        let body = Value::Object(body);
        if self.later { json!({ "taskType": self.endpoint.task_type(), "payload": body }) } else { body }
    }

    fn path(&self) -> String {
        if self.later { "/v1/async/task".to_owned() } else { format!("/v1/{}", self.endpoint.route()) }
    }
}

/// An `include` flag with what it costs.
struct Flag {
    name: &'static str,
    costs: Option<String>,
}

/// What came back.
struct Result {
    status: u16,
    headers: Vec<(String, String)>,
    json: String,
    text: Option<String>,
    sources: Vec<Source>,
    html: Option<String>,
    answered_by: Option<String>,
    charged: Option<String>,
    took_ms: Option<String>,
    retry_after: Option<String>,
    error: Option<String>,
    task: Option<String>,
    request: Option<RequestId>,
    snippets: Vec<Snippet>,
}

/// A source; its address becomes a link if it is a web page's.
struct Source {
    url: String,
    label: String,
    is_link: bool,
}

#[derive(Template)]
#[template(path = "pages/playground.html")]
struct Playground {
    frame: Frame,
    question: Question,
    endpoints: Vec<(Endpoint, Credits)>,
    flags: Vec<Flag>,
    countries: Vec<&'static str>,
    states: &'static [state::State],
    surcharge: Credits,
    state_costs: Credits,
    units: usize,
    units_max: usize,
    result: Option<Result>,
}

impl Playground {
    async fn new(dashboard: &Dashboard, visitor: Visitor, question: Question, query: &Form) -> Self {
        let prices = dashboard.engine.prices();
        let flags = validate::include_flags(question.endpoint).map(|name| Flag {
            name,
            costs: match (question.endpoint, name) {
                (Endpoint::Chatgpt, "rawResponse" | "searchQueries" | "ads" | "shopping") => {
                    Some(format!("+{} once for any of these four", prices.extended))
                }
                (Endpoint::Google, "aioverview" | "paaAioverview") => {
                    Some(format!("+{} once for either", prices.ai_overview))
                }
                (Endpoint::Aimode, "expandProducts") => {
                    Some(format!("+1 a cluster, at most {}", prices.clusters_max))
                }
                _ => None,
            },
        });
        Self {
            endpoints: Endpoint::ALL
                .iter()
                .map(|endpoint| (*endpoint, prices.base[endpoint.index()]))
                .collect(),
            flags: flags.collect(),
            countries: country::of(question.endpoint),
            states: &state::ALL,
            surcharge: prices.sync_surcharge,
            state_costs: prices.state,
            units: question.prompt.encode_utf16().count(),
            units_max: PROMPT_UNITS_MAX,
            question,
            result: None,
            frame: Frame::new(dashboard, visitor, "/playground", "Playground", query).await,
        }
    }
}

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    page(&Playground::new(&dashboard, visitor, Question::of(&query), &query).await)
}

/// Asks; or shows the form for another endpoint, with what was typed.
pub(super) async fn send(State(dashboard): At, Posted { visitor, form, .. }: Posted<Work>) -> Answer {
    let question = Question::of(&form);
    if form.text("act") == "show" {
        return page(&Playground::new(&dashboard, visitor, question, &Form::default()).await);
    }
    let caller = dashboard.engine.playground_caller(visitor.account.id, question.kind).await?;
    let body = question.body().to_string();
    let response = dashboard.play.ask(caller, question.path(), Bytes::from(body.clone())).await;
    let base = &dashboard.settings.public_url;
    let snippets = snippet::call(base, snippet::KEY_PLACEHOLDER, &question.path(), &body);
    let result = Some(Result::of(&response, snippets)?);
    page(&Playground { result, ..Playground::new(&dashboard, visitor, question, &Form::default()).await })
}

impl Result {
    fn of(response: &Response<Bytes>, snippets: Vec<Snippet>) -> std::result::Result<Self, PageError> {
        let body: Value = serde_json::from_slice(response.body()).map_err(|error| {
            tracing::error!(%error, "the API answered with what is no JSON");
            PageError::Internal
        })?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let result = &body["result"];
        let sources = result["sources"].as_array().map(|sources| sources.iter().map(Source::of).collect());
        let answered_by = text(&result["provider"]).map(|provider| match text(&result["model"]) {
            Some(model) => format!("{model} by {provider}"),
            None => provider,
        });
        Ok(Self {
            status: response.status().as_u16(),
            headers: headers.collect(),
            json: serde_json::to_string_pretty(&body).unwrap_or_default(),
            text: text(&result["text"]),
            sources: sources.unwrap_or_default(),
            html: text(&result["html"]),
            answered_by,
            charged: header("x-credits-charged"),
            took_ms: header("x-latency-ms"),
            retry_after: header("retry-after"),
            error: text(&body["error"]["message"]).or_else(|| text(&body["error"])),
            task: text(&body["task"]["id"]).or_else(|| text(&body["id"])),
            request: response.extensions().get::<RequestId>().copied(),
            snippets,
        })
    }

    const fn is_good(&self) -> bool {
        self.status / 100 == 2
    }
}

impl Source {
    fn of(source: &Value) -> Self {
        let text = |name: &str| source[name].as_str().unwrap_or_default().to_owned();
        let url = text("url");
        let is_link = url.starts_with("https://") || url.starts_with("http://");
        Self { url, label: text("label"), is_link }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bromo_rules::member::Role;

    use crate::samples::{HOSTILE, frame, rendered};

    fn page(form: &str, result: Option<Result>) -> Playground {
        let question = Question::of(&Form::parse(form.as_bytes()));
        Playground {
            frame: frame(Role::Member, "/playground"),
            endpoints: Endpoint::ALL.iter().map(|endpoint| (*endpoint, Credits::new(5))).collect(),
            flags: validate::include_flags(question.endpoint)
                .map(|name| Flag { name, costs: Some("+2".to_owned()) })
                .collect(),
            countries: country::of(question.endpoint),
            states: &state::ALL,
            surcharge: Credits::new(2),
            state_costs: Credits::new(2),
            units: 3,
            units_max: PROMPT_UNITS_MAX,
            question,
            result,
        }
    }

    fn answer(status: u16, body: &Value) -> Result {
        let response =
            Response::builder().status(status).header("retry-after", "4").header("x-credits-charged", "7");
        let response = response.body(Bytes::from(body.to_string())).unwrap();
        Result::of(&response, snippet::first_call("http://a", "KEY")).unwrap()
    }

    #[test]
    fn the_playground_renders_what_models_write_as_text() {
        for endpoint in Endpoint::ALL {
            rendered(&page(&format!("endpoint={endpoint}"), None));
        }
        let sources = json!([{ "url": "javascript:alert(1)", "label": HOSTILE }, { "url": "https://a.example/", "label": "a" }]);
        let body = json!({ "success": true, "result": { "text": HOSTILE, "sources": sources, "html": HOSTILE, "model": HOSTILE, "provider": "sandbox" } });
        let html = page("prompt=hi&include=markdown", Some(answer(200, &body))).render().unwrap();
        assert!(html.contains("href=\"https://a.example/\"") && !html.contains("href=\"javascript"));
        assert!(!html.contains("<script>") && !html.contains("<img"));
        let refused = json!({ "error": { "code": "CONCURRENCY_LIMIT_EXCEEDED", "message": "no slot" } });
        assert!(rendered(&page("", Some(answer(429, &refused)))).contains("Again in 4 s"));
    }

    #[test]
    fn the_body_is_that_of_the_same_call_over_http() {
        let of = |form: &str| Question::of(&Form::parse(form.as_bytes()));
        let now = of("endpoint=google&prompt=tea&country=DE&include=html&include=rawResponse");
        assert_eq!(now.body(), json!({ "query": "tea", "country": "DE", "include": { "html": true } }));
        assert_eq!(now.path(), "/v1/monitor/google");
        let later = of("endpoint=chatgpt&prompt=tea&act=task");
        assert_eq!(
            later.body(),
            json!({ "taskType": "CHATGPT", "payload": { "prompt": "tea", "country": "US" } })
        );
        assert_eq!(later.path(), "/v1/async/task");
    }
}
