//! Somebody at a dashboard, without a browser: one request at a time, redirects not followed.

use std::net::SocketAddr;

use bromo_rules::member::Member;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION};
use http::{HeaderMap, HeaderValue, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::form_urlencoded;

use super::{Bromo, DEADLINE, Reply, call};

/// What dashboard and operator's pages keep their sessions in.
pub(crate) const SESSION: &str = "bromo_session";
pub(crate) const OPERATOR: &str = "bromo_operator";

/// A browser's part of a conversation.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    address: SocketAddr,
    /// The whole header.
    cookie: String,
}

impl Visitor {
    /// A member with a session of its own.
    pub(crate) async fn member(bromo: &Bromo, member: &Member) -> Self {
        let session = bromo.engine().begin_session(member, None).await.unwrap();
        Self::with_cookie(bromo.running().api, &format!("{SESSION}={}", session.reveal()))
    }

    /// Nobody.
    pub(crate) fn nobody(address: SocketAddr) -> Self {
        Self::with_cookie(address, "")
    }

    pub(crate) fn with_cookie(address: SocketAddr, cookie: &str) -> Self {
        Self { address, cookie: cookie.to_owned() }
    }

    /// The operator, signed in with the admin token.
    pub(crate) async fn operator(bromo: &Bromo) -> Self {
        let mut visitor = Self::nobody(bromo.running().admin);
        let page = visitor.get("/sign-in").await;
        visitor.cookie = cookie(&page).unwrap();
        let reply = visitor.post("/sign-in", &token(&page), &[("admin_token", &bromo.token())]).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        visitor.cookie = cookie(&reply).unwrap();
        visitor
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The same cookie at another address.
    pub(crate) fn moved_to(&self, address: SocketAddr) -> Self {
        Self { address, cookie: self.cookie.clone() }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&self.cookie).unwrap());
        headers.insert("accept", HeaderValue::from_static("text/html"));
        headers
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        call(self.address, Method::GET, path, self.headers(), String::new()).await
    }

    /// Sends a form with this token; an empty one is left out.
    pub(crate) async fn post(&self, path: &str, token: &str, fields: &[(&str, &str)]) -> Reply {
        self.post_with(path, token, fields, &[]).await
    }

    /// The same with more headers.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        token: &str,
        fields: &[(&str, &str)],
        more: &[(&'static str, &str)],
    ) -> Reply {
        let mut form = form_urlencoded::Serializer::new(String::new());
        if !token.is_empty() {
            form.append_pair("token", token);
        }
        let body = form.extend_pairs(fields).finish();
        let mut headers = self.headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        for (name, value) in more {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        call(self.address, Method::POST, path, headers, body).await
    }

    /// The token of this session's forms, taken from a page that has one.
    pub(crate) async fn form_token(&self) -> String {
        token(&self.get("/account").await)
    }

    /// The head of a response and what a live stream begins with, up to the second event.
    pub(crate) async fn listen(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: bromo\r\nCookie: {}\r\n\r\n", self.cookie);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        let mut part = [0; 4096];
        let hearing = tokio::time::timeout(DEADLINE, async {
            loop {
                let bytes = stream.read(&mut part).await.unwrap();
                heard.extend_from_slice(&part[..bytes]);
                let text = String::from_utf8_lossy(&heard);
                let is_live = text.contains("text/event-stream");
                let is_over = text.contains("\r\n\r\n") && !is_live;
                if bytes == 0 || is_over || text.matches("event: ").count() >= 2 {
                    return text.into_owned();
                }
            }
        });
        hearing.await.unwrap_or_else(|_| panic!("{path}: no two events"))
    }
}

/// The token of a page's forms.
#[track_caller]
pub(crate) fn token(page: &Reply) -> String {
    let text = page.body.as_str().unwrap_or_default();
    let rest = text.split_once(r#"name="token" value=""#).unwrap_or_else(|| panic!("no form in {page:?}")).1;
    rest.split_once('"').unwrap().0.to_owned()
}

/// The cookie that a response sets, as it is sent back.
pub(crate) fn cookie(reply: &Reply) -> Option<String> {
    let cookie = reply.headers.get("set-cookie")?.to_str().unwrap();
    Some(cookie.split_once(';').unwrap().0.to_owned())
}

/// Where a response leads.
pub(crate) fn location(reply: &Reply) -> &str {
    reply.headers.get(LOCATION).map_or("", |to| to.to_str().unwrap())
}
