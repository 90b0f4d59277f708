use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bromo_rules::time::ManualClock;

use super::*;
use crate::sandbox::Sandbox;

fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_millis(1_000_000))
}

fn line(parallel_max: usize, line_max: usize) -> Line {
    let breaker = BreakerRules { failures_max: NonZeroU32::new(2), open_for: Duration::from_secs(10) };
    let gate = Arc::new(Gate::new(parallel_max, line_max));
    Line::new(Some(Endpoint::Chatgpt), Arc::new(Sandbox), gate, breaker, Attempts::default())
}

fn question(prompt: &str) -> Question {
    Question::plain(Endpoint::Chatgpt, prompt)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn failures_open_the_breaker_and_a_probe_closes_it() {
    let (line, clock) = (line(4, 0), clock());
    for attempt in [1, 2] {
        assert!(line.room(clock.now()) > 0);
        let error = line.attempt(&question("[sandbox fail=broken]"), attempt, soon(), &clock).await;
        assert_eq!(error.unwrap_err().kind(), "broken");
    }
    assert!(line.room(clock.now()) == 0);
    let turned_away = line.attempt(&question("tea"), 1, soon(), &clock).await.unwrap_err();
    assert_eq!(turned_away, ProviderError::NoRoom { retry_after: Some(Duration::from_secs(10)) });
    clock.advance(Duration::from_secs(10));
    assert!(line.room(clock.now()) > 0);
    line.attempt(&question("tea"), 1, soon(), &clock).await.unwrap();
    assert!(line.is_closed());
    let figures = line.figures();
    assert_eq!((figures.started, figures.answered, figures.turned_away_open), (3, 1, 1));
    assert_eq!(figures.failed.iter().sum::<u64>(), 2);
    assert_eq!(figures.latency.iter().sum::<u64>(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_leaves_its_place_to_the_next() {
    let (line, clock) = (line(4, 0), clock());
    for _ in 0..2 {
        let _ = line.attempt(&question("[sandbox fail=broken]"), 1, soon(), &clock).await;
    }
    clock.advance(Duration::from_secs(10));
    let slow = question("[sandbox latency_ms=1000] tea");
    {
        let mut probe = pin!(line.attempt(&slow, 1, soon(), &clock));
        assert!(poll(probe.as_mut()).is_pending());
        assert!(line.room(clock.now()) == 0);
        let other = line.attempt(&slow, 1, soon(), &clock).await.unwrap_err();
        assert_eq!(other, ProviderError::NoRoom { retry_after: Some(Duration::from_secs(1)) });
    }
    assert!(line.room(clock.now()) > 0);
    assert_eq!(line.figures().cancelled, 1);
    assert!(!line.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_full_gate_makes_wait_and_a_full_line_turns_away() {
    let (line, clock) = (line(1, 1), clock());
    let slow = question("[sandbox latency_ms=1000] tea");
    let mut first = pin!(line.attempt(&slow, 1, soon(), &clock));
    assert!(poll(first.as_mut()).is_pending());
    assert!(line.room(clock.now()) == 0);
    let mut second = pin!(line.attempt(&slow, 1, soon(), &clock));
    assert!(poll(second.as_mut()).is_pending());
    let third = line.attempt(&slow, 1, soon(), &clock).await.unwrap_err();
    assert_eq!(third, ProviderError::NoRoom { retry_after: None });
    assert!(first.await.is_ok());
    assert!(second.await.is_ok());
    assert_eq!(line.figures().turned_away_full, 1);
}

#[tokio::test(start_paused = true)]
async fn those_in_line_do_not_rush_a_provider_that_failed_meanwhile() {
    let (line, clock) = (line(2, 2), clock());
    let failing = question("[sandbox latency_ms=1000 fail=broken]");
    let (mut a, mut b) =
        (pin!(line.attempt(&failing, 1, soon(), &clock)), pin!(line.attempt(&failing, 1, soon(), &clock)));
    assert!(poll(a.as_mut()).is_pending());
    assert!(poll(b.as_mut()).is_pending());
    let mut waiting = pin!(line.attempt(&failing, 1, soon(), &clock));
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(a.await.unwrap_err().kind(), "broken");
    assert_eq!(b.await.unwrap_err().kind(), "broken");
    assert_eq!(waiting.await.unwrap_err().kind(), "no_room");
    assert_eq!(line.figures().started, 2);
}

#[tokio::test]
async fn a_panic_gives_the_place_back() {
    let (line, clock) = (Arc::new(line(1, 0)), clock());
    let panicking = Arc::clone(&line);
    let task = tokio::spawn(async move {
        panicking.attempt(&question("[sandbox fail=panic]"), 1, soon(), &self::clock()).await
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(line.room(clock.now()) > 0);
}

#[test]
fn an_endpoint_without_a_provider_names_its_setting() {
    let sandbox = Arc::new(line(1, 0));
    let mut lines: [Option<Arc<Line>>; 8] = Default::default();
    lines[Endpoint::Gemini.index()] = Some(Arc::new(line(1, 0)));
    let catalog = Catalog::new(lines, sandbox);
    assert!(catalog.line(Endpoint::Gemini).is_ok());
    let error = catalog.line(Endpoint::GoogleNews).unwrap_err();
    assert_eq!(error.to_string(), "not available: endpoints.google-news.provider is not set");
    assert_eq!(catalog.lines().map(|(name, _)| name).collect::<Vec<_>>(), ["gemini", "sandbox"]);
    for endpoint in Endpoint::ALL {
        assert!(Catalog::missing_setting(endpoint).contains(&endpoint.name().replace('/', "-")));
    }
}
