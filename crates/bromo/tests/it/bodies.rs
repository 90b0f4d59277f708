//! Bad input: a clear error, and the connection goes on where it can.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Bromo, Customer};

async fn raw(bromo: &Bromo, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(bromo.running().api).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(crate::support::DEADLINE, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(customer: &Customer, length: usize) -> String {
    format!(
        "POST /v1/monitor/chatgpt HTTP/1.1\r\nHost: b\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {length}\r\n\r\n",
        customer.key
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_json_names_the_place_and_every_faulty_field_is_named() {
    let bromo = Bromo::with("[api]\nstrict = true\n");
    let customer = bromo.customer("free").await;
    for body in ["", "{", "[]", "\"x\"", "{\"prompt\":\"\\ud800\"}", &"[".repeat(100_000)] {
        let reply = customer.post("monitor/chatgpt", body).await;
        assert_eq!((reply.status, reply.code()), (400, "VALIDATION_ERROR"), "{}", body.len());
        assert_eq!(reply.body["error"]["details"][0]["field"], "");
    }
    let body = json!({ "prompt": "", "country": "us", "include": { "html": 1 }, "colour": "red" });
    let reply = customer.post("monitor/chatgpt", body.to_string()).await;
    let faults = reply.body["error"]["details"].as_array().unwrap();
    let mut fields: Vec<_> = faults.iter().map(|fault| fault["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["colour", "country", "include.html", "prompt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_utf8_is_a_400() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let body = b"{\"prompt\":\"\xff\xfe\"}";
    let answer = raw(&bromo, &[head(&customer, body.len()).as_bytes(), body].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("VALIDATION_ERROR"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_a_408_in_the_envelope_with_the_limits() {
    let bromo = Bromo::with("[listen]\nbody_timeout_ms = 30\n");
    let customer = bromo.customer("free").await;
    let answer = raw(&bromo, head(&customer, 100).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("REQUEST_TIMEOUT"), "{answer}");
    assert!(answer.contains("x-concurrent-limit: 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_arrive_ends_the_connection() {
    let bromo = Bromo::with("[listen]\nhead_timeout_ms = 30\n");
    assert_eq!(raw(&bromo, b"GET /v1/credits HTTP/1.1\r\nHost:").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_gets_a_bare_4xx_and_a_closed_connection() {
    let bromo = Bromo::sandbox();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    for (bytes, status) in [("garbage\r\n\r\n", "400"), (many.as_str(), "431")] {
        let answer = raw(&bromo, bytes.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(!answer.contains("success"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_budget_of_all_bodies_requests_get_a_503() {
    let bromo = Bromo::with("[api]\nbodies_bytes_max = 1024\n");
    let customer = bromo.customer("free").await;
    let reply = customer.ask(&"x".repeat(2000)).await;
    assert_eq!((reply.status, reply.code()), (503, "SERVICE_UNAVAILABLE"));
    assert_eq!(customer.ask("small").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_its_whole_body_first_still_reads_the_413() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let body = vec![b' '; 100 * 1024 * 1024];
    let answer = raw(&bromo, &[head(&customer, body.len()).as_bytes(), &body].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
    assert!(answer.contains("x-concurrent-limit: 1"));
}
