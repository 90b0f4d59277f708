use std::net::IpAddr;
use std::time::Duration;

use bromo_rules::member::Role;

use super::{House, PASSWORD};
use crate::session::{LINK_LASTS, SESSION_LASTS, SignInError};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_member_is_signed_in_until_the_session_is_over() {
    let house = House::new();
    let owner = house.owner("lite").await;
    let (token, member) = house.engine.sign_in(" Owner@LITE ", PASSWORD, None, None).await.unwrap();
    assert_eq!(member.id, owner.id);
    house.pass(SESSION_LASTS - SECOND);
    let found = house.engine.session(token.reveal()).await.unwrap().unwrap();
    assert_eq!((found.member.id, found.account.name.as_str()), (owner.id, "lite"));
    house.pass(SECOND);
    assert!(house.engine.session(token.reveal()).await.unwrap().is_none());
    assert!(house.engine.session("anything").await.unwrap().is_none());
}

#[tokio::test]
async fn signing_out_and_signing_in_again_end_the_old_session() {
    let house = House::new();
    house.owner("lite").await;
    let (first, _) = house.engine.sign_in("owner@lite", PASSWORD, None, None).await.unwrap();
    let (second, _) = house.engine.sign_in("owner@lite", PASSWORD, None, Some(first.reveal())).await.unwrap();
    assert!(house.engine.session(first.reveal()).await.unwrap().is_none());
    assert!(house.engine.session(second.reveal()).await.unwrap().is_some());
    house.engine.sign_out(second.reveal()).await.unwrap();
    assert!(house.engine.session(second.reveal()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_are_told_the_same() {
    let house = House::new();
    house.owner("lite").await;
    let mut told = Vec::new();
    for (email, password) in [("owner@lite", "wrong horse"), ("nobody@lite", PASSWORD), ("no address", "")] {
        let refused = house.engine.sign_in(email, password, None, None).await.unwrap_err();
        assert!(matches!(refused, SignInError::Wrong), "{refused:?}");
        told.push(refused.to_string());
    }
    told.dedup();
    assert_eq!(told.len(), 1);
}

#[tokio::test]
async fn a_password_that_is_changed_while_it_signs_in_starts_no_session() {
    let house = House::new();
    let owner = house.owner("lite").await;
    let found = house.engine.store().lookup_member_by_email(&owner.email).await.unwrap();
    let hash = found.and_then(|(_, hash)| hash).unwrap();
    house.engine.change_password(&owner, PASSWORD, "another horse", None).await.unwrap();
    let refused = house.engine.begin_compared(&owner, &hash, None).await;
    assert!(matches!(refused, Err(SignInError::Wrong)), "{refused:?}");
    house.pass(SESSION_LASTS);
    let now = house.engine.clock().now();
    assert_eq!(house.engine.store().expire_sign_ins(now, 10).await.unwrap(), 0);
}

#[tokio::test]
async fn who_fails_too_often_waits_even_with_the_right_password() {
    let house = House::new();
    house.owner("lite").await;
    for _ in 0..5 {
        let refused = house.engine.sign_in("owner@lite", "wrong horse", None, None).await;
        assert!(matches!(refused, Err(SignInError::Wrong)), "{refused:?}");
    }
    let refused = house.engine.sign_in("OWNER@lite", PASSWORD, None, None).await;
    assert!(matches!(refused, Err(SignInError::Wait { seconds: 30 })), "{refused:?}");
    house.pass(30 * SECOND);
    house.engine.sign_in("owner@lite", PASSWORD, None, None).await.unwrap();
    house.engine.sign_in("owner@lite", PASSWORD, None, None).await.unwrap();
}

#[tokio::test]
async fn failures_count_for_the_peer_over_all_addresses() {
    let house = House::new();
    house.owner("lite").await;
    let peer = Some(IpAddr::from([192, 0, 2, 1]));
    let mut refused = None;
    for number in 0..51 {
        refused = Some(house.engine.sign_in(&format!("{number}@lite"), PASSWORD, peer, None).await);
    }
    assert!(matches!(refused, Some(Err(SignInError::Wait { seconds: 30 }))), "{refused:?}");
    house.engine.sign_in("owner@lite", PASSWORD, None, None).await.unwrap();
}

#[tokio::test]
async fn a_link_signs_in_once_within_the_hour() {
    let house = House::new();
    let made = house.engine.create_account("acme", "lite").await.unwrap();
    let owner = house.engine.owner_or_new(made.account.id, "you@localhost").await.unwrap();
    assert_eq!(owner.role, Role::Owner);
    assert_eq!(house.engine.owner_or_new(made.account.id, "other@localhost").await.unwrap(), owner);
    let link = house.engine.make_link(&owner).await.unwrap();
    let (token, member) = house.engine.sign_in_by_link(link.reveal(), None).await.unwrap();
    assert_eq!(member.id, owner.id);
    assert!(house.engine.session(token.reveal()).await.unwrap().is_some());
    let again = house.engine.sign_in_by_link(link.reveal(), None).await;
    assert!(matches!(again, Err(SignInError::Link)), "{again:?}");
    let late = house.engine.make_link(&owner).await.unwrap();
    house.pass(LINK_LASTS);
    let late = house.engine.sign_in_by_link(late.reveal(), None).await;
    assert!(matches!(late, Err(SignInError::Link)), "{late:?}");
    let refused = house.engine.sign_in("you@localhost", "", None, None).await;
    assert!(matches!(refused, Err(SignInError::Wrong)), "{refused:?}");
}

#[tokio::test]
async fn that_a_member_was_seen_is_written_once_a_minute() {
    let house = House::new();
    let owner = house.owner("lite").await;
    let (token, _) = house.engine.sign_in("owner@lite", PASSWORD, None, None).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        house.pass(30 * SECOND);
        house.engine.session(token.reveal()).await.unwrap().unwrap();
        let member = house.engine.store().lookup_member(owner.id).await.unwrap().unwrap();
        seen.push(member.seen_at.unwrap().since(owner.created_at).as_secs());
    }
    assert_eq!(seen, [0, 60, 60, 120]);
}

#[tokio::test]
async fn what_is_over_is_deleted_from_the_store() {
    let house = House::new();
    let owner = house.owner("lite").await;
    house.engine.begin_session(&owner, None).await.unwrap();
    house.pass(SESSION_LASTS);
    let good = house.engine.begin_session(&owner, None).await.unwrap();
    house.engine.expire_sign_ins().await.unwrap();
    assert_eq!(house.engine.store().expire_sign_ins(house.engine.clock().now(), 10).await.unwrap(), 0);
    assert!(house.engine.session(good.reveal()).await.unwrap().is_some());
}
