use std::time::Duration;

use bromo_rules::key::KeyKind;
use bromo_rules::member::{EmailError, PasswordError, Role};

use super::{House, PASSWORD};
use crate::account::{AccountError, KEYS_MAX};
use crate::member::{INVITATION_LASTS, INVITATIONS_MAX, MemberError};
use crate::session::SignInError;

#[tokio::test]
async fn signing_up_makes_an_account_with_an_owner_and_no_key() {
    let house = House::new();
    let (account, owner) = house.engine.sign_up(" acme ", "Ada@Example.com", PASSWORD, "free").await.unwrap();
    assert_eq!((account.name.as_str(), account.keep_texts), ("acme", false));
    assert_eq!(
        (owner.account, owner.role, owner.email.as_str()),
        (account.id, Role::Owner, "ada@example.com")
    );
    let store = house.engine.store();
    assert_eq!(store.list_keys(account.id).await.unwrap(), []);
    assert!(store.lookup_secrets(account.id).await.unwrap().is_some());
    house.engine.sign_in("ada@example.com", PASSWORD, None, None).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_sign_up_names_its_field() {
    let house = House::new();
    house.owner("lite").await;
    let refused = async |name: &str, email: &str, password: &str| {
        house.engine.sign_up(name, email, password, "free").await.unwrap_err()
    };
    assert!(matches!(refused(" ", "a@b", PASSWORD).await, MemberError::BadAccountName));
    assert!(matches!(refused("lite", "a@b", PASSWORD).await, MemberError::AccountNameTaken));
    assert!(matches!(refused("acme", "ab", PASSWORD).await, MemberError::BadEmail(EmailError)));
    assert!(matches!(refused("acme", "owner@lite", PASSWORD).await, MemberError::EmailTaken));
    assert!(matches!(refused("acme", "a@b", "short").await, MemberError::BadPassword(PasswordError::Short)));
    let refused = house.engine.sign_up("acme", "a@b", PASSWORD, "none").await;
    assert!(matches!(refused, Err(MemberError::NoPlan(plan)) if plan == "none"));
    assert!(house.engine.find_account("acme").await.is_err());
}

#[tokio::test]
async fn whoever_is_invited_joins_once_and_in_time() {
    let house = House::new();
    let owner = house.owner("lite").await;
    let token = house.engine.invite(&owner, "Bob@example.com", Role::Viewer).await.unwrap();
    let (invitation, account) = house.engine.invitation(token.reveal()).await.unwrap().unwrap();
    assert_eq!((invitation.email.as_str(), account.id), ("bob@example.com", owner.account));
    let refused = house.engine.accept_invitation(token.reveal(), "short").await;
    assert!(matches!(refused, Err(MemberError::BadPassword(_))), "{refused:?}");
    let bob = house.engine.accept_invitation(token.reveal(), PASSWORD).await.unwrap();
    assert_eq!((bob.account, bob.role), (owner.account, Role::Viewer));
    house.engine.sign_in("bob@example.com", PASSWORD, None, None).await.unwrap();
    let late = house.engine.invite(&owner, "eve@example.com", Role::Member).await.unwrap();
    house.pass(INVITATION_LASTS);
    for token in [token, late] {
        let refused = house.engine.accept_invitation(token.reveal(), PASSWORD).await;
        assert!(matches!(refused, Err(MemberError::NoInvitation)), "{refused:?}");
    }
    let refused = house.engine.invite(&owner, "bob@example.com", Role::Member).await;
    assert!(matches!(refused, Err(MemberError::EmailTaken)), "{refused:?}");
}

#[tokio::test]
async fn there_are_no_more_members_than_the_plan_has_seats() {
    let house = House::new();
    let (alone, owner) = (house.owner("free").await, house.owner("lite").await);
    let refused = house.engine.invite(&alone, "bob@example.com", Role::Member).await;
    assert!(matches!(refused, Err(MemberError::NoSeat)), "{refused:?}");
    let invited = house.engine.invite(&owner, "bob@example.com", Role::Member).await.unwrap();
    house.engine.set_plan(owner.account, "free").await.unwrap();
    let refused = house.engine.accept_invitation(invited.reveal(), PASSWORD).await;
    assert!(matches!(refused, Err(MemberError::NoSeat)), "{refused:?}");
    house.engine.set_plan(owner.account, "lite").await.unwrap();
    house.engine.accept_invitation(invited.reveal(), PASSWORD).await.unwrap();
}

#[tokio::test]
async fn an_open_invitation_takes_a_seat_and_gives_it_back() {
    let house = House::new();
    let owner = house.owner("pair").await;
    house.engine.invite(&owner, "bob@example.com", Role::Member).await.unwrap();
    house.engine.invite(&owner, "bob@example.com", Role::Viewer).await.unwrap();
    let refused = house.engine.invite(&owner, "eve@example.com", Role::Member).await;
    assert!(matches!(refused, Err(MemberError::NoSeat)), "{refused:?}");
    house.pass(INVITATION_LASTS);
    house.join(&owner, "eve@example.com", Role::Member).await;
    let refused = house.engine.invite(&owner, "bob@example.com", Role::Member).await;
    assert!(matches!(refused, Err(MemberError::NoSeat)), "{refused:?}");
}

#[tokio::test]
async fn open_invitations_have_a_bound_and_one_more_to_the_same_address_is_none_more() {
    let house = House::new();
    let owner = house.owner("lite").await;
    for number in 0..INVITATIONS_MAX {
        house.engine.invite(&owner, &format!("{number}@example.com"), Role::Member).await.unwrap();
    }
    house.engine.invite(&owner, "0@example.com", Role::Viewer).await.unwrap();
    let refused = house.engine.invite(&owner, "more@example.com", Role::Member).await;
    assert!(matches!(refused, Err(MemberError::TooManyInvitations)), "{refused:?}");
    house.engine.withdraw_invitation(&owner, &"0@example.com".parse().unwrap()).await.unwrap();
    house.engine.invite(&owner, "more@example.com", Role::Member).await.unwrap();
}

#[tokio::test]
async fn only_owners_manage_and_everybody_may_leave() {
    let house = House::new();
    let owner = house.owner("lite").await;
    let bob = house.join(&owner, "bob@example.com", Role::Member).await;
    let refused = [
        house.engine.invite(&bob, "eve@example.com", Role::Owner).await.map(drop),
        house.engine.set_role(&bob, bob.id, Role::Owner).await,
        house.engine.remove_member(&bob, owner.id).await,
        house.engine.request_plan(&bob, "growth").await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(MemberError::NotAllowed)), "{refused:?}");
    }
    house.engine.remove_member(&bob, bob.id).await.unwrap();
    for refused in [
        house.engine.remove_member(&owner, owner.id).await,
        house.engine.set_role(&owner, owner.id, Role::Member).await,
    ] {
        assert!(matches!(refused, Err(MemberError::LastOwner)), "{refused:?}");
    }
    let refused = house.engine.set_role(&owner, bob.id, Role::Viewer).await;
    assert!(matches!(refused, Err(MemberError::NoMember)), "{refused:?}");
}

#[tokio::test]
async fn a_removed_member_is_signed_out_and_a_new_role_is_there_at_the_next_request() {
    let house = House::new();
    let owner = house.owner("lite").await;
    let bob = house.join(&owner, "bob@example.com", Role::Viewer).await;
    let token = house.engine.begin_session(&bob, None).await.unwrap();
    house.engine.set_role(&owner, bob.id, Role::Member).await.unwrap();
    let signed_in = house.engine.session(token.reveal()).await.unwrap().unwrap();
    assert_eq!(signed_in.member.role, Role::Member);
    house.engine.remove_member(&owner, bob.id).await.unwrap();
    assert!(house.engine.session(token.reveal()).await.unwrap().is_none());
    let refused = house.engine.begin_session(&bob, None).await;
    assert!(matches!(refused, Err(SignInError::Wrong)), "{refused:?}");
}

#[tokio::test]
async fn changing_the_password_takes_the_present_one_and_ends_the_other_sessions() {
    let house = House::new();
    let owner = house.owner("lite").await;
    let (kept, other) = (
        house.engine.begin_session(&owner, None).await.unwrap(),
        house.engine.begin_session(&owner, None).await.unwrap(),
    );
    let change = |old, new| house.engine.change_password(&owner, old, new, Some(kept.reveal()));
    let refused = change("wrong horse", "another horse").await;
    assert!(matches!(refused, Err(MemberError::WrongPassword)), "{refused:?}");
    let refused = change(PASSWORD, "short").await;
    assert!(matches!(refused, Err(MemberError::BadPassword(PasswordError::Short))), "{refused:?}");
    change(PASSWORD, "another horse").await.unwrap();
    assert!(house.engine.session(kept.reveal()).await.unwrap().is_some());
    assert!(house.engine.session(other.reveal()).await.unwrap().is_none());
    assert!(house.engine.sign_in("owner@lite", PASSWORD, None, None).await.is_err());
    house.engine.sign_in("owner@lite", "another horse", None, None).await.unwrap();
    for _ in 0..5 {
        change("wrong horse", "third horse").await.unwrap_err();
    }
    let refused = change("another horse", "third horse").await;
    assert!(matches!(refused, Err(MemberError::Wait { seconds: 30 })), "{refused:?}");
    house.pass(Duration::from_secs(30));
    change("another horse", "third horse").await.unwrap();
    change("third horse", "fourth horse").await.unwrap();
}

#[tokio::test]
async fn who_came_by_a_link_sets_a_first_password_without_an_old_one() {
    let house = House::new();
    let made = house.engine.create_account("acme", "lite").await.unwrap();
    let owner = house.engine.owner_or_new(made.account.id, "you@localhost").await.unwrap();
    house.engine.change_password(&owner, "", PASSWORD, None).await.unwrap();
    house.engine.sign_in("you@localhost", PASSWORD, None, None).await.unwrap();
    let refused = house.engine.change_password(&owner, "", PASSWORD, None).await;
    assert!(matches!(refused, Err(MemberError::WrongPassword)), "{refused:?}");
}

#[tokio::test]
async fn a_plan_that_is_asked_for_waits_until_it_is_given_or_taken_back() {
    let house = House::new();
    let owner = house.owner("lite").await;
    let waiting = async || {
        let request = house.engine.store().lookup_plan_request(owner.account).await.unwrap();
        request.map(|request| request.plan)
    };
    let refused = house.engine.request_plan(&owner, "none").await;
    assert!(matches!(refused, Err(MemberError::NoPlan(_))), "{refused:?}");
    house.engine.request_plan(&owner, "growth").await.unwrap();
    assert_eq!(waiting().await.as_deref(), Some("growth"));
    house.engine.withdraw_plan_request(&owner).await.unwrap();
    assert_eq!(waiting().await, None);
    house.engine.request_plan(&owner, "growth").await.unwrap();
    house.engine.set_plan(owner.account, "hobby").await.unwrap();
    assert_eq!(waiting().await.as_deref(), Some("growth"));
    house.engine.set_plan(owner.account, "growth").await.unwrap();
    assert_eq!(waiting().await, None);
}

#[tokio::test]
async fn texts_are_kept_once_that_is_turned_on() {
    let house = House::new();
    let owner = house.owner("lite").await;
    for keep in [true, false] {
        let account = house.engine.set_keep_texts(owner.account, keep).await.unwrap();
        assert_eq!(account.keep_texts, keep);
    }
}

#[tokio::test]
async fn an_account_has_so_many_keys_that_work_and_one_more_for_each_that_is_revoked() {
    let house = House::new();
    let account = house.owner("lite").await.account;
    let make = async || house.engine.create_key(account, KeyKind::Live, None).await;
    let mut last = None;
    while let Ok((key, _)) = make().await {
        last = Some(key.id);
    }
    let keys = house.engine.store().list_keys(account).await.unwrap();
    assert_eq!(keys.len(), KEYS_MAX);
    assert!(matches!(make().await, Err(AccountError::TooManyKeys)));
    house.engine.revoke_key(last.unwrap()).await.unwrap();
    assert!(make().await.is_ok());
}
