use std::sync::Arc;

use bromo_providers::webhook::{SendError, Sender};
use bromo_rules::egress::{Egress, UrlError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::House;
use crate::webhook_test::{TestError, Tester};

/// May call this machine alone.
fn tester() -> Tester {
    let egress = Egress { allow: vec!["127.0.0.0/8".parse().unwrap()], ports: None };
    Tester::new(Arc::new(Sender::new(egress)))
}

/// Answers one request and hands over what it was.
async fn receiver() -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let received = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}}") {
            assert!(socket.read_buf(&mut request).await.unwrap() > 0);
        }
        socket.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nthank").await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, received)
}

#[tokio::test]
async fn a_test_is_signed_marked_and_answered_in_place() {
    let house = House::new();
    let account = house.owner("lite").await.account;
    let secret = house.engine.rotate_webhook_secret(account).await.unwrap();
    let (url, received) = receiver().await;
    let tested = tester().send(&house.engine, account, &url).await.unwrap();
    let reception = tested.outcome.unwrap();
    assert_eq!((reception.status, reception.body.as_slice()), (202, b"thank".as_slice()));
    let request = received.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, tested.body);
    assert!(body.starts_with(r#"{"test":true,"task":{"id":""#), "{body}");
    assert!(body.contains(r#""creditsCharged":0"#), "{body}");
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:"))).unwrap();
        line.split_once(':').unwrap().1.trim().to_owned()
    };
    assert!(secret.verifies_standard(
        &header("webhook-id"),
        &header("webhook-timestamp"),
        &header("webhook-signature"),
        body.as_bytes(),
    ));
    assert!(house.engine.lookup_task(account, &header("webhook-id")[4..]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_test_without_a_secret_carries_no_signature() {
    let house = House::new();
    let account = house.owner("lite").await.account;
    house.engine.disable_webhook_secret(account).await.unwrap();
    let (url, received) = receiver().await;
    let tested = tester().send(&house.engine, account, &url).await.unwrap();
    assert!(tested.signed.is_empty() && tested.outcome.is_ok());
    assert!(!received.await.unwrap().contains("webhook-signature"));
}

#[tokio::test]
async fn a_test_goes_nowhere_that_deliveries_do_not_go() {
    let house = House::new();
    let account = house.owner("lite").await.account;
    let tested = tester().send(&house.engine, account, "http://10.0.0.1/").await.unwrap();
    assert!(matches!(tested.outcome, Err(SendError::Url(UrlError::Forbidden(_)))), "{tested:?}");
}

#[tokio::test]
async fn an_account_has_one_test_at_a_time() {
    let house = House::new();
    let (one, other) = (house.owner("lite").await.account, house.owner("free").await.account);
    let tester = tester();
    let (silent, other_url) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), receiver().await.0);
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let mut first = std::pin::pin!(tester.send(&house.engine, one, &url));
    tokio::select! {
        _ = &mut first => panic!("nobody answers"),
        _ = silent.accept() => {}
    }
    let second = tester.send(&house.engine, one, &other_url).await;
    assert!(matches!(second, Err(TestError::Busy)), "{second:?}");
    assert!(tester.send(&house.engine, other, &other_url).await.unwrap().outcome.is_ok());
}
