//! A question answered now: call, keep the page, charge, give the slot back.

use std::sync::Arc;

use bromo_admission::Permit;
use bromo_providers::ProviderError;
use bromo_providers::catalog::Line;
use bromo_rules::answer::Answer;
use bromo_rules::credit::{Credits, Price, Way};
use bromo_rules::key::KeyKind;
use bromo_rules::question::Question;
use bromo_store::Charge;
use tokio::time::Instant;

use crate::call::{CallError, call};
use crate::page::PageError;
use crate::result::{Pages, ResultObject};
use crate::settle::SettleError;
use crate::{Engine, Record, render};

/// An answer that is paid for.
#[derive(Debug)]
pub struct Answered {
    /// The result object of the endpoint (contract section 5), as JSON.
    pub result: Vec<u8>,
    /// What it cost.
    pub charged: Credits,
    /// The balance after that.
    pub remaining: Credits,
}

/// Why a question was not answered. Nothing was charged.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// No answer came.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The page could not be kept.
    #[error("page not kept: {0}")]
    Page(#[from] PageError),
    /// The charge failed.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// The slot was lost while the call ran: this node was frozen, or cut off from the counts.
    #[error("slot lost")]
    SlotLost,
}

/// A question that was admitted.
#[derive(Debug)]
pub struct Work {
    /// Its slot and its hold.
    pub permit: Permit,
    /// What is asked.
    pub question: Question,
    /// What it costs.
    pub price: Price,
    /// The balance at the decision, what running work holds included.
    pub balance: Credits,
    /// When it must be answered.
    pub deadline: Instant,
}

impl Engine {
    /// Answers an admitted question. When this returns, the provider's socket is closed or its answer
    /// read, the charge is on disk, and the slot is free: in this order.
    ///
    /// Dropping the future at any moment before the charge cancels the call: the socket is closed, then
    /// the slot is freed, nothing is charged, and the record ends as a 499.
    ///
    /// The record comes back so that its end can follow the response; none where settling broke, which
    /// ended it already.
    pub async fn answer(
        &self,
        line: &Line,
        work: Work,
        mut record: Record,
    ) -> (Option<Record>, Result<Answered, AnswerError>) {
        // Declared before the call, so dropped after it: the slot outlives the socket.
        let Work { permit, question, price, balance, deadline } = work;
        let called = tokio::select! {
            biased;
            () = permit.lost() => Err(AnswerError::SlotLost),
            called = self.call_and_render(line, &question, price, deadline, &mut record) => called,
        };
        // A node that was frozen wakes here: what it was answered meanwhile is nobody's.
        let called = if permit.is_live() { called } else { Err(AnswerError::SlotLost) };
        let (result, charged) = match called {
            Ok(answer) => answer,
            Err(error) => {
                permit.release(None).await;
                self.counters.failed.count();
                return (Some(record), Err(error));
            }
        };
        if charged == Credits::ZERO {
            permit.release(None).await;
            record.succeed(charged);
            self.counters.answered.count();
            return (Some(record), Ok(Answered { result, charged, remaining: balance }));
        }
        let line = record.line();
        let charge =
            Charge { request: line.request, account: line.account, price: charged, at: self.clock().now() };
        let (record, settled) = self.settle(permit, charge, record).await;
        let settled = settled.map(|remaining| Answered { result, charged, remaining });
        (record, settled.map_err(Into::into))
    }

    /// Calls the provider, keeps the page that was asked for, and writes the result object: what is left of
    /// the work is to pay for it.
    async fn call_and_render(
        &self,
        line: &Line,
        question: &Question,
        price: Price,
        deadline: Instant,
        record: &mut Record,
    ) -> Result<(Vec<u8>, Credits), AnswerError> {
        let started = Instant::now();
        let answer =
            call(line, question, deadline, self.clock(), |attempts| record.attempted(attempts)).await?;
        if line.endpoint.is_some() {
            self.took(question.endpoint, started.elapsed()); // Scripted answers say nothing of a provider.
        }
        Ok(rendered(self, question, &answer, price).await?)
    }

    /// Who answers this question for a key of this kind, and at what price. Test keys are answered by the
    /// sandbox at price 0.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`], naming the missing setting, where the endpoint has no provider.
    pub fn line(
        &self,
        kind: KeyKind,
        question: &Question,
        way: Way,
    ) -> Result<(Arc<Line>, Price), ProviderError> {
        match kind {
            KeyKind::Test => Ok((Arc::clone(self.parts.catalog.sandbox()), Price::FREE)),
            KeyKind::Live => {
                let line = self.parts.catalog.line(question.endpoint)?;
                Ok((Arc::clone(line), self.parts.prices.of(question, way)))
            }
        }
    }
}

/// Keeps the page that was asked for, and writes the result object, with what it costs.
pub(crate) async fn rendered(
    engine: &Engine,
    question: &Question,
    answer: &Answer,
    price: Price,
) -> Result<(Vec<u8>, Credits), PageError> {
    let mut pages = Pages::default();
    if question.include.html {
        pages.html = Some(engine.put_page(render::page(question, answer)).await?);
    }
    let result = ResultObject { question, answer, pages: &pages }.to_json();
    Ok((result, price.charge(clusters(answer))))
}

/// Product clusters that came back: AI Mode charges for each.
fn clusters(answer: &Answer) -> usize {
    answer.extra.get("productResults").and_then(serde_json::Value::as_array).map_or(0, Vec::len)
}
