//! Who has guessed too often at passwords: each further attempt at an address, or from one, waits twice as long.
//!
//! Attempts count when they begin and are forgiven when they succeed, so that many at once are no way around.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bromo_rules::member::Email;
use bromo_rules::time::Timestamp;

/// Failures of an e-mail address before its attempts have to wait.
const FREE_BY_EMAIL: u32 = 5;
/// The same of a network address: many people may share one.
const FREE_BY_PEER: u32 = 50;
/// The first wait; it doubles with each failure …
const WAIT_MIN: Duration = Duration::from_secs(30);
/// … up to this one.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// Failures are forgotten when for so long there was none and none had to wait.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);
/// Addresses of a kind that are remembered; past it the one that failed longest ago is forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// The attempt may be made after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Whole seconds, at least one.
    pub(crate) seconds: u64,
}

/// The failures of this node. A restart forgets them.
pub(crate) struct Guard(Mutex<Both>);

struct Both {
    emails: Failures<Email>,
    peers: Failures<IpAddr>,
}

impl Default for Guard {
    fn default() -> Self {
        let (emails, peers) = (Failures::after(FREE_BY_EMAIL), Failures::after(FREE_BY_PEER));
        Self(Mutex::new(Both { emails, peers }))
    }
}

impl Guard {
    /// Lets an attempt begin and counts it as failed, or says how long it has to wait and counts nothing.
    pub(crate) fn begin(
        &self,
        email: Option<&Email>,
        peer: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), Wait> {
        let (mut both, peer) = (self.lock(), peer.map(network));
        let waits = [
            email.map_or(Duration::ZERO, |email| both.emails.wait(email, now)),
            peer.map_or(Duration::ZERO, |peer| both.peers.wait(&peer, now)),
        ];
        let wait = waits[0].max(waits[1]);
        if !wait.is_zero() {
            let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
            return Err(Wait { seconds });
        }
        if let Some(email) = email {
            both.emails.count(email.clone(), now);
        }
        if let Some(peer) = peer {
            both.peers.count(peer, now);
        }
        Ok(())
    }

    /// The attempt succeeded: the e-mail address has no failures any more. The network address has one less, or a
    /// password of one's own would be the way to guess at those of others.
    pub(crate) fn succeeded(&self, email: &Email, peer: Option<IpAddr>) {
        let mut both = self.lock();
        both.emails.of.remove(email);
        if let Some(peer) = peer {
            both.peers.forgive(&network(peer));
        }
    }

    /// The attempt came to no end.
    pub(crate) fn take_back(&self, email: Option<&Email>, peer: Option<IpAddr>) {
        let mut both = self.lock();
        if let Some(email) = email {
            both.emails.forgive(email);
        }
        if let Some(peer) = peer {
            both.peers.forgive(&network(peer));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Both> {
        // Arithmetic alone happens under it, so it is sound even after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has one IPv6 address has its whole /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(peer) => IpAddr::V6(Ipv6Addr::from_bits(peer.to_bits() >> 64 << 64)),
        peer @ IpAddr::V4(_) => peer,
    }
}

struct Failures<K> {
    free: u32,
    of: HashMap<K, Failed>,
}

#[derive(Clone, Copy)]
struct Failed {
    count: u32,
    last: Timestamp,
}

impl<K: Eq + Hash + Clone> Failures<K> {
    fn after(free: u32) -> Self {
        Self { free, of: HashMap::new() }
    }

    /// How long the next attempt has to wait.
    fn wait(&self, key: &K, now: Timestamp) -> Duration {
        let until = self.of.get(key).map(|failed| failed.waits_until(self.free));
        until.map_or(Duration::ZERO, |until| until.since(now))
    }

    fn count(&mut self, key: K, now: Timestamp) {
        if self.of.get(&key).is_some_and(|failed| failed.is_forgotten(self.free, now)) {
            self.of.remove(&key);
        }
        if self.of.len() >= REMEMBERED_MAX && !self.of.contains_key(&key) {
            self.make_room(now);
        }
        let failed = self.of.entry(key).or_insert(Failed { count: 0, last: now });
        *failed = Failed { count: failed.count.saturating_add(1), last: now };
    }

    fn forgive(&mut self, key: &K) {
        if let Some(failed) = self.of.get_mut(key) {
            failed.count -= 1;
            if failed.count == 0 {
                self.of.remove(key);
            }
        }
    }

    fn make_room(&mut self, now: Timestamp) {
        let free = self.free;
        self.of.retain(|_, failed| !failed.is_forgotten(free, now));
        if self.of.len() >= REMEMBERED_MAX
            && let Some(oldest) =
                self.of.iter().min_by_key(|(_, failed)| failed.last).map(|(key, _)| key.clone())
        {
            self.of.remove(&oldest);
        }
    }
}

impl Failed {
    fn waits_until(self, free: u32) -> Timestamp {
        match self.count.checked_sub(free) {
            None => self.last,
            Some(more) => self.last.plus((WAIT_MIN * (1 << more.min(10))).min(WAIT_MAX)),
        }
    }

    fn is_forgotten(self, free: u32, now: Timestamp) -> bool {
        now >= self.waits_until(free).plus(FORGOTTEN_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(number: usize) -> Email {
        format!("member-{number}@example.com").parse().unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_760_000_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn after_five_failures_each_attempt_waits_twice_as_long_up_to_a_quarter_of_an_hour() {
        let guard = Guard::default();
        for second in 0..5 {
            assert_eq!(guard.begin(Some(&email(1)), None, at(second)), Ok(()));
        }
        let mut now = 4;
        for seconds in [30, 60, 120, 240, 480, 900, 900] {
            assert_eq!(guard.begin(Some(&email(1)), None, at(now)), Err(Wait { seconds }));
            assert_eq!(guard.begin(Some(&email(1)), None, at(now + seconds - 1)), Err(Wait { seconds: 1 }));
            now += seconds;
            assert_eq!(guard.begin(Some(&email(1)), None, at(now)), Ok(()));
        }
        assert_eq!(guard.begin(Some(&email(2)), None, at(now)), Ok(()));
    }

    #[test]
    fn failures_are_forgotten_after_a_quarter_of_an_hour_without_one() {
        let guard = Guard::default();
        for round in 0..3 {
            for _ in 0..5 {
                assert_eq!(guard.begin(Some(&email(1)), None, at(round * (30 + 900))), Ok(()));
            }
            assert!(guard.begin(Some(&email(1)), None, at(round * (30 + 900))).is_err());
        }
    }

    #[test]
    fn success_clears_the_address_and_forgives_its_peer_one() {
        let (guard, peer) = (Guard::default(), Some(IpAddr::from([192, 0, 2, 1])));
        for number in 0..50 {
            assert_eq!(guard.begin(Some(&email(number)), peer, at(0)), Ok(()));
        }
        assert_eq!(guard.begin(Some(&email(50)), peer, at(0)), Err(Wait { seconds: 30 }));
        guard.succeeded(&email(49), peer);
        assert_eq!(guard.begin(Some(&email(50)), peer, at(0)), Ok(()));
        assert_eq!(guard.begin(Some(&email(51)), peer, at(0)), Err(Wait { seconds: 30 }));
        for _ in 0..10 {
            assert_eq!(guard.begin(Some(&email(1)), None, at(0)), Ok(()));
            guard.succeeded(&email(1), None);
        }
    }

    #[test]
    fn an_attempt_that_came_to_no_end_is_no_failure() {
        let guard = Guard::default();
        for _ in 0..100 {
            assert_eq!(guard.begin(Some(&email(1)), None, at(0)), Ok(()));
            guard.take_back(Some(&email(1)), None);
        }
    }

    #[test]
    fn neighbours_in_a_network_of_six_are_one_peer() {
        let guard = Guard::default();
        for number in 0..50 {
            let peer: IpAddr = format!("2001:db8::{number:x}").parse().unwrap();
            assert_eq!(guard.begin(None, Some(peer), at(0)), Ok(()));
        }
        assert!(guard.begin(None, Some("2001:db8::1:2".parse().unwrap()), at(0)).is_err());
        assert!(guard.begin(None, Some("2001:db8:0:1::1".parse().unwrap()), at(0)).is_ok());
    }

    #[test]
    fn no_more_addresses_are_remembered_than_the_bound() {
        let guard = Guard::default();
        for number in 0..REMEMBERED_MAX + 10 {
            let now = at(0).plus(Duration::from_millis(number as u64));
            assert_eq!(guard.begin(Some(&email(number)), None, now), Ok(()));
        }
        assert_eq!(guard.lock().emails.of.len(), REMEMBERED_MAX);
        assert!(!guard.lock().emails.of.contains_key(&email(0)));
    }
}
