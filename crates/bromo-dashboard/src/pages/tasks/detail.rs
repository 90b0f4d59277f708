//! One task: where it stands and why, its answer, its delivery.

use askama::Template;
use axum::extract::{Path, State};
use bromo_rules::credit::Credits;
use bromo_rules::standing::SlotStanding;
use bromo_rules::task::{Task, TaskState};
use bromo_rules::time::Timestamp;
use bromo_store::{DeliveryAttempt, DeliveryStage, DeliveryState, StoreError, WholeTask};

use super::answer::Response;
use super::{delivery_badge, run, span, tone, wait};
use crate::Dashboard;
use crate::error::PageError;
use crate::frame::{Frame, Slots};
use crate::moment::took;
use crate::pages::{Answer, At, Query, page};
use crate::text::{counted, credits, number};
use crate::visitor::Visitor;

/// Characters of a name that an error repeats.
const NAME_CHARS_MAX: usize = 64;

/// A task's delivery with every attempt.
pub(super) struct Delivery {
    pub(super) stage: DeliveryStage,
    pub(super) state: DeliveryState,
    pub(super) attempts: Vec<DeliveryAttempt>,
}

impl Delivery {
    fn tone(&self) -> &'static str {
        delivery_badge(self.stage, self.state).0
    }

    fn word(&self) -> &'static str {
        delivery_badge(self.stage, self.state).1
    }
}

/// Where a queued task stands.
pub(super) struct Place {
    /// 1 goes next.
    pub(super) position: u64,
    pub(super) starts_at: Timestamp,
    /// Why it waits, in sentences.
    pub(super) reasons: Vec<String>,
}

#[derive(Template)]
#[template(path = "pages/task.html")]
pub(super) struct Detail {
    pub(super) frame: Frame,
    pub(super) task: Task,
    pub(super) place: Option<Place>,
    pub(super) response: Option<Response>,
    pub(super) delivery: Option<Delivery>,
    pub(super) attempts_max: u8,
    /// When it is deleted; none while it or its delivery has not ended.
    pub(super) kept_until: Option<Timestamp>,
    pub(super) keep: String,
    /// It had ended before it could be cancelled.
    pub(super) too_late: bool,
}

impl Detail {
    fn tone(&self) -> &'static str {
        tone(self.task.state)
    }

    /// What became of it, with real durations.
    pub(super) fn sentence(&self) -> String {
        let (task, now) = (&self.task, self.frame.now);
        let waited = took(wait(task, now));
        let attempts = counted(task.attempts.into(), "attempt");
        let ran = run(task, now).map(took);
        match (task.state, ran) {
            (TaskState::Queued, None) => format!("Has waited {waited} for its first attempt."),
            (TaskState::Queued, Some(ran)) => format!(
                "{attempts} of {} failed. It started {ran} ago and waits for the next one.",
                self.attempts_max
            ),
            (TaskState::Processing, ran) => format!(
                "Attempt {} of {} runs; it waited {waited} and started {} ago.",
                task.attempts,
                self.attempts_max,
                ran.unwrap_or_default()
            ),
            (TaskState::Completed, ran) => format!(
                "Answered {} after its start, {attempts}; it had waited {waited}.",
                ran.unwrap_or_default()
            ),
            (TaskState::Failed, Some(ran)) => {
                format!(
                    "Failed {ran} after its start, {attempts}; it had waited {waited}. Nothing was charged."
                )
            }
            (TaskState::Failed, None) => {
                format!("Failed after {waited} without an attempt. Nothing was charged.")
            }
        }
    }

    fn host_and_path(&self) -> &str {
        self.task.webhook.as_deref().unwrap_or_default()
    }
}

/// What stands in an error in place of a task of this name.
pub(super) fn missing(dashboard: &Dashboard, name: &str) -> PageError {
    let keep = span(dashboard.engine.settings().tasks.keep);
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    PageError::missing(format!("task {name} in this account; ended tasks are kept for {keep}"))
}

/// A task of the visitor's account, by its id or its key.
pub(super) async fn find(
    dashboard: &Dashboard,
    visitor: &Visitor,
    name: &str,
) -> Result<WholeTask, PageError> {
    let found = dashboard.engine.lookup_task(visitor.account.id, name).await?;
    found.ok_or_else(|| missing(dashboard, name))
}

pub(in crate::pages) async fn show_task(
    State(dashboard): At,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(query): Query,
) -> Answer {
    let whole = find(&dashboard, &visitor, &name).await?;
    let delivery = match delivery(&dashboard, &whole).await {
        Err(StoreError::Missing { .. }) => return Err(missing(&dashboard, &name)),
        delivery => delivery?,
    };
    let WholeTask { task, response, ahead_max, .. } = whole;
    let place = match ahead_max {
        Some(ahead) => Some(place(&dashboard, &visitor, &task, ahead).await),
        None => None,
    };
    let settings = &dashboard.engine.settings().tasks;
    let kept_until = task.ended_at.and_then(|ended| match &delivery {
        Some(delivery) if delivery.stage == DeliveryStage::Pending => None,
        Some(delivery) => {
            let last = delivery.attempts.last().map_or(ended, |attempt| attempt.at);
            Some(last.max(ended).plus(settings.keep))
        }
        None => Some(ended.plus(settings.keep)),
    });
    page(&Detail {
        place,
        response: response.as_deref().map(Response::read),
        delivery,
        attempts_max: settings.attempts.max,
        kept_until,
        keep: span(settings.keep),
        too_late: query.is_set("late"),
        frame: Frame::new(&dashboard, visitor, "/tasks", "Task", &query).await,
        task,
    })
}

async fn delivery(dashboard: &Dashboard, whole: &WholeTask) -> Result<Option<Delivery>, StoreError> {
    let (account, id) = (whole.task.account, whole.task.id);
    if whole.delivery.is_none() {
        return Ok(None);
    }
    let (_, attempts) = dashboard.engine.delivery_attempts(account, id).await?;
    let states = dashboard.engine.store().delivery_states(account, vec![id]).await?;
    let known = states.into_iter().next().flatten();
    Ok(known.map(|(stage, state)| Delivery { stage, state, attempts }))
}

/// Where it stands in the queue, and why it has not started.
async fn place(dashboard: &Dashboard, visitor: &Visitor, task: &Task, ahead: u64) -> Place {
    let engine = &dashboard.engine;
    let slots = Slots::of(dashboard, &visitor.account).await;
    let standing = SlotStanding { limit: slots.limit, current: slots.used };
    let room = engine.catalog().line(task.endpoint).ok().map(|line| {
        let now = engine.clock().now();
        if line.room(now) > 0 {
            Room::Free
        } else if line.is_closed() {
            Room::Full
        } else {
            Room::Open
        }
    });
    let seen = Seen { slots, ahead, room, balance: visitor.account.balance.total() };
    Place {
        position: ahead + 1,
        starts_at: engine.estimated_start(task, ahead, standing),
        reasons: reasons(task, &seen, engine.settings().tasks.attempts.max),
    }
}

/// What the endpoint's provider has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// All its calls are in use.
    Full,
    /// Its circuit is open.
    Open,
}

/// What decides when a task starts.
pub(super) struct Seen {
    pub(super) slots: Slots,
    pub(super) ahead: u64,
    /// None if the endpoint has no provider.
    pub(super) room: Option<Room>,
    pub(super) balance: Credits,
}

/// Why a queued task has not started, each reason a sentence.
pub(super) fn reasons(task: &Task, seen: &Seen, attempts_max: u8) -> Vec<String> {
    let mut reasons = Vec::new();
    if task.attempts > 0 {
        reasons.push(format!(
            "Attempt {} of {attempts_max} failed; the wait before the next one doubles each time.",
            task.attempts
        ));
    }
    if seen.slots.is_full() {
        reasons.push(format!("All {} are in use.", counted(seen.slots.limit.into(), "slot")));
    }
    if seen.ahead > 0 {
        let tasks = counted(seen.ahead, "task");
        reasons.push(format!("Before it stand, at most: {tasks} of a higher priority, or older."));
    }
    match seen.room {
        Some(Room::Free) => {}
        Some(Room::Full) => {
            reasons.push("All calls that its provider may have at once are in use.".to_owned())
        }
        Some(Room::Open) => {
            let text = "Its provider has failed too often. Calls to it pause, and one is let through to try.";
            reasons.push(text.to_owned());
        }
        None => reasons.push("The endpoint has no provider now; the operator has to name one.".to_owned()),
    }
    if seen.balance < task.price.fixed {
        reasons.push(format!(
            "The balance of {} credits does not cover its price of {}; it fails when its turn comes.",
            credits(seen.balance),
            credits(task.price.fixed)
        ));
    }
    if reasons.is_empty() {
        reasons.push("Nothing holds it up: it starts within moments.".to_owned());
    }
    reasons
}

/// The position as it is read: `12` or `1,204`.
impl Place {
    fn shown(&self) -> String {
        number(self.position)
    }
}
