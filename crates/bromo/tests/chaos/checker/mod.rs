//! What must be true of a history: a pure function over it.

mod headers;
mod limits;
mod money;
mod nodes;
mod slots;
mod tasks;
mod trouble;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use self::limits::LimitsInForce;
use self::trouble::Trouble;
use crate::history::{Account, Ask, At, Event, History, Node, Number, Reply, What};

/// A promise that was broken.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) at: Option<At>,
    pub(crate) account: Option<Account>,
    pub(crate) words: String,
}

/// What of a history is shown around a fault: before it, after it, and lines at most.
const BEFORE: Duration = Duration::from_millis(2_500);
const AFTER: Duration = Duration::from_millis(500);
const LINES_MAX: usize = 120;

/// Every promise that was broken.
pub(crate) fn check(history: &History) -> Vec<Fault> {
    let seen = Seen::new(history);
    let mut faults = Faults(Vec::new());
    slots::check(&seen, &mut faults);
    nodes::check(&seen, &mut faults);
    let charges = money::check(&seen, &mut faults);
    tasks::check(&seen, &charges, &mut faults);
    webhooks::check(&seen, &mut faults);
    headers::check(&seen, &mut faults);
    faults.0.sort_by_key(|fault| fault.at.unwrap_or(Duration::MAX));
    faults.0
}

/// The part of a history that a fault is seen in, one event a line.
pub(crate) fn slice(history: &History, fault: &Fault) -> String {
    let Some(at) = fault.at else { return String::new() };
    let near = history.events.iter().filter(|event| {
        let (from, until) = (at.saturating_sub(BEFORE), at + AFTER);
        let concerns =
            event.what.account().is_none_or(|of| fault.account.is_none_or(|account| of == account));
        (from..=until).contains(&event.at) && concerns
    });
    let lines: Vec<&Event> = near.collect();
    // The fault itself is near the end.
    let skipped = lines.len().saturating_sub(LINES_MAX);
    let mut text = String::new();
    for event in &lines[skipped..] {
        let _ = writeln!(text, "    {event}");
    }
    text
}

struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, at: impl Into<Option<At>>, account: impl Into<Option<Account>>, words: String) {
        self.0.push(Fault { at: at.into(), account: account.into(), words });
    }
}

/// A request with what became of it.
struct Request<'a> {
    sent: At,
    account: Account,
    ask: &'a Ask,
    /// When, and the response if there was one.
    ended: Option<(At, Option<&'a Reply>)>,
}

/// A provider call from beginning to end.
struct Call<'a> {
    node: Node,
    account: Account,
    tag: &'a str,
    began: At,
    /// When, and the status it was answered with.
    ended: Option<(At, Option<u16>)>,
}

/// A history, put in order by what belongs together.
struct Seen<'a> {
    history: &'a History,
    requests: BTreeMap<Number, Request<'a>>,
    calls: BTreeMap<Number, Call<'a>>,
    limits: Vec<LimitsInForce>,
    /// By node, the stretches in which it was frozen.
    frozen: BTreeMap<Node, Vec<(At, At)>>,
    trouble: Trouble,
    healed: Option<At>,
    /// Requests by tag, and for tasks the first request that handed it in.
    asked: BTreeMap<&'a str, Number>,
}

impl<'a> Seen<'a> {
    fn new(history: &'a History) -> Self {
        let mut seen = Self {
            history,
            requests: BTreeMap::new(),
            calls: BTreeMap::new(),
            limits: limits::all(history),
            frozen: BTreeMap::new(),
            trouble: Trouble::new(history),
            healed: None,
            asked: BTreeMap::new(),
        };
        for Event { at, what } in &history.events {
            seen.take(*at, what);
        }
        seen
    }

    fn take(&mut self, at: At, what: &'a What) {
        match what {
            What::Sent { request, account, ask, .. } => {
                let keys: &[String] = match ask {
                    Ask::Now { tag } => std::slice::from_ref(tag),
                    Ask::Submit { keys } => keys,
                    Ask::Look => &[],
                };
                for key in keys {
                    self.asked.entry(key).or_insert(*request);
                }
                self.requests.insert(*request, Request { sent: at, account: *account, ask, ended: None });
            }
            What::Answered { request, reply } => {
                if let Some(request) = self.requests.get_mut(request) {
                    request.ended = Some((at, Some(reply)));
                }
            }
            What::Unanswered { request, .. } => {
                if let Some(request) = self.requests.get_mut(request) {
                    request.ended = Some((at, None));
                }
            }
            What::CallBegan { call, node, account, tag } => {
                let (node, account) = (*node, *account);
                self.calls.insert(*call, Call { node, account, tag, began: at, ended: None });
            }
            What::CallEnded { call, answered } => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.ended = Some((at, *answered));
                }
            }
            What::NodeFrozen { node } => {
                self.frozen.entry(*node).or_default().push((at, Duration::MAX));
            }
            What::NodeWoken { node } | What::NodeKilled { node } => {
                if let Some((_, until)) = self.frozen.get_mut(node).and_then(|all| all.last_mut()) {
                    *until = at.min(*until);
                }
            }
            What::Healed => self.healed = Some(at),
            _ => {}
        }
    }

    fn events(&self) -> impl Iterator<Item = (At, &'a What)> {
        self.history.events.iter().map(|event| (event.at, &event.what))
    }

    fn name(&self, account: Account) -> &'static str {
        self.history.accounts[account].name
    }
}
