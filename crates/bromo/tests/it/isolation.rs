//! The dashboard's doors, without a browser: every route and every form of it, asked by those who may not. Nothing of an
//! account is told outside it, and nothing changes.

use bromo_rules::member::Member;

use crate::support::routes::{self, DASHBOARD, Get, OPERATOR, Post, Route};
use crate::support::visitor::{OPERATOR as OPERATOR_COOKIE, SESSION, Visitor, location, token};
use crate::support::{House, Reply};

#[test]
fn every_route_has_its_place_in_the_walk() {
    for (file, table) in [("pages/mod.rs", DASHBOARD), ("operator/mod.rs", OPERATOR)] {
        let source = routes::of_source(file);
        assert!(source.len() >= 10, "{file} is read wrongly: {source:?}");
        for (path, get, post) in &source {
            let Some(route) = table.iter().find(|route| route.path == path) else {
                panic!("{path} of {file} is in no table of tests/it/support/routes.rs");
            };
            let listed = (route.get != Get::No, route.post != Post::No);
            assert_eq!(listed, (*get, *post), "GET and POST of {path}");
        }
        for route in table {
            assert!(
                source.iter().any(|(path, ..)| path == route.path),
                "{file} has no {} any more",
                route.path
            );
        }
    }
}

/// Everything that can be asked for, with real ids.
fn asked(house: &House, route: &Route) -> Vec<String> {
    let path = house.fill(route.path);
    let mut paths = vec![path.clone()];
    // What an address can name besides its path.
    match route.path {
        "/logs" | "/logs/export.csv" | "/logs/export.ndjson" => {
            for query in ["range=30d", "key={key}", "request={request}", "range=30d&after=0"] {
                paths.push(format!("{path}?{}", house.fill(query)));
            }
        }
        "/live/logs" => paths.push(format!("{path}?after=0&{}", house.fill("key={key}"))),
        "/tasks" | "/webhooks" => {
            paths.push(format!("{path}?{}", house.fill("find={task}&host=127.0.0.1&state=")))
        }
        "/webhooks/resend" => paths.push(format!("{path}?{}", house.fill("task={task}&since="))),
        _ => {}
    }
    paths
}

fn fields(house: &House, route: &Route) -> Vec<(&'static str, String)> {
    route.form.iter().map(|(name, value)| (*name, house.fill(value))).collect()
}

async fn send(
    visitor: &Visitor,
    house: &House,
    route: &Route,
    token: &str,
    more: &[(&'static str, &str)],
) -> Reply {
    let fields = fields(house, route);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    visitor.post_with(&house.fill(route.path), token, &fields, more).await
}

/// Nothing of the account stands in this.
#[track_caller]
fn tells_nothing(house: &House, path: &str, text: &str) {
    for secret in house.secrets() {
        assert!(!text.contains(&secret), "{path} tells {secret:?}: {text}");
    }
    for id in house.ids() {
        // What was asked for is repeated, and no more.
        assert!(path.contains(&id) || !text.contains(&id), "{path} tells {id}: {text}");
    }
}

fn text(reply: &Reply) -> String {
    reply.body.as_str().map_or_else(|| reply.body.to_string(), str::to_owned)
}

/// Whether a path names something of one account's.
fn is_of_an_account(route: &Route) -> bool {
    ["{key}", "{request}", "{task}", "{member}"].iter().any(|name| route.path.contains(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_anything_and_changes_nothing() {
    let house = House::furnished().await;
    let before = house.state().await;
    // An old session's cookie, a made-up one, and an operator's are nobody's too.
    let api = house.bromo.running().api;
    let operator = Visitor::operator(&house.bromo).await;
    let operator = operator.cookie().split_once('=').unwrap().1.to_owned();
    let gone = house.visitor(&house.owner).await;
    assert_eq!(gone.post("/sign-out", &gone.form_token().await, &[]).await.status, 303);
    let nobodies = [
        Visitor::nobody(api),
        gone,
        Visitor::with_cookie(api, &format!("{SESSION}={operator}; {OPERATOR_COOKIE}={operator}")),
    ];
    for nobody in &nobodies {
        for route in DASHBOARD {
            for path in asked(&house, route) {
                let reply = nobody.get(&path).await;
                let leads_in = (reply.status, location(&reply).starts_with("/sign-in")) == (303, true);
                match route.get {
                    Get::No => assert_eq!(reply.status, 404, "{path}: {reply:?}"),
                    Get::Open => assert!(matches!(reply.status, 200 | 404), "{path}: {reply:?}"),
                    Get::Page | Get::File => assert!(leads_in, "{path}: {reply:?}"),
                    Get::Live => assert_eq!(reply.status, 204, "{path}: {reply:?}"),
                }
                tells_nothing(&house, &path, &text(&reply));
            }
            let reply = send(nobody, &house, route, "guess", &[]).await;
            match route.post {
                Post::No => assert!(matches!(reply.status, 404 | 405), "{}: {reply:?}", route.path),
                // A form that leads in needs its page's token all the same.
                Post::Knock => assert_eq!(reply.status, 403, "{}: {reply:?}", route.path),
                _ => assert_eq!((reply.status, location(&reply)), (303, "/sign-in"), "{}", route.path),
            }
            tells_nothing(&house, &house.fill(route.path), &text(&reply));
            assert_eq!(house.state().await, before, "POST {}", route.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_of_another_account_finds_nothing_and_changes_nothing() {
    let house = House::furnished().await;
    let engine = house.bromo.engine();
    let other = engine.create_account("Other", "free").await.unwrap().account;
    let stranger = engine.owner_or_new(other.id, "owner@other.example").await.unwrap();
    let before = house.state().await;
    for route in DASHBOARD {
        for path in asked(&house, route) {
            let visitor = house.visitor(&stranger).await;
            if route.get == Get::Live {
                let heard = visitor.listen(&path).await;
                assert!(heard.contains("event: state"), "{path}: {heard}");
                tells_nothing(&house, &path, &heard);
                continue;
            }
            let reply = visitor.get(&path).await;
            let expected = if route.get == Get::No || is_of_an_account(route) { 404 } else { 200 };
            let is_asset = route.path.starts_with("/assets") || route.path.contains("{token}");
            assert!(reply.status == expected || is_asset, "{path}: {reply:?}");
            tells_nothing(&house, &path, &text(&reply));
        }
        if matches!(route.post, Post::Look | Post::Work | Post::Manage) {
            let visitor = house.visitor(&stranger).await;
            let reply = send(&visitor, &house, route, &visitor.form_token().await, &[]).await;
            if is_of_an_account(route) {
                assert_eq!(reply.status, 404, "POST {}: {reply:?}", route.path);
            }
            assert_ne!(reply.status, 403, "POST {}: the walk does not reach the form: {reply:?}", route.path);
            tells_nothing(&house, &house.fill(route.path), &text(&reply));
            assert_eq!(house.state().await[..4], before[..4], "POST {}", route.path);
            assert_eq!(house.state().await[6..], before[6..], "POST {}", route.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_every_page_and_changes_nothing() {
    let house = House::furnished().await;
    let before = house.state().await;
    for route in DASHBOARD {
        if matches!(route.get, Get::Page | Get::File) {
            let path = house.fill(route.path);
            let reply = house.visitor(&house.viewer).await.get(&path).await;
            assert!(matches!(reply.status, 200 | 403), "{path}: {reply:?}");
        }
    }
    refused(&house, &house.viewer, &[Post::Work, Post::Manage], &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_changes_neither_plan_nor_members_nor_what_is_kept() {
    let house = House::furnished().await;
    let before = house.state().await;
    refused(&house, &house.member, &[Post::Manage], &before).await;
}

/// Every form of these kinds is refused to this member.
async fn refused(house: &House, member: &Member, kinds: &[Post], before: &[String]) {
    let mut forms = 0;
    for route in DASHBOARD.iter().filter(|route| kinds.contains(&route.post)) {
        let visitor = house.visitor(member).await;
        let reply = send(&visitor, house, route, &visitor.form_token().await, &[]).await;
        assert_eq!(reply.status, 403, "POST {}: {reply:?}", route.path);
        assert!(text(&reply).contains("your role does not allow this"), "{reply:?}");
        assert_eq!(house.state().await, before, "POST {}", route.path);
        forms += 1;
    }
    assert!(forms >= 7, "{forms} forms were tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_no_page_of_this_session_made_changes_nothing() {
    let house = House::furnished().await;
    let before = house.state().await;
    let owner = house.visitor(&house.owner).await;
    let own = owner.form_token().await;
    let of_another_session = house.visitor(&house.owner).await.form_token().await;
    assert_ne!(own, of_another_session);
    let elsewhere: [&[(&'static str, &str)]; 4] = [
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ];
    let tries = [("", &[][..]), ("guess", &[]), (of_another_session.as_str(), &[])]
        .into_iter()
        .chain(elsewhere.into_iter().map(|headers| (own.as_str(), headers)));
    for (token, headers) in tries {
        for route in DASHBOARD.iter().filter(|route| route.post != Post::No) {
            let reply = send(&owner, &house, route, token, headers).await;
            assert_eq!(reply.status, 403, "POST {} with {token:?} {headers:?}: {reply:?}", route.path);
            assert_eq!(house.state().await, before, "POST {}", route.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_account_may_send_every_form() {
    // The counterpart of the walks above: what they send would have worked.
    let house = House::furnished().await;
    for route in DASHBOARD.iter().filter(|route| matches!(route.post, Post::Look | Post::Work | Post::Manage))
    {
        let owner = house.visitor(&house.owner).await;
        let reply = send(&owner, &house, route, &owner.form_token().await, &[]).await;
        // A form may still have a fault to tell: an address that is none, a plan request that is not there.
        assert!(matches!(reply.status, 200 | 303 | 404 | 409 | 422), "POST {}: {reply:?}", route.path);
        let works = ["/keys", "/keys/{key}/revoke", "/plan/{plan}", "/account/invite", "/account/texts"];
        assert!(!works.contains(&route.path) || reply.status < 400, "POST {}: {reply:?}", route.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_does_what_it_said_or_nothing() {
    let house = House::furnished().await;
    let owner = house.visitor(&house.owner).await;
    let before = house.state().await;
    // The page of a downgrade leads nowhere else, and its form puts no other plan in force.
    let page = owner.get("/plan/large").await;
    assert_eq!((page.status, location(&page)), (303, "/plan"), "{page:?}");
    let token = owner.form_token().await;
    let form = [("from", "free"), ("step", "down")];
    let reply = owner.post("/plan/large", &token, &form).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(text(&reply).contains("Nothing was changed by you"), "{reply:?}");
    assert_eq!(house.state().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_pages_open_to_the_admin_token_alone() {
    let house = House::furnished().await;
    let before = house.state().await;
    let admin = house.bromo.running().admin;
    let owner = house.visitor(&house.owner).await;
    let session = owner.cookie().split_once('=').unwrap().1.to_owned();
    let nobodies = [
        Visitor::nobody(admin),
        owner.moved_to(admin),
        Visitor::with_cookie(admin, &format!("{OPERATOR_COOKIE}={session}")),
        Visitor::with_cookie(admin, &format!("{OPERATOR_COOKIE}={}", house.bromo.token())),
    ];
    let own = owner.form_token().await;
    for nobody in &nobodies {
        for route in OPERATOR {
            let path = house.fill(route.path);
            let reply = nobody.get(&path).await;
            match route.get {
                Get::Page => {
                    assert_eq!((reply.status, location(&reply)), (303, "/sign-in"), "{path}: {reply:?}")
                }
                Get::Open => assert!(matches!(reply.status, 200 | 404), "{path}: {reply:?}"),
                _ => assert!(matches!(reply.status, 404 | 405), "{path}: {reply:?}"),
            }
            tells_nothing(&house, &path, &text(&reply));
            let reply = send(nobody, &house, route, &own, &[]).await;
            assert!(reply.status >= 400 || location(&reply) == "/sign-in", "POST {path}: {reply:?}");
            tells_nothing(&house, &path, &text(&reply));
            assert_eq!(house.state().await, before, "POST {path}");
        }
    }
    // A wrong admin token, from the page itself.
    let page = Visitor::nobody(admin).get("/sign-in").await;
    let knocking = Visitor::with_cookie(admin, &crate::support::visitor::cookie(&page).unwrap());
    let reply = knocking.post("/sign-in", &token(&page), &[("admin_token", "guess")]).await;
    assert_eq!((reply.status, reply.headers.contains_key("set-cookie")), (422, false), "{reply:?}");
    // An operator's form that no page of the session made.
    let operator = Visitor::operator(&house.bromo).await;
    let made = token(&operator.get("/accounts").await);
    let origin = [("origin", "http://evil.example")];
    for (token, headers) in [("", &[][..]), (own.as_str(), &[]), (made.as_str(), &origin)] {
        for route in OPERATOR.iter().filter(|route| route.post != Post::No) {
            let reply = send(&operator, &house, route, token, headers).await;
            assert_eq!(reply.status, 403, "POST {} with {token:?}: {reply:?}", route.path);
            assert_eq!(house.state().await, before, "POST {}", route.path);
        }
    }
    // With it, every page is there, on this listener alone.
    for route in OPERATOR.iter().filter(|route| route.get == Get::Page) {
        let path = house.fill(route.path);
        assert_eq!(operator.get(&path).await.status, 200, "{path}");
    }
    let at_customers = operator.moved_to(house.bromo.running().api);
    assert_eq!(at_customers.get("/accounts").await.status, 404);
}
