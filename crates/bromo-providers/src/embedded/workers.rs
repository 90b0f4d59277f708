//! The threads that run the model, with a first-in-first-out line before them.
//!
//! candle spreads one matrix product over a pool of threads that belongs to the process. With several
//! questions at once that pool is fought for and all get slower (50 against 93 tokens a second for four),
//! so every question wants a pool of one. candle offers environment variables for that, which a program
//! may not set for itself safely. But inside a thread *of* the pool candle runs a product inline, so the
//! pool's own threads are taken as the workers and stay busy with nothing else; rayon, for the rest of
//! candle, is told by each worker that it is a pool of one.
//!
//! Who leads the pool holds its lock for as long as the process lives. So **every call of candle belongs
//! on these threads**, loading too: anywhere else it would wait for that lock without end.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// How much later than HTTP a worker gets its turn, on the scale where 19 is last.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The line before the workers. Its bound is kept by those who hand over, one job a question.
#[derive(Default)]
pub(super) struct Workers {
    line: Mutex<VecDeque<(u64, Job)>>,
    came: Condvar,
    numbers: AtomicU64,
}

/// The workers of this process; the first call starts them. `count` none: one less than cores, at least one.
pub(super) fn start(count: Option<usize>) -> &'static Workers {
    static WORKERS: OnceLock<Workers> = OnceLock::new();
    static STARTED: OnceLock<()> = OnceLock::new();
    let workers = WORKERS.get_or_init(Workers::default);
    STARTED.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = count.unwrap_or(cores.saturating_sub(1)).max(1);
        let outcome =
            std::thread::Builder::new().name("bromo-model".to_owned()).spawn(move || lead(workers, count));
        if let Err(error) = outcome {
            // Questions then wait until their deadline.
            tracing::error!(%error, "cannot start the threads of the embedded model");
        }
    });
    workers
}

/// Takes candle's pool and lends its threads to the line, for as long as the process lives.
fn lead(workers: &'static Workers, count: usize) {
    let pool = candle_core::utils::barrier_pool();
    let threads = pool.n_workers();
    if threads == 0 {
        // A pool of the leader alone runs everything inline already, on any thread.
        for number in 1..count {
            let name = format!("bromo-model-{number}");
            if let Err(error) = std::thread::Builder::new().name(name).spawn(move || workers.work()) {
                tracing::error!(%error, "cannot start a thread of the embedded model");
            }
        }
        workers.work();
    }
    pool.execute(|number| {
        if number == threads {
            // The leader would spin while it waits for the others; it sleeps instead.
            loop {
                std::thread::park();
            }
        } else if number < count {
            workers.work();
        }
    });
}

impl Workers {
    /// Puts a job at the end of the line.
    pub(super) fn hand_over(&'static self, job: Job) -> Ticket {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.line().push_back((number, job));
        self.came.notify_one();
        Ticket { workers: self, number }
    }

    fn work(&self) -> ! {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            // On Linux this is a thread's own priority.
            tracing::debug!(%error, "the embedded model runs at the priority of the rest");
        }
        let _alone = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
        loop {
            let job = {
                let mut line = self.line();
                loop {
                    match line.pop_front() {
                        Some((_, job)) => break job,
                        None => line = self.came.wait(line).unwrap_or_else(PoisonError::into_inner),
                    }
                }
            };
            // A worker outlives what it works on; whoever waits sees its sender go.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("the embedded model panicked");
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<(u64, Job)>> {
        // Nothing that can panic happens under the lock.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job's place in the line: kept until the job is done, or dropped to take it out of the line.
#[must_use = "a dropped ticket takes its job out of the line"]
pub(super) struct Ticket {
    workers: &'static Workers,
    number: u64,
}

impl Ticket {
    /// Leaves the job in the line whatever becomes of this ticket.
    pub(super) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut line = self.workers.line();
        let place = line.iter().position(|(number, _)| *number == self.number);
        let job = place.and_then(|place| line.remove(place));
        // A job may hold much; it is dropped without the lock.
        drop(line);
        drop(job);
    }
}
