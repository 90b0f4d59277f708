//! The plan: what it gives, what another would give, and the change from one to the other.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use bromo_rules::credit::Credits;
use bromo_rules::plan::Plan;
use bromo_rules::time::Timestamp;
use bromo_store::PlanRequest;

use super::sign_up::Faults;
use super::{Answer, At, Query, page, to};
use crate::Dashboard;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::posted::{Manage, Posted};
use crate::settings::Upgrades;
use crate::text::number;
use crate::visitor::Visitor;

/// How long a change is told of.
const NEWS: Duration = Duration::from_secs(60);

/// A plan as seen from the one in force.
struct Row {
    plan: Plan,
    step: Step,
    /// It stands next above the one in force.
    is_next: bool,
    /// The balance after an upgrade, as a sum: the new allocation less what this cycle used of it, and grants.
    after: Credits,
}

/// The way to a plan.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is in force.
    Here,
    /// It begins with the next cycle.
    Scheduled,
    /// One click.
    Upgrade,
    /// The operator decides.
    Approval,
    /// It is paid for there.
    Checkout(String),
    /// With the next cycle.
    Downgrade,
    /// Not without talking to somebody.
    Contact,
}

impl Step {
    /// What its button says in the form.
    const fn word(&self) -> &'static str {
        match self {
            Self::Here => "stay",
            Self::Scheduled => "wait",
            Self::Upgrade => "up",
            Self::Approval => "ask",
            Self::Checkout(_) => "pay",
            Self::Downgrade => "down",
            Self::Contact => "talk",
        }
    }
}

impl Row {
    fn seats(&self) -> String {
        self.plan.seats.map_or_else(|| "no limit".to_owned(), number)
    }
}

#[derive(Template)]
#[template(path = "pages/plan.html")]
struct Plans {
    frame: Frame,
    rows: Vec<Row>,
    used: Credits,
    request: Option<PlanRequest>,
    contact: Option<String>,
    /// The plan changed since the page was made on which a button was pressed.
    meanwhile: bool,
}

impl Plans {
    fn title(&self, name: &str) -> String {
        let row = self.rows.iter().find(|row| row.plan.name == name);
        row.map_or_else(|| name.to_owned(), |row| row.plan.title.clone())
    }
}

#[derive(Template)]
#[template(path = "pages/plan_down.html")]
struct Down {
    frame: Frame,
    from: Plan,
    to: Plan,
}

/// An address becomes a link; a URL is one.
fn contact_link(contact: &str) -> Option<String> {
    match contact {
        "" => None,
        url if url.starts_with("https://") || url.starts_with("http://") => Some(url.to_owned()),
        address => Some(format!("mailto:{address}")),
    }
}

fn rows(dashboard: &Dashboard, visitor: &Visitor) -> Vec<Row> {
    let (account, settings) = (&visitor.account, &dashboard.settings);
    let plans: Vec<&Plan> = dashboard.engine.plans().iter().collect();
    let place = plans.iter().position(|plan| plan.name == account.plan);
    let here = place.and_then(|place| plans.get(place));
    let talks = here.is_some_and(|plan| !plan.self_serve);
    let step = |index: usize, plan: &Plan| {
        if plan.name == account.plan {
            Step::Here
        } else if account.next_plan.as_ref() == Some(&plan.name) {
            Step::Scheduled
        } else if talks || !plan.self_serve {
            Step::Contact
        } else if place.is_some_and(|place| index < place) {
            Step::Downgrade
        } else if let Some(url) = settings.checkout.get(&plan.name) {
            Step::Checkout(checkout_url(url, visitor, plan))
        } else if settings.upgrades == Upgrades::Approval {
            Step::Approval
        } else {
            Step::Upgrade
        }
    };
    let place_up = place.map_or(0, |place| place + 1);
    let row = |(index, plan): (usize, &&Plan)| {
        let more = (plan.credits - account.allocated).max(Credits::ZERO);
        Row {
            is_next: index == place_up,
            step: step(index, plan),
            after: account.balance.total() + more,
            plan: (*plan).clone(),
        }
    };
    plans.iter().enumerate().map(row).collect()
}

/// The address of a checkout, told for whom and for what.
fn checkout_url(url: &str, visitor: &Visitor, plan: &Plan) -> String {
    match url::Url::parse(url) {
        Ok(mut url) => {
            url.query_pairs_mut()
                .append_pair("account", &visitor.account.id.to_string())
                .append_pair("plan", &plan.name);
            url.into()
        }
        Err(_) => url.to_owned(),
    }
}

async fn plans(
    dashboard: &Dashboard,
    visitor: Visitor,
    query: &Form,
    meanwhile: bool,
) -> Result<Plans, PageError> {
    let request = dashboard.engine.store().lookup_plan_request(visitor.account.id).await?;
    let rows = rows(dashboard, &visitor);
    let current = dashboard.engine.plans().lookup(&visitor.account.plan).cloned();
    // What was granted is outside the allocation.
    let used = (visitor.account.allocated - visitor.account.balance.plan).max(Credits::ZERO);
    let contact = contact_link(&dashboard.settings.contact);
    let mut frame = Frame::new(dashboard, visitor, "/plan", "Plan", query).await;
    let since = query.text("since").parse().ok().map(Timestamp::from_millis);
    // Right after the change: an old address is no news.
    let since = since.filter(|since| *since <= frame.now && frame.now.since(*since) < NEWS);
    if let (Some(at), Some(plan)) = (since, &current) {
        let since = frame.look.zone.clock(at);
        frame.message = Some(format!(
            "{} since {since}: {} for the next request of every key.",
            plan.title,
            crate::text::counted(plan.slots.into(), "slot"),
        ));
    }
    Ok(Plans { frame, rows, used, request, contact, meanwhile })
}

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    page(&plans(&dashboard, visitor, &query, false).await?)
}

fn find(dashboard: &Dashboard, name: &str) -> Result<Plan, PageError> {
    dashboard.engine.plans().lookup(name).cloned().ok_or_else(|| PageError::missing(format!("plan {name}")))
}

/// Asks before a downgrade.
pub(super) async fn ask(State(dashboard): At, visitor: Visitor, Path(name): Path<String>) -> Answer {
    let is_down = |row: &Row| row.plan.name == name && row.step == Step::Downgrade;
    if !rows(&dashboard, &visitor).iter().any(is_down) {
        return super::to("/plan");
    }
    let (from, to) = (find(&dashboard, &visitor.account.plan)?, find(&dashboard, &name)?);
    page(&Down {
        frame: Frame::new(&dashboard, visitor, "/plan", "Change plan", &Form::default()).await,
        from,
        to,
    })
}

/// Changes to a plan by the way that leads there.
pub(super) async fn change(
    State(dashboard): At,
    Path(name): Path<String>,
    Posted { visitor, form, .. }: Posted<Manage>,
) -> Answer {
    let plan = find(&dashboard, &name)?;
    let account = visitor.account.id;
    let step =
        rows(&dashboard, &visitor).into_iter().find(|row| row.plan.name == plan.name).map(|row| row.step);
    // What the button said must be what happens.
    let is_meant = step.as_ref().is_some_and(|step| step.word() == form.text("step"));
    if form.text("from") != visitor.account.plan || !is_meant {
        return page(&plans(&dashboard, visitor, &Form::default(), true).await?);
    }
    match step {
        Some(Step::Upgrade) => {
            dashboard.engine.set_plan(account, &plan.name).await?;
            to(&format!("/plan?since={}", dashboard.engine.clock().now().millis()))
        }
        Some(Step::Downgrade) => {
            dashboard.engine.schedule_plan(account, &plan.name).await?;
            to("/plan?done=scheduled")
        }
        // The plan in force takes a scheduled change back.
        Some(Step::Here) => {
            dashboard.engine.schedule_plan(account, &plan.name).await?;
            to("/plan?done=kept")
        }
        Some(Step::Approval) => {
            dashboard.engine.request_plan(&visitor.member, &plan.name).await.map_err(Faults::page)?;
            to("/plan?done=asked")
        }
        Some(Step::Scheduled) => to("/plan?done=scheduled"),
        Some(Step::Checkout(_) | Step::Contact) | None => {
            Err(PageError::Bad(format!("{} is not changed to by this form", plan.title)))
        }
    }
}

/// Takes a request to the operator back.
pub(super) async fn withdraw(State(dashboard): At, Posted { visitor, .. }: Posted<Manage>) -> Answer {
    dashboard.engine.withdraw_plan_request(&visitor.member).await.map_err(Faults::page)?;
    to("/plan?done=withdrawn")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bromo_rules::member::Role;
    use bromo_rules::plan::PlanTable;

    use crate::samples::{NOW, frame, rendered};

    fn page(role: Role, step: impl Fn(&Plan) -> Step) -> Plans {
        let row = |plan: &Plan| Row {
            step: step(plan),
            is_next: true,
            after: Credits::new(1_350_000),
            plan: plan.clone(),
        };
        let by = bromo_rules::id::MemberId::from_random(2);
        let account = bromo_rules::id::AccountId::from_random(1);
        Plans {
            frame: frame(role, "/plan"),
            rows: PlanTable::default().iter().map(row).collect(),
            used: Credits::new(1000),
            request: Some(PlanRequest { account, plan: "growth".to_owned(), by, at: NOW }),
            contact: contact_link("sales@example.com"),
            meanwhile: true,
        }
    }

    #[test]
    fn each_way_to_a_plan_has_its_button_and_a_viewer_sees_none() {
        let steps: [fn(&Plan) -> Step; 7] = [
            |_| Step::Here,
            |_| Step::Scheduled,
            |_| Step::Upgrade,
            |_| Step::Approval,
            |_| Step::Checkout("https://pay.example/?plan=lite".to_owned()),
            |_| Step::Downgrade,
            |_| Step::Contact,
        ];
        for step in steps {
            rendered(&page(Role::Owner, step));
            assert!(!rendered(&page(Role::Viewer, step)).contains("method=\"post\""));
        }
        assert!(rendered(&page(Role::Owner, |_| Step::Upgrade)).contains("Upgrade to Growth"));
        let plans = PlanTable::default();
        let (from, to) = (plans.lookup("lite").unwrap().clone(), plans.lookup("free").unwrap().clone());
        assert!(rendered(&Down { frame: frame(Role::Owner, "/plan"), from, to }).contains("10 → 1"));
    }

    #[test]
    fn a_contact_is_a_link_whichever_way_it_is_written() {
        assert_eq!(contact_link(""), None);
        assert_eq!(contact_link("sales@example.com").unwrap(), "mailto:sales@example.com");
        assert_eq!(contact_link("https://example.com/talk").unwrap(), "https://example.com/talk");
    }
}
