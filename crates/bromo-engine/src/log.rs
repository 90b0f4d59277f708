//! Log lines on their way to disk: a bounded queue and its writer. Nothing here slows a request: pushing
//! is one short lock, and a full queue counts the line as lost instead of waiting (promise L1).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::log::LogLine;
use bromo_rules::problem::Problem;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::{Clock, Timestamp};
use bromo_store::{LogGap, Logs};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::counters::Counter;
use crate::feed::Feed;

/// Lines that wait at most, about 15 MB.
pub const QUEUED_MAX: usize = 131_072;
/// Lines are gathered for so long before they are written: well below the second within which a line is
/// visible, and long enough that a batch compresses.
const GATHER: Duration = Duration::from_millis(200);
/// So many lines are written without gathering more: it bounds what a busy second keeps in memory.
const BATCH: usize = 8192;

/// Lines that wait for the writer.
#[derive(Default)]
pub struct LogQueue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    feed: Feed,
    /// Lines that the writer has taken and not yet written.
    writing: AtomicUsize,
    /// Lines written.
    pub written: Counter,
    /// Lines lost.
    pub lost: Counter,
    /// Requests whose client left before their end.
    pub canceled: Counter,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<LogLine>,
    gap: Option<LogGap>,
}

impl LogQueue {
    /// Takes a line, or counts it as lost.
    pub fn push(&self, line: LogLine) {
        let mut waiting = self.lock();
        if waiting.lines.len() >= QUEUED_MAX {
            waiting.widen_gap(1, line.at, line.at);
            drop(waiting);
            self.lost.count();
            return;
        }
        waiting.lines.push(line);
        let wakes = matches!(waiting.lines.len(), 1 | BATCH);
        drop(waiting);
        if wakes {
            self.filled.notify_one();
        }
    }

    /// Wakes those who watch the log.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Lines that are not on disk now.
    pub fn len(&self) -> usize {
        let waiting = self.lock();
        waiting.lines.len() + self.writing.load(Ordering::Acquire)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what is pushed until `stop`, and then what is left. A batch that cannot be written becomes part
    /// of the next gap.
    pub async fn write(self: Arc<Self>, logs: Arc<dyn Logs>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.filled.notified() => {}
                () = stop.cancelled() => break,
            }
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = self.filled.notified() => {} // A whole batch is there.
                () = stop.cancelled() => {}
            }
            self.flush(&*logs).await;
        }
        self.flush(&*logs).await;
    }

    /// Writes everything that waits now.
    pub async fn flush(&self, logs: &dyn Logs) {
        let Waiting { lines, gap } = {
            let mut waiting = self.lock();
            self.writing.store(waiting.lines.len(), Ordering::Release);
            std::mem::take(&mut *waiting)
        };
        if lines.is_empty() && gap.is_none() {
            return;
        }
        let count = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let ends = lines.first().zip(lines.last()).map(|(first, last)| (first.at, last.at));
        let watched = self.feed.watched_of(lines.iter().map(|line| line.account));
        match logs.append(lines, gap).await {
            Ok(()) => {
                self.written.add(count);
                self.feed.wake(&watched);
            }
            Err(error) => {
                tracing::error!(%error, lines = count, "failed to write log lines");
                self.lost.add(count);
                let mut waiting = self.lock();
                if let Some(gap) = gap {
                    waiting.widen_gap(gap.lines, gap.from, gap.until);
                }
                if let Some((from, until)) = ends {
                    waiting.widen_gap(count, from, until);
                }
            }
        }
        self.writing.store(0, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn widen_gap(&mut self, lines: u64, from: Timestamp, until: Timestamp) {
        let gap = self.gap.get_or_insert(LogGap { lines: 0, from, until });
        gap.lines += lines;
        gap.from = gap.from.min(from);
        gap.until = gap.until.max(until);
    }
}

/// The log line of a request that is still on its way. It is pushed when it is dropped, whatever ends the
/// request: with the outcome it was given, as a 500 in a panic, else as a 499 (the client left).
pub struct Record {
    line: LogLine,
    arrived: Instant,
    ended: bool,
    queue: Arc<LogQueue>,
}

impl Record {
    /// The record of a request that arrived at `arrived`.
    pub fn new(queue: &Arc<LogQueue>, line: LogLine, arrived: Instant) -> Self {
        Self { line, arrived, ended: false, queue: Arc::clone(queue) }
    }

    /// The line as it stands.
    pub fn line(&self) -> &LogLine {
        &self.line
    }

    /// The slots of its decision.
    pub fn decided(&mut self, slots: SlotStanding) {
        self.line.slots = Some(slots);
    }

    /// Provider attempts made so far.
    pub fn attempted(&mut self, attempts: u8) {
        self.line.attempts = attempts;
    }

    /// It ends well.
    pub fn succeed(&mut self, charged: Credits) {
        (self.line.status, self.line.code, self.line.charged) = (200, "", charged);
        self.ended = true;
    }

    /// It ends with this problem.
    pub fn fail(&mut self, problem: Problem) {
        (self.line.status, self.line.code, self.line.charged) = (problem.status, problem.code, Credits::ZERO);
        self.ended = true;
    }

    /// Whether an outcome was given.
    pub fn ended(&self) -> bool {
        self.ended
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            let panicking = std::thread::panicking();
            self.fail(if panicking { Problem::INTERNAL } else { Problem::CANCELED });
            self.queue.canceled.add(u64::from(!panicking));
        }
        let mut line = self.line.clone();
        line.took_us = u64::try_from(self.arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.queue.push(line);
    }
}

/// How often old log lines are looked for.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Deletes what is too old or too much, until `stop`.
pub async fn trim(
    logs: Arc<dyn Logs>,
    clock: Arc<dyn Clock>,
    keep: Duration,
    bytes_max: u64,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TRIM_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_millis(clock.now().millis().saturating_sub(keep_ms));
        match logs.trim(before, bytes_max).await {
            Ok(0) => {}
            Ok(lines) => tracing::info!(lines, "deleted old log lines"),
            Err(error) => tracing::error!(%error, "failed to delete old log lines"),
        }
    }
}
