//! What was done, told once on the page that follows: by a word in its address, never by text from there.

use crate::form::Form;
use crate::text::counted;

/// What stands at the top of the page after a change.
pub(crate) fn after(query: &Form) -> Option<String> {
    let count = query.text("n").parse().unwrap_or(0);
    let text = match query.text("done") {
        "revoked" => "The key is revoked: the next request with it is a 401.",
        "scheduled" => "The plan changes with the next cycle.",
        "kept" => "The change of plan is taken back.",
        "asked" => "The operator was asked. Nothing has changed yet.",
        "withdrawn" => "The request is taken back.",
        "texts-on" => "Questions and answers are kept with log lines from now on.",
        "texts-off" => "Questions and answers are not kept from now on.",
        "role" => "The role is changed.",
        "removed" => "The member is removed and signed out everywhere.",
        "uninvited" => "The invitation is taken back.",
        "password" => "The password is changed. Other sessions of yours are ended.",
        "cancelled" => "The task is cancelled.",
        "resent" => "The delivery is due now. Receivers may see it twice.",
        "disabled" => "Deliveries are sent unsigned from now on.",
        "saved" => "Saved.",
        "cleared" => return Some(format!("{} deleted from the queue.", counted(count, "task"))),
        "resent-many" => {
            return Some(format!(
                "{} due again.",
                counted(count, "delivery").replace("deliverys", "deliveries")
            ));
        }
        _ => return None,
    };
    Some(text.to_owned())
}
