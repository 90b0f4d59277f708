use std::time::Duration;

use bromo_rules::question::Include;

use super::*;

async fn answer(question: &Question, attempt: u8) -> Result<Answer, ProviderError> {
    Sandbox.answer(question, attempt, Instant::now() + Duration::from_secs(60)).await
}

fn bytes(answer: &Answer) -> String {
    serde_json::to_string(&serde_json::json!([
        answer.markdown,
        answer.sources.iter().map(|s| [&s.url, &s.label, &s.description]).collect::<Vec<_>>(),
        answer.search_queries,
        answer.extra,
    ]))
    .unwrap()
}

fn everything() -> Include {
    Include {
        markdown: true,
        html: true,
        raw_response: true,
        search_queries: true,
        ads: true,
        shopping: true,
        expand_products: true,
        ai_overview: true,
        ai_overview_markdown: true,
        paa_ai_overview: true,
    }
}

#[tokio::test]
async fn the_same_question_gets_the_same_bytes_and_another_gets_others() {
    for endpoint in Endpoint::ALL {
        let question = Question::plain(endpoint, "best tea shops");
        let once = bytes(&answer(&question, 1).await.unwrap());
        assert_eq!(once, bytes(&answer(&question, 2).await.unwrap()), "{endpoint}");
        let british = Question { country: "GB".to_owned(), ..question };
        assert_ne!(once, bytes(&answer(&british, 1).await.unwrap()), "{endpoint}");
    }
}

#[tokio::test]
async fn a_flag_adds_fields_and_changes_no_other() {
    for endpoint in Endpoint::ALL {
        let plain = Question::plain(endpoint, "best tea shops");
        let full = Question { include: everything(), ..plain.clone() };
        let (plain, full) = (answer(&plain, 1).await.unwrap(), answer(&full, 1).await.unwrap());
        assert_eq!(plain.markdown, full.markdown, "{endpoint}");
        for (name, value) in &plain.extra {
            // The one list whose entries themselves grow by a flag.
            if name != "peopleAlsoAsk" {
                assert_eq!(full.extra.get(name), Some(value), "{endpoint} {name}");
            }
        }
    }
}

#[track_caller]
fn check_names(answer: &Answer, names: &[&str]) {
    let mut names = names.to_vec();
    names.sort_unstable();
    assert_eq!(answer.extra.keys().map(String::as_str).collect::<Vec<_>>(), names);
}

#[tokio::test]
async fn every_endpoint_has_its_own_fields() {
    let google = [
        "organicResults",
        "peopleAlsoAsk",
        "peopleAreSaying",
        "localResults",
        "relatedSearches",
        "ads",
        "shoppingCards",
    ];
    let aimode = ["citationPills", "places", "map", "shoppingCards", "inlineProducts", "ads", "videos"];
    let fields: [(Endpoint, &[&str], &[&str]); 8] = [
        (
            Endpoint::Chatgpt,
            &["entities", "map", "citationPills"],
            &["mapSearchQueries", "shoppingCards", "inlineProducts", "ads"],
        ),
        (Endpoint::Gemini, &["citationPills", "places", "shoppingCards"], &[]),
        (Endpoint::Copilot, &["citationPills", "map", "shoppingCards"], &[]),
        (
            Endpoint::Perplexity,
            &[
                "related_queries",
                "search_model_queries",
                "videos",
                "images",
                "hotels",
                "places",
                "shopping_cards",
            ],
            &[],
        ),
        (Endpoint::Grok, &[], &[]),
        (Endpoint::Aimode, &aimode, &["productResults"]),
        (Endpoint::Google, &google, &["aioverview"]),
        (Endpoint::GoogleNews, &["newsResults"], &[]),
    ];
    for (endpoint, always, asked) in fields {
        let plain = Question::plain(endpoint, "best tea shops");
        check_names(&answer(&plain, 1).await.unwrap(), always);
        let full = Question { include: everything(), ..plain };
        check_names(&answer(&full, 1).await.unwrap(), &[always, asked].concat());
    }
}

#[tokio::test]
async fn pages_are_ten_results_each() {
    let question = Question { pages: 3, ..Question::plain(Endpoint::Google, "tea") };
    let answer = answer(&question, 1).await.unwrap();
    let results = answer.extra["organicResults"].as_array().unwrap();
    assert_eq!(results.len(), 30);
    assert_eq!(results[29]["position"], 30);
    assert_eq!(results[29]["page"], 3);
    assert!(answer.markdown.is_empty());
}

#[tokio::test]
async fn products_are_counted_by_the_directive() {
    let include = Include { expand_products: true, ..Include::default() };
    let question = Question { include, ..Question::plain(Endpoint::Aimode, "[sandbox products=5] tea") };
    assert_eq!(answer(&question, 1).await.unwrap().extra["productResults"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn directives_are_no_part_of_the_question() {
    let told = answer(&Question::plain(Endpoint::Aimode, "[sandbox times=1] tea"), 1).await.unwrap();
    let untold = answer(&Question::plain(Endpoint::Aimode, "tea"), 1).await.unwrap();
    assert_eq!(bytes(&told), bytes(&untold));
    assert!(told.markdown.contains("to: tea"));
}

#[tokio::test]
async fn only_the_first_attempts_fail() {
    let question = Question::plain(Endpoint::Gemini, "[sandbox fail=busy times=2] tea");
    for attempt in [1, 2] {
        assert_eq!(answer(&question, attempt).await.unwrap_err(), ProviderError::Busy { retry_after: None });
    }
    assert!(answer(&question, 3).await.is_ok());
}

#[tokio::test]
async fn every_kind_of_failure_is_its_error() {
    for (kind, expected) in [
        ("timeout", "timed_out"),
        ("refused", "refused"),
        ("broken", "broken"),
        ("garbage", "broken"),
        ("busy", "busy"),
    ] {
        let question = Question::plain(Endpoint::Grok, &format!("[sandbox fail={kind}]"));
        assert_eq!(answer(&question, 1).await.unwrap_err().kind(), expected);
    }
    let unknown = answer(&Question::plain(Endpoint::Grok, "[sandbox speed=9] x"), 1).await.unwrap_err();
    assert!(
        matches!(&unknown, ProviderError::Invalid { reason } if reason.contains("`speed=9`")),
        "{unknown}"
    );
}

#[tokio::test]
#[should_panic(expected = "told to panic")]
async fn it_panics_when_told_to() {
    let _ = answer(&Question::plain(Endpoint::Grok, "[sandbox fail=panic]"), 1).await;
}

#[tokio::test(start_paused = true)]
async fn latency_is_waited_for_within_the_deadline() {
    let question = Question::plain(Endpoint::Chatgpt, "[sandbox latency_ms=2000] tea");
    let before = Instant::now();
    assert!(Sandbox.answer(&question, 1, before + Duration::from_secs(3)).await.is_ok());
    assert_eq!(before.elapsed(), Duration::from_secs(2));
    let before = Instant::now();
    let error = Sandbox.answer(&question, 1, before + Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((error, before.elapsed()), (ProviderError::TimedOut, Duration::from_secs(1)));
}
