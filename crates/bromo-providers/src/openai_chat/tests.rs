use std::sync::{Arc, Mutex};

use bromo_rules::endpoint::Endpoint;
use bromo_rules::question::Include;

use super::*;
use crate::upstream::{Upstream, chunked, response};

const STREAM: &str = "text/event-stream; charset=utf-8";
const KEY: &str = "sk-very-secret";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn config(base_url: String) -> OpenAiChatConfig {
    OpenAiChatConfig {
        base_url,
        model: "some-model".to_owned(),
        api_key: Some(Secret::new(KEY)),
        stream: true,
        system: None,
        max_tokens: None,
    }
}

fn question() -> Question {
    Question::plain(Endpoint::Chatgpt, "say \"tea\"\nplease ☕")
}

async fn ask(upstream: &Upstream) -> Result<Answer, ProviderError> {
    let include = Include { raw_response: true, ..Include::default() };
    let question = Question { include, ..question() };
    OpenAiChat::new(config(upstream.url()))?.answer(&question, 1, soon()).await
}

fn words(text: &str) -> String {
    format!(r#"data: {{"model":"real-model","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#)
}

fn stream(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n\n")).collect()
}

/// A stream of an answer in two pieces, with a comment between.
fn tea() -> String {
    let end = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    stream(&[&words("gr\\u00fcner "), ": ping", &words("Tee ☕"), end, "data: [DONE]"])
}

async fn says(body: &str) -> Upstream {
    Upstream::saying(response("200 OK", &format!("content-type: {STREAM}\r\n"), body)).await
}

#[tokio::test]
async fn a_stream_becomes_an_answer() {
    let answer = ask(&says(&tea()).await).await.unwrap();
    assert_eq!(answer.markdown, "grüner Tee ☕");
    assert_eq!(answer.model.as_deref(), Some("real-model"));
    assert_eq!(answer.provider, "openai-chat");
    assert_eq!(answer.events.len(), 3);
}

#[tokio::test]
async fn events_are_kept_only_when_asked_for() {
    let upstream = says(&tea()).await;
    let provider = OpenAiChat::new(config(upstream.url())).unwrap();
    assert!(provider.answer(&question(), 1, soon()).await.unwrap().events.is_empty());
}

#[tokio::test]
async fn a_stream_reads_the_same_wherever_the_network_cuts_it() {
    let mut body = tea().into_bytes();
    for ends in ["\n", "\r\n"] {
        if ends == "\r\n" {
            body = tea().replace('\n', "\r\n").into_bytes();
        }
        let bodies: Arc<[Vec<u8>]> = (0..=body.len())
            .map(|cut| {
                let mut bytes = chunked(&format!("content-type: {STREAM}\r\n"), [&body[..cut], &body[cut..]]);
                bytes.extend_from_slice(b"0\r\n\r\n");
                bytes
            })
            .collect();
        let count = bodies.len();
        let upstream = Upstream::scripted(move |_, mut peer| {
            let bodies = Arc::clone(&bodies);
            async move {
                for bytes in &*bodies {
                    peer.request().await;
                    peer.say(bytes).await;
                }
            }
        })
        .await;
        for cut in 0..count {
            assert_eq!(ask(&upstream).await.unwrap().markdown, "grüner Tee ☕", "cut at {cut}");
        }
        assert_eq!(upstream.connections(), 1, "every answer was read to its end");
    }
}

#[tokio::test]
async fn a_server_that_stays_on_the_line_after_its_last_word_holds_nobody_up() {
    let upstream = Upstream::scripted(|_, mut peer| async move {
        while peer.request().await.is_some() {
            peer.say(&chunked(&format!("content-type: {STREAM}\r\n"), [tea().as_bytes()])).await;
        }
    })
    .await;
    assert_eq!(ask(&upstream).await.unwrap().markdown, "grüner Tee ☕");
    assert_eq!(ask(&upstream).await.unwrap().markdown, "grüner Tee ☕");
    assert_eq!(upstream.connections(), 2, "its connection is closed, not kept");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_never_a_short_answer() {
    let cut = stream(&[&words("green")]);
    let mut finished_chunks = chunked(&format!("content-type: {STREAM}\r\n"), [cut.as_bytes()]);
    let unfinished_chunks = finished_chunks.clone();
    finished_chunks.extend_from_slice(b"0\r\n\r\n");
    for bytes in [finished_chunks, unfinished_chunks] {
        let upstream = Upstream::scripted(move |_, mut peer| {
            let bytes = bytes.clone();
            async move {
                peer.request().await;
                peer.say(&bytes).await;
            }
        })
        .await;
        assert!(matches!(ask(&upstream).await, Err(ProviderError::Broken { .. })));
    }
}

#[tokio::test]
async fn an_end_without_done_is_an_end() {
    let body = stream(&[&words("tea"), r#"data: {"choices":[{"delta":{},"finish_reason":"length"}]}"#]);
    assert_eq!(ask(&says(&body).await).await.unwrap().markdown, "tea");
    let body = stream(&[&words("tea"), "data: [DONE]"]);
    assert_eq!(ask(&says(&body).await).await.unwrap().markdown, "tea");
}

#[tokio::test]
async fn a_whole_completion_is_an_answer_too() {
    let body = r#"{"model":"real-model","choices":[{"message":{"role":"assistant","content":"tea"},
        "finish_reason":"stop"}],"usage":{"total_tokens":3}}"#;
    let upstream = Upstream::saying(response("200 OK", "content-type: application/json\r\n", body)).await;
    let answer = ask(&upstream).await.unwrap();
    assert_eq!((answer.markdown.as_str(), answer.events.len()), ("tea", 1));
}

#[tokio::test]
async fn a_stream_under_another_name_is_read_all_the_same() {
    let upstream = Upstream::saying(response("200 OK", "content-type: text/plain\r\n", &tea())).await;
    assert_eq!(ask(&upstream).await.unwrap().markdown, "grüner Tee ☕");
}

#[tokio::test]
async fn citations_become_sources_once_each() {
    let cite = r#"data: {"choices":[{"delta":{"content":"tea","annotations":[
        {"type":"url_citation","url_citation":{"url":"https://a.example/x","title":"A","start_index":0}},
        {"type":"file_citation"}]}}],"citations":["https://a.example/x","https://b.example/y"]}"#
        .replace('\n', "");
    let body = stream(&[&cite, &cite, "data: [DONE]"]);
    let sources = ask(&says(&body).await).await.unwrap().sources;
    let named: Vec<_> = sources.iter().map(|s| (s.url.as_str(), s.label.as_str())).collect();
    assert_eq!(named, [("https://a.example/x", "A"), ("https://b.example/y", "b.example")]);
}

#[tokio::test]
async fn garbage_is_an_error() {
    let empty = stream(&["data: [DONE]"]);
    let half = stream(&[r#"data: {"choices":[{"delta":{"content":"#]);
    for body in ["", "<html>hello</html>", "data: hello\n\n", "{\"choices\":[]}", &empty, &half] {
        for kind in [STREAM, "application/json"] {
            let upstream =
                Upstream::saying(response("200 OK", &format!("content-type: {kind}\r\n"), body)).await;
            let outcome = ask(&upstream).await;
            assert!(matches!(outcome, Err(ProviderError::Broken { .. })), "{kind} {body:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_is_an_error() {
    let busy = r#"data: {"error":{"message":"slow down","type":"rate_limit_error","code":429}}"#;
    let outcome = ask(&says(&stream(&[&words("te"), busy])).await).await;
    assert_eq!(outcome.unwrap_err(), ProviderError::Busy { retry_after: None });
    let broken = r#"data: {"error":{"message":"out of memory for sk-very-secret"}}"#;
    let outcome = ask(&says(&stream(&[&words("te"), broken])).await).await;
    let expected = ProviderError::Broken { reason: "out of memory for [key]".to_owned() };
    assert_eq!(outcome.unwrap_err(), expected);
}

#[track_caller]
fn check_kind(error: &ProviderError, kind: &str, status: &str) {
    assert_eq!(error.kind(), kind, "{status}: {error}");
    assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
}

#[tokio::test]
async fn every_status_has_its_error_and_none_shows_the_key() {
    let body = format!(r#"{{"error":{{"message":"no good: {KEY}"}}}}"#);
    for (status, kind) in [
        ("400 Bad Request", "refused"),
        ("401 Unauthorized", "refused"),
        ("403 Forbidden", "refused"),
        ("404 Not Found", "refused"),
        ("408 Request Timeout", "broken"),
        ("422 Unprocessable Entity", "refused"),
        ("302 Found", "refused"),
        ("429 Too Many Requests", "busy"),
        ("500 Internal Server Error", "broken"),
        ("502 Bad Gateway", "broken"),
        ("503 Service Unavailable", "busy"),
        ("204 No Content", "broken"),
    ] {
        let upstream = Upstream::saying(response(status, "", if kind == "busy" { "" } else { &body })).await;
        check_kind(&ask(&upstream).await.unwrap_err(), kind, status);
    }
}

#[tokio::test]
async fn the_servers_own_wait_is_passed_on_within_reason() {
    for (said, expected) in [("7", Some(7)), ("999999", Some(3600)), ("Fri, 31 Dec 1999 23:59:59 GMT", None)]
    {
        let upstream =
            Upstream::saying(response("429 Too Many Requests", &format!("retry-after: {said}\r\n"), "{}"))
                .await;
        let error = ask(&upstream).await.unwrap_err();
        assert_eq!(error, ProviderError::Busy { retry_after: expected.map(Duration::from_secs) });
    }
}

#[tokio::test]
async fn the_request_holds_the_prompt_as_it_was_written_and_nothing_unasked() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let upstream = Upstream::scripted(move |_, mut peer| {
        let sink = Arc::clone(&sink);
        async move {
            while let Some(request) = peer.request().await {
                sink.lock().unwrap().push(request);
                peer.say(response("200 OK", &format!("content-type: {STREAM}\r\n"), &tea()).as_bytes()).await;
            }
        }
    })
    .await;
    let plain = config(format!("{}/v1/", upstream.url()));
    let full = OpenAiChatConfig {
        api_key: None,
        stream: false,
        system: Some("Answer in {language} for {country}.".to_owned()),
        max_tokens: Some(100),
        ..plain.clone()
    };
    for config in [plain, full] {
        OpenAiChat::new(config).unwrap().answer(&question(), 1, soon()).await.unwrap();
    }
    let seen = seen.lock().unwrap();
    assert!(seen[0].starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("authorization: Bearer sk-very-secret\r\n"), "{}", seen[0]);
    assert!(!seen[1].contains("authorization"), "{}", seen[1]);
    let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(
        body(&seen[0]),
        r#"{"model":"some-model","messages":[{"role":"user","content":"say \"tea\"\nplease ☕"}],"stream":true}"#
    );
    assert_eq!(
        body(&seen[1]),
        r#"{"model":"some-model","messages":[{"role":"system","content":"Answer in en for US."},{"role":"user","content":"say \"tea\"\nplease ☕"}],"stream":false,"max_tokens":100}"#
    );
}

#[tokio::test]
async fn a_slow_stream_ends_at_the_deadline() {
    let upstream = Upstream::scripted(|_, mut peer| async move {
        peer.request().await;
        peer.say(&chunked(&format!("content-type: {STREAM}\r\n"), [stream(&[&words("te")]).as_bytes()]))
            .await;
        peer.request().await;
    })
    .await;
    let provider = OpenAiChat::new(config(upstream.url())).unwrap();
    let deadline = Instant::now() + Duration::from_millis(50);
    let outcome = provider.answer(&question(), 1, deadline).await;
    assert_eq!(outcome.unwrap_err(), ProviderError::TimedOut);
}

#[tokio::test]
async fn a_stream_past_the_cap_is_broken() {
    let line = format!(": {}\n", "x".repeat(1024 * 1024));
    let body = line.repeat(17);
    assert!(matches!(ask(&says(&body).await).await, Err(ProviderError::Broken { .. })));
}

#[tokio::test]
async fn the_upstream_sees_the_end_of_a_call_that_was_dropped() {
    let (tell_asked, asked) = tokio::sync::oneshot::channel();
    let (tell_ended, ended) = tokio::sync::oneshot::channel();
    let tell = Mutex::new(Some((tell_asked, tell_ended)));
    let upstream = Upstream::scripted(move |_, mut peer| {
        let (tell_asked, tell_ended) = tell.lock().unwrap().take().unwrap();
        async move {
            peer.request().await;
            peer.say(&chunked(&format!("content-type: {STREAM}\r\n"), [stream(&[&words("te")]).as_bytes()]))
                .await;
            tell_asked.send(()).unwrap();
            assert_eq!(peer.request().await, None);
            tell_ended.send(()).unwrap();
        }
    })
    .await;
    let provider = OpenAiChat::new(config(upstream.url())).unwrap();
    let question = question();
    tokio::select! {
        outcome = provider.answer(&question, 1, soon()) => panic!("{outcome:?}"),
        asked = asked => asked.unwrap(),
    }
    tokio::time::timeout_at(soon(), ended).await.unwrap().unwrap();
}

#[test]
fn a_setting_that_cannot_be_used_is_named_and_the_key_never_shown() {
    let bad_url = OpenAiChat::new(config("ftp://x.example".to_owned())).unwrap_err();
    assert!(bad_url.to_string().contains("base_url"), "{bad_url}");
    let config =
        OpenAiChatConfig { api_key: Some(Secret::new("a\nb")), ..config("http://x.example".to_owned()) };
    assert!(!format!("{config:?}").contains("a\\nb"));
    let bad_key = OpenAiChat::new(config).unwrap_err();
    assert!(bad_key.to_string().contains("api_key"), "{bad_key}");
}
