//! `POST /v1/monitor/…`: a question answered now.

use std::sync::Arc;

use bromo_engine::Caller;
use bromo_engine::answer::Work;
use bromo_providers::catalog::Line;
use bromo_rules::credit::{Price, Way};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::question::Question;
use bromo_rules::validate;
use bromo_store::KeptText;
use bytes::BytesMut;

use crate::body::Asked;
use crate::exchange::Exchange;
use crate::problem::Failure;
use crate::reply::Success;
use crate::route::Route;
use crate::{Api, body};

/// Reads and checks the body, makes the one decision, and answers.
pub(crate) async fn post(
    api: &Api,
    exchange: &mut Exchange,
    mut caller: Arc<Caller>,
    endpoint: Endpoint,
    body: Asked,
) -> Result<Success, Failure> {
    let engine = &api.engine;
    let checked = check(api, &caller, endpoint, body).await;
    let work = checked.as_ref().ok().map(|checked| (endpoint, checked.price));
    let permit = exchange.decide(engine, &mut caller, Route::Answer(endpoint), work).await?;
    let Checked { question, price, line } = checked?;
    let (Some(permit), Some(standing), Some(record)) = (permit, exchange.standing, exchange.record.take())
    else {
        return Err(Failure::unavailable()); // Admitted work has all three.
    };
    let deadline = exchange.arrived + engine.settings().answer_deadline;
    let asked = caller.keep_texts.then(|| question.prompt.clone().into_bytes());
    let work = Work { permit, question, price, balance: standing.balance, deadline };
    let (record, answered) = engine.answer(&line, work, record).await;
    exchange.record = record;
    if let Some(asked) = asked {
        let answer = answered.as_ref().map_or_else(|_| Vec::new(), |answered| answered.result.clone());
        engine.log().keep(KeptText {
            request: exchange.request,
            account: caller.facts.account,
            at: exchange.at,
            question: asked,
            answer,
        });
    }
    let answered = answered.map_err(|error| {
        tracing::warn!(request = %exchange.request, %endpoint, %error, "failed to answer");
        Failure::unanswered(endpoint, &error)
    })?;
    Ok(Success { body: envelope(&answered.result), credits: Some((answered.charged, answered.remaining)) })
}

/// A question that may be asked, whom, and at what price.
struct Checked {
    question: Question,
    price: Price,
    line: Arc<Line>,
}

async fn check(api: &Api, caller: &Caller, endpoint: Endpoint, body: Asked) -> Result<Checked, Failure> {
    let whole = body::read(body, &api.limits).await?;
    let question =
        validate::question(endpoint, &whole.bytes, api.strict).map_err(|faults| Failure::invalid(&faults))?;
    let (line, price) = api
        .engine
        .line(caller.kind, &question, Way::Now)
        .map_err(|error| Failure::provider(endpoint, &error))?;
    Ok(Checked { question, price, line })
}

fn envelope(result: &[u8]) -> bytes::Bytes {
    const HEAD: &[u8] = br#"{"success":true,"result":"#;
    let mut body = BytesMut::with_capacity(HEAD.len() + result.len() + 1);
    body.extend_from_slice(HEAD);
    body.extend_from_slice(result);
    body.extend_from_slice(b"}");
    body.freeze()
}
