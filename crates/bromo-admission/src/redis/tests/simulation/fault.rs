//! What goes wrong.

use super::message::Event;
use super::world::{SHARDS, World};

impl World {
    /// One more thing goes wrong, and the next is set up.
    pub(super) fn fault(&mut self) {
        if !self.is_trouble() {
            return self.heal();
        }
        let wait = self.random.u64(300..6_000);
        self.after(wait, Event::Fault);
        let node = self.random.usize(..self.nodes.len());
        let runs = self.nodes[node].alive && self.nodes[node].gone_at.is_none();
        match self.random.u8(..14) {
            0..=2 if runs => {
                self.seen.count("froze");
                self.nodes[node].gone_at = Some(self.now);
                let wait = self.random.u64(100..16_000);
                self.after(wait, Event::Wake(node));
            }
            3 if runs => {
                self.seen.count("killed");
                self.nodes[node].alive = false;
                self.nodes[node].gone_at = Some(self.now);
                self.nodes[node].calls.clear();
                let wait = self.random.u64(100..4_000);
                self.after(wait, Event::NewNode);
            }
            4 | 5 => {
                self.seen.count("link cut");
                self.nodes[node].cut = (self.now, self.now + self.random.u64(100..14_000));
            }
            6 | 7 => {
                self.seen.count("link slow");
                self.nodes[node].slow_until = self.now + self.random.u64(100..12_000);
            }
            // A link that dies slowly, from one end.
            8 => {
                self.seen.count("answers slow");
                let from = self.now + self.random.u64(2_000..9_000);
                self.nodes[node].slow_answers_until = from;
                self.nodes[node].cut = (from, from + self.random.u64(4_000..14_000));
            }
            9 if self.redis_up => self.restart(),
            10 => self.saved = self.model.clone(),
            11 if runs => self.disconnect(node),
            12 | 13 => self.move_account(),
            _ => {}
        }
    }

    fn restart(&mut self) {
        self.generation += 1;
        self.redis_up = false;
        match self.random.u8(..4) {
            0 | 1 => {
                self.seen.count("restarted empty");
                self.model.records.clear();
            }
            2 => {
                self.seen.count("restarted with old data");
                self.model = self.saved.clone();
            }
            _ => self.seen.count("restarted with data"),
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].alive {
                self.disconnect(node);
            }
        }
        let wait = self.random.u64(10..3_000);
        self.after(wait, Event::RedisUp);
    }

    /// A server gives an account to the other, with all that it knows of it.
    fn move_account(&mut self) {
        let accounts: Vec<_> = self.accounts.keys().copied().collect();
        let account = accounts[self.random.usize(..accounts.len())];
        let Some(Some(from)) = self.homes.insert(account, None) else { return };
        self.seen.count("moved");
        let to = if from == SHARDS[0] { SHARDS[1] } else { SHARDS[0] };
        let wait = self.random.u64(0..2_000);
        self.after(wait, Event::Moved(account, to));
    }

    fn heal(&mut self) {
        for node in 0..self.nodes.len() {
            let node = &mut self.nodes[node];
            (node.cut, node.slow_until, node.slow_answers_until) = ((0, 0), 0, 0);
        }
    }
}
