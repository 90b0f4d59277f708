//! However a call ends, its slot is free again (promise S2), and only what is answered is charged (D9).

use bromo_rules::key::KeyKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Bromo, Customer, DEADLINE, Upstream, Visitor, until};

/// All slots of plan lite are free again: ten calls fit at once.
async fn all_free(bromo: &Bromo, upstream: &Upstream, customer: &Customer) {
    until("no slot is held", || bromo.in_use() == 0).await;
    until("no call runs", || upstream.running() == 0).await;
    upstream.hold();
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(customer.begin("fill").await);
    }
    until("ten calls run", || upstream.running() == 10).await;
    assert_eq!(customer.ask("one more").await.status, 429);
    upstream.release();
    drop(held);
    until("no slot is held", || bromo.in_use() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_closes_the_providers_socket_and_frees_the_slot_without_a_charge() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("lite").await;
    let before = bromo.account(&customer).await.balance;
    let mut calls = Vec::new();
    for _ in 0..10 {
        calls.push(customer.begin("hang up").await);
    }
    until("ten run", || upstream.running() == 10).await;
    drop(calls);
    until("the provider's sockets are closed", || upstream.running() == 0).await;
    until("the slots are free", || bromo.in_use() == 0).await;
    assert_eq!(bromo.account(&customer).await.balance, before);
    assert_eq!(upstream.most(), 10);
    all_free(&bromo, &upstream, &customer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_never_outnumber_sockets_while_clients_come_and_go() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("lite").await;
    for _ in 0..30 {
        let mut calls = Vec::new();
        for _ in 0..10 {
            calls.push(customer.begin("hang up").await);
        }
        until("one runs", || upstream.running() > 0).await;
        drop(calls);
    }
    until("no slot is held", || bromo.in_use() == 0).await;
    assert!(upstream.most() <= 10, "{} at once", upstream.most());
    all_free(&bromo, &upstream, &customer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_end_of_a_provider_frees_the_slot_and_costs_nothing() {
    let bromo = Bromo::with("[answers]\nattempts_max = 2\n[breaker]\nfailures_max = 0\n");
    let customer = bromo.customer("free").await;
    let before = bromo.account(&customer).await.balance;
    for (fail, status, code) in [
        ("timeout", 500, "INTERNAL_SERVER_ERROR"),
        ("refused", 500, "INTERNAL_SERVER_ERROR"),
        ("broken", 500, "INTERNAL_SERVER_ERROR"),
        ("garbage", 500, "INTERNAL_SERVER_ERROR"),
        ("panic", 500, "INTERNAL_SERVER_ERROR"),
        ("busy", 503, "SERVICE_UNAVAILABLE"),
    ] {
        let reply = customer.ask(&format!("[sandbox fail={fail}] x")).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{fail}: {reply:?}");
        assert_eq!(reply.slots(), (1, 1, 0), "{fail}");
        if fail == "panic" {
            // What the panic dropped is given back by itself, a moment later where that is a round trip.
            until("its slot is free", || bromo.in_use() == 0).await;
        }
        assert_eq!(bromo.in_use(), 0, "{fail}");
    }
    assert_eq!(bromo.account(&customer).await.balance, before);
    assert_eq!(customer.ask("fine").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_is_made_again_under_the_same_slot() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let typo = customer.ask("[sandbox speed=9] x").await;
    assert_eq!((typo.status, &typo.body["error"]["details"][0]["field"]), (400, &"prompt".into()));
    let reply = customer.ask("[sandbox fail=broken times=3] x").await;
    assert_eq!((reply.status, reply.slots()), (200, (1, 1, 0)));
    assert_eq!(reply.number("x-credits-charged"), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_running_calls_end_and_refuses_new_connections() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    let running = tokio::spawn({
        let customer = customer.clone();
        async move { customer.ask("hold").await }
    });
    until("it runs", || upstream.running() == 1).await;
    bromo.running().stop();
    let address = bromo.running().api;
    until("nobody listens", || std::net::TcpStream::connect(address).is_err()).await;
    upstream.release();
    let reply = running.await.unwrap();
    assert_eq!((reply.status, reply.number("x-credits-charged")), (200, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_never_arrives_holds_up_no_shutdown() {
    // Far longer than this test may take.
    let mut bromo = Bromo::with("[listen]\nshutdown_ms = 600000\n");
    let customer = bromo.customer("free").await;
    let owner = bromo.engine().owner_or_new(customer.account, "ada@example.com").await.unwrap();
    let cookie = Visitor::member(&bromo, &owner).await.cookie().to_owned();
    let mut stream = tokio::net::TcpStream::connect(bromo.running().api).await.unwrap();
    let head =
        format!("POST /keys HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\ncontent-length: 1000\r\n\r\ntok");
    stream.write_all(head.as_bytes()).await.unwrap();
    let restarted = tokio::task::spawn_blocking(move || {
        bromo.restart(); // Waits until all has ended.
        drop(bromo);
    });
    tokio::time::timeout(DEADLINE, restarted).await.expect("it ended in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlasts_the_shutdown_deadline_is_cut_and_costs_nothing() {
    let upstream = Upstream::holding().await;
    let mut bromo = Bromo::with(&format!(
        "[listen]\nshutdown_ms = 50\n[endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"m\"\n",
        upstream.base_url()
    ));
    let customer = bromo.customer("free").await;
    let _running = customer.begin("hold").await;
    until("it runs", || upstream.running() == 1).await;
    bromo.restart();
    until("the provider's socket is closed", || upstream.running() == 0).await;
    assert_eq!(bromo.account(&customer).await.balance.total().get(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_past_the_deadline_is_a_500_and_frees_the_slot() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::with(&format!(
        "[answers]\ndeadline_ms = 60\nattempts_max = 2\n[endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"m\"\n",
        upstream.base_url()
    ));
    let customer = bromo.customer("free").await;
    let reply = customer.ask("slow").await;
    assert_eq!((reply.status, reply.code()), (500, "INTERNAL_SERVER_ERROR"));
    assert_eq!(reply.body["error"]["message"], "Maximum timeout (5 minutes) exceeded");
    until("the provider's socket is closed", || upstream.running() == 0).await;
    assert_eq!(bromo.in_use(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_every_call_is_one_line_of_the_log() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("lite").await;
    let test = bromo.key(&customer, KeyKind::Test).await;
    drop(customer.begin("hang up").await);
    let hung = customer.begin("hang up").await;
    until("it runs", || upstream.running() >= 1).await;
    drop(hung);
    until("no slot is held", || bromo.in_use() == 0).await;
    assert_eq!(test.ask("[sandbox fail=panic]").await.status, 500);
    assert_eq!(test.ask("fine").await.status, 200);
    assert_eq!(customer.get("nothing").await.status, 404);
    let log = bromo.engine().log();
    until("the lines are written", || log.written.get() >= 4 && log.is_empty()).await;
    let lines = crate::admin::log_lines(&bromo, &customer).await;
    let mut ends: Vec<_> =
        lines.iter().map(|line| (line["status"].as_u64().unwrap(), line["code"].as_str().unwrap())).collect();
    ends.sort_unstable();
    ends.dedup();
    let expected =
        [(200, ""), (404, "RESOURCE_NOT_FOUND"), (499, "REQUEST_CANCELED"), (500, "INTERNAL_SERVER_ERROR")];
    assert_eq!(ends, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_is_seen_behind_bytes_that_wait_for_their_turn() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("lite").await;
    for (calls, behind) in
        ["\r\n", "GET /v1/credits HTTP/1.1\r\nHost: b\r\n\r\n", "garbage"].iter().enumerate()
    {
        let mut stream = customer.begin("hang up").await;
        stream.write_all(behind.as_bytes()).await.unwrap();
        until("it runs", || upstream.begun() == calls as u64 + 1).await;
        drop(stream);
        until("the slot is free", || bromo.in_use() == 0 && upstream.running() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_ahead_is_answered_in_its_turn() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("lite").await;
    let mut stream = customer.begin("first").await;
    let next = format!(
        "GET /v1/credits HTTP/1.1\r\nHost: b\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        customer.key
    );
    for half in [&next[..20], &next[20..]] {
        stream.write_all(half.as_bytes()).await.unwrap();
    }
    until("it runs", || upstream.running() == 1).await;
    upstream.release();
    let mut answers = String::new();
    tokio::time::timeout(crate::support::DEADLINE, stream.read_to_string(&mut answers))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    assert!(answers.ends_with("}") && answers.contains("\"remaining\":37493"), "{answers}");
}
