//! Jobs that come seldom: each a closure in a transaction of its own, with as many round trips as it likes.

use std::any::Any;
use std::marker::PhantomData;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::lane::{Answers, Job, Lane};
use super::tx::Tx;
use crate::error::StoreError;

/// One of them, whatever its type. With `SNAPSHOT`, all its statements see the same instant, and it cannot write.
pub(super) struct Other<const SNAPSHOT: bool = false>(Box<dyn Work>);

/// One that only reads.
pub(super) type Snapshot = Other<true>;

type Outcome = Box<dyn Any + Send>;

trait Work: Send {
    fn run<'a>(&'a self, tx: &'a Tx<'_>) -> LocalBoxFuture<'a, Result<Outcome, StoreError>>;
}

struct Closure<F, T>(F, PhantomData<fn() -> T>);

impl<T, F> Work for Closure<F, T>
where
    T: Send + 'static,
    F: AsyncFn(&Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn run<'a>(&'a self, tx: &'a Tx<'_>) -> LocalBoxFuture<'a, Result<Outcome, StoreError>> {
        async move { Ok(Box::new((self.0)(tx).await?) as Outcome) }.boxed_local()
    }
}

impl<const SNAPSHOT: bool> Job for Other<SNAPSHOT> {
    type Answer = Outcome;
    const GUARDED: bool = false;
    const BEGIN: &'static str =
        if SNAPSHOT { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "BEGIN" };
    // Each alone.
    const ROWS_MAX: usize = 1;

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Outcome>, StoreError> {
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            answers.push(Ok(job.0.run(tx).await?));
        }
        Ok(answers)
    }
}

impl<const SNAPSHOT: bool> Lane<Other<SNAPSHOT>> {
    /// Runs `work` in a transaction; an error of it undoes all. It is run again if another transaction came in between,
    /// so it looks first whether what it writes is there: whoever loses the race sees it the second time.
    ///
    /// Once handed over it runs, even if the caller leaves.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError::Unavailable`].
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: AsyncFn(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let outcome = self.ask(Other(Box::new(Closure(work, PhantomData)))).await?;
        let outcome: Result<Box<T>, _> = outcome.downcast();
        // It is what the closure answered.
        outcome
            .map(|outcome| *outcome)
            .map_err(|_| StoreError::Unavailable { reason: "a job was not answered".to_owned() })
    }
}
