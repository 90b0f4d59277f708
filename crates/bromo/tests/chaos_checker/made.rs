//! Histories that nobody saw.

use std::time::Duration;

use crate::checker;
use crate::history::{Account, Ask, Entry, Event, History, Node, Number, Opening, Reply, TaskState, What};

/// Slots of account 0; account 1 has one.
pub(crate) const SLOTS: u32 = 2;

/// A history in the making. What is not said otherwise goes well.
pub(crate) struct Made {
    events: Vec<Event>,
    entries: [Vec<Entry>; 2],
    /// Further than the books say.
    pub(crate) off_balance: i64,
    pub(crate) probes: [(u64, u32); 2],
}

pub(crate) fn made() -> Made {
    let opening = Entry { seq: 1, kind: "opening".into(), amount: 1_000, balance: 1_000, request: None };
    let entries = [vec![opening.clone()], vec![opening]];
    Made { events: Vec::new(), entries, off_balance: 0, probes: [(100_500, SLOTS), (100_500, 1)] }
}

impl Made {
    pub(crate) fn at(mut self, ms: u64, what: What) -> Self {
        self.events.push(Event { at: Duration::from_millis(ms), what });
        self
    }

    /// A call of account 0 at the provider, which answers it if it ends.
    pub(crate) fn call(self, number: Number, node: Node, tag: &str, began: u64, ended: Option<u64>) -> Self {
        let made = self.at(began, What::CallBegan { call: number, node, account: 0, tag: tag.into() });
        match ended {
            Some(ended) => made.at(ended, What::CallEnded { call: number, answered: Some(200) }),
            None => made,
        }
    }

    pub(crate) fn asks(self, ms: u64, request: Number, node: Node, tag: &str) -> Self {
        self.at(ms, What::Sent { request, node, account: 0, ask: Ask::Now { tag: tag.into() } })
    }

    pub(crate) fn looks(self, ms: u64, request: Number) -> Self {
        self.at(ms, What::Sent { request, node: 0, account: 0, ask: Ask::Look })
    }

    pub(crate) fn answered(self, ms: u64, request: Number, status: u16, limits: [i64; 3]) -> Self {
        let reply = Reply { status, id: format!("r{request}"), limits: headers(limits), retry_after: true };
        self.at(ms, What::Answered { request, reply })
    }

    pub(crate) fn plan(self, change: Number, slots: u32, sent: u64, confirmed: Option<u64>) -> Self {
        let made = self.at(sent, What::PlanSent { change, account: 0, slots, node: 0 });
        match confirmed {
            Some(confirmed) => made.at(confirmed, What::PlanConfirmed { change }),
            None => made,
        }
    }

    /// A task of account 0, handed in and acknowledged.
    pub(crate) fn task(self, ms: u64, request: Number, key: &str, id: &str) -> Self {
        let ask = Ask::Submit { keys: vec![key.into()] };
        self.at(ms, What::Sent { request, node: 0, account: 0, ask })
            .answered(ms + 1, request, 200, [2, 0, 2])
            .at(ms + 1, What::Acknowledged { account: 0, key: key.into(), id: id.into() })
    }

    pub(crate) fn reads(
        self,
        ms: u64,
        id: &str,
        status: &str,
        end: Option<&str>,
        delivered: Option<bool>,
    ) -> Self {
        self.read(ms, 0, id, status, end, delivered)
    }

    /// Asked at `sent`, answered at `ms`.
    pub(crate) fn reads_as_of(self, sent: u64, ms: u64, id: &str, status: &str, end: Option<&str>) -> Self {
        self.looks(sent, 1_000).read(ms, 1_000, id, status, end, None)
    }

    fn read(
        self,
        ms: u64,
        request: Number,
        id: &str,
        status: &str,
        end: Option<&str>,
        delivered: Option<bool>,
    ) -> Self {
        let task = TaskState { status: status.into(), end: end.map(Into::into), delivered };
        self.at(ms, What::TaskRead { request, account: 0, id: id.into(), http: 200, task })
    }

    pub(crate) fn posts(self, ms: u64, id: &str, signed_by: Option<Account>, taken: bool) -> Self {
        self.at(ms, What::Posted { task: id.into(), signed_by, taken, end: "done".into() })
    }

    pub(crate) fn books(mut self, kind: &str, amount: i64, request: Option<&str>) -> Self {
        let entries = &mut self.entries[0];
        let (seq, balance) =
            (entries.len() as u64 + 1, entries.last().map_or(0, |last| last.balance) + amount);
        entries.push(Entry { seq, kind: kind.into(), amount, balance, request: request.map(Into::into) });
        self
    }

    /// What the checker says of it.
    pub(crate) fn faults(mut self) -> Vec<String> {
        let (probes, off_balance) = (self.probes, self.off_balance);
        let entries = std::mem::take(&mut self.entries);
        self = self.at(100_000, What::Healed);
        for (account, (at, answered)) in probes.into_iter().enumerate() {
            let slots = [SLOTS, 1][account];
            self = self.at(100_000, What::Drained { account });
            self = self.at(at, What::Probed { account, slots, answered });
        }
        for (account, entries) in entries.into_iter().enumerate() {
            let balance =
                entries.last().map_or(0, |last| last.balance) + if account == 0 { off_balance } else { 0 };
            self = self.at(200_000, What::Ledger { account, balance, entries });
        }
        self.events.sort_by_key(|event| event.at);
        let accounts = vec![Opening { name: "zero", slots: SLOTS }, Opening { name: "one", slots: 1 }];
        let history = History { accounts, events: self.events };
        let faults = checker::check(&history);
        // Whatever it says can be shown.
        for fault in &faults {
            assert!(fault.at.is_none() || !checker::slice(&history, fault).is_empty());
        }
        faults.into_iter().map(|fault| fault.words).collect()
    }

    #[track_caller]
    pub(crate) fn holds(self) {
        assert_eq!(self.faults(), Vec::<String>::new());
    }

    /// The checker finds one fault, whose words have these.
    #[track_caller]
    pub(crate) fn breaks(self, words: &str) {
        let faults = self.faults();
        assert!(
            matches!(&faults[..], [one] if one.contains(words)),
            "{words:?} is not what was found: {faults:#?}"
        );
    }
}

/// Both families alike.
pub(crate) fn headers([limit, current, remaining]: [i64; 3]) -> [Option<i64>; 8] {
    [1_000, 999, limit, current, remaining, limit, current, remaining].map(Some)
}
