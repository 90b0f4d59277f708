//! The dashboard in a real browser.

mod keyboard;
mod keys;
mod live;
mod playground;
mod sign_in;
mod tasks;
mod walk;
mod weight;

use bromo_rules::member::Member;

use crate::support::visitor::SESSION;
use crate::support::{Bromo, Browser, Customer};

/// The owner of the customer's account.
async fn owner(bromo: &Bromo, customer: &Customer) -> Member {
    bromo.engine().owner_or_new(customer.account, "owner@acme.example").await.unwrap()
}

/// A browser in which this member is signed in.
async fn browser_of(bromo: &Bromo, member: &Member) -> Browser {
    let browser = Browser::open(bromo).await;
    let session = bromo.engine().begin_session(member, None).await.unwrap();
    browser.keep_cookie(SESSION, session.reveal()).await;
    browser
}

/// A browser in which the owner of the customer's account is signed in.
async fn signed_in(bromo: &Bromo, customer: &Customer) -> Browser {
    browser_of(bromo, &owner(bromo, customer).await).await
}
