//! Tasks: the queue and its history.

mod answer;
mod change;
mod detail;
mod json;
#[cfg(test)]
pub(super) mod tests;

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use bromo_engine::task::PAGE_MAX;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::task::{Depth, Task, TaskId, TaskState};
use bromo_rules::time::Timestamp;
use bromo_store::{DeliveryStage, DeliveryState, TaskFilter};

pub(super) use change::{ask_cancel, ask_clear, cancel, clear, redeliver};
pub(super) use detail::show_task;

use super::{Answer, At, Query, page, to};
use crate::chart::{self, Markup};
use crate::error::PageError;
use crate::form::Form;
use crate::frame::{Frame, Slots};
use crate::log_query::Chip;
use crate::moment::took;
use crate::snippet::{self, Snippet};
use crate::visitor::Visitor;
use crate::{Dashboard, text};

/// Tasks of a page.
const TASKS: u32 = 50;
const _: () = assert!(TASKS <= PAGE_MAX, "no page is longer than the store's");

/// What narrows the list.
const FILTERS: [&str; 2] = ["state", "endpoint"];

/// A task as a row.
struct Row {
    task: Task,
    delivery: Option<(DeliveryStage, DeliveryState)>,
    now: Timestamp,
}

impl Row {
    fn tone(&self) -> &'static str {
        tone(self.task.state)
    }

    /// From acceptance to the first start, to the end without one, or until now.
    fn wait(&self) -> String {
        took(wait(&self.task, self.now))
    }

    /// From the first start to the end, or until now.
    fn run(&self) -> String {
        run(&self.task, self.now).map_or_else(|| "—".to_owned(), took)
    }

    /// What was charged, or would be.
    fn credits(&self) -> String {
        let task = &self.task;
        if task.state.is_final() { text::credits(task.charged) } else { text::credits(task.price.fixed) }
    }

    fn webhook(&self) -> Option<(&'static str, &'static str)> {
        self.task.webhook.as_ref()?;
        Some(self.delivery.map_or(("mute", "at the end"), |(stage, state)| delivery_badge(stage, state)))
    }

    fn short_id(&self) -> String {
        short_id(self.task.id)
    }
}

/// The shape of a state.
pub(super) const fn tone(state: TaskState) -> &'static str {
    match state {
        TaskState::Queued => "mute",
        TaskState::Processing => "run",
        TaskState::Completed => "ok",
        TaskState::Failed => "bad",
    }
}

/// The end of an id: the beginning is the time, which many share.
pub(super) fn short_id(id: TaskId) -> String {
    let id = id.to_string();
    id.get(id.len() - 8..).unwrap_or_default().to_owned()
}

/// Shape and word of a delivery.
pub(super) const fn delivery_badge(
    stage: DeliveryStage,
    state: DeliveryState,
) -> (&'static str, &'static str) {
    match stage {
        DeliveryStage::Delivered => ("ok", "delivered"),
        DeliveryStage::GivenUp => ("bad", "gave up"),
        DeliveryStage::Pending if state.attempts == 0 => ("run", "due"),
        DeliveryStage::Pending if state.delivered_at.is_some() => ("run", "due again"),
        DeliveryStage::Pending => ("warn", "retrying"),
    }
}

/// How long a task waited for its first start.
fn wait(task: &Task, now: Timestamp) -> Duration {
    task.started_at.or(task.ended_at).unwrap_or(now).since(task.created_at)
}

/// How long it ran since, waits between attempts included.
fn run(task: &Task, now: Timestamp) -> Option<Duration> {
    task.started_at.map(|started| task.ended_at.unwrap_or(now).since(started))
}

/// A stretch that was chosen, not measured: whole hours without minutes.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ => took(duration),
    }
}

/// What an address narrows the list to.
struct Narrowed {
    filter: TaskFilter,
    chips: Vec<Chip>,
}

impl Narrowed {
    fn of(query: &Form) -> Self {
        let mut narrowed = Self { filter: TaskFilter::default(), chips: Vec::new() };
        for name in FILTERS {
            let value = query.text(name);
            if value.is_empty() {
                continue;
            }
            let fault = if name == "state" {
                let word = value.to_uppercase();
                narrowed.filter.state = TaskState::ALL.into_iter().find(|state| state.word() == word);
                narrowed.filter.state.is_none().then(|| "there is no such state".to_owned())
            } else {
                narrowed.filter.endpoint = value.parse().ok();
                narrowed.filter.endpoint.is_none().then(|| "there is no such endpoint".to_owned())
            };
            let without = format!("/tasks?{}", query.with(&[name, "before"], &[]));
            narrowed.chips.push(Chip { name: name.to_owned(), value: value.to_owned(), without, fault });
        }
        narrowed
    }

    fn is_state(&self, state: &TaskState) -> bool {
        self.filter.state == Some(*state)
    }

    fn is_endpoint(&self, endpoint: &Endpoint) -> bool {
        self.filter.endpoint == Some(*endpoint)
    }
}

/// Figures above the list.
#[derive(Template)]
#[template(path = "parts/task_figures.html")]
struct Figures {
    depth: Depth,
    queued_max: u64,
    slots: Slots,
}

impl Figures {
    fn meter(&self) -> Markup {
        chart::meter(self.depth.queued_total(), self.queued_max, "Queued tasks")
    }

    fn is_full(&self) -> bool {
        self.depth.queued_total() >= self.queued_max
    }

    fn bars(&self) -> Markup {
        bars(&self.depth)
    }
}

/// What is queued, the priority that goes first on top.
fn bars(depth: &Depth) -> Markup {
    let bar = |(index, queued): (usize, &u64)| chart::Bar {
        label: format!("priority {}", index + 1),
        value: *queued,
        link: None,
    };
    let queued = depth.queued.iter().enumerate().rev().filter(|(_, queued)| **queued > 0);
    chart::bars(&queued.map(bar).collect::<Vec<_>>())
}

#[derive(Template)]
#[template(path = "pages/tasks.html")]
struct Tasks {
    frame: Frame,
    figures: String,
    rows: Vec<Row>,
    narrowed: Narrowed,
    /// The id or key that was looked for and is not there.
    sought: String,
    attempts_max: u8,
    /// How long ended ones are kept.
    keep: String,
    newest: Option<String>,
    older: Option<String>,
    /// How to make the first one.
    snippets: Vec<Snippet>,
}

async fn figures_of(dashboard: &Dashboard, visitor: &Visitor) -> Result<String, PageError> {
    let depth = dashboard.engine.store().depth(visitor.account.id).await?;
    let queued_max = dashboard.engine.settings().tasks.queued_max;
    Ok(Figures { depth, queued_max, slots: Slots::of(dashboard, &visitor.account).await }.render()?)
}

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    let (account, store) = (visitor.account.id, dashboard.engine.store());
    let sought = query.text("find").to_owned();
    if !sought.is_empty()
        && let Some(found) = dashboard.engine.lookup_task(account, &sought).await?
    {
        return to(&format!("/tasks/{}", found.task.id));
    }
    let figures = figures_of(&dashboard, &visitor).await?;
    let narrowed = Narrowed::of(&query);
    let before: Option<TaskId> = query.text("before").parse().ok();
    // One more than is shown tells whether there are more.
    let mut tasks = store.list_tasks(account, narrowed.filter, before, TASKS + 1).await?;
    let more = tasks.len() > TASKS as usize;
    tasks.truncate(TASKS as usize);
    let ids = tasks.iter().map(|task| task.id).collect();
    let states = store.delivery_states(account, ids).await?;
    let mut frame = Frame::new(&dashboard, visitor, "/tasks", "Tasks", &query).await;
    frame.live = "/live/tasks".to_owned();
    let now = frame.now;
    let rows: Vec<Row> =
        tasks.into_iter().zip(states).map(|(task, delivery)| Row { task, delivery, now }).collect();
    let last = rows.last().filter(|_| more).map(|row| row.task.id.to_string());
    let older = last.map(|last| format!("/tasks?{}", query.with(&["before"], &[("before", &last)])));
    let newest = before.is_some().then(|| format!("/tasks?{}", query.with(&["before"], &[])));
    let settings = &dashboard.engine.settings().tasks;
    page(&Tasks {
        figures,
        rows,
        narrowed,
        sought,
        attempts_max: settings.attempts.max,
        keep: span(settings.keep),
        newest,
        older,
        snippets: first_task(&dashboard.settings.public_url, ""),
        frame,
    })
}

/// How to make a task, with a webhook at this address if there is one.
pub(super) fn first_task(base: &str, webhook: &str) -> Vec<Snippet> {
    let hook =
        if webhook.is_empty() { String::new() } else { format!(r#","webhook":{{"url":"{webhook}"}}"#) };
    let body = format!(
        r#"{{"taskType":"CHATGPT","payload":{{"prompt":"What is the capital of France?","country":"US"}}{hook}}}"#
    );
    snippet::call(base, snippet::KEY_PLACEHOLDER, "/v1/async/task", &body)
}

/// The figures above the list, drawn anew while somebody looks.
pub(crate) async fn figures(dashboard: &Dashboard, visitor: Visitor) -> Result<String, PageError> {
    figures_of(dashboard, &visitor).await
}

/// Characters of an idempotency key in a list.
const KEY_CHARS_MAX: usize = 16;

/// A key as a list has room for it.
pub(crate) fn cut(key: &str) -> String {
    match key.char_indices().nth(KEY_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}
