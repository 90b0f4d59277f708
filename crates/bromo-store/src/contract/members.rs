//! What every backend does with members, with what signs them in, and with plans that are asked for.

use std::time::Duration;

use bromo_rules::account::ChangeError;
use bromo_rules::id::{AccountId, MemberId};
use bromo_rules::member::{Email, Member, Role};
use bromo_rules::token::TokenHash;
use futures_util::future::join_all;

use super::{NOW, Outcome, account, later, newcomer};
use crate::members::{Invitation, PlanRequest, Session};
use crate::{Books, StoreError};

const PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";

fn email(number: u64) -> Email {
    format!("member-{number}@example.com").parse().expect("an address")
}

fn member(number: u64, account: AccountId, role: Role) -> Member {
    let id = MemberId::from_random(number);
    Member { id, account, email: email(number), role, created_at: NOW, seen_at: None }
}

fn token(number: u64) -> TokenHash {
    TokenHash::of(&number.to_string())
}

/// Good for a second.
fn session(number: u64, member: MemberId) -> Session {
    Session { token: token(number), member, created_at: NOW, expires_at: later(1000) }
}

/// An invitation of the member of this number, good for a second.
fn invitation(number: u64, by: &Member) -> Invitation {
    Invitation {
        token: token(number),
        account: by.account,
        email: email(number),
        role: Role::Member,
        by: by.id,
        created_at: NOW,
        expires_at: later(1000),
    }
}

/// An account with an owner, whose number is the account's.
async fn owner(store: &dyn Books, number: u64) -> Result<Member, StoreError> {
    let account = account(store, number).await?;
    add(store, number, account, Role::Owner).await
}

async fn add(store: &dyn Books, number: u64, account: AccountId, role: Role) -> Result<Member, StoreError> {
    let member = member(number, account, role);
    store.create_member(&member, Some(PASSWORD), None, None).await?;
    Ok(member)
}

async fn is_good(store: &dyn Books, session: u64) -> Result<bool, StoreError> {
    Ok(store.lookup_session(token(session), NOW).await?.is_some())
}

/// By its id, its address and its account; what it signs in with comes with the address alone.
pub async fn a_member_is_found_by_id_and_by_address(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    let mut linked = member(2, owner.account, Role::Viewer);
    linked.created_at = later(-5);
    store.create_member(&linked, None, None, None).await?;
    assert_eq!(store.lookup_member(owner.id).await?, Some(owner.clone()));
    let found = store.lookup_member_by_email(&owner.email).await?;
    assert_eq!(found, Some((owner.clone(), Some(PASSWORD.to_owned()))));
    assert_eq!(store.lookup_member_by_email(&linked.email).await?, Some((linked.clone(), None)));
    assert_eq!(store.lookup_member_by_email(&email(3)).await?, None);
    assert_eq!(store.list_members(owner.account).await?, [linked, owner]);
    Ok(())
}

/// Neither another member of the account nor one of another has it, nor an account that is just made.
pub async fn an_address_is_taken_once_over_all_accounts(store: &dyn Books) -> Outcome {
    let first = owner(store, 1).await?;
    let second = owner(store, 2).await?;
    for account in [first.account, second.account] {
        let copy = Member { email: first.email.clone(), ..member(3, account, Role::Member) };
        let refused = store.create_member(&copy, None, None, None).await;
        assert!(matches!(refused, Err(StoreError::Conflict { what: "e-mail address" })), "{refused:?}");
    }
    let (account, opening, _) = newcomer(3);
    let copy = Member { email: first.email.clone(), ..member(3, account.id, Role::Owner) };
    let refused = store.create_account(&account, &opening, None, None, Some((&copy, None))).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "e-mail address" })), "{refused:?}");
    assert_eq!(store.lookup_account(account.id).await?, None);
    let refused = store.create_invitation(&Invitation { email: second.email, ..invitation(4, &first) }).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "e-mail address" })), "{refused:?}");
    Ok(())
}

/// Without a key; the call made again changes nothing.
pub async fn an_account_is_made_with_its_owner(store: &dyn Books) -> Outcome {
    let (account, opening, _) = newcomer(1);
    let owner = member(1, account.id, Role::Owner);
    for _ in 0..2 {
        store.create_account(&account, &opening, None, None, Some((&owner, Some(PASSWORD)))).await?;
    }
    let found = store.lookup_member_by_email(&owner.email).await?;
    assert_eq!(found, Some((owner, Some(PASSWORD.to_owned()))));
    assert_eq!(store.list_keys(account.id).await?, []);
    let other = member(2, account.id, Role::Owner);
    let refused = store.create_account(&account, &opening, None, None, Some((&other, None))).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "account name" })), "{refused:?}");
    Ok(())
}

/// Nor is anything else of an unknown member.
pub async fn a_member_of_an_unknown_account_is_missing(store: &dyn Books) -> Outcome {
    let stray = member(1, AccountId::from_random(1), Role::Owner);
    let missing = [
        store.create_member(&stray, None, None, None).await,
        store.create_invitation(&invitation(1, &stray)).await,
        store.set_role(stray.account, stray.id, Role::Member).await,
        store.remove_member(stray.account, stray.id).await,
        store.set_password(stray.id, PASSWORD, None).await,
        store.create_session(&session(1, stray.id), None).await,
        store.create_link(token(1), stray.id, later(1000)).await,
        store.put_plan_request(stray.account, None).await,
    ];
    for missing in missing {
        assert!(matches!(missing, Err(StoreError::Missing { .. })), "{missing:?}");
    }
    Ok(())
}

/// Another account's owner reaches none of them.
pub async fn members_are_changed_from_their_own_account_alone(store: &dyn Books) -> Outcome {
    let (one, other) = (owner(store, 1).await?, owner(store, 2).await?);
    let member = add(store, 3, other.account, Role::Member).await?;
    for missing in [
        store.set_role(one.account, member.id, Role::Owner).await,
        store.remove_member(one.account, member.id).await,
        store.create_invitation(&Invitation { account: one.account, ..invitation(4, &member) }).await,
    ] {
        assert!(matches!(missing, Err(StoreError::Missing { what: "member" })), "{missing:?}");
    }
    assert_eq!(store.lookup_member(member.id).await?, Some(member));
    Ok(())
}

/// Neither by another role nor by leaving, nor both owners at once.
pub async fn the_last_owner_stays(store: &dyn Books) -> Outcome {
    let first = owner(store, 1).await?;
    let member = add(store, 2, first.account, Role::Member).await?;
    for refused in [
        store.set_role(first.account, first.id, Role::Viewer).await,
        store.remove_member(first.account, first.id).await,
    ] {
        assert!(matches!(refused, Err(StoreError::Refused(ChangeError::LastOwner))), "{refused:?}");
    }
    store.set_role(first.account, first.id, Role::Owner).await?;
    store.set_role(first.account, member.id, Role::Owner).await?;
    let both = [first.id, member.id].map(|id| store.remove_member(first.account, id));
    let removed = join_all(both).await.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!((removed, store.list_members(first.account).await?.len()), (1, 1));
    Ok(())
}

/// However many join at once.
pub async fn an_account_has_no_more_members_than_seats(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    let members: Vec<_> = (2..8).map(|number| member(number, owner.account, Role::Member)).collect();
    let joins = members.iter().map(|member| store.create_member(member, None, None, Some(3)));
    let outcomes = join_all(joins).await;
    let refused =
        |outcome: &&Result<(), StoreError>| matches!(outcome, Err(StoreError::Refused(ChangeError::NoSeat)));
    assert_eq!(outcomes.iter().filter(refused).count(), 4, "{outcomes:?}");
    assert_eq!(store.list_members(owner.account).await?.len(), 3);
    Ok(())
}

/// The second of two at once is told that it is gone.
pub async fn an_invitation_is_used_once(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    let invitation = invitation(2, &owner);
    store.create_invitation(&invitation).await?;
    let joining =
        [2, 3].map(|id| Member { id: MemberId::from_random(id), ..member(2, owner.account, Role::Member) });
    let joins = joining
        .iter()
        .map(|member| store.create_member(member, Some(PASSWORD), Some(invitation.token), Some(5)));
    let outcomes = join_all(joins).await;
    let missing = |outcome: &&Result<(), StoreError>| {
        matches!(outcome, Err(StoreError::Missing { what: "invitation" }))
    };
    assert_eq!(outcomes.iter().filter(missing).count(), 1, "{outcomes:?}");
    assert_eq!(store.list_members(owner.account).await?.len(), 2);
    assert_eq!(store.lookup_invitation(invitation.token, NOW).await?, None);
    Ok(())
}

/// A call made again finds its member.
pub async fn joining_again_changes_nothing(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    store.create_invitation(&invitation(2, &owner)).await?;
    let joining = member(2, owner.account, Role::Member);
    for _ in 0..2 {
        store.create_member(&joining, Some(PASSWORD), Some(token(2)), Some(2)).await?;
    }
    assert_eq!(store.list_members(owner.account).await?.len(), 2);
    Ok(())
}

/// Neither for another role, address or account, nor after its time; and a refused one is still there.
pub async fn an_invitation_is_good_for_what_it_says_alone(store: &dyn Books) -> Outcome {
    let (owner, other) = (owner(store, 1).await?, owner(store, 9).await?);
    store.create_invitation(&invitation(2, &owner)).await?;
    let invited = member(2, owner.account, Role::Member);
    for wrong in [
        Member { role: Role::Owner, ..invited.clone() },
        Member { email: email(3), ..invited.clone() },
        Member { account: other.account, ..invited.clone() },
        Member { created_at: later(1000), ..invited.clone() },
    ] {
        let refused = store.create_member(&wrong, None, Some(token(2)), None).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "invitation" })), "{refused:?}");
    }
    let refused = store.create_member(&invited, None, Some(token(2)), Some(1)).await;
    assert!(matches!(refused, Err(StoreError::Refused(ChangeError::NoSeat))), "{refused:?}");
    store.create_member(&invited, None, Some(token(2)), Some(2)).await
}

/// Those that are good, oldest first; a newer one to the same address takes the place of the older.
pub async fn invitations_are_listed_replaced_and_withdrawn(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    let (mut first, second) = (invitation(2, &owner), invitation(3, &owner));
    first.created_at = later(5);
    store.create_invitation(&first).await?;
    store.create_invitation(&second).await?;
    assert_eq!(store.lookup_invitation(first.token, NOW).await?, Some(first.clone()));
    assert_eq!(store.list_invitations(owner.account, NOW).await?, [second.clone(), first.clone()]);
    let newer = Invitation { token: token(4), role: Role::Viewer, expires_at: later(2000), ..first.clone() };
    for _ in 0..2 {
        store.create_invitation(&newer).await?;
    }
    assert_eq!(store.lookup_invitation(first.token, NOW).await?, None);
    assert_eq!(store.list_invitations(owner.account, later(1000)).await?, std::slice::from_ref(&newer));
    store.delete_invitation(owner.account, &newer.email).await?;
    store.delete_invitation(owner.account, &newer.email).await?;
    assert_eq!(store.list_invitations(owner.account, NOW).await?, [second]);
    Ok(())
}

/// Whoever may invite no longer leaves none behind.
pub async fn invitations_go_with_the_owner_who_made_them(store: &dyn Books) -> Outcome {
    let first = owner(store, 1).await?;
    for (number, leaves) in [(2, false), (3, true)] {
        let second = add(store, number, first.account, Role::Owner).await?;
        store.create_invitation(&invitation(10 + number, &second)).await?;
        store.create_invitation(&invitation(20, &first)).await?;
        if leaves {
            store.remove_member(first.account, second.id).await?;
        } else {
            store.set_role(first.account, second.id, Role::Member).await?;
        }
        let refused = store.create_invitation(&invitation(10 + number, &second)).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "member" })), "{refused:?}");
        let left = store.list_invitations(first.account, NOW).await?;
        assert_eq!(left.iter().map(|one| one.by).collect::<Vec<_>>(), [first.id]);
    }
    Ok(())
}

/// With the member and the account, until its time.
pub async fn a_session_is_found_until_it_is_over(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    let session = session(1, owner.id);
    for _ in 0..2 {
        store.create_session(&session, None).await?;
    }
    let seen = Member { seen_at: Some(NOW), ..owner.clone() };
    let account = store.lookup_account(owner.account).await?;
    let found = store.lookup_session(session.token, later(999)).await?;
    assert_eq!(found, account.map(|account| (session.clone(), seen, account)));
    assert_eq!(store.lookup_session(session.token, later(1000)).await?, None);
    assert_eq!(store.lookup_session(token(2), NOW).await?, None);
    for _ in 0..2 {
        store.end_session(session.token).await?;
    }
    assert_eq!(store.lookup_session(session.token, NOW).await?, None);
    Ok(())
}

/// And a token is not taken over by another member.
pub async fn a_new_session_ends_the_one_it_replaces(store: &dyn Books) -> Outcome {
    let (owner, other) = (owner(store, 1).await?, owner(store, 2).await?);
    store.create_session(&session(1, owner.id), None).await?;
    store.create_session(&session(2, owner.id), Some(token(1))).await?;
    assert_eq!((is_good(store, 1).await?, is_good(store, 2).await?), (false, true));
    let refused = store.create_session(&session(2, other.id), None).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "session" })), "{refused:?}");
    Ok(())
}

/// Its time only goes on.
pub async fn a_member_was_last_seen_at_the_latest_instant(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    for (ms, seen) in [(5, 5), (3, 5), (7, 7)] {
        store.touch_member(owner.id, later(ms)).await?;
        let found = store.lookup_member(owner.id).await?;
        assert_eq!(found.and_then(|member| member.seen_at), Some(later(seen)));
    }
    Ok(())
}

/// The kept one stays, and so do those of other members; links are used no more.
pub async fn changing_the_password_ends_the_other_sessions(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    let other = add(store, 2, owner.account, Role::Member).await?;
    for (number, member) in [(1, &owner), (2, &owner), (3, &other)] {
        store.create_session(&session(number, member.id), None).await?;
    }
    store.create_link(token(4), owner.id, later(1000)).await?;
    store.set_password(owner.id, "another", Some(token(2))).await?;
    assert!(!is_good(store, 1).await? && is_good(store, 2).await? && is_good(store, 3).await?);
    assert_eq!(store.use_link(token(4), NOW).await?, None);
    let found = store.lookup_member_by_email(&owner.email).await?;
    assert_eq!(found.and_then(|(_, password)| password).as_deref(), Some("another"));
    store.set_password(owner.id, PASSWORD, None).await?;
    assert!(!is_good(store, 2).await? && is_good(store, 3).await?);
    Ok(())
}

/// And its links; its address is free again.
pub async fn removing_a_member_ends_its_sessions(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    let member = add(store, 2, owner.account, Role::Member).await?;
    store.create_session(&session(1, owner.id), None).await?;
    store.create_session(&session(2, member.id), None).await?;
    store.create_link(token(3), member.id, later(1000)).await?;
    store.remove_member(owner.account, member.id).await?;
    assert!(is_good(store, 1).await? && !is_good(store, 2).await?);
    assert_eq!(store.use_link(token(3), NOW).await?, None);
    assert_eq!(store.lookup_member_by_email(&member.email).await?, None);
    assert_eq!(store.list_members(owner.account).await?.len(), 1);
    add(store, 2, owner.account, Role::Member).await?;
    Ok(())
}

/// However many follow it together, and only in its time.
pub async fn a_link_signs_in_once(store: &dyn Books) -> Outcome {
    let (owner, other) = (owner(store, 1).await?, owner(store, 2).await?);
    for _ in 0..2 {
        store.create_link(token(1), owner.id, later(1000)).await?;
    }
    let refused = store.create_link(token(1), other.id, later(1000)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "link" })), "{refused:?}");
    let used = join_all((0..4).map(|_| store.use_link(token(1), later(999)))).await;
    let used: Vec<_> = used.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(used.into_iter().flatten().collect::<Vec<_>>(), std::slice::from_ref(&owner));
    store.create_link(token(2), owner.id, later(1000)).await?;
    assert_eq!(store.use_link(token(2), later(1000)).await?, None);
    Ok(())
}

/// What is good stays, and no more is deleted than asked for.
pub async fn what_is_over_is_deleted(store: &dyn Books) -> Outcome {
    let owner = owner(store, 1).await?;
    for number in 1..=3 {
        let expires_at = later(number * 1000);
        let number = number.cast_unsigned();
        store.create_session(&Session { expires_at, ..session(number, owner.id) }, None).await?;
        store.create_invitation(&Invitation { expires_at, ..invitation(10 + number, &owner) }).await?;
        store.create_link(token(20 + number), owner.id, expires_at).await?;
    }
    let mut deleted = Vec::new();
    for count in [4, 4, 4] {
        deleted.push(store.expire_sign_ins(later(2000), count).await?);
    }
    assert_eq!(deleted, [4, 2, 0]);
    assert!(!is_good(store, 2).await? && is_good(store, 3).await?);
    assert_eq!(store.list_invitations(owner.account, NOW).await?.len(), 1);
    assert_eq!(store.use_link(token(22), NOW).await?, None);
    assert_eq!(store.use_link(token(23), NOW).await?, Some(Member { seen_at: Some(NOW), ..owner }));
    Ok(())
}

/// The newest one counts, and it can be taken back.
pub async fn a_plan_is_asked_for_once_an_account(store: &dyn Books) -> Outcome {
    let mut asked = Vec::new();
    for (number, seconds) in [(1, 2), (2, 1)] {
        let owner = owner(store, number).await?;
        let at = NOW.plus(Duration::from_secs(seconds));
        let request = PlanRequest { account: owner.account, plan: "growth".to_owned(), by: owner.id, at };
        store.put_plan_request(owner.account, Some(&request)).await?;
        let newer = PlanRequest { plan: "business".to_owned(), ..request };
        store.put_plan_request(owner.account, Some(&newer)).await?;
        assert_eq!(store.lookup_plan_request(owner.account).await?, Some(newer.clone()));
        asked.insert(0, newer);
    }
    assert_eq!(store.list_plan_requests(10).await?, asked);
    assert_eq!(store.list_plan_requests(1).await?, asked[..1]);
    for _ in 0..2 {
        store.put_plan_request(asked[0].account, None).await?;
    }
    assert_eq!(store.list_plan_requests(10).await?, asked[1..]);
    Ok(())
}
