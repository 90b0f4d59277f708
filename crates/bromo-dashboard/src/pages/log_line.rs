//! One line of the log in full: what was decided and charged, what was asked and answered if the account keeps it.

use askama::Template;
use axum::extract::{Path, State};
use bromo_store::{LogFilter, RequestMatch};

use super::logs::{LINES, Line, SEARCH_BUDGET, key_names, line};
use super::{Answer, At, page};
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::snippet::{self, Snippet};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "pages/log_line.html")]
struct Detail {
    frame: Frame,
    lines: Vec<Line>,
    request: String,
    snippets: Vec<Snippet>,
    keeps: bool,
    /// The question and the answer's JSON, if they were kept.
    texts: Option<(String, String)>,
}

/// All lines of one request or task.
pub(super) async fn show(State(dashboard): At, visitor: Visitor, Path(id): Path<String>) -> Answer {
    let account = visitor.account.id;
    let _turn = dashboard.bounds.read(account).await?;
    let missing = || PageError::missing(format!("log line {id} in this account"));
    let Some(RequestMatch::Exact(request)) = RequestMatch::parse(&id) else { return Err(missing()) };
    let (_, names) = key_names(&dashboard, account).await?;
    let wanted = Some(RequestMatch::Exact(request));
    let filter = LogFilter { account: Some(account), request: wanted, ..LogFilter::default() };
    let found = dashboard.logs.read(&filter, None, LINES, SEARCH_BUDGET * 10).await?;
    let lines: Vec<Line> = found.lines.into_iter().map(|stored| line(&names, stored)).collect();
    let Some(first) = lines.first() else { return Err(missing()) };
    let path = format!("/v1/{}", first.line.route);
    let is_call = first.line.route.starts_with("monitor/") && !first.is_task();
    let texts = dashboard.logs.lookup_text(account, request).await?.map(|kept| {
        let answer: Option<serde_json::Value> = serde_json::from_slice(&kept.answer).ok();
        let answer = answer.and_then(|answer| serde_json::to_string_pretty(&answer).ok());
        (String::from_utf8_lossy(&kept.question).into_owned(), answer.unwrap_or_default())
    });
    let question = texts.as_ref().map_or("YOUR QUESTION", |(question, _)| question.as_str());
    let body = serde_json::json!({ "prompt": question, "country": "US" }).to_string();
    let base = &dashboard.settings.public_url;
    let snippets =
        if is_call { snippet::call(base, snippet::KEY_PLACEHOLDER, &path, &body) } else { Vec::new() };
    let keeps = visitor.account.keep_texts;
    let frame = Frame::new(&dashboard, visitor, "/logs", "Log line", &Form::default()).await;
    page(&Detail { frame, lines, request: id, snippets, keeps, texts })
}

#[cfg(test)]
mod tests {
    use bromo_rules::credit::Way;
    use bromo_rules::member::Role;

    use super::*;
    use crate::samples::{HOSTILE, frame, line, rendered};

    fn sample(status: u16, code: &'static str, way: Way) -> Line {
        Line { line: line(status, code, way), cursor: 7, key_name: HOSTILE.to_owned() }
    }

    #[test]
    fn a_line_renders_with_its_texts_and_without() {
        for (way, texts) in [(Way::Now, Some((HOSTILE.to_owned(), HOSTILE.to_owned()))), (Way::Later, None)] {
            let lines = vec![sample(500, "INTERNAL_SERVER_ERROR", way)];
            let snippets = snippet::first_call("http://a", "KEY");
            let frame = frame(Role::Member, "/logs");
            rendered(&Detail { frame, lines, request: "0192".to_owned(), snippets, keeps: true, texts });
        }
    }
}
