//! Every route of the dashboard and of the operator's pages: who may ask and who may send. A test compares it with the
//! routers themselves, so that no route is added without its place here.

/// Who may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Get {
    /// It cannot be asked for.
    No,
    /// Anybody; no account's.
    Open,
    /// A page for whoever is signed in.
    Page,
    /// The same, as a file.
    File,
    /// The same, as a stream.
    Live,
}

/// Who may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Post {
    /// It takes no form.
    No,
    /// Anybody: it leads in.
    Knock,
    /// Every member: its own things.
    Look,
    /// Owners and members.
    Work,
    /// Owners.
    Manage,
}

#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) get: Get,
    pub(crate) post: Post,
    /// What a browser would send.
    pub(crate) form: &'static [(&'static str, &'static str)],
}

const fn route(
    path: &'static str,
    get: Get,
    post: Post,
    form: &'static [(&'static str, &'static str)],
) -> Route {
    Route { path, get, post, form }
}

const PASSWORD: &str = "another long password";

pub(crate) const DASHBOARD: &[Route] = &[
    route("/", Get::Page, Post::No, &[]),
    route("/sign-in", Get::Open, Post::Knock, &[("email", "owner@acme.example"), ("password", PASSWORD)]),
    route("/sign-in/{token}", Get::Open, Post::Knock, &[]),
    route("/sign-out", Get::No, Post::Look, &[]),
    route(
        "/sign-up",
        Get::Open,
        Post::Knock,
        &[("name", "New"), ("email", "new@new.example"), ("password", PASSWORD)],
    ),
    route("/invitation/{token}", Get::Open, Post::Knock, &[("password", PASSWORD)]),
    route("/plan", Get::Page, Post::No, &[]),
    route("/plan/{plan}", Get::Page, Post::Manage, &[("from", "free"), ("step", "down")]),
    route("/plan-request/withdraw", Get::No, Post::Manage, &[]),
    route("/keys", Get::Page, Post::Work, &[("name", "new"), ("kind", "live")]),
    route("/keys/{key}/revoke", Get::Page, Post::Work, &[]),
    route("/logs", Get::Page, Post::No, &[]),
    route("/logs/{request}", Get::Page, Post::No, &[]),
    route("/logs/export.csv", Get::File, Post::No, &[]),
    route("/logs/export.ndjson", Get::File, Post::No, &[]),
    route("/tasks", Get::Page, Post::No, &[]),
    route("/tasks/clear", Get::Page, Post::Work, &[]),
    route("/tasks/{task}", Get::Page, Post::No, &[]),
    route("/tasks/{task}/cancel", Get::Page, Post::Work, &[]),
    route("/tasks/{task}/redeliver", Get::No, Post::Work, &[]),
    route("/webhooks", Get::Page, Post::No, &[]),
    route("/webhooks/secret", Get::Page, Post::No, &[]),
    route("/webhooks/secret/rotate", Get::Page, Post::Work, &[]),
    route("/webhooks/secret/disable", Get::Page, Post::Work, &[]),
    route("/webhooks/resend", Get::Page, Post::Work, &[("since", "")]),
    route("/webhooks/test", Get::Page, Post::Work, &[("url", "{url}")]),
    route(
        "/playground",
        Get::Page,
        Post::Work,
        &[
            ("act", "now"),
            ("endpoint", "gemini"),
            ("prompt", "best tea"),
            ("country", "US"),
            ("kind", "live"),
        ],
    ),
    route("/account", Get::Page, Post::No, &[]),
    route("/account/look", Get::No, Post::Look, &[("theme", "dark"), ("zone", "UTC"), ("keys", "on")]),
    route("/account/password", Get::No, Post::Look, &[("old", ""), ("new", PASSWORD)]),
    route("/account/texts", Get::No, Post::Manage, &[]),
    route("/account/invite", Get::No, Post::Manage, &[("email", "next@new.example"), ("role", "viewer")]),
    route("/account/uninvite", Get::No, Post::Manage, &[("email", "invited@acme.example")]),
    route("/account/members/{member}/role", Get::No, Post::Manage, &[("role", "member")]),
    route("/account/members/{member}/remove", Get::Page, Post::Manage, &[]),
    route("/live", Get::Live, Post::No, &[]),
    route("/live/overview", Get::Live, Post::No, &[]),
    route("/live/logs", Get::Live, Post::No, &[]),
    route("/live/tasks", Get::Live, Post::No, &[]),
    route("/assets/{name}", Get::Open, Post::No, &[]),
    route("/assets/{version}/{name}", Get::Open, Post::No, &[]),
];

pub(crate) const OPERATOR: &[Route] = &[
    route("/", Get::Page, Post::No, &[]),
    route("/sign-in", Get::Open, Post::Knock, &[("admin_token", "guess")]),
    route("/sign-out", Get::No, Post::Look, &[]),
    route("/accounts", Get::Page, Post::Manage, &[("new_name", "new"), ("plan", "free")]),
    route("/accounts/{account}", Get::Page, Post::No, &[]),
    route("/accounts/{account}/plan", Get::No, Post::Manage, &[("plan", "large")]),
    route("/accounts/{account}/grant", Get::No, Post::Manage, &[("credits", "5")]),
    route("/accounts/{account}/link", Get::No, Post::Manage, &[]),
    route("/accounts/{account}/decline", Get::No, Post::Manage, &[]),
    route("/assets/{name}", Get::Open, Post::No, &[]),
    route("/assets/{version}/{name}", Get::Open, Post::No, &[]),
];

/// What a router's source says: each path, and whether it takes GET and POST.
pub(crate) fn of_source(file: &str) -> Vec<(String, bool, bool)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../bromo-dashboard/src");
    let source = std::fs::read_to_string(folder.join(file)).unwrap();
    let routes = source.split(".route(").skip(1).map(|route| {
        let path = route.split('"').nth(1).unwrap().to_owned();
        let ends = [".layer(", ".method_not_allowed_fallback(", ".fallback("];
        let end = ends.iter().filter_map(|end| route.find(end)).min().unwrap_or(route.len());
        (path, route[..end].contains("get("), route[..end].contains("post("))
    });
    routes.collect()
}
