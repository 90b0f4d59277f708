//! Every URL under `/v1`, once: what it is called, which rate window counts it, and which paths lead to it.

use bromo_admission::RouteIndex;
use bromo_rules::endpoint::Endpoint;
use http::Method;

/// A route under `/v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/monitor/…`
    Answer(Endpoint),
    /// `POST /v1/monitor/google/goto`
    Goto,
    /// `GET /v1/countries`
    Countries,
    /// `GET /v1/states`
    States,
    /// `GET /v1/credits`
    Credits,
    /// `POST /v1/async/task`
    CreateTask,
    /// `POST /v1/async/task/batch`
    CreateBatch,
    /// `GET /v1/async/task/{id}`
    Task,
    /// `DELETE /v1/async/task/{id}`
    CancelTask,
    /// `POST /v1/async/task/{id}/redeliver`
    Redeliver,
    /// `GET /v1/async/task/{id}/deliveries`
    Deliveries,
    /// `GET /v1/async/tasks`
    Tasks,
    /// `GET /v1/async/status`
    QueueStatus,
    /// `DELETE /v1/async/queue`
    ClearQueue,
    /// `POST /v1/async/redeliver`
    RedeliverFailed,
    /// Everything else, and every wrong method: they share one window, so a caller cannot grow memory.
    Unknown,
}

/// Template and method of every route but [`Route::Unknown`] and those of endpoints.
static TABLE: [(Route, Method, &str); 14] = [
    (Route::Goto, Method::POST, "monitor/google/goto"),
    (Route::Countries, Method::GET, "countries"),
    (Route::States, Method::GET, "states"),
    (Route::Credits, Method::GET, "credits"),
    (Route::CreateTask, Method::POST, "async/task"),
    (Route::CreateBatch, Method::POST, "async/task/batch"),
    (Route::Task, Method::GET, "async/task/{id}"),
    (Route::CancelTask, Method::DELETE, "async/task/{id}"),
    (Route::Redeliver, Method::POST, "async/task/{id}/redeliver"),
    (Route::Deliveries, Method::GET, "async/task/{id}/deliveries"),
    (Route::Tasks, Method::GET, "async/tasks"),
    (Route::QueueStatus, Method::GET, "async/status"),
    (Route::ClearQueue, Method::DELETE, "async/queue"),
    (Route::RedeliverFailed, Method::POST, "async/redeliver"),
];

impl Route {
    /// Every route that exists.
    pub fn all() -> impl Iterator<Item = Self> {
        let endpoints = Endpoint::ALL.into_iter().map(Self::Answer);
        endpoints.chain(TABLE.iter().map(|(route, ..)| *route))
    }

    /// The route of a request, aliases included (contract D14), and the task that its path names, as it stands there.
    pub fn find<'a>(method: &Method, path: &'a str) -> (Self, Option<&'a str>) {
        let Some(rest) = path.strip_prefix("/v1/") else { return (Self::Unknown, None) };
        if *method == Method::POST
            && let Some(endpoint) = endpoint(rest)
        {
            return (Self::Answer(endpoint), None);
        }
        let (name, task) = split(rest, *method == Method::POST);
        let found = TABLE.iter().find(|(_, by, template)| by == method && *template == name);
        found.map_or((Self::Unknown, None), |(route, ..)| (*route, task))
    }

    /// Its rate window. An alias shares its route's.
    pub const fn window(self) -> RouteIndex {
        RouteIndex::new(match self {
            Self::Unknown => 0,
            Self::Goto => 1,
            Self::Countries => 2,
            Self::States => 3,
            Self::Credits => 4,
            Self::Answer(endpoint) => 8 + endpoint as u8,
            Self::CreateTask => 16,
            Self::CreateBatch => 17,
            Self::Task => 18,
            Self::CancelTask => 19,
            Self::Redeliver => 20,
            Self::Deliveries => 21,
            Self::Tasks => 22,
            Self::QueueStatus => 23,
            Self::ClearQueue => 24,
            Self::RedeliverFailed => 25,
        })
    }

    /// How it is called.
    pub fn method(self) -> Method {
        let row = TABLE.iter().find(|(route, ..)| *route == self);
        row.map_or(Method::POST, |(_, method, _)| method.clone())
    }

    /// Its name in the log: the template without `/v1/`.
    pub fn template(self) -> &'static str {
        match self {
            Self::Answer(endpoint) => endpoint.route(),
            _ => TABLE.iter().find(|(route, ..)| *route == self).map_or("unknown", |(.., template)| template),
        }
    }
}

fn endpoint(path: &str) -> Option<Endpoint> {
    let name = path.strip_prefix("monitor/")?;
    if name == "google-news" {
        return Some(Endpoint::GoogleNews);
    }
    Endpoint::ALL.into_iter().find(|endpoint| endpoint.name() == name)
}

/// The template that a path without `/v1/` fits, and what stands in the place of `{id}`.
fn split(path: &str, post: bool) -> (&str, Option<&str>) {
    let tasks = path.strip_prefix("async/task/").or_else(|| path.strip_prefix("task/"));
    let Some(rest) = tasks.or_else(|| path.strip_prefix("tasks/")) else {
        return (if path == "task" { "async/task" } else { path }, None);
    };
    match rest.split_once('/') {
        None if rest.is_empty() => (path, None),
        // To be read or cancelled, `batch` is a key like any other.
        None if post && rest == "batch" && !path.starts_with("tasks/") => ("async/task/batch", None),
        None => ("async/task/{id}", Some(rest)),
        Some((id, "redeliver")) if !id.is_empty() => ("async/task/{id}/redeliver", Some(id)),
        Some((id, "deliveries")) if !id.is_empty() => ("async/task/{id}/deliveries", Some(id)),
        Some(_) => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, path: &str, route: Route, task: Option<&str>) {
        assert_eq!(Route::find(&method, path), (route, task), "{method} {path}");
    }

    #[test]
    fn every_route_is_found_by_its_template_and_has_its_own_window() {
        let mut windows = vec![Route::Unknown.window()];
        for route in Route::all() {
            let path = format!("/v1/{}", route.template());
            assert_eq!(Route::find(&route.method(), &path).0, route);
            assert!(!windows.contains(&route.window()), "{path}");
            windows.push(route.window());
        }
    }

    #[test]
    fn a_wrong_method_and_an_unknown_path_share_a_window() {
        check(Method::GET, "/v1/monitor/chatgpt", Route::Unknown, None);
        check(Method::POST, "/v1/nothing", Route::Unknown, None);
        check(Method::POST, "/v1/monitor/aioverview", Route::Unknown, None);
        check(Method::PUT, "/v1/async/task", Route::Unknown, None);
        check(Method::GET, "/v1/async/task/", Route::Unknown, None);
        check(Method::GET, "/v1/async/task/a/b", Route::Unknown, None);
        check(Method::POST, "/v1/async/task//redeliver", Route::Unknown, None);
    }

    #[test]
    fn an_alias_is_its_route() {
        check(Method::POST, "/v1/monitor/google-news", Route::Answer(Endpoint::GoogleNews), None);
        check(Method::POST, "/v1/task", Route::CreateTask, None);
        check(Method::POST, "/v1/task/batch", Route::CreateBatch, None);
        for path in ["/v1/async/task/7f", "/v1/task/7f", "/v1/tasks/7f"] {
            check(Method::GET, path, Route::Task, Some("7f"));
        }
        check(Method::GET, "/v1/async/task/batch", Route::Task, Some("batch"));
        check(Method::DELETE, "/v1/async/task/7f", Route::CancelTask, Some("7f"));
        check(Method::POST, "/v1/async/task/7f/redeliver", Route::Redeliver, Some("7f"));
    }
}
