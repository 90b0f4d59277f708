//! What is accepted, what is refused, and where the fault is said to be.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::credit::{Credits, Prices, Way};

const STRICT: bool = true;
const LENIENT: bool = false;

fn read(endpoint: Endpoint, body: &Value, strict: bool) -> Result<Question, Vec<FieldFault>> {
    question(endpoint, body.to_string().as_bytes(), strict)
}

/// The fields of the faults, in order; of a body that is a value, both ways of reading it agree.
fn fields_of(endpoint: Endpoint, body: &Value, strict: bool) -> Vec<String> {
    let text = read(endpoint, body, strict);
    assert_eq!(text, part(endpoint, body, "", strict), "{body}");
    text.err().unwrap_or_default().into_iter().map(|fault| fault.field).collect()
}

#[track_caller]
fn check_both(endpoint: Endpoint, body: Value, strict: &[&str], lenient: &[&str]) {
    assert_eq!(fields_of(endpoint, &body, STRICT), strict, "strict: {body}");
    assert_eq!(fields_of(endpoint, &body, LENIENT), lenient, "lenient: {body}");
}

#[track_caller]
fn check(endpoint: Endpoint, body: Value, faults: &[&str]) {
    check_both(endpoint, body, faults, faults);
}

#[track_caller]
fn good(endpoint: Endpoint, body: Value) -> Question {
    let strict = read(endpoint, &body, STRICT).unwrap();
    assert_eq!(Ok(&strict), read(endpoint, &body, LENIENT).as_ref());
    strict
}

/// Fields of one endpoint besides the prompt and country, which are given.
fn chatgpt(more: Value) -> Value {
    with(json!({ "prompt": "tea", "country": "US" }), more)
}

fn google(more: Value) -> Value {
    with(json!({ "query": "tea", "gl": "us" }), more)
}

fn with(mut body: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("not an object") };
    body.as_object_mut().unwrap().extend(more);
    body
}

#[test]
fn a_plain_question_has_every_option_at_its_default() {
    let tea = Question::plain(Endpoint::Perplexity, "best tea shops");
    let read = good(Endpoint::Perplexity, json!({ "prompt": " best tea shops\n", "country": "US" }));
    assert_eq!(read, tea);
}

#[test]
fn a_prompt_is_counted_in_utf_16_units_before_it_is_trimmed() {
    for (prompt, fits) in [
        ("x".repeat(10_000), true),
        ("x".repeat(10_001), false),
        (" ".repeat(10_001), false),
        ("ä".repeat(10_000), true),
        ("🍵".repeat(5_000), true),
        ("🍵".repeat(5_000) + "x", false),
        (String::new(), false),
        ("  ".to_owned(), true),
    ] {
        let faults: &[&str] = if fits { &[] } else { &["prompt"] };
        check(Endpoint::Chatgpt, json!({ "prompt": prompt, "country": "US" }), faults);
    }
    assert_eq!(good(Endpoint::Chatgpt, json!({ "prompt": " \n", "country": "US" })).prompt, "");
}

#[test]
fn a_missing_prompt_is_a_fault_of_the_field_that_this_endpoint_has() {
    check(Endpoint::Grok, json!({ "country": "US" }), &["prompt"]);
    check(Endpoint::GoogleNews, json!({ "gl": "us" }), &["query"]);
    check(Endpoint::Google, json!({ "gl": "us" }), &["query"]);
    check_both(Endpoint::Google, json!({ "prompt": "tea", "gl": "us" }), &["query", "prompt"], &["query"]);
}

#[test]
fn a_country_is_required_and_upper_case_only_when_strict() {
    let country = |code: &str| json!({ "prompt": "tea", "country": code });
    check_both(Endpoint::Chatgpt, json!({ "prompt": "tea" }), &["country"], &[]);
    check_both(Endpoint::Chatgpt, country("de"), &["country"], &[]);
    check(Endpoint::Chatgpt, country("CN"), &["country"]);
    check(Endpoint::Perplexity, country("HK"), &[]);
    check(Endpoint::Chatgpt, country("ZZ"), &["country"]);
    check(Endpoint::Chatgpt, country(""), &["country"]);
    let read = |body| read(Endpoint::Chatgpt, &body, LENIENT).unwrap().country;
    assert_eq!(read(json!({ "prompt": "tea" })), "US");
    assert_eq!(read(country("de")), "DE");
}

#[test]
fn a_blocked_country_and_an_unknown_one_give_different_messages() {
    let message = |code| {
        let body = json!({ "prompt": "tea", "country": code });
        read(Endpoint::Chatgpt, &body, STRICT).unwrap_err().remove(0).message
    };
    assert_eq!(message("CN"), "CN is not served by chatgpt");
    assert!(message("ZZ").starts_with("unsupported country"));
}

#[test]
fn google_takes_its_country_as_gl_in_either_case_or_as_country() {
    for endpoint in [Endpoint::Google, Endpoint::GoogleNews, Endpoint::Aimode] {
        let name = if endpoint.takes_prompt() { "prompt" } else { "query" };
        let ask = |more| with(json!({ name: "tea" }), more);
        check_both(endpoint, ask(json!({})), &["gl"], &[]);
        check(endpoint, ask(json!({ "gl": "de" })), &[]);
        check(endpoint, ask(json!({ "gl": "DE", "country": "DE" })), &[]);
        check(endpoint, ask(json!({ "gl": "DE", "country": "FR" })), &["gl"]);
        check(endpoint, ask(json!({ "gl": "xx" })), &["gl"]);
        assert_eq!(good(endpoint, ask(json!({ "gl": "De" }))).country, "DE");
    }
    check(Endpoint::Aimode, json!({ "prompt": "tea", "gl": "cn" }), &["gl"]);
    check_both(Endpoint::Chatgpt, json!({ "prompt": "tea", "gl": "us" }), &["country", "gl"], &[]);
}

#[test]
fn a_state_needs_the_us_and_may_have_either_case() {
    check(Endpoint::Chatgpt, chatgpt(json!({ "state": "ca" })), &[]);
    check(Endpoint::Chatgpt, chatgpt(json!({ "state": "PR" })), &["state"]);
    check(Endpoint::Chatgpt, chatgpt(json!({ "state": "CA", "country": "DE" })), &["state"]);
    check_both(Endpoint::Chatgpt, json!({ "prompt": "tea", "state": "CA" }), &["country"], &[]);
    check_both(Endpoint::Google, google(json!({ "state": "CA" })), &["state"], &[]);
    let read = good(Endpoint::Chatgpt, chatgpt(json!({ "state": "dc" })));
    assert_eq!(read.state.as_deref(), Some("DC"));
}

#[test]
fn a_language_is_trimmed_and_lower_cased() {
    let read = |hl| good(Endpoint::Google, google(json!({ "hl": hl }))).hl;
    assert_eq!(read(" De-CH ").as_deref(), Some("de-ch"));
    assert_eq!(read("  "), None);
}

#[test]
fn a_location_and_a_place_code_exclude_each_other() {
    check(Endpoint::Google, google(json!({ "location": "Bern", "uule": "w+C" })), &["uule"]);
    check(Endpoint::Aimode, json!({ "prompt": "tea", "gl": "us", "uule": "w+C" }), &[]);
    check_both(Endpoint::Google, google(json!({ "location": "", "uule": "w+C" })), &["uule"], &[]);
    check_both(Endpoint::GoogleNews, google(json!({ "uule": "w+C" })), &["uule"], &[]);
}

#[test]
fn each_endpoint_has_its_own_devices() {
    check(Endpoint::Google, google(json!({ "device": "ios" })), &[]);
    check(Endpoint::GoogleNews, google(json!({ "device": "android" })), &[]);
    check(Endpoint::Google, google(json!({ "device": "tablet" })), &["device"]);
    check(Endpoint::Aimode, json!({ "prompt": "tea", "gl": "us", "device": "mobile" }), &[]);
    check(Endpoint::Aimode, json!({ "prompt": "tea", "gl": "us", "device": "ios" }), &["device"]);
    check_both(Endpoint::Chatgpt, chatgpt(json!({ "device": "mobile" })), &["device"], &[]);
}

#[test]
fn pages_are_whole_numbers_from_1_to_10_and_lenient_rounds_up() {
    for pages in [json!(1), json!(10), json!(2.0)] {
        check(Endpoint::Google, google(json!({ "pages": pages })), &[]);
    }
    for pages in [json!(0), json!(11), json!(-1), json!(10.01), json!("3"), json!(null), json!(1e300)] {
        check(Endpoint::Google, google(json!({ "pages": pages })), &["pages"]);
    }
    check_both(Endpoint::GoogleNews, google(json!({ "pages": 2.5 })), &["pages"], &[]);
    let read = |pages| read(Endpoint::Google, &google(json!({ "pages": pages })), LENIENT).unwrap().pages;
    assert_eq!((read(2.5), read(0.1), read(9.5)), (3, 1, 10));
}

#[test]
fn each_endpoint_has_its_own_flags() {
    let include = |flag: &str| json!({ "include": { flag: true } });
    check(Endpoint::Chatgpt, chatgpt(include("shopping")), &[]);
    check_both(Endpoint::Gemini, chatgpt(include("shopping")), &["include.shopping"], &[]);
    check_both(Endpoint::Google, google(include("markdown")), &["include.markdown"], &[]);
    check(Endpoint::Google, google(include("googleGoto")), &[]);
    check(Endpoint::Google, google(json!({ "include": { "html": "yes" } })), &["include.html"]);
    check(Endpoint::Google, google(json!({ "include": true })), &["include"]);
    check(Endpoint::Google, google(json!({ "include": null })), &["include"]);
    let all = json!({ "include": { "markdown": true, "html": true, "expandProducts": true } });
    let read = good(Endpoint::Aimode, with(json!({ "prompt": "tea", "gl": "us" }), all));
    let wanted = Include { markdown: true, html: true, expand_products: true, ..Include::default() };
    assert_eq!(read.include, wanted);
}

#[test]
fn an_ai_overview_is_asked_for_by_true_or_by_any_object() {
    let read = |wanted: Value| {
        let read = good(Endpoint::Google, google(json!({ "include": { "aioverview": wanted } }))).include;
        (read.ai_overview, read.ai_overview_markdown)
    };
    assert_eq!(read(json!(true)), (true, false));
    assert_eq!(read(json!(false)), (false, false));
    assert_eq!(read(json!({})), (true, false));
    assert_eq!(read(json!({ "markdown": false })), (true, false));
    assert_eq!(read(json!({ "markdown": true })), (true, true));
    let include = |wanted: Value| google(json!({ "include": { "aioverview": wanted } }));
    check(Endpoint::Google, include(json!("yes")), &["include.aioverview"]);
    check(Endpoint::Google, include(json!({ "markdown": 1 })), &["include.aioverview.markdown"]);
    check_both(Endpoint::Google, include(json!({ "foo": 1 })), &["include.aioverview.foo"], &[]);
}

#[test]
fn chatgpt_alone_has_legacy_and_disable_web_search() {
    let more = json!({ "legacy": true, "disableWebSearch": true });
    let read = good(Endpoint::Chatgpt, chatgpt(more.clone()));
    assert!(read.legacy && read.disable_web_search);
    check(Endpoint::Chatgpt, chatgpt(json!({ "legacy": "yes" })), &["legacy"]);
    check_both(Endpoint::Copilot, chatgpt(more), &["disableWebSearch", "legacy"], &[]);
}

#[test]
fn all_faults_are_reported_at_once_in_the_order_of_the_fields() {
    let body = json!({
        "zoo": 1, "prompt": "", "country": "ZZ", "state": 7, "legacy": 1,
        "include": { "markdown": 1, "foo": true }, "city": "Bern",
    });
    let in_order = ["prompt", "country", "state", "include.markdown", "include.foo", "legacy", "city", "zoo"];
    assert_eq!(fields_of(Endpoint::Chatgpt, &body, STRICT), in_order);
}

#[test]
fn unknown_fields_are_named_once_shortened_and_then_counted() {
    let many: serde_json::Map<_, _> = (0..50).map(|n| (format!("x{n:02}"), json!(n))).collect();
    let faults = read(Endpoint::Chatgpt, &chatgpt(Value::Object(many)), STRICT).unwrap_err();
    assert_eq!(faults.len(), 21);
    assert_eq!(faults[20], FieldFault { field: String::new(), message: "has 30 more unknown fields".into() });

    let long = read(Endpoint::Chatgpt, &chatgpt(json!({ "é".repeat(1000): 1 })), STRICT).unwrap_err();
    assert_eq!(long[0].field, "é".repeat(64));

    let twice = br#"{"prompt":"tea","country":"US","a":1,"a":2}"#;
    assert_eq!(question(Endpoint::Chatgpt, twice, STRICT).unwrap_err().len(), 1);
}

#[test]
fn of_a_name_that_stands_twice_the_last_counts() {
    let body = br#"{"prompt":1,"country":"ZZ","prompt":"tea","country":"DE"}"#;
    assert_eq!(question(Endpoint::Chatgpt, body, STRICT).unwrap().country, "DE");
}

#[track_caller]
fn check_malformed(body: &[u8], message: &str) {
    for strict in [STRICT, LENIENT] {
        let faults = question(Endpoint::Chatgpt, body, strict).unwrap_err();
        let fault = FieldFault { field: String::new(), message: message.to_owned() };
        assert_eq!(faults, [fault], "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_body_that_is_no_json_object_is_one_fault_that_says_where() {
    check_malformed(b"", "is not JSON: EOF while parsing a value at line 1 column 0");
    check_malformed(b"{\"prompt\":", "is not JSON: EOF while parsing a value at line 1 column 10");
    check_malformed(b"{\n\"prompt\":tea}", "is not JSON: expected ident at line 2 column 11");
    check_malformed(b"{} x", "is not JSON: trailing characters at line 1 column 4");
    check_malformed(b"[1]", "must be a JSON object, at line 1 column 1");
    check_malformed(b"\"tea\"", "must be a JSON object, at line 1 column 5");
    check_malformed(b"null", "must be a JSON object, at line 1 column 4");
}

#[test]
fn broken_utf_8_is_found_wherever_it_stands() {
    for body in [
        &b"{\"prompt\":\"\xff\"}"[..],
        b"{\"x\":\"\xff\"}",
        b"{\"\xff\":1}",
        b"{\"x\":[{\"\xff\":1}]}",
        b"{\"prompt\":\"\\ud800\"}",
    ] {
        let fault = question(Endpoint::Chatgpt, body, LENIENT).unwrap_err().remove(0);
        assert!(fault.field.is_empty() && fault.message.starts_with("is not JSON"), "{fault:?}");
    }
}

#[test]
fn a_body_nested_too_deep_is_one_fault() {
    let nested = |depth| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    check_malformed(nested(200).as_bytes(), "is not JSON: recursion limit exceeded at line 1 column 132");
    let body = format!("{{\"prompt\":\"tea\",\"x\":{}", &nested(100)[5..]);
    assert!(question(Endpoint::Chatgpt, body.as_bytes(), LENIENT).is_ok());
}

#[test]
fn a_part_of_a_document_has_its_path_before_every_field() {
    let fields = |payload: Value| -> Vec<String> {
        let faults = part(Endpoint::Chatgpt, &payload, "payload", STRICT).unwrap_err();
        faults.into_iter().map(|fault| fault.field).collect()
    };
    assert_eq!(
        fields(json!({ "include": { "html": 1 } })),
        ["payload.prompt", "payload.country", "payload.include.html"]
    );
    assert_eq!(fields(json!([])), ["payload"]);
    let fault = part(Endpoint::Chatgpt, json!("x"), "payload", STRICT).unwrap_err().remove(0);
    assert_eq!(fault.message, "must be a JSON object");
}

fn search(url: &str, more: Value) -> Value {
    with(json!({ "url": url }), more)
}

#[test]
fn a_search_page_gives_the_whole_question() {
    let url = "https://www.google.co.uk/search?q=+green+tea&gl=GB&hl=EN&uule=w+CAIQ%2B&num=25&start=10\
               &tbs=qdr:d&safe=active&oq=x";
    let read = good(Endpoint::Google, search(url, json!({})));
    let expected = Question {
        country: "GB".into(),
        hl: Some("en".into()),
        uule: Some("w+CAIQ+".into()),
        pages: 3,
        start: 10,
        tbs: Some("qdr:d".into()),
        safe: Some("active".into()),
        ..Question::plain(Endpoint::Google, "green tea")
    };
    assert_eq!(read, expected);
    let again = json!({ "query": "green tea", "uule": "w+CAIQ+", "pages": 3, "country": "GB", "hl": "en" });
    assert_eq!(good(Endpoint::Google, search(url, again)), expected);
}

#[test]
fn only_the_search_page_of_google_itself_is_taken() {
    for good in [
        "http://google.de/search?q=tea",
        "https://WWW.google.com.au/search?q=tea#top",
        "https://google.com/search?q=%20",
    ] {
        check(Endpoint::Google, search(good, json!({ "gl": "us" })), &[]);
    }
    for bad in [
        "",
        "/search?q=tea",
        "ftp://google.com/search?q=tea",
        "https://news.google.com/search?q=tea",
        "https://google.info/search?q=tea",
        "https://google/search?q=tea",
        "https://google.c0/search?q=tea",
        "https://google.com.evil.example/search?q=tea",
        "https://www.google.com/search/?q=tea",
        "https://www.google.com/?q=tea",
        "https://www.google.com/search",
        "https://www.google.com/search?q=",
        "https://www.google.com/search?q=tea&tbm=nws",
        "https://www.google.com/search?q=tea&tbm",
        "https://www.google.com/search?q=tea&gl=xx",
    ] {
        check(Endpoint::Google, search(bad, json!({ "gl": "us" })), &["url"]);
    }
    let long = format!("https://google.com/search?q={}", "x".repeat(10_001));
    check(Endpoint::Google, search(&long, json!({ "gl": "us" })), &["url"]);
}

#[test]
fn the_depth_of_a_search_page_is_ten_results_a_page() {
    for (num, pages) in [
        ("1", 1),
        ("0", 1),
        ("10", 1),
        ("11", 2),
        ("250", 10),
        ("99999999999999999999999", 10),
        ("-5", 1),
        ("many", 1),
        ("2.5", 1),
        ("", 1),
    ] {
        let url = format!("https://google.com/search?q=tea&gl=us&num={num}");
        assert_eq!(good(Endpoint::Google, search(&url, json!({}))).pages, pages, "{num}");
    }
    let url = "https://google.com/search?q=tea&gl=us&start=junk";
    assert_eq!(good(Endpoint::Google, search(url, json!({}))).start, 0);
}

#[test]
fn a_search_page_excludes_the_fields_it_stands_for_unless_they_are_equal() {
    let url = "https://google.com/search?q=tea&gl=us&num=20";
    check(Endpoint::Google, search(url, json!({ "query": " tea", "pages": 2 })), &[]);
    check(Endpoint::Google, search(url, json!({ "query": "coffee" })), &["query"]);
    check(Endpoint::Google, search(url, json!({ "pages": 1 })), &["pages"]);
    check(Endpoint::Google, search(url, json!({ "uule": "w+C" })), &["uule"]);
    check(Endpoint::Google, search(url, json!({ "location": "Bern" })), &["location"]);
    check_both(Endpoint::Google, search(url, json!({ "location": "" })), &["location"], &[]);
}

#[test]
fn country_and_language_may_stand_in_the_url_or_beside_it_but_must_agree() {
    let bare = "https://google.com/search?q=tea";
    let full = "https://google.com/search?q=tea&gl=us&hl=en";
    check_both(Endpoint::Google, search(bare, json!({})), &["gl"], &[]);
    check(Endpoint::Google, search(bare, json!({ "country": "US", "hl": "EN" })), &[]);
    check(Endpoint::Google, search(full, json!({ "gl": "US", "hl": " EN " })), &[]);
    check(Endpoint::Google, search(full, json!({ "gl": "de" })), &["url"]);
    check(Endpoint::Google, search(full, json!({ "hl": "de" })), &["hl"]);
}

#[track_caller]
fn check_price(endpoint: Endpoint, body: Value, later: i64, now: i64) {
    let question = good(endpoint, body);
    let price = |way| Prices::default().of(&question, way).fixed;
    assert_eq!((price(Way::Later), price(Way::Now)), (Credits::new(later), Credits::new(now)));
}

#[test]
fn the_worked_examples_of_the_price_list_come_out() {
    let overview = json!({ "pages": 3, "include": { "aioverview": true, "paaAioverview": true } });
    check_price(Endpoint::Google, google(overview), 9, 11);
    let deep = "https://www.google.com/search?q=tea&gl=us&num=250";
    check_price(Endpoint::Google, search(deep, json!({})), 21, 23);
    let shop = json!({ "state": "CA", "include": { "shopping": true, "ads": true } });
    check_price(Endpoint::Chatgpt, chatgpt(shop), 9, 11);
    check_price(Endpoint::Gemini, chatgpt(json!({ "include": { "rawResponse": true } })), 4, 6);
    let expand = json!({ "prompt": "tea", "gl": "us", "include": { "expandProducts": true } });
    let price = Prices::default().of(&good(Endpoint::Aimode, expand), Way::Now);
    assert_eq!((price.charge(2), price.hold()), (Credits::new(8), Credits::new(12)));
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    proptest::sample::select(Endpoint::ALL.to_vec())
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-20i64..20).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        proptest::sample::select(vec![
            "US",
            "us",
            "CA",
            "de",
            "ios",
            "mobile",
            "https://google.com/search?q=a&gl=us"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any_name(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    let names = [
        "prompt",
        "query",
        "url",
        "country",
        "gl",
        "hl",
        "state",
        "location",
        "uule",
        "device",
        "pages",
        "include",
        "legacy",
        "markdown",
        "html",
        "aioverview",
        "shopping",
        "other",
    ];
    proptest::sample::select(names.map(str::to_owned).to_vec())
}

fn any_body() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map(any_name(), any_value(), 0..8)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn within_bounds(question: &Question, prompt_was: &str) -> bool {
    let some_full = |text: &Option<String>| text.as_deref() != Some("");
    country::served(question.endpoint, &question.country) == Served::Yes
        && question.state.as_deref().is_none_or(|code| state::lookup(code).is_some())
        && (question.state.is_none() || question.country == "US")
        && (1..=PAGES_MAX).contains(&question.pages)
        && !(question.location.is_some() && question.uule.is_some())
        && [&question.hl, &question.location, &question.uule, &question.tbs, &question.safe]
            .into_iter()
            .all(some_full)
        && prompt_was.trim() == question.prompt
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(endpoint in any_endpoint(), body in proptest::collection::vec(any::<u8>(), 0..200), strict: bool) {
        if let Err(faults) = question(endpoint, &body, strict) {
            prop_assert!(!faults.is_empty());
        }
    }

    #[test]
    fn units_are_counted_like_utf_16(text in ".{0,40}") {
        prop_assert_eq!(utf16_units(&text), text.encode_utf16().count());
    }

    #[test]
    fn no_prefix_of_a_body_is_taken_for_the_whole(endpoint in any_endpoint(), body in any_body(), at in 0usize..400) {
        let text = body.to_string();
        let cut = &text.as_bytes()[..at.min(text.len() - 1)];
        let faults = question(endpoint, cut, LENIENT).unwrap_err();
        prop_assert!(faults.len() == 1 && faults[0].field.is_empty());
    }

    #[test]
    fn what_is_accepted_is_within_its_bounds(endpoint in any_endpoint(), body in any_body(), strict: bool) {
        match read(endpoint, &body, strict) {
            Ok(question) => {
                let name = if endpoint.takes_prompt() { "prompt" } else { "query" };
                let prompt = body.get(name).and_then(Value::as_str).unwrap_or("a");
                prop_assert!(within_bounds(&question, prompt), "{:?}", question);
            }
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }

    #[test]
    fn the_strict_reading_accepts_nothing_that_the_lenient_one_reads_otherwise(
        endpoint in any_endpoint(), more in any_body(), base: bool,
    ) {
        let body = if base { with(more, json!({ "prompt": "tea", "query": "tea", "country": "US" })) } else { more };
        if let Ok(strict) = read(endpoint, &body, STRICT) {
            prop_assert_eq!(read(endpoint, &body, LENIENT), Ok(strict));
        }
    }

    #[test]
    fn a_value_and_its_text_are_read_alike(endpoint in any_endpoint(), body in any_body(), strict: bool) {
        prop_assert_eq!(read(endpoint, &body, strict), part(endpoint, &body, "", strict));
    }
}
