use std::io::{Read, Write};
use std::sync::Mutex;

use tokio::sync::oneshot;

use super::*;
use crate::upstream::{Upstream, chunked, response, tls_upstream};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn get(url: &str) -> Result<Response<Bytes>, ClientError> {
    request(Method::GET, url, HeaderMap::new(), Bytes::new(), soon()).await
}

#[tokio::test]
async fn a_request_arrives_whole_and_its_response_comes_back_whole() {
    let (tell, told) = oneshot::channel();
    let tell = Mutex::new(Some(tell));
    let upstream = Upstream::scripted(move |_, mut peer| {
        let tell = tell.lock().unwrap().take();
        async move {
            tell.unwrap().send(peer.request().await).unwrap();
            peer.say(response("418 I'm a teapot", "x-tea: green\r\n", "short and stout").as_bytes()).await;
        }
    })
    .await;
    let mut headers = HeaderMap::new();
    headers.insert("x-cup", HeaderValue::from_static("blue"));
    let url = format!("{}/tea?milk=no", upstream.url());
    let response = request(Method::PUT, &url, headers, Bytes::from_static(b"water"), soon()).await.unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["x-tea"], "green");
    assert_eq!(response.body(), "short and stout");
    let request = told.await.unwrap().unwrap();
    assert!(request.starts_with("PUT /tea?milk=no HTTP/1.1\r\n"), "{request}");
    for line in [&format!("host: {}\r\n", upstream.authority), "content-length: 5\r\n", "x-cup: blue\r\n"] {
        assert!(request.contains(line), "{request}");
    }
    assert!(request.ends_with("\r\n\r\nwater"), "{request}");
}

#[tokio::test]
async fn responses_read_to_their_end_share_one_connection() {
    let length = response("200 OK", "", "hello");
    let mut chunks = chunked("", [&b"hel"[..], b"lo"]);
    chunks.extend_from_slice(b"0\r\n\r\n");
    for bytes in [length.into_bytes(), chunks, b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()] {
        let upstream = Upstream::saying(bytes).await;
        for _ in 0..5 {
            get(&upstream.url()).await.unwrap();
        }
        assert_eq!(upstream.connections(), 1);
    }
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_is_read_to_the_end() {
    let upstream = Upstream::scripted(|_, mut peer| async move {
        peer.request().await;
        peer.say(b"HTTP/1.1 200 OK\r\n\r\nhel").await;
        peer.say(b"lo").await;
    })
    .await;
    assert_eq!(get(&upstream.url()).await.unwrap().body(), "hello");
    assert_eq!(get(&upstream.url()).await.unwrap().body(), "hello");
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_dropped_call_has_closed_its_socket_when_the_drop_returns() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    for said in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhel"] {
        let mut call = Box::pin(get(&url));
        // Until the request is out; nothing is awaited that could run another task.
        let mut server = loop {
            assert!(futures_poll(&mut call).await.is_none());
            listener.set_nonblocking(true).unwrap();
            if let Ok((server, _)) = listener.accept() {
                break server;
            }
        };
        server.set_nonblocking(true).unwrap();
        let mut read = [0; 1024];
        while !matches!(server.read(&mut read), Ok(1..)) {
            assert!(futures_poll(&mut call).await.is_none());
        }
        server.write_all(said).unwrap();
        assert!(futures_poll(&mut call).await.is_none());
        drop(call);
        // The loopback interface delivers at once, so the end is there without a turn of the runtime.
        assert!(
            !matches!(server.read(&mut read), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        );
    }
}

/// Polls once, after a turn of the runtime.
async fn futures_poll<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> Option<F::Output> {
    tokio::task::yield_now().await;
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced_unseen() {
    // The server closes after each answer without a word, at the moment the next request may be under way.
    let upstream = Upstream::scripted(|_, mut peer| async move {
        peer.request().await;
        peer.say(response("200 OK", "", "hello").as_bytes()).await;
    })
    .await;
    for count in 1..=20 {
        assert_eq!(get(&upstream.url()).await.unwrap().body(), "hello");
        assert_eq!(upstream.connections(), count);
    }
}

#[tokio::test]
async fn a_kept_connection_that_dies_with_the_request_is_tried_once_more() {
    let upstream = Upstream::scripted(|_, mut peer| async move {
        peer.request().await;
        peer.say(response("200 OK", "", "hello").as_bytes()).await;
        // Takes the second request and closes without a byte.
        peer.request().await;
    })
    .await;
    for count in 1..=5 {
        assert_eq!(get(&upstream.url()).await.unwrap().body(), "hello");
        assert_eq!(upstream.connections(), count);
    }
}

#[tokio::test]
async fn a_request_whose_answer_had_begun_is_not_sent_again() {
    let upstream = Upstream::scripted(|_, mut peer| async move {
        peer.request().await;
        peer.say(response("200 OK", "", "hello").as_bytes()).await;
        peer.request().await;
        peer.say(b"HTTP/1.1 20").await;
    })
    .await;
    get(&upstream.url()).await.unwrap();
    assert!(matches!(get(&upstream.url()).await, Err(ClientError::Broken { .. })));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_new_connection_that_dies_is_not_tried_again() {
    let upstream = Upstream::scripted(|_, mut peer| async move {
        peer.request().await;
    })
    .await;
    assert!(matches!(get(&upstream.url()).await, Err(ClientError::Broken { .. })));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_deadline() {
    let upstream =
        Upstream::scripted(|_, mut peer| async move { while peer.request().await.is_some() {} }).await;
    let deadline = Instant::now() + Duration::from_millis(50);
    let outcome = request(Method::GET, &upstream.url(), HeaderMap::new(), Bytes::new(), deadline).await;
    assert_eq!(outcome.unwrap_err(), ClientError::TimedOut);
}

#[tokio::test]
async fn a_body_past_the_cap_is_an_error_with_a_length_or_without() {
    let body = "x".repeat(BODY_BYTES_MAX + 1);
    let mut chunks = chunked("", [body.as_bytes()]);
    chunks.extend_from_slice(b"0\r\n\r\n");
    for bytes in [response("200 OK", "", &body).into_bytes(), chunks] {
        let upstream = Upstream::saying(bytes).await;
        let error = get(&upstream.url()).await.unwrap_err();
        assert_eq!(error, ClientError::TooLarge { bytes_max: BODY_BYTES_MAX });
    }
    let upstream = Upstream::saying(response("200 OK", "", &"x".repeat(BODY_BYTES_MAX))).await;
    assert_eq!(get(&upstream.url()).await.unwrap().body().len(), BODY_BYTES_MAX);
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(2 * HEAD_BYTES_MAX));
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", &head] {
        let upstream = Upstream::saying(garbage).await;
        assert!(matches!(get(&upstream.url()).await, Err(ClientError::Broken { .. })), "{garbage:.20}");
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_an_error_that_names_it() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = get(&format!("http://{closed}/")).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Connect { authority, .. } if authority.contains(&closed.to_string()))
    );
}

#[tokio::test]
async fn an_address_that_cannot_be_called_is_refused_and_not_repeated() {
    for url in ["ftp://x.example/", "http://", "nonsense", "http://user:hunter2@x.example/"] {
        let error = get(url).await.unwrap_err();
        assert!(matches!(error, ClientError::BadAddress { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn idle_connections_are_closed_on_demand() {
    let upstream = Upstream::saying(response("200 OK", "", "hello")).await;
    get(&upstream.url()).await.unwrap();
    close_idle(Duration::from_secs(60));
    get(&upstream.url()).await.unwrap();
    assert_eq!(upstream.connections(), 1);
    close_idle(Duration::ZERO);
    get(&upstream.url()).await.unwrap();
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_connection_of_another_runtime_is_not_used() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut read = [0; 1024];
            assert!(tcp.read(&mut read).unwrap() > 0);
            tcp.write_all(response("200 OK", "", "hello").as_bytes()).unwrap();
        }
    });
    for _ in 0..2 {
        assert_eq!(runtime().block_on(get(&url)).unwrap().body(), "hello");
    }
    server.join().unwrap();
}

#[tokio::test]
async fn https_is_spoken_to_a_server_whose_certificate_is_trusted() {
    let (port, config) = tls_upstream("localhost", response("200 OK", "", "secret tea")).await;
    let url = format!("https://localhost:{port}/tea");
    let target = Target::with_tls(&url, HeaderMap::new(), || Ok(config)).unwrap();
    for _ in 0..2 {
        let mut exchange = within(soon(), target.send(Method::GET, Bytes::new())).await.unwrap();
        assert_eq!(exchange.read_all(100).await.unwrap(), "secret tea");
        exchange.finish().await;
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (port, _) = tls_upstream("localhost", response("200 OK", "", "secret tea")).await;
    let (_, config) = tls_upstream("localhost", String::new()).await;
    let url = format!("https://localhost:{port}/tea");
    let target = Target::with_tls(&url, HeaderMap::new(), || Ok(config)).unwrap();
    let error = within(soon(), target.send(Method::GET, Bytes::new())).await.err().unwrap();
    assert!(
        matches!(&error, ClientError::Connect { reason, .. } if reason.contains("certificate")),
        "{error}"
    );
}
