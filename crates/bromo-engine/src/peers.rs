//! What other nodes tell this one. Where nobody tells anything, looking now and then finds out the same.

use std::sync::Arc;

use bromo_admission::{Bus, Message};

use crate::feed::Feed;
use crate::later::Later;

/// Acts on what other nodes tell from now on.
pub(crate) fn listen(bus: &dyn Bus, later: &Arc<Later>, feed: &Feed) {
    let (later, feed) = (Arc::clone(later), feed.clone());
    bus.hear(Arc::new(move |message| match message {
        Message::Tasks(account) => later.wake(account),
        Message::Deliveries => later.due.notify_one(),
        Message::Lines(account) => feed.wake(&[account]),
        Message::Cancel(seq) => {
            later.cancel(seq);
        }
    }));
}
