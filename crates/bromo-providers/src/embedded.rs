//! The small model in this process: answers without a key, an upstream or a graphics card.
//!
//! It shows that everything runs; it is no source of truth, and every answer names it. Loading happens in
//! the background and questions wait for it inside their deadline. Inference runs on threads of its own
//! (`workers.rs`) and never on the caller's.

mod file;
mod model;
mod prompt;
mod workers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bromo_rules::answer::Answer;
use bromo_rules::question::Question;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::client::within;
use crate::error::ProviderError;
use crate::{Answering, Provider};
use file::Stamp;
use model::{Model, Stop};
use workers::Workers;

pub use model::{PREFILL_TOKENS, PROMPT_TOKENS_MAX};

const EMBEDDED: &str = "embedded";

/// Questions inside, waiting or being answered, unless configured.
pub const INSIDE_MAX: usize = 64;

/// How the model answers.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Bound on an answer, in model tokens. An answer that reaches it is cut there, and is an answer.
    pub max_tokens: usize,
    /// Threads; none: one less than the machine has cores, and at least one. One process has one set of
    /// threads, so the first model that starts decides.
    pub threads: Option<usize>,
    /// Questions that may wait or be answered at once; past it there is no room.
    pub inside_max: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { max_tokens: 200, threads: None, inside_max: INSIDE_MAX }
    }
}

/// The model, loaded or on its way. A clone is the same model.
#[derive(Clone)]
pub struct Embedded(Arc<Shared>);

struct Shared {
    path: PathBuf,
    options: EmbeddedOptions,
    workers: &'static Workers,
    state: watch::Sender<State>,
    figures: Arc<Figures>,
}

#[derive(Clone)]
enum State {
    Loading,
    Ready(Arc<Model>),
    /// With the file as it was then, so that a better one is noticed.
    Failed {
        reason: String,
        file: Option<Stamp>,
    },
}

#[derive(Default)]
struct Figures {
    inside: AtomicUsize,
    running: AtomicUsize,
    /// Passes through the model: a piece of a prompt or one token of an answer.
    passes: AtomicU64,
}

impl Embedded {
    /// Begins to load the model and returns at once.
    pub fn start(path: &Path, options: EmbeddedOptions) -> Self {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            workers: workers::start(options.threads),
            options,
            state: watch::Sender::new(State::Loading),
            figures: Arc::default(),
        });
        Arc::clone(&shared).load();
        Self(shared)
    }

    /// Whether questions are answered without waiting for the load.
    pub fn is_ready(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Ready(_))
    }

    /// Questions inside, waiting or being answered.
    pub fn inside(&self) -> usize {
        self.0.figures.inside.load(Ordering::Relaxed)
    }

    /// Questions being answered.
    pub fn running(&self) -> usize {
        self.0.figures.running.load(Ordering::SeqCst)
    }

    /// Passes through the model since the start: pieces of prompts and tokens of answers.
    pub fn passes(&self) -> u64 {
        self.0.figures.passes.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn load(self: Arc<Self>) {
        let workers = self.workers;
        let job = Box::new(move || {
            let file = Stamp::of(&self.path);
            let state = match Model::load(&self.path) {
                Ok(model) => State::Ready(Arc::new(model)),
                Err(reason) => {
                    tracing::warn!(path = %self.path.display(), reason, "the embedded model is not available");
                    State::Failed { reason, file }
                }
            };
            self.state.send_replace(state);
        });
        workers.hand_over(job).forget();
    }

    /// The model, once it is loaded.
    async fn model(self: &Arc<Self>) -> Result<Arc<Model>, ProviderError> {
        let mut changes = self.state.subscribe();
        self.load_again_if_the_file_changed();
        let loaded = changes.wait_for(|state| !matches!(state, State::Loading)).await;
        match loaded.as_deref() {
            Ok(State::Ready(model)) => Ok(Arc::clone(model)),
            Ok(State::Failed { reason, .. }) => Err(ProviderError::Unavailable { reason: reason.clone() }),
            Ok(State::Loading) | Err(_) => {
                Err(ProviderError::broken("the embedded model went away while loading"))
            }
        }
    }

    /// Whoever runs `make model` beside a running server need not restart it.
    fn load_again_if_the_file_changed(self: &Arc<Self>) {
        let begun = self.state.send_if_modified(|state| {
            let changed = matches!(state, State::Failed { file, .. } if *file != Stamp::of(&self.path));
            if changed {
                *state = State::Loading;
            }
            changed
        });
        if begun {
            Arc::clone(self).load();
        }
    }

    async fn call(self: &Arc<Self>, question: &Question, deadline: Instant) -> Result<Answer, ProviderError> {
        let _inside = Inside::enter(&self.figures, self.options.inside_max)
            .ok_or(ProviderError::NoRoom { retry_after: None })?;
        let model = self.model().await?;
        let (tell, told) = oneshot::channel();
        let name = model.name().to_owned();
        let job = {
            let (figures, prompt) = (Arc::clone(&self.figures), question.prompt.clone());
            let max_tokens = self.options.max_tokens;
            move || {
                let running = Running::begin(&figures);
                let outcome = model.answer(&prompt, max_tokens, || {
                    figures.passes.fetch_add(1, Ordering::SeqCst);
                    // The receiver is gone when the caller is.
                    if tell.is_closed() || Instant::now() >= deadline { Err(Stop::Unwanted) } else { Ok(()) }
                });
                // Before the answer goes out: who has it finds the worker free.
                drop(running);
                let _ = tell.send(outcome);
            }
        };
        // Dropped with this future, it takes the job out of the line.
        let _ticket = self.workers.hand_over(Box::new(job));
        let markdown = match told.await {
            Ok(Ok(markdown)) => markdown,
            Ok(Err(Stop::TooLong { tokens })) => {
                return Err(ProviderError::TooLong { tokens, tokens_max: PROMPT_TOKENS_MAX });
            }
            Ok(Err(Stop::Unwanted)) => return Err(ProviderError::TimedOut),
            Ok(Err(Stop::Broken(reason))) => return Err(ProviderError::broken(reason)),
            Err(_) => return Err(ProviderError::broken("the embedded model panicked")),
        };
        Ok(Answer { markdown, model: Some(name), provider: EMBEDDED, ..Answer::default() })
    }
}

impl Provider for Embedded {
    fn kind(&self) -> &'static str {
        EMBEDDED
    }

    fn answer<'a>(&'a self, question: &'a Question, _attempt: u8, deadline: Instant) -> Answering<'a> {
        Box::pin(within(deadline, self.0.call(question, deadline)))
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("path", &self.0.path)
            .field("ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}

/// One question's place inside.
struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    fn enter(figures: &'a Figures, inside_max: usize) -> Option<Self> {
        figures
            .inside
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < inside_max).then_some(now + 1))
            .ok()
            .map(|_| Self(&figures.inside))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A question on a worker.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn begin(figures: &'a Figures) -> Self {
        figures.running.fetch_add(1, Ordering::SeqCst);
        Self(&figures.running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
