//! What is live: server-sent events. Whoever is woken reads the store with its own filter and cursor, so nothing is
//! lost, and what is shown is what the list would show. One stream a visible tab; it ends at sign-out and at shutdown.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bromo_engine::feed::Watcher;
use bromo_store::StoreError;
use futures_util::stream::{self, Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::error::PageError;
use crate::form::Form;
use crate::frame::Slots;
use crate::pages::{At, Query, logs, overview, tasks};
use crate::visitor::Visitor;
use crate::{Dashboard, thread};

/// Slots are looked at so often; they are painted when they have changed.
const LOOK: Duration = Duration::from_millis(500);
/// Charts are drawn anew at most so often.
const DRAW: Duration = Duration::from_secs(10);
/// A comment keeps proxies from closing the stream.
const BEAT: Duration = Duration::from_secs(15);
/// So often it is asked whether the viewer is still signed in.
const SIGNED_IN: Duration = Duration::from_secs(15);
/// Lines of one paint.
const ROWS_MAX: u32 = 50;

/// What a viewer looks at.
enum View {
    Slots,
    Overview { query: Form, drawn: Instant },
    Logs { query: Form, after: u64 },
    Tasks { shown: String },
}

struct Live {
    dashboard: Dashboard,
    /// Who watches: read again now and then.
    visitor: Visitor,
    watcher: Watcher,
    view: View,
    slots: Option<Slots>,
    woken: bool,
    /// The last look, and the last one that a wake was the reason for.
    looked: Option<Instant>,
    served: Instant,
    signed_in_until: Instant,
}

/// Somebody signed in, or nobody: a stream that ends for good.
pub(crate) struct Viewer(Option<Visitor>);

impl FromRequestParts<Dashboard> for Viewer {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        dashboard: &Dashboard,
    ) -> Result<Self, Infallible> {
        Ok(Self(Visitor::from_request_parts(parts, dashboard).await.ok()))
    }
}

pub(crate) async fn slots(State(dashboard): At, Viewer(viewer): Viewer) -> Response {
    open(dashboard, viewer, View::Slots)
}

pub(crate) async fn overview(State(dashboard): At, Viewer(viewer): Viewer, Query(query): Query) -> Response {
    open(dashboard, viewer, View::Overview { query, drawn: Instant::now() })
}

/// Lines after the last one that the browser has: what it says when it connects again, or the page's own.
pub(crate) async fn logs(
    State(dashboard): At,
    Viewer(viewer): Viewer,
    headers: HeaderMap,
    Query(query): Query,
) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = last.unwrap_or_else(|| query.text("after")).parse().unwrap_or(u64::MAX);
    open(dashboard, viewer, View::Logs { query, after })
}

pub(crate) async fn tasks(State(dashboard): At, Viewer(viewer): Viewer) -> Response {
    open(dashboard, viewer, View::Tasks { shown: String::new() })
}

fn open(dashboard: Dashboard, viewer: Option<Visitor>, view: View) -> Response {
    // A browser does not connect again after this.
    let Some(visitor) = viewer else { return StatusCode::NO_CONTENT.into_response() };
    let Ok(watcher) = dashboard.engine.log().feed().watch(visitor.account.id) else {
        return PageError::Unavailable.into_response();
    };
    let served = Instant::now();
    let signed_in_until = served + SIGNED_IN;
    // A page may have been made a moment before: look at once.
    let (slots, woken, looked) = (None, true, None);
    let live = Live { dashboard, visitor, watcher, view, slots, woken, looked, served, signed_in_until };
    // The browser tells the time since which it has lost the stream by our clock, in our zone.
    let (now, zone) = (live.dashboard.engine.clock().now(), &live.visitor.look.zone);
    let shown_ms = now.millis() + i64::from(zone.offset_minutes(now)) * 60_000;
    let state = Event::default().event("state").data(serde_json::json!({ "now": shown_ms }).to_string());
    let events = thread::made_here(stream::once(async { Ok(state) }).chain(live.events()));
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(BEAT));
    let mut response = events.into_response();
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, HeaderValue::from_static("no"));
    response
}

#[derive(Template)]
#[template(path = "parts/slots.html")]
struct SlotsPart<'a> {
    frame: &'a SlotsFrame,
}

/// As much of a frame as the slots need.
struct SlotsFrame {
    slots: Slots,
}

impl Live {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let stop = self.dashboard.stop.clone();
        let paints = stream::unfold(self, |mut live| async move {
            let events = live.next().await?;
            Some((stream::iter(events.into_iter().map(Ok)), live))
        });
        paints.flatten().take_until(async move { stop.cancelled().await })
    }

    /// Until the next look: at once after a wake, yet no two wakes are served within [`LOOK`].
    async fn rest(&mut self) {
        if let Some(looked) = self.looked {
            tokio::select! {
                () = tokio::time::sleep_until(looked + LOOK) => {}
                () = self.watcher.changed() => {
                    self.woken = true;
                    tokio::time::sleep_until(self.served + LOOK).await;
                    self.served = Instant::now();
                }
            }
        }
        self.looked = Some(Instant::now());
    }

    /// The next paint, sent as soon as it is made; none ends the stream.
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            self.rest().await;
            if Instant::now() >= self.signed_in_until && !self.is_signed_in().await {
                return None;
            }
            let mut events = Vec::new();
            self.paint_slots(&mut events).await;
            if let Err(error) = self.paint(&mut events).await {
                tracing::debug!(%error, "a live page skips a paint");
            }
            if !events.is_empty() {
                return Some(events);
            }
        }
    }

    async fn is_signed_in(&mut self) -> bool {
        self.signed_in_until = Instant::now() + SIGNED_IN;
        match self.dashboard.engine.session(&self.visitor.token).await {
            Ok(Some(signed_in)) => {
                (self.visitor.member, self.visitor.account) = (signed_in.member, signed_in.account);
                true
            }
            Ok(None) => false,
            Err(StoreError::Unavailable { .. }) => true, // It may be back soon.
            Err(_) => false,
        }
    }

    async fn paint_slots(&mut self, events: &mut Vec<Event>) {
        let slots = Slots::of(&self.dashboard, &self.visitor.account).await;
        if self.slots.replace(slots) != Some(slots)
            && let Ok(html) = (SlotsPart { frame: &SlotsFrame { slots } }).render()
        {
            events.push(fragment("top-slots", &html));
        }
    }

    async fn paint(&mut self, events: &mut Vec<Event>) -> Result<(), PageError> {
        let (dashboard, visitor) = (&self.dashboard, &self.visitor);
        match &mut self.view {
            View::Slots => {}
            View::Overview { query, drawn } => {
                if self.woken && drawn.elapsed() >= DRAW {
                    *drawn = Instant::now();
                    for (id, html) in overview::fragments(dashboard, visitor.clone(), query).await? {
                        events.push(fragment(id, &html));
                    }
                    // Not before: what failed is drawn at the next look.
                    self.woken = false;
                }
            }
            View::Logs { query, after } => {
                if self.woken {
                    let rows = logs::rows_after(dashboard, visitor.clone(), query, *after, ROWS_MAX).await?;
                    (self.woken, *after) = (false, rows.last);
                    if !rows.is_empty {
                        let data = serde_json::json!({ "html": rows.html, "more": rows.more });
                        events.push(
                            Event::default().event("rows").id(rows.last.to_string()).data(data.to_string()),
                        );
                    }
                }
            }
            View::Tasks { shown } => {
                let html = tasks::figures(dashboard, visitor.clone()).await?;
                if *shown != html {
                    events.push(fragment("task-figures", &html));
                    *shown = html;
                }
            }
        }
        Ok(())
    }
}

fn fragment(id: &str, html: &str) -> Event {
    let data = serde_json::json!({ "id": id, "html": html });
    Event::default().event("fragment").data(data.to_string())
}
