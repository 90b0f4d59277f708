//! Exports of the log: the filter on screen, streamed, whole or marked as cut by a last line and a broken transfer.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bromo_rules::credit::Way;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::log::LogLine;
use bromo_store::{LogFilter, Logs, StoreError};
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use serde_json::json;

use crate::error::PageError;
use crate::log_query::LogQuery;
use crate::moment::Zone;
use crate::pages::logs::{SEARCH_BUDGET, key_names};
use crate::pages::{Answer, At, Query};
use crate::visitor::Visitor;
use crate::{Dashboard, thread};

/// Lines read in one go.
const LINES: u32 = 1000;
const HEAD: &str = "time,time_local,request,way,endpoint,status,code,took_ms,slots_in_use,slots_limit,credits,attempts,key,key_name\n";

#[derive(Clone, Copy)]
enum Kind {
    Csv,
    Ndjson,
}

pub(crate) async fn csv(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    export(dashboard, visitor, &query, Kind::Csv).await
}

pub(crate) async fn ndjson(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    export(dashboard, visitor, &query, Kind::Ndjson).await
}

/// An export on its way.
struct Export {
    dashboard: Dashboard,
    account: AccountId,
    logs: Arc<dyn Logs>,
    filter: LogFilter,
    names: HashMap<KeyId, String>,
    zone: Zone,
    kind: Kind,
    next: Next,
}

enum Next {
    Head,
    Lines { before: Option<u64> },
    Cut,
    End,
}

async fn export(dashboard: Dashboard, visitor: Visitor, form: &crate::form::Form, kind: Kind) -> Answer {
    let now = dashboard.engine.clock().now();
    let (keys, names) = key_names(&dashboard, visitor.account.id).await?;
    let zone = visitor.look.zone;
    let query = LogQuery::of(form, visitor.account.id, &keys, &zone, now);
    // What is not understood on screen is said there; a file has no place for that.
    if let Some(chip) = query.chips.iter().find(|chip| chip.fault.is_some()) {
        return Err(PageError::Bad(format!("{}: {} is not understood", chip.name, chip.value)));
    }
    let (extension, mime) = match kind {
        Kind::Csv => ("csv", "text/csv; charset=utf-8"),
        Kind::Ndjson => ("ndjson", "application/x-ndjson"),
    };
    let name = file_name(&visitor.account.name, &query, &zone, extension);
    let logs = Arc::clone(&dashboard.logs);
    let account = visitor.account.id;
    let export =
        Export { dashboard, account, logs, filter: query.filter, names, zone, kind, next: Next::Head };
    let parts = stream::unfold(export, |mut export| async move {
        let part = export.part().await?;
        Some((part, export))
    });
    let mut response = Response::new(Body::from_stream(thread::made_here(parts)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(mime));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// `bromo-logs_demo_2026-11-24T1303_2026-11-24T1403_UTC.csv`
fn file_name(account: &str, query: &LogQuery, zone: &Zone, extension: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    };
    let field = |at| zone.field(at).replace(':', "");
    let (from, until) = (field(query.range.from), field(query.range.until));
    format!("bromo-logs_{}_{from}_{until}_{}.{extension}", plain(account), plain(zone.name()))
}

impl Export {
    async fn part(&mut self) -> Option<Result<String, StoreError>> {
        match self.next {
            Next::Head => {
                self.next = Next::Lines { before: None };
                Some(Ok(match self.kind {
                    Kind::Csv => HEAD.to_owned(),
                    Kind::Ndjson => String::new(),
                }))
            }
            Next::Lines { before } => {
                let turn = self.dashboard.bounds.read(self.account).await;
                let found = match self.logs.read(&self.filter, before, LINES, SEARCH_BUDGET).await {
                    Ok(found) => found,
                    Err(error) => {
                        tracing::error!(%error, "an export was cut");
                        self.next = Next::Cut;
                        return Some(Ok(match self.kind {
                            Kind::Csv => "# cut: the log could not be read on\n".to_owned(),
                            Kind::Ndjson => "{\"cut\":\"the log could not be read on\"}\n".to_owned(),
                        }));
                    }
                };
                drop(turn);
                self.next = found.more.map_or(Next::End, |more| Next::Lines { before: Some(more) });
                let text = found.lines.iter().map(|stored| self.line(&stored.line)).collect();
                Some(Ok(text))
            }
            Next::Cut => {
                self.next = Next::End;
                // Breaks the transfer: nobody takes half a file for a whole one.
                Some(Err(StoreError::Unavailable { reason: "the export was cut".to_owned() }))
            }
            Next::End => None,
        }
    }

    fn line(&self, line: &LogLine) -> String {
        let key_name = self.names.get(&line.key).map_or("", String::as_str);
        let way = match line.way {
            Way::Now => "now",
            Way::Later => "task",
        };
        #[expect(clippy::cast_precision_loss, reason = "milliseconds with three digits")]
        let took_ms = line.took_us as f64 / 1e3;
        let (time, local) = (Zone::default().iso(line.at), self.zone.iso(line.at));
        match self.kind {
            Kind::Ndjson => {
                let line = json!({
                    "time": time, "time_local": local, "request": line.request.to_string(), "way": way,
                    "endpoint": line.route, "status": line.status, "code": line.code, "took_ms": took_ms,
                    "slots_in_use": line.slots.map(|slots| slots.current),
                    "slots_limit": line.slots.map(|slots| slots.limit),
                    "credits": line.charged, "attempts": line.attempts,
                    "key": line.key.to_string(), "key_name": key_name,
                });
                format!("{line}\n")
            }
            Kind::Csv => {
                let slots = line
                    .slots
                    .map_or_else(|| ",".to_owned(), |slots| format!("{},{}", slots.current, slots.limit));
                format!(
                    "{time},{local},{},{way},{},{},{},{took_ms:.3},{slots},{},{},{},{}\n",
                    line.request,
                    cell(line.route),
                    line.status,
                    cell(line.code),
                    line.charged,
                    line.attempts,
                    line.key,
                    cell(key_name),
                )
            }
        }
    }
}

/// A cell that neither breaks its row nor starts a formula in a spreadsheet.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !formula && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    let guard = if formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_cell_is_never_a_formula_and_never_two_cells() {
        assert_eq!(cell("batch worker"), "batch worker");
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
