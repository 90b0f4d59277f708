//! A provider's own limit of parallel calls: first in, first out, in a bounded line.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Calls that may wait for their turn at one provider, unless configured.
pub const LINE_MAX: usize = 1000;

/// Counts the calls in progress at one provider.
#[derive(Debug)]
pub struct Gate {
    /// None: no limit.
    places: Option<Semaphore>,
    line_max: usize,
    waiting: AtomicUsize,
}

/// A place at the provider; dropping it lets the next one in.
#[derive(Debug)]
#[must_use = "a dropped pass lets the next call in"]
pub struct Pass<'a> {
    _place: Option<SemaphorePermit<'a>>,
}

/// No place came free within the deadline, or the line is as long as it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Gate {
    /// Lets `parallel_max` calls in at once and `line_max` wait.
    pub fn new(parallel_max: usize, line_max: usize) -> Self {
        let places = Semaphore::new(parallel_max.min(Semaphore::MAX_PERMITS));
        Self { places: Some(places), line_max, waiting: AtomicUsize::new(0) }
    }

    /// Lets every call in.
    pub const fn open() -> Self {
        Self { places: None, line_max: 0, waiting: AtomicUsize::new(0) }
    }

    /// Comes in if there is a place now and nobody waits.
    pub fn try_enter(&self) -> Option<Pass<'_>> {
        let Some(places) = &self.places else { return Some(Pass { _place: None }) };
        Some(Pass { _place: Some(places.try_acquire().ok()?) })
    }

    /// Waits for a place, in the order of arrival. A waiter that is dropped leaves the line.
    ///
    /// # Errors
    /// [`Full`] at once if the line is at its bound, and at the deadline.
    pub async fn enter(&self, deadline: Instant) -> Result<Pass<'_>, Full> {
        if let Some(pass) = self.try_enter() {
            return Ok(pass);
        }
        let Some(places) = &self.places else { return Ok(Pass { _place: None }) };
        let _waiter = Waiter::join(&self.waiting, self.line_max).ok_or(Full)?;
        match tokio::time::timeout_at(deadline, places.acquire()).await {
            Ok(Ok(place)) => Ok(Pass { _place: Some(place) }),
            // The semaphore is never closed; the other error is the deadline.
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Calls that would be let in at once if they came now.
    pub fn room(&self) -> usize {
        self.places.as_ref().map_or(usize::MAX, Semaphore::available_permits)
    }

    /// Calls in the line.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the line.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn join(waiting: &'a AtomicUsize, line_max: usize) -> Option<Self> {
        waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < line_max).then_some(now + 1))
            .ok()
            .map(|_| Self(waiting))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_come_in_by_the_order_of_arrival() {
        let gate = Gate::new(1, 2);
        let inside = gate.enter(soon()).await.unwrap();
        assert_eq!(gate.room(), 0);
        let (mut first, mut second) = (pin!(gate.enter(soon())), pin!(gate.enter(soon())));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        assert_eq!(gate.waiting(), 2);
        drop(inside);
        assert!(poll(second.as_mut()).is_pending());
        assert!(gate.try_enter().is_none(), "a newcomer does not pass the line");
        let std::task::Poll::Ready(Ok(pass)) = poll(first.as_mut()) else { panic!("the first is not in") };
        assert!(poll(second.as_mut()).is_pending());
        drop(pass);
        assert!(poll(second.as_mut()).is_ready());
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn past_its_bound_the_line_takes_nobody() {
        let gate = Gate::new(1, 1);
        let _inside = gate.enter(soon()).await.unwrap();
        {
            let mut waiter = pin!(gate.enter(soon()));
            assert!(poll(waiter.as_mut()).is_pending());
            assert_eq!(gate.enter(soon()).await.unwrap_err(), Full);
        }
        assert_eq!(gate.waiting(), 0, "a waiter that was dropped has left the line");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_the_wait() {
        let gate = Gate::new(1, 1);
        let _inside = gate.enter(soon()).await.unwrap();
        let before = Instant::now();
        assert_eq!(gate.enter(before + Duration::from_secs(2)).await.unwrap_err(), Full);
        assert_eq!(before.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn an_open_gate_lets_everybody_in() {
        let gate = Gate::open();
        let passes: Vec<_> = (0..10_000).filter_map(|_| gate.try_enter()).collect();
        assert_eq!(passes.len(), 10_000);
        assert!(gate.room() > 0);
    }
}
