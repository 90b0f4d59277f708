//! Rounds of renewals: all leases of the node, an account a script.

use super::{Node, Sent, State};
use crate::redis::clock::Boot;
use crate::redis::command::{Answer, LeaseId, Script};

/// Leases that one script renews.
const LEASES_MAX: usize = 500;
/// A round that is not through by then has failed, in ms.
const ROUND_MS: u64 = 2_000;
/// After a failed round the next is tried this soon, in ms.
const AGAIN_MS: u64 = 500;

pub(super) struct Round {
    number: u64,
    sent: Boot,
    waiting: usize,
    failed: bool,
}

impl Node {
    /// The next round is due at once: the connection is another.
    pub(crate) fn renew_soon(&mut self) {
        (self.round, self.round_due) = (None, Boot(0));
    }

    pub(super) fn renew(&mut self, now: Boot) {
        let overdue = |round: &Round| now.since(round.sent) >= ROUND_MS;
        if now < self.round_due || self.round.as_ref().is_some_and(|round| !overdue(round)) {
            return;
        }
        self.rounds += 1;
        self.round_due = now.plus(self.times.renews);
        let mut scripts: Vec<(_, Vec<LeaseId>)> = Vec::new();
        for ((account, _), entry) in &self.entries {
            if !matches!(entry.state, State::Held) || !entry.life.is_live(now) {
                continue;
            }
            match scripts.last_mut() {
                Some((last, leases)) if last == account && leases.len() < LEASES_MAX => leases.push(entry.id),
                _ => scripts.push((*account, vec![entry.id])),
            }
        }
        let (number, waiting) = (self.rounds, scripts.len());
        if waiting == 0 {
            // Nothing to lose: whoever asks will see whether Redis answers.
            (self.renewed, self.round) = (Some(now), None);
            return;
        }
        self.round = Some(Round { number, sent: now, waiting, failed: false });
        for (account, leases) in scripts {
            self.send(now, account, Script::Renew { leases }, None, number);
        }
    }

    pub(super) fn renew_answered(
        &mut self,
        now: Boot,
        sent: &Sent,
        leases: &[LeaseId],
        answer: Option<&Answer>,
    ) {
        match answer {
            Some(Answer::Renewed { gone, .. }) => {
                let until = sent.at.plus(self.times.lives);
                for (place, lease) in leases.iter().enumerate() {
                    let Some(entry) = self.held_mut(sent.account, *lease) else { continue };
                    if gone.binary_search(&place).is_ok() {
                        entry.life.end();
                    } else {
                        entry.life.extend(until);
                    }
                }
            }
            Some(Answer::Lost | Answer::Opening { .. }) => self.lost(sent.account),
            _ => {}
        }
        let Some(round) = self.round.as_mut().filter(|round| round.number == sent.round) else { return };
        round.failed |= answer.is_none();
        round.waiting -= 1;
        if round.waiting == 0 {
            if round.failed {
                self.round_due = now.plus(AGAIN_MS);
            } else {
                self.renewed = Some(round.sent);
            }
            self.round = None;
        }
    }
}
