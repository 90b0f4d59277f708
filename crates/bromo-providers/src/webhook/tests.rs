use std::future::Future;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;
use crate::client;
use crate::upstream::{Upstream, chunked, response, tls_upstream};

/// Names as a test knows them; counts how often it was asked.
#[derive(Clone, Default)]
struct Names {
    /// The n-th look-up gets the n-th answer, and each one after the last the last.
    answers: Arc<Mutex<Vec<Vec<SocketAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn always(addresses: impl Into<Vec<SocketAddr>>) -> Self {
        Self::in_turn([addresses.into()])
    }

    fn in_turn(answers: impl Into<Vec<Vec<SocketAddr>>>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into())), ..Self::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> Resolving<'a> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.answers.lock().unwrap();
        let answer = answers.get(asked).or(answers.last()).cloned().unwrap_or_default();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

fn allowing(networks: &[&str]) -> Egress {
    Egress { allow: networks.iter().map(|text| text.parse().unwrap()).collect(), ports: None }
}

fn loopback() -> Sender {
    Sender::new(allowing(&["127.0.0.0/8", "::1"]))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn post(sender: &Sender, url: &str) -> Result<Reception, SendError> {
    sender.post(url, HeaderMap::new(), Bytes::from_static(b"{}"), soon()).await
}

/// An answer of any status.
fn said(status: u16, body: &[u8]) -> Result<Reception, SendError> {
    Ok(Reception { status, retry_after: None, body: body.to_vec() })
}

#[tokio::test]
async fn a_delivery_arrives_whole_at_the_exact_url_and_its_answer_comes_back() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let upstream = Upstream::scripted(move |_, mut peer| {
        let tell = tell.clone();
        async move {
            tell.send(peer.request().await.unwrap()).unwrap();
            peer.say(response("503 Busy", "retry-after: 120\r\n", "later").as_bytes()).await;
        }
    })
    .await;
    let url = format!("{}/hook%20a/?token=x%2Fy&b=+#part", upstream.url());
    let signed = headers([("webhook-id", "msg_1".to_owned()), ("user-agent", "not this".to_owned())]);
    let body = Bytes::from_static("{\"é\":1}".as_bytes());
    let reception = loopback().post(&url, signed, body, soon()).await.unwrap();
    let wish = Some(Duration::from_secs(120));
    assert_eq!(reception, Reception { status: 503, retry_after: wish, body: b"later".to_vec() });

    let request = told.recv().await.unwrap();
    assert!(request.starts_with("POST /hook%20a/?token=x%2Fy&b=+ HTTP/1.1\r\n"), "{request}");
    for line in [
        &format!("host: {}\r\n", upstream.authority),
        "content-type: application/json\r\n",
        "content-length: 8\r\n",
        &format!("user-agent: bromo-webhook/{}\r\n", env!("CARGO_PKG_VERSION")),
        "webhook-id: msg_1\r\n",
    ] {
        assert_eq!(request.matches(line).count(), 1, "{request}");
    }
    assert!(request.ends_with("\r\n\r\n{\"é\":1}"), "{request}");
    assert!(!request.contains("not this"), "{request}");
}

#[tokio::test]
async fn this_machine_is_not_called_however_it_is_spelled_unless_the_operator_allows_it() {
    let upstream = Upstream::saying(response("200 OK", "", "hello")).await;
    let port = upstream.address().port();
    let (closed, open) = (Sender::new(Egress::default()), loopback());
    let v4 = ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "LOCALHOST"];
    for host in
        v4.into_iter().chain(["[::1]", "[::ffff:127.0.0.1]", "[::7f00:1]", "0", "localhost.", "a.localhost"])
    {
        let error = post(&closed, &format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(error.to_string().starts_with("the address must not point to "), "{host}: {error}");
    }
    assert_eq!(upstream.connections(), 0);
    for host in v4 {
        assert_eq!(post(&open, &format!("http://{host}:{port}/")).await, said(200, b"hello"), "{host}");
    }
}

#[tokio::test]
async fn a_name_for_private_addresses_alone_is_refused_and_they_are_not_told() {
    let upstream = Upstream::saying(response("200 OK", "", "hello")).await;
    let names = Names::always([upstream.address(), "10.0.0.1:80".parse().unwrap()]);
    let sender = Sender::with_resolver(Egress::default(), names);
    let error = post(&sender, "http://a.example/").await.unwrap_err();
    assert_eq!(error.to_string(), "a.example stands for no address that may be called");
    let SendError::Forbidden { forbidden, .. } = error else { panic!("{error:?}") };
    assert_eq!(forbidden.to_string(), "127.0.0.1 is not called: 127.0.0.0/8 is Loopback", "for the operator");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn the_judged_address_is_the_one_called_whatever_the_name_stands_for_a_moment_later() {
    let judged = Upstream::saying_at("127.0.0.2", response("200 OK", "", "judged")).await;
    let private = Upstream::saying(response("200 OK", "", "private")).await;
    let names = Names::in_turn([vec![judged.address()], vec![private.address()]]);
    let sender = Sender::with_resolver(allowing(&["127.0.0.2"]), names.clone());
    assert_eq!(post(&sender, "http://a.example/").await, said(200, b"judged"));
    assert_eq!((names.asked(), judged.connections(), private.connections()), (1, 1, 0));
    // The kept connection needs no name.
    assert_eq!(post(&sender, "http://a.example/").await, said(200, b"judged"));
    assert_eq!(names.asked(), 1);
    // A new one does, and what the name stands for now is refused.
    client::close_idle(Duration::ZERO);
    assert_eq!(post(&sender, "http://a.example/").await.unwrap_err().kind(), "forbidden");
    assert_eq!((names.asked(), judged.connections(), private.connections()), (2, 1, 0));
}

#[tokio::test]
async fn of_a_names_addresses_only_those_that_pass_are_called() {
    let private = Upstream::saying(response("200 OK", "", "private")).await;
    let public = Upstream::saying_at("127.0.0.2", response("200 OK", "", "public")).await;
    for addresses in [[private.address(), public.address()], [public.address(), private.address()]] {
        let sender = Sender::with_resolver(allowing(&["127.0.0.2"]), Names::always(addresses));
        assert_eq!(post(&sender, "http://a.example/").await, said(200, b"public"));
        client::close_idle(Duration::ZERO);
    }
    assert_eq!((private.connections(), public.connections()), (0, 2));
}

#[tokio::test]
async fn an_address_where_nobody_listens_leaves_time_for_the_next() {
    let upstream = Upstream::saying(response("200 OK", "", "hello")).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let egress = || allowing(&["127.0.0.0/8"]);
    let sender = Sender::with_resolver(egress(), Names::always([closed, upstream.address()]));
    assert_eq!(post(&sender, "http://a.example/").await, said(200, b"hello"));

    let sender = Sender::with_resolver(egress(), Names::always([closed]));
    let error = post(&sender, "http://b.example/").await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot connect to {closed}: ")), "{error}");
}

#[tokio::test]
async fn a_name_without_an_address_is_an_error_that_names_it() {
    let sender = Sender::with_resolver(Egress::default(), Names::always([]));
    let error = post(&sender, "http://a.example/").await.unwrap_err();
    assert_eq!(error.to_string(), "cannot look up a.example: it has no address");
}

#[tokio::test]
async fn the_system_says_what_localhost_stands_for() {
    let found = SystemResolver::default().resolve("localhost", 81).await.unwrap();
    assert!(!found.is_empty());
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 81), "{found:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nobody_follows_it() {
    let elsewhere = Upstream::saying(response("200 OK", "", "secret")).await;
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let headers = format!("location: {}/\r\n", elsewhere.url());
        let upstream = Upstream::saying(response(status, &headers, "there")).await;
        let code = status[..3].parse().unwrap();
        assert_eq!(post(&loopback(), &upstream.url()).await, said(code, b"there"));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_receiver_that_says_nothing_ends_at_the_deadline() {
    for spoken in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let upstream = Upstream::scripted(move |_, mut peer| async move {
            peer.request().await;
            peer.say(spoken.as_bytes()).await;
            peer.request().await;
        })
        .await;
        let deadline = Instant::now() + Duration::from_millis(50);
        let outcome = loopback().post(&upstream.url(), HeaderMap::new(), Bytes::new(), deadline).await;
        assert_eq!(outcome, Err(SendError::TimedOut));
    }
}

/// Never answers.
struct Silence;

impl Resolve for Silence {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> Resolving<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_says_nothing_ends_the_attempt_after_five_seconds() {
    let sender = Sender::with_resolver(Egress::default(), Silence);
    let begun = Instant::now();
    let error = post(&sender, "http://a.example/").await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to http://a.example:80: nothing within 5 s");
    assert!(begun.elapsed() < CONNECT_TIMEOUT + Duration::from_millis(10));

    let deadline = Instant::now() + Duration::from_secs(2);
    let outcome = sender.post("http://a.example/", HeaderMap::new(), Bytes::new(), deadline).await;
    assert_eq!(outcome, Err(SendError::TimedOut));
}

#[tokio::test]
async fn a_body_that_does_not_end_is_cut_at_the_deadline_and_the_status_stands() {
    let upstream = Upstream::scripted(move |_, mut peer| async move {
        peer.request().await;
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhel").await;
        peer.request().await;
    })
    .await;
    let deadline = Instant::now() + Duration::from_millis(50);
    let outcome = loopback().post(&upstream.url(), HeaderMap::new(), Bytes::new(), deadline).await;
    assert_eq!(outcome, said(200, b"hel"));
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_the_status_standing() {
    for bytes in [&b"HTTP/1.1 204 X\r\n\r\n"[..], b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nhel"] {
        let upstream = Upstream::scripted(move |_, mut peer| async move {
            peer.request().await;
            peer.say(bytes).await;
        })
        .await;
        let reception = post(&loopback(), &upstream.url()).await.unwrap();
        assert!(reception.status < 300 && b"hel".starts_with(&reception.body), "{reception:?}");
    }
}

#[tokio::test]
async fn two_kibibytes_of_a_body_are_kept_and_past_sixty_four_none_is_read() {
    for (bytes, connections) in [(BODY_READ_BYTES_MAX, 1), (BODY_READ_BYTES_MAX + 1, 3), (20 << 20, 3)] {
        let body = "x".repeat(bytes);
        let mut chunks = chunked("", [body.as_bytes()]);
        chunks.extend_from_slice(b"0\r\n\r\n");
        for answer in [response("200 OK", "", &body).into_bytes(), chunks] {
            let upstream = Upstream::saying(answer).await;
            for _ in 0..3 {
                let kept = &body.as_bytes()[..BODY_KEPT_BYTES_MAX];
                assert_eq!(post(&loopback(), &upstream.url()).await, said(200, kept));
            }
            assert_eq!(upstream.connections(), connections, "{bytes}");
        }
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", &format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(200_000))] {
        let upstream = Upstream::saying(garbage).await;
        assert_eq!(post(&loopback(), &upstream.url()).await.unwrap_err().kind(), "broken");
    }
}

#[tokio::test]
async fn deliveries_to_one_receiver_share_a_connection() {
    let upstream = Upstream::saying(response("200 OK", "", "hello")).await;
    let sender = loopback();
    for path in ["/", "/a", "/b?c"] {
        assert_eq!(post(&sender, &format!("{}{path}", upstream.url())).await, said(200, b"hello"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_receiver_may_close_after_each_answer_with_a_word_or_without() {
    for headers in ["connection: close\r\n", ""] {
        let upstream = Upstream::scripted(move |_, mut peer| async move {
            peer.request().await;
            peer.say(response("200 OK", headers, "hello").as_bytes()).await;
        })
        .await;
        for count in 1..=10 {
            assert_eq!(post(&loopback(), &upstream.url()).await, said(200, b"hello"));
            assert_eq!(upstream.connections(), count);
        }
    }
}

#[tokio::test]
async fn no_connection_of_a_provider_carries_a_delivery_nor_the_other_way_round() {
    let upstream = Upstream::saying(response("200 OK", "", "hello")).await;
    let ask = async || {
        let (method, url) = (Method::GET, upstream.url());
        client::request(method, &url, HeaderMap::new(), Bytes::new(), soon()).await.unwrap();
    };
    ask().await;
    assert_eq!(upstream.connections(), 1);
    for _ in 0..2 {
        post(&loopback(), &upstream.url()).await.unwrap();
        assert_eq!(upstream.connections(), 2);
        ask().await;
        assert_eq!(upstream.connections(), 2);
    }
    client::close_idle(Duration::ZERO);
    post(&loopback(), &upstream.url()).await.unwrap();
    assert_eq!(upstream.connections(), 3);
    ask().await;
    assert_eq!(upstream.connections(), 4);
}

#[tokio::test]
async fn a_kept_connection_is_judged_again_before_it_is_used() {
    let before = Upstream::saying(response("200 OK", "", "before")).await;
    let after = Upstream::saying_at("127.0.0.2", response("200 OK", "", "after")).await;
    let generous = Sender::with_resolver(allowing(&["127.0.0.0/8"]), Names::always([before.address()]));
    let strict = Sender::with_resolver(allowing(&["127.0.0.2"]), Names::always([after.address()]));
    assert_eq!(post(&generous, "http://a.example/").await, said(200, b"before"));
    assert_eq!(post(&strict, "http://a.example/").await, said(200, b"after"));
    assert_eq!((before.connections(), after.connections()), (1, 1));
}

#[tokio::test]
async fn tls_proves_the_name_and_not_the_address() {
    let (port, tls) = tls_upstream("a.example", response("200 OK", "", "secret tea")).await;
    let mut sender =
        Sender::with_resolver(allowing(&["127.0.0.0/8"]), Names::always([([127, 0, 0, 1], port).into()]));
    sender.tls = Ok(tls);
    for _ in 0..2 {
        assert_eq!(post(&sender, "https://a.example/").await, said(200, b"secret tea"));
    }
    client::close_idle(Duration::ZERO);
    for url in ["https://b.example/".to_owned(), format!("https://127.0.0.1:{port}/")] {
        let error = post(&sender, &url).await.unwrap_err();
        assert!(
            matches!(&error, SendError::Connect { reason, .. } if reason.contains("certificate")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn without_root_certificates_only_https_fails() {
    let upstream = Upstream::saying(response("200 OK", "", "hello")).await;
    let mut sender = loopback();
    sender.tls = Err(ClientError::BadAddress { reason: "no roots".to_owned() });
    assert_eq!(post(&sender, &upstream.url()).await, said(200, b"hello"));
    let error = post(&sender, "https://127.0.0.1/").await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to 127.0.0.1:443: bad address: no roots");
}

#[tokio::test]
async fn only_permitted_ports_are_called() {
    let upstream = Upstream::saying(response("200 OK", "", "hello")).await;
    let port = upstream.address().port();
    let sender = |port| Sender::new(Egress { ports: Some(vec![port]), ..allowing(&["127.0.0.0/8"]) });
    assert_eq!(post(&sender(port), &upstream.url()).await, said(200, b"hello"));
    let error = post(&sender(443), &upstream.url()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("the address must not use port {port}"));
}

#[tokio::test]
async fn a_dropped_delivery_has_closed_its_socket_when_the_drop_returns() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sender = loopback();
    let mut delivery = Box::pin(post(&sender, &url));
    let mut turn = async || {
        tokio::task::yield_now().await;
        std::future::poll_fn(|cx| std::task::Poll::Ready(delivery.as_mut().poll(cx).is_pending())).await
    };
    let mut server = loop {
        assert!(turn().await);
        if let Ok((server, _)) = listener.accept() {
            break server;
        }
    };
    server.set_nonblocking(true).unwrap();
    let mut read = [0; 1024];
    while !matches!(server.read(&mut read), Ok(1..)) {
        assert!(turn().await);
    }
    drop(delivery);
    // The loopback interface delivers at once, so the end is there without a turn of the runtime.
    assert!(matches!(server.read(&mut read), Ok(0)));
}

#[test]
fn only_a_number_of_seconds_is_a_retry_after() {
    let wish = |value: &'static str| {
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]))
    };
    assert_eq!(wish("0"), Some(Duration::ZERO));
    assert_eq!(wish(" 90 "), Some(Duration::from_secs(90)));
    assert_eq!(wish("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
    for text in ["", "-1", "+1", "1.5", "1s", "Fri, 31 Dec 1999 23:59:59 GMT"] {
        assert_eq!(wish(text), None, "{text}");
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}

proptest! {
    #[test]
    fn every_url_that_is_accepted_can_be_called(path in "[ -~é]{0,60}", query in "[ -~é]{0,60}") {
        let text = format!("http://a.example/{path}?{query}");
        if let Ok(url) = Egress::default().check_url(&text) {
            let target = Target::of(url.url(), HeaderMap::new(), || unreachable!());
            prop_assert!(target.is_ok(), "{}: {:?}", url, target);
        }
    }
}
