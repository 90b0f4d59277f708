//! Figures of this crate on the machine at hand: `cargo run --release -p bromo-providers --example measure`,
//! for the client; with the path of a model's file behind it, for the model.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for developers")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bromo_providers::Provider;
use bromo_providers::openai_chat::{OpenAiChat, OpenAiChatConfig};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::question::Question;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

/// Calls in flight, as from as many customers.
const IN_FLIGHT: usize = 64;
/// Calls in all.
const CALLS: usize = 400_000;

const WHOLE: &str = r#"{"id":"x","object":"chat.completion","created":1,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"Green tea, black tea and oolong."},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":9,"total_tokens":14}}"#;
const STREAM: &str = "data: {\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Green tea, \"}}]}\n\n\
                      data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"black tea and oolong.\"}}]}\n\n\
                      data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// An upstream without a delay, on a thread of its own.
fn upstream(kind: &'static str, body: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        runtime().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tcp.set_nodelay(true).unwrap();
                let service = service_fn(move |_| async move {
                    let body = http_body_util::Full::new(bytes::Bytes::from_static(body.as_bytes()));
                    Ok::<_, Infallible>(
                        http::Response::builder().header("content-type", kind).body(body).unwrap(),
                    )
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service),
                );
            }
        });
    });
    url
}

fn measure_client(name: &str, base_url: String, stream: bool) {
    let config = OpenAiChatConfig {
        base_url,
        model: "mock".to_owned(),
        api_key: None,
        stream,
        system: None,
        max_tokens: None,
    };
    let provider = Arc::new(OpenAiChat::new(config).unwrap());
    runtime().block_on(async {
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let provider = Arc::clone(&provider);
            tasks.spawn(async move {
                let question = Question::plain(Endpoint::Chatgpt, "Which teas are there?");
                for _ in 0..CALLS / IN_FLIGHT {
                    let deadline = Instant::now() + Duration::from_secs(60);
                    provider.answer(&question, 1, deadline).await.unwrap();
                }
            });
        }
        while let Some(outcome) = tasks.join_next().await {
            outcome.unwrap();
        }
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "openai-chat, {name}: {:.0} calls/s, {:.1} us each",
            CALLS as f64 / seconds,
            1e6 * seconds / CALLS as f64
        );
    });
}

#[cfg(feature = "embedded")]
fn measure_model(path: &std::path::Path) {
    use bromo_providers::embedded::{Embedded, EmbeddedOptions, PREFILL_TOKENS};

    runtime().block_on(async {
        let started = Instant::now();
        let model = Embedded::start(path, EmbeddedOptions { max_tokens: 128, ..EmbeddedOptions::default() });
        let later = || Instant::now() + Duration::from_secs(600);
        let ask = async |prompt: &str| {
            let question = Question::plain(Endpoint::Chatgpt, prompt);
            let (begun, passes) = (Instant::now(), model.passes());
            let answer = model.answer(&question, 1, later()).await.unwrap();
            (answer.markdown, begun.elapsed().as_secs_f64(), model.passes() - passes)
        };
        let _ = ask("Hello").await;
        println!("embedded: start to first answer {:?}", started.elapsed());
        for prompt in [
            "What is the capital of France?",
            "Name three well-known CRM tools.",
            "What is 7 plus 5?",
            "Tell me a very long story.",
        ] {
            let (text, seconds, passes) = ask(prompt).await;
            println!("embedded: {passes} passes, {seconds:.2} s, {:.1}/s: {text:?}", passes as f64 / seconds);
        }
        let long = "Tell me about tea. ".repeat(100);
        let (_, seconds, passes) = ask(&long).await;
        let prompt_passes = passes.saturating_sub(128) as usize;
        println!(
            "embedded: about {} tokens asked, 128 answered: {seconds:.2} s",
            prompt_passes * PREFILL_TOKENS
        );
    });
}

fn main() {
    #[cfg(feature = "embedded")]
    if let Some(path) = std::env::args_os().nth(1) {
        return measure_model(path.as_ref());
    }
    measure_client("one body", upstream("application/json", WHOLE), false);
    measure_client("a stream", upstream("text/event-stream", STREAM), true);
}
