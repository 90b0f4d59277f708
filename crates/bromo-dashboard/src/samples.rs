//! Sample values for tests: every template renders from them.

use std::sync::Arc;

use askama::Template;
use bromo_rules::account::{Account, Key};
use bromo_rules::credit::{Credits, Way};
use bromo_rules::id::{AccountId, KeyId, MemberId, RequestId};
use bromo_rules::key::{ApiKey, KeyKind};
use bromo_rules::log::LogLine;
use bromo_rules::member::{Member, Role};
use bromo_rules::plan::PlanTable;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;

use crate::frame::{Frame, Slots};
use crate::visitor::Look;

/// 24 November 2026, 12:30 UTC.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_523_400_000);
/// What a hostile customer writes wherever text is taken.
pub(crate) const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";

pub(crate) fn account(name: &str) -> Account {
    let plans = PlanTable::default();
    let plan = plans.lookup("lite").unwrap();
    let mut account = Account::open(AccountId::from_random(1), name, plan, NOW).0;
    account.balance.granted = Credits::new(1_234_567);
    account
}

pub(crate) fn member(role: Role, email: &str) -> Member {
    let (id, account) = (MemberId::from_random(2), AccountId::from_random(1));
    Member { id, account, email: email.parse().unwrap(), role, created_at: NOW, seen_at: Some(NOW) }
}

pub(crate) fn frame(role: Role, path: &'static str) -> Frame {
    Frame {
        title: "Sample".to_owned(),
        path,
        account: Arc::new(account(HOSTILE)),
        plan_title: "Lite".to_owned(),
        member: Arc::new(member(role, "ada@example.com")),
        slots: Slots { used: 10, limit: 10 },
        token: "TOKEN".to_owned(),
        look: Look::default(),
        now: NOW,
        message: Some("Saved.".to_owned()),
        live: "/live".to_owned(),
    }
}

pub(crate) fn key(name: Option<&str>, is_revoked: bool) -> Key {
    let secret = ApiKey::new(KeyKind::Live, [7; 16]);
    Key {
        id: KeyId::from_random(3),
        account: AccountId::from_random(1),
        kind: KeyKind::Live,
        name: name.map(str::to_owned),
        hash: secret.hash(),
        last4: secret.last4().to_owned(),
        created_at: NOW,
        revoked_at: is_revoked.then_some(NOW),
    }
}

pub(crate) fn line(status: u16, code: &'static str, way: Way) -> LogLine {
    LogLine {
        request: RequestId::new(NOW, [9; 10]),
        at: NOW,
        account: AccountId::from_random(1),
        key: KeyId::from_random(3),
        way,
        route: "monitor/chatgpt",
        status,
        code,
        took_us: 812_000,
        slots: Some(SlotStanding { limit: 10, current: 10 }),
        charged: Credits::new(7),
        attempts: 1,
    }
}

/// Renders, and makes sure that hostile text stayed text and nothing is styled or scripted in place.
#[track_caller]
pub(crate) fn rendered(template: &impl Template) -> String {
    let html = template.render().unwrap();
    for never in ["<script>", "<img", " style=", "onerror=\"", " onclick", "javascript:"] {
        assert!(!html.contains(never), "{never} in {html}");
    }
    assert_eq!(html.matches("<main").count(), 1);
    html
}
