//! What can be done to tasks: cancel one, clear the queue, tell an end again.

use askama::Template;
use axum::extract::{Path, State};
use bromo_engine::task::Cancelled;
use bromo_rules::task::{Depth, Task, TaskState};
use bromo_store::StoreError;

use super::detail::{find, missing};
use super::{bars, tone};
use crate::chart::Markup;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::pages::{Answer, At, page, to};
use crate::posted::{Posted, Work};
use crate::text::counted;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "pages/task_cancel.html")]
pub(super) struct Cancel {
    pub(super) frame: Frame,
    pub(super) task: Task,
}

#[derive(Template)]
#[template(path = "pages/task_clear.html")]
pub(super) struct Clear {
    pub(super) frame: Frame,
    pub(super) depth: Depth,
}

impl Clear {
    fn queued(&self) -> u64 {
        self.depth.queued_total()
    }

    /// `1,204 waiting tasks`.
    fn waiting(&self) -> String {
        counted(self.queued(), "waiting task")
    }

    fn tasks(&self) -> String {
        counted(self.queued(), "task")
    }

    fn running(&self) -> String {
        match self.depth.processing {
            1 => "The one task that runs goes on.".to_owned(),
            running => format!("{} that run go on.", counted(running, "task")),
        }
    }

    fn bars(&self) -> Markup {
        bars(&self.depth)
    }
}

pub(in crate::pages) async fn ask_cancel(
    State(dashboard): At,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Answer {
    let task = find(&dashboard, &visitor, &name).await?.task;
    if task.state.is_final() {
        return to(&format!("/tasks/{}?late=yes", task.id));
    }
    page(&Cancel {
        frame: Frame::new(&dashboard, visitor, "/tasks", "Cancel a task", &Form::default()).await,
        task,
    })
}

pub(in crate::pages) async fn cancel(
    State(dashboard): At,
    Path(name): Path<String>,
    Posted { visitor, .. }: Posted<Work>,
) -> Answer {
    let id = find(&dashboard, &visitor, &name).await?.task.id;
    match dashboard.engine.cancel_task(visitor.account.id, id).await {
        Ok(Cancelled::Deleted(_)) => to("/tasks?done=cancelled"),
        Ok(Cancelled::Cut(_)) => to(&format!("/tasks/{id}?done=cancelled")),
        Ok(Cancelled::TooLate(_)) => to(&format!("/tasks/{id}?late=yes")),
        Ok(Cancelled::Ending) => Err(PageError::Unavailable),
        Err(StoreError::Missing { .. }) => Err(missing(&dashboard, &name)),
        Err(error) => Err(error.into()),
    }
}

pub(in crate::pages) async fn ask_clear(State(dashboard): At, visitor: Visitor) -> Answer {
    let depth = dashboard.engine.store().depth(visitor.account.id).await?;
    page(&Clear {
        frame: Frame::new(&dashboard, visitor, "/tasks", "Clear the queue", &Form::default()).await,
        depth,
    })
}

pub(in crate::pages) async fn clear(State(dashboard): At, Posted { visitor, .. }: Posted<Work>) -> Answer {
    let cleared = dashboard.engine.clear_queue(visitor.account.id).await?;
    to(&format!("/tasks?done=cleared&n={cleared}"))
}

pub(in crate::pages) async fn redeliver(
    State(dashboard): At,
    Path(name): Path<String>,
    Posted { visitor, .. }: Posted<Work>,
) -> Answer {
    let id = find(&dashboard, &visitor, &name).await?.task.id;
    match dashboard.engine.redeliver(visitor.account.id, id).await {
        Ok(Some(_)) => to(&format!("/tasks/{id}?done=resent#delivery")),
        Ok(None) => Err(PageError::Bad("this task has no delivery: no webhook, or no end yet".to_owned())),
        Err(StoreError::Missing { .. }) => Err(missing(&dashboard, &name)),
        Err(error) => Err(error.into()),
    }
}

impl Cancel {
    fn tone(&self) -> &'static str {
        tone(self.task.state)
    }

    fn runs(&self) -> bool {
        self.task.state == TaskState::Processing
    }
}
