//! Log lines on their way to disk: a bounded queue and its writer. Nothing here slows a request: pushing
//! is one short lock, and a full queue counts the line as lost instead of waiting (promise L1).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bromo_admission::{Bus, Message};
use bromo_rules::credit::Credits;
use bromo_rules::log::LogLine;
use bromo_rules::problem::Problem;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::{Clock, Timestamp};
use bromo_store::{KeptText, LogGap, LogKeep, Logs};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::counters::Counter;
use crate::feed::Feed;

/// Lines that wait at most, about 15 MB.
pub const QUEUED_MAX: usize = 131_072;
/// Bytes of kept texts that wait at most, those being written included.
pub const TEXT_BYTES_WAITING_MAX: usize = 16 * 1024 * 1024;
/// Lines are gathered for so long before they are written: well below the second within which a line is
/// visible, and long enough that a batch compresses.
const GATHER: Duration = Duration::from_millis(200);
/// So many lines are written without gathering more: it bounds what a busy second keeps in memory.
const BATCH: usize = 8192;

/// What a text takes beside its bytes: without it there would be no end of empty ones.
const TEXT_BYTES_EACH: usize = size_of::<KeptText>();

/// Lines that wait for the writer, and texts to be kept.
#[derive(Default)]
pub struct LogQueue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    feed: Feed,
    /// Told of new lines; none where there are no other nodes.
    bus: Option<Arc<dyn Bus>>,
    /// Lines that the writer has taken and not yet written.
    writing: AtomicUsize,
    /// Bytes of kept texts that are not on disk now.
    text_bytes: AtomicUsize,
    /// Lines written.
    pub written: Counter,
    /// Lines lost.
    pub lost: Counter,
    /// Texts lost that were to be kept.
    pub texts_lost: Counter,
    /// Requests whose client left before their end.
    pub canceled: Counter,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<LogLine>,
    gap: Option<LogGap>,
    texts: Vec<KeptText>,
}

impl LogQueue {
    /// One that tells other nodes of new lines.
    pub fn telling(bus: Arc<dyn Bus>) -> Self {
        Self { bus: Some(bus), ..Self::default() }
    }

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

    /// Takes a text that is to be kept, or counts it as lost where too much waits. It is there a little later than its
    /// line may be.
    pub fn keep(&self, text: KeptText) {
        let bytes = text.bytes().saturating_add(TEXT_BYTES_EACH);
        let grown =
            |waiting: usize| waiting.checked_add(bytes).filter(|waiting| *waiting <= TEXT_BYTES_WAITING_MAX);
        if self.text_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).is_err() {
            self.texts_lost.count();
            return;
        }
        let mut waiting = self.lock();
        waiting.texts.push(text);
        let wakes = waiting.texts.len() == 1;
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
        let Waiting { lines, gap, texts } = {
            let mut waiting = self.lock();
            self.writing.store(waiting.lines.len(), Ordering::Release);
            std::mem::take(&mut *waiting)
        };
        if !texts.is_empty() {
            self.write_texts(logs, texts).await;
        }
        if lines.is_empty() && gap.is_none() {
            return;
        }
        let count = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let ends = lines.first().zip(lines.last()).map(|(first, last)| (first.at, last.at));
        let watched = self.feed.watched_of(lines.iter().map(|line| line.account));
        let elsewhere = self.bus.as_ref().map(|bus| {
            let mut accounts: Vec<_> = lines.iter().map(|line| line.account).collect();
            accounts.dedup(); // Neighbouring lines are often of one account.
            (bus, accounts)
        });
        match logs.append(lines, gap).await {
            Ok(()) => {
                self.written.add(count);
                self.feed.wake(&watched);
                if let Some((bus, accounts)) = elsewhere {
                    accounts.into_iter().for_each(|account| bus.tell(Message::Lines(account)));
                }
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

    async fn write_texts(&self, logs: &dyn Logs, texts: Vec<KeptText>) {
        let count = u64::try_from(texts.len()).unwrap_or(u64::MAX);
        let bytes: usize = texts.iter().map(|text| text.bytes() + TEXT_BYTES_EACH).sum();
        if let Err(error) = logs.append_texts(texts).await {
            tracing::error!(%error, texts = count, "failed to keep texts");
            self.texts_lost.add(count);
        }
        self.text_bytes.fetch_sub(bytes, Ordering::AcqRel);
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

/// How much is kept, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// No line and no text longer than this.
    pub age_max: Duration,
    /// Lines, and what is counted of them.
    pub bytes_max: u64,
    /// Texts, packed.
    pub text_bytes_max: u64,
}

/// Deletes what is too old or too much, until `stop`.
pub async fn trim(logs: Arc<dyn Logs>, clock: Arc<dyn Clock>, keep: Keep, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TRIM_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let age_max = i64::try_from(keep.age_max.as_millis()).unwrap_or(i64::MAX);
        let from = Timestamp::from_millis(clock.now().millis().saturating_sub(age_max));
        let keep = LogKeep { from, bytes_max: keep.bytes_max, text_bytes_max: keep.text_bytes_max };
        match logs.trim(&keep).await {
            Ok(0) => {}
            Ok(lines) => tracing::info!(lines, "deleted old log lines"),
            Err(error) => tracing::error!(%error, "failed to delete old log lines"),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bromo_rules::credit::Way;
    use bromo_rules::id::{AccountId, KeyId, RequestId};
    use bromo_store::{KeyUse, Level, LogFilter, LogPage, Rollup, StoreError};

    use super::*;

    /// A log that counts, or fails, and keeps nothing.
    #[derive(Default)]
    struct Counting {
        fails: bool,
        lines: AtomicUsize,
        texts: AtomicUsize,
    }

    impl Counting {
        fn add(&self, counter: &AtomicUsize, more: usize) -> Result<(), StoreError> {
            if self.fails {
                return Err(StoreError::Unavailable { reason: "it fails".to_owned() });
            }
            counter.fetch_add(more, Ordering::SeqCst);
            Ok(())
        }
    }

    #[async_trait]
    impl Logs for Counting {
        async fn append(&self, lines: Vec<LogLine>, _: Option<LogGap>) -> Result<(), StoreError> {
            self.add(&self.lines, lines.len())
        }
        async fn append_texts(&self, texts: Vec<KeptText>) -> Result<(), StoreError> {
            self.add(&self.texts, texts.len())
        }
        async fn read(
            &self,
            _: &LogFilter,
            _: Option<u64>,
            _: u32,
            _: Duration,
        ) -> Result<LogPage, StoreError> {
            Ok(LogPage::default())
        }
        async fn rollups(
            &self,
            _: AccountId,
            _: Level,
            _: Duration,
            _: Timestamp,
            _: Timestamp,
        ) -> Result<Vec<Rollup>, StoreError> {
            Ok(Vec::new())
        }
        async fn key_uses(&self, _: AccountId) -> Result<Vec<KeyUse>, StoreError> {
            Ok(Vec::new())
        }
        async fn gaps(&self, _: Timestamp, _: Timestamp, _: u32) -> Result<Vec<LogGap>, StoreError> {
            Ok(Vec::new())
        }
        async fn lookup_text(&self, _: AccountId, _: RequestId) -> Result<Option<KeptText>, StoreError> {
            Ok(None)
        }
        async fn trim(&self, _: &LogKeep) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    fn line(account: u64) -> LogLine {
        LogLine {
            request: RequestId::from_bytes([0; 16]),
            at: Timestamp::from_millis(0),
            account: AccountId::from_random(account),
            key: KeyId::from_random(1),
            way: Way::Now,
            route: "monitor/chatgpt",
            status: 200,
            code: "",
            took_us: 1,
            slots: None,
            charged: Credits::ZERO,
            attempts: 1,
        }
    }

    fn text(bytes: usize) -> KeptText {
        KeptText {
            request: RequestId::from_bytes([0; 16]),
            account: AccountId::from_random(1),
            at: Timestamp::from_millis(0),
            question: Vec::new(),
            answer: vec![0; bytes],
        }
    }

    #[tokio::test]
    async fn watchers_are_woken_once_lines_are_on_disk() {
        let queue = LogQueue::default();
        let mut watcher = queue.feed().watch(AccountId::from_random(1)).unwrap();
        let mut is_woken = async || {
            let woken = tokio::time::timeout(Duration::from_millis(20), watcher.changed()).await;
            woken.is_ok()
        };
        queue.push(line(1));
        assert!(!is_woken().await);
        queue.flush(&Counting::default()).await;
        assert!(is_woken().await);
        queue.push(line(2));
        queue.flush(&Counting::default()).await;
        assert!(!is_woken().await);
        queue.push(line(1));
        queue.flush(&Counting { fails: true, ..Counting::default() }).await;
        assert!(!is_woken().await);
    }

    #[tokio::test]
    async fn texts_that_are_too_much_are_counted_as_lost() {
        let queue = LogQueue::default();
        let third = TEXT_BYTES_WAITING_MAX / 3 - TEXT_BYTES_EACH;
        for _ in 0..4 {
            queue.keep(text(third));
        }
        queue.keep(text(usize::MAX >> 40));
        assert_eq!(queue.texts_lost.get(), 2);
        let logs = Counting::default();
        queue.flush(&logs).await;
        assert_eq!((logs.texts.load(Ordering::SeqCst), logs.lines.load(Ordering::SeqCst)), (3, 0));
        queue.keep(text(third));
        queue.flush(&Counting { fails: true, ..Counting::default() }).await;
        assert_eq!((queue.texts_lost.get(), queue.text_bytes.load(Ordering::SeqCst)), (3, 0));
    }

    #[tokio::test]
    async fn the_writer_writes_a_text_that_comes_without_a_line() {
        let queue = Arc::new(LogQueue::default());
        let (logs, stop) = (Arc::new(Counting::default()), CancellationToken::new());
        queue.keep(text(10));
        let writer = tokio::spawn(Arc::clone(&queue).write(Arc::clone(&logs) as Arc<dyn Logs>, stop.clone()));
        tokio::time::timeout(Duration::from_secs(10), async {
            while logs.texts.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        stop.cancel();
        writer.await.unwrap();
    }
}
