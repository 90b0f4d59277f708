//! What every backend does with kept questions and answers.

use std::time::Duration;

use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::time::Timestamp;

use super::logs::{keep, line};
use super::{NOW, Outcome};
use crate::{KeptText, LogFilter, LogKeep, Logs, StoreError};

const MINUTE: Duration = Duration::from_secs(60);

/// A text of account 1 a minute; its answer does not pack.
fn text(number: u32) -> KeptText {
    let at = NOW.plus(MINUTE * number);
    let mut state = u64::from(number) + 1;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    KeptText {
        request: RequestId::new(at, [number.to_be_bytes()[3]; 10]),
        account: AccountId::from_random(1),
        at,
        question: format!("What is {number}? ").repeat(20).into_bytes(),
        answer: (0..10_000).map(|_| noise()).collect(),
    }
}

async fn lookup(logs: &dyn Logs, number: u32) -> Result<Option<KeptText>, StoreError> {
    logs.lookup_text(AccountId::from_random(1), text(number).request).await
}

/// Texts from this number on are there, those below not.
async fn assert_kept(logs: &dyn Logs, from: u32, until: u32) -> Outcome {
    for number in 0..until {
        let expected = (number >= from).then(|| text(number));
        assert!(lookup(logs, number).await? == expected, "{number}");
    }
    Ok(())
}

/// Empty ones, and those that are no text at all.
pub async fn a_text_reads_back_as_it_was_and_to_its_account_alone(logs: &dyn Logs) -> Outcome {
    let empty = KeptText { question: Vec::new(), answer: Vec::new(), ..text(1) };
    let odd = KeptText { question: vec![0xff; 70_000], answer: vec![0; 2_000_000], ..text(2) };
    logs.append_texts(vec![text(0), empty.clone()]).await?;
    logs.append_texts(vec![odd.clone()]).await?;
    logs.append_texts(Vec::new()).await?;
    for (number, expected) in [text(0), empty, odd].into_iter().enumerate() {
        let found = lookup(logs, u32::try_from(number).unwrap_or(9)).await?;
        assert!(found == Some(expected), "{number}");
    }
    assert_eq!(lookup(logs, 3).await?, None);
    let other = AccountId::from_random(2);
    assert_eq!(logs.lookup_text(other, text(0).request).await?, None);
    Ok(())
}

/// And what the older one took is free.
pub async fn a_text_kept_again_is_the_newer_one(logs: &dyn Logs) -> Outcome {
    for _ in 0..20 {
        logs.append_texts(vec![KeptText { answer: vec![1], ..text(0) }, text(0)]).await?;
    }
    logs.trim(&LogKeep { text_bytes_max: 20_000, ..keep(NOW, u64::MAX) }).await?;
    assert_kept(logs, 0, 1).await
}

/// However young the others are.
pub async fn texts_too_old_are_deleted(logs: &dyn Logs) -> Outcome {
    logs.append_texts((0..400).rev().map(|n| KeptText { answer: vec![7], ..text(n) }).collect()).await?;
    logs.append_texts((395..400).map(text).collect()).await?;
    assert_eq!(logs.trim(&keep(NOW.plus(MINUTE * 395), u64::MAX)).await?, 0);
    assert_kept(logs, 395, 400).await
}

/// Lines and texts do not count for one another.
pub async fn texts_too_large_are_deleted_from_the_old_end_and_lines_stay(logs: &dyn Logs) -> Outcome {
    logs.append((0..10).map(line).collect(), None).await?;
    for number in 0..50 {
        logs.append_texts(vec![text(number)]).await?;
    }
    let small = LogKeep { bytes_max: 300_000, ..keep(Timestamp::from_millis(0), 0) };
    assert_eq!(logs.trim(&small).await?, 0);
    assert_kept(logs, 0, 50).await?;
    logs.trim(&LogKeep { text_bytes_max: 105_000, ..small }).await?;
    assert_kept(logs, 40, 50).await?;
    let left = logs.read(&LogFilter::default(), None, 100, Duration::MAX).await?;
    assert_eq!(left.lines.len(), 10);
    logs.trim(&LogKeep { text_bytes_max: 0, ..small }).await?;
    assert_kept(logs, 50, 50).await
}
