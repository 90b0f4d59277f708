//! Someone with a key.

use std::net::SocketAddr;

use bromo_providers::client;
use bromo_rules::id::AccountId;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::DEADLINE;

#[derive(Clone)]
pub(crate) struct Customer {
    pub(crate) account: AccountId,
    pub(crate) key: String,
    api: SocketAddr,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// A header that is a whole number.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> i64 {
        let text = self.headers.get(name).unwrap_or_else(|| panic!("no {name} on {self:?}"));
        text.to_str().unwrap().parse().unwrap()
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// Limit, current and remaining; both families must agree and add up.
    #[track_caller]
    pub(crate) fn slots(&self) -> (i64, i64, i64) {
        let family = |name: &str| {
            ["limit", "current", "remaining"].map(|what| self.number(&format!("x-{name}-{what}")))
        };
        let [limit, current, remaining] = family("concurrent");
        assert_eq!(family("concurrency"), [limit, current, remaining]);
        assert_eq!(remaining, (limit - current).max(0));
        (limit, current, remaining)
    }
}

pub(crate) fn question(prompt: &str) -> Value {
    json!({ "prompt": prompt, "country": "US" })
}

/// A task for ChatGPT with more members.
pub(crate) fn task(prompt: &str, more: Value) -> Value {
    let mut task = json!({ "taskType": "CHATGPT", "payload": question(prompt) });
    if let (Some(task), Some(more)) = (task.as_object_mut(), more.as_object()) {
        task.extend(more.clone());
    }
    task
}

impl Customer {
    pub(crate) fn new(api: SocketAddr, account: AccountId, key: &str) -> Self {
        Self { account, key: key.to_owned(), api }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.api
    }

    /// Creates a task for ChatGPT and answers with its id.
    pub(crate) async fn task(&self, prompt: &str, more: Value) -> String {
        let reply = self.create(prompt, more).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body["task"]["id"].as_str().unwrap().to_owned()
    }

    /// Creates a task for ChatGPT.
    pub(crate) async fn create(&self, prompt: &str, more: Value) -> Reply {
        self.post("async/task", task(prompt, more).to_string()).await
    }

    /// A task as it stands.
    pub(crate) async fn read(&self, id: &str) -> Reply {
        self.get(&format!("async/task/{id}")).await
    }

    /// The task once it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        super::found(&format!("the end of task {id}"), async || {
            let reply = self.read(id).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let status = reply.body["task"]["status"].as_str().unwrap();
            matches!(status, "COMPLETED" | "FAILED").then_some(reply.body)
        })
        .await
    }

    /// Waits until all of these have ended, and well.
    pub(crate) async fn completes(&self, ids: &[String]) {
        for id in ids {
            assert_eq!(self.ended(id).await["task"]["status"], "COMPLETED", "task {id}");
        }
    }

    /// The word for where the task stands; empty if it is gone.
    pub(crate) async fn status(&self, id: &str) -> String {
        self.read(id).await.body["task"]["status"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, String::new()).await
    }

    /// Asks ChatGPT.
    pub(crate) async fn ask(&self, prompt: &str) -> Reply {
        self.post("monitor/chatgpt", question(prompt).to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, String::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> Reply {
        self.send(Method::POST, path, body.into()).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: String) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", self.key)).unwrap());
        call(self.api, method, &format!("/v1/{path}"), headers, body).await
    }

    /// Sends a question and keeps the connection in hand: dropping it is a hang-up.
    pub(crate) async fn begin(&self, prompt: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.api).await.unwrap();
        let body = question(prompt).to_string();
        let head = format!(
            "POST /v1/monitor/chatgpt HTTP/1.1\r\nHost: bromo\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            self.key,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        stream
    }
}

pub(crate) async fn call(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: String,
) -> Reply {
    let url = format!("http://{address}{path}");
    let answer =
        client::request(method, &url, headers, body.into(), Instant::now() + DEADLINE).await.unwrap();
    let body = serde_json::from_slice(answer.body())
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(answer.body()).into_owned()));
    Reply { status: answer.status().as_u16(), headers: answer.headers().clone(), body }
}
