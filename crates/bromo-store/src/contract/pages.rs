//! What every backend does with stored answer pages.

use std::time::Duration;

use super::{NOW, Outcome, request};
use crate::Books;

const HOUR: Duration = Duration::from_secs(3600);

/// At its last instant it is gone, deleted or not.
pub async fn a_page_is_there_until_it_expires(store: &dyn Books) -> Outcome {
    let html = "<p>ä</p>".repeat(10_000);
    let end = NOW.plus(HOUR);
    store.put_page(request(1), html.clone(), end).await?;
    assert_eq!(store.lookup_page(request(1), NOW).await?, Some(html));
    assert_eq!(store.lookup_page(request(2), NOW).await?, None);
    assert_eq!(store.lookup_page(request(1), end).await?, None);
    Ok(())
}

/// A call made again does no harm.
pub async fn a_page_put_again_is_the_newer_one(store: &dyn Books) -> Outcome {
    store.put_page(request(1), "old".to_owned(), NOW).await?;
    store.put_page(request(1), "new".to_owned(), NOW.plus(HOUR)).await?;
    assert_eq!(store.lookup_page(request(1), NOW).await?.as_deref(), Some("new"));
    Ok(())
}

/// The longest expired go first, in bounded steps.
pub async fn no_more_pages_expire_than_asked_for(store: &dyn Books) -> Outcome {
    for number in 0..5 {
        store.put_page(request(number), String::new(), NOW.plus(HOUR * u32::from(number))).await?;
    }
    let now = NOW.plus(HOUR * 3);
    assert_eq!(store.expire_pages(now, 3).await?, 3);
    assert_eq!(store.expire_pages(now, 3).await?, 1);
    assert_eq!(store.expire_pages(now, 3).await?, 0);
    assert_eq!(store.lookup_page(request(4), now).await?.as_deref(), Some(""));
    Ok(())
}
