//! What stands around every page: rail, top bar, slots, message.

use std::sync::Arc;

use bromo_rules::account::Account;
use bromo_rules::member::{Act, Member};
use bromo_rules::time::Timestamp;

use crate::form::Form;
use crate::visitor::{Look, Visitor, form_token};
use crate::{Dashboard, assets, message};

/// A page of the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) path: &'static str,
    pub(crate) title: &'static str,
    pub(crate) icon: &'static str,
    /// After `g`.
    pub(crate) key: &'static str,
}

/// The rail, from top to bottom.
pub(crate) const PAGES: [Page; 8] = [
    Page { path: "/", title: "Overview", icon: "overview", key: "o" },
    Page { path: "/plan", title: "Plan", icon: "plan", key: "p" },
    Page { path: "/keys", title: "Keys", icon: "keys", key: "k" },
    Page { path: "/logs", title: "Logs", icon: "logs", key: "l" },
    Page { path: "/tasks", title: "Tasks", icon: "tasks", key: "t" },
    Page { path: "/webhooks", title: "Webhooks", icon: "webhooks", key: "w" },
    Page { path: "/playground", title: "Playground", icon: "playground", key: "y" },
    Page { path: "/account", title: "Account", icon: "account", key: "a" },
];

/// What stands around every page.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) title: String,
    /// The rail's page that this one belongs to.
    pub(crate) path: &'static str,
    pub(crate) account: Arc<Account>,
    pub(crate) plan_title: String,
    pub(crate) member: Arc<Member>,
    pub(crate) slots: Slots,
    /// The token of this page's forms.
    pub(crate) token: String,
    pub(crate) look: Look,
    pub(crate) now: Timestamp,
    pub(crate) message: Option<String>,
    /// Where what is live comes from; the slots of the top bar at least.
    pub(crate) live: String,
}

/// Slots at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slots {
    pub(crate) used: u32,
    pub(crate) limit: u32,
}

impl Slots {
    /// Of an account now. None are shown as used while the counts are out of reach: the account's calls are refused then.
    pub(crate) async fn of(dashboard: &Dashboard, account: &Account) -> Self {
        let limit = dashboard.engine.plans().lookup(&account.plan).map_or(0, |plan| plan.slots);
        Self { used: dashboard.engine.admission().in_use(account.id).await.unwrap_or(0), limit }
    }

    pub(crate) const fn is_full(self) -> bool {
        self.used >= self.limit
    }
}

impl Frame {
    /// The frame of a page that `visitor` asked for with `query`.
    pub(crate) async fn new(
        dashboard: &Dashboard,
        visitor: Visitor,
        path: &'static str,
        title: &str,
        query: &Form,
    ) -> Self {
        let Visitor { token, member, account, look } = visitor;
        let plan = dashboard.engine.plans().lookup(&account.plan);
        Self {
            title: title.to_owned(),
            path,
            plan_title: plan.map_or_else(|| account.plan.clone(), |plan| plan.title.clone()),
            slots: Slots::of(dashboard, &account).await,
            account: Arc::new(account),
            member: Arc::new(member),
            token: form_token(&token),
            look,
            now: dashboard.engine.clock().now(),
            message: message::after(query),
            live: "/live".to_owned(),
        }
    }

    pub(crate) fn pages(&self) -> &'static [Page] {
        &PAGES
    }

    pub(crate) fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    /// Whether this member may change keys, tasks and webhooks.
    pub(crate) fn may_work(&self) -> bool {
        self.member.role.may(Act::Work)
    }

    /// Whether this member may change plan and members.
    pub(crate) fn may_manage(&self) -> bool {
        self.member.role.may(Act::Manage)
    }

    /// A `time` element in the chosen zone, milliseconds included.
    pub(crate) fn clock(&self, at: &Timestamp) -> String {
        self.time(at, &self.look.zone.clock(*at))
    }

    /// The same as day and minute.
    pub(crate) fn short(&self, at: &Timestamp) -> String {
        self.time(at, &self.look.zone.short(*at))
    }

    /// The same whole.
    pub(crate) fn whole(&self, at: &Timestamp) -> String {
        self.time(at, &self.look.zone.whole(*at))
    }

    /// How long ago, with the instant behind it.
    pub(crate) fn ago(&self, at: &Timestamp) -> String {
        let age = crate::moment::age(self.now, *at);
        self.time(at, if age == "< 1 min" { "< 1 min ago".to_owned() } else { age + " ago" }.as_str())
    }

    fn time(&self, at: &Timestamp, shown: &str) -> String {
        format!(r#"<time datetime="{at}" title="{}">{shown}</time>"#, self.look.zone.whole(*at))
    }

    pub(crate) fn zone_label(&self) -> String {
        self.look.zone.label(self.now)
    }
}
