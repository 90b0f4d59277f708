//! The suite that every backend passes, one file a trait. Each test gets a store of its own, empty.
//!
//! A backend runs it with [`store_contract!`](crate::store_contract) and
//! [`logs_contract!`](crate::logs_contract), which make a test of each function that they list.

pub mod accounts;
pub mod deliveries;
pub mod keys;
pub mod ledger;
pub mod logs;
pub mod members;
pub mod pages;
pub mod queue;
pub mod rollups;
pub mod tasks;
pub mod texts;

use bromo_rules::account::{Account, Entry, Key};
use bromo_rules::credit::{Credits, Price};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::key::{ApiKey, KeyKind};
use bromo_rules::plan::{Plan, PlanTable};
use bromo_rules::task::{NewTask, Priority};
use bromo_rules::time::Timestamp;

use crate::error::StoreError;
use crate::ledger::Charge;
use crate::tasks::{Claimed, End, Ender, Endpoints, Submitted};
use crate::{Books, Store, TaskName, WholeTask};

/// What a test of the suite ends with: errors it did not expect fail it.
pub type Outcome = Result<(), StoreError>;

/// When the tests take place.
pub const NOW: Timestamp = Timestamp::from_millis(1_760_000_000_000);

/// The plan of this name in the default table.
///
/// # Panics
/// If there is none.
pub fn plan(name: &str) -> Plan {
    PlanTable::default().lookup(name).expect("the default table has this plan").clone()
}

/// A new account on plan `free` (500 credits), its opening entry and a key.
pub fn newcomer(number: u64) -> (Account, Entry, Key) {
    let id = AccountId::from_random(number);
    let (account, opening) = Account::open(id, &format!("account-{number}"), &plan("free"), NOW);
    (account, opening, key(number, id))
}

/// A live key, another for each number.
pub fn key(number: u64, account: AccountId) -> Key {
    let secret = ApiKey::new(KeyKind::Live, u128::from(number).to_be_bytes());
    Key {
        id: KeyId::from_random(number),
        account,
        kind: KeyKind::Live,
        name: Some(format!("key {number}")),
        hash: secret.hash(),
        last4: secret.last4().to_owned(),
        created_at: NOW,
        revoked_at: None,
    }
}

/// A request, another for each number.
pub fn request(number: u16) -> RequestId {
    let [high, low] = number.to_be_bytes();
    RequestId::new(NOW, [0, 0, 0, 0, 0, 0, 0, 0, high, low])
}

/// A charge of `price` for [`request`] number `number`.
pub fn charge(account: AccountId, number: u16, price: i64) -> Charge {
    Charge { request: request(number), account, price: Credits::new(price), at: NOW }
}

/// A task of five credits, another for each number.
pub fn task(account: AccountId, number: u16) -> NewTask {
    NewTask {
        id: request(number),
        account,
        key: KeyId::from_random(number.into()),
        kind: KeyKind::Live,
        endpoint: Endpoint::Chatgpt,
        priority: Priority::DEFAULT,
        payload: format!("{{\"prompt\":\"question {number}\"}}").into(),
        webhook: None,
        idempotency_key: None,
        price: Price { fixed: Credits::new(5), clusters_max: 0 },
        created_at: NOW,
    }
}

/// The same with an idempotency key.
pub fn keyed(account: AccountId, number: u16, key: &str) -> NewTask {
    NewTask { idempotency_key: Some(key.into()), ..task(account, number) }
}

/// The same with a webhook.
pub fn hooked(account: AccountId, number: u16, webhook: &str) -> NewTask {
    NewTask { webhook: Some(webhook.into()), ..task(account, number) }
}

/// The instant so many milliseconds after [`NOW`].
pub const fn later(ms: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + ms)
}

/// The successful end of a task, which pays five credits and is kept for a second.
pub fn end(ender: Ender) -> End {
    End {
        ender,
        response: b"{\"text\":\"answer\"}".to_vec(),
        charge: Some(Credits::new(5)),
        if_short: b"{\"error\":\"short\"}".to_vec(),
        at: NOW,
        keep_until: later(1000),
        pending_max: 1000,
    }
}

/// An account of 500 credits.
pub(crate) async fn account(store: &dyn Books, number: u64) -> Result<AccountId, StoreError> {
    let (account, opening, key) = newcomer(number);
    store.create_account(&account, &opening, Some(&key), None, None).await?;
    Ok(account.id)
}

/// Submits tasks that are all accepted.
pub(crate) async fn queue(store: &dyn Store, tasks: &[NewTask]) -> Outcome {
    let Some(first) = tasks.first() else { return Ok(()) };
    match store.submit(first.account, tasks.to_vec(), 1_000_000).await? {
        Submitted::Each(outcomes) => assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}"),
        full @ Submitted::Full { .. } => panic!("{full:?}"),
    }
    Ok(())
}

/// Claims at most so many of the account's next tasks.
pub(crate) async fn claim_next(
    store: &dyn Store,
    account: AccountId,
    count: usize,
) -> Result<Vec<Claimed>, StoreError> {
    let heads = store.heads(account, Endpoints::ALL, count).await?;
    let mut claimed = store.claim(heads.iter().map(|head| head.seq).collect(), NOW).await?;
    claimed.sort_by_key(|one| heads.iter().position(|head| head.seq == one.claim.seq));
    Ok(claimed)
}

/// Claims one that is there.
pub(crate) async fn claim_one(store: &dyn Store, account: AccountId) -> Result<Claimed, StoreError> {
    claim_next(store, account, 1).await?.pop().ok_or(StoreError::Missing { what: "waiting task" })
}

/// The task of this number, which is there.
pub(crate) async fn whole(
    store: &dyn Store,
    account: AccountId,
    number: u16,
) -> Result<WholeTask, StoreError> {
    let found = store.lookup_task(account, TaskName::Id(request(number))).await?;
    found.ok_or(StoreError::Missing { what: "task" })
}

/// Makes a `#[tokio::test]` of each test of the store suite. The argument is called with the test, as an
/// async closure of `&dyn Store`, and provides the store: see `sqlite/tests.rs`. A backend that is not whole yet runs
/// single files: `store_contract!(accounts: with_books)`. Accounts, keys, ledger, pages and members need [`Books`] alone.
///
/// [`Books`]: crate::Books
#[macro_export]
macro_rules! store_contract {
    (accounts: $with_store:path) => {
        $crate::contract_tests! { $with_store, accounts:
            an_account_is_found_by_id_and_by_name,
            a_name_is_given_once,
            creating_the_same_account_again_changes_nothing,
            accounts_are_listed_in_id_order_page_by_page,
            a_change_is_written_with_its_entry,
            a_refused_change_writes_nothing,
            a_cycle_starts_once,
            a_change_of_an_unknown_account_is_missing,
        }
    };
    (keys: $with_store:path) => {
        $crate::contract_tests! { $with_store, keys:
            a_key_is_found_by_its_hash_with_its_account,
            making_a_key_moves_the_version_once,
            revoking_a_key_moves_the_version_once,
            a_secret_belongs_to_one_key,
            keys_are_listed_oldest_first,
            a_key_of_an_unknown_account_is_missing,
        }
    };
    (members: $with_store:path) => {
        $crate::contract_tests! { $with_store, members:
            a_member_is_found_by_id_and_by_address,
            an_address_is_taken_once_over_all_accounts,
            an_account_is_made_with_its_owner,
            a_member_of_an_unknown_account_is_missing,
            members_are_changed_from_their_own_account_alone,
            the_last_owner_stays,
            an_account_has_no_more_members_than_seats,
            an_invitation_is_used_once,
            joining_again_changes_nothing,
            an_invitation_is_good_for_what_it_says_alone,
            invitations_are_listed_replaced_and_withdrawn,
            invitations_go_with_the_owner_who_made_them,
            a_session_is_found_until_it_is_over,
            a_new_session_ends_the_one_it_replaces,
            a_member_was_last_seen_at_the_latest_instant,
            changing_the_password_ends_the_other_sessions,
            removing_a_member_ends_its_sessions,
            a_link_signs_in_once,
            what_is_over_is_deleted,
            a_plan_is_asked_for_once_an_account,
        }
    };
    (ledger: $with_store:path) => {
        $crate::contract_tests! { $with_store, ledger:
            a_charge_is_taken_and_entered,
            a_request_is_charged_once,
            a_request_is_charged_once_however_many_ask_together,
            a_repeated_charge_is_paid_even_if_nothing_is_left,
            charges_together_never_take_a_balance_below_zero,
            entries_have_no_gaps_and_their_sum_is_the_balance,
            charges_of_many_accounts_do_not_mix,
            a_request_of_another_account_is_a_conflict,
            a_charge_of_an_unknown_account_is_missing,
            a_charge_of_nothing_is_refused,
        }
    };
    (tasks: $with_store:path) => {
        $crate::contract_tests! { $with_store, tasks:
            a_task_reads_back_as_it_was_handed_in,
            a_claimed_task_comes_with_all_that_its_attempt_needs,
            a_task_is_claimed_once_however_many_ask_together,
            a_task_is_out_of_sight_from_the_call_of_its_claim_on,
            a_claim_that_nobody_waits_for_gives_its_tasks_back,
            a_lost_claim_ends_nothing_and_gives_nothing_back,
            an_end_writes_outcome_and_charge_together,
            a_task_ends_once_however_many_end_it_together,
            ends_and_charges_of_one_account_never_take_it_below_zero,
            an_end_that_the_balance_does_not_cover_is_a_failure,
            a_failed_task_pays_nothing,
            a_free_task_completes_without_an_entry,
            a_waiting_task_can_end_without_an_attempt,
            a_cut_attempt_does_not_count,
            an_attempt_that_was_never_made_leaves_no_trace,
            what_never_existed_is_lost,
            tasks_are_listed_newest_first_page_by_page,
            a_list_goes_on_where_its_last_task_was_deleted,
            a_list_has_what_its_filter_says,
            nobody_sees_the_tasks_of_another_account,
            a_task_is_deleted_only_while_it_waits,
            a_deleted_task_is_not_claimed_and_a_claimed_one_not_deleted,
            clearing_a_queue_leaves_what_runs_and_what_others_have,
            clearing_and_claiming_at_once_share_the_tasks,
            a_task_is_kept_until_it_expires,
            no_more_tasks_expire_than_asked_for,
            a_task_expires_after_its_delivery_has_ended,
        }
    };
    (queue: $with_store:path) => {
        $crate::contract_tests! { $with_store, queue:
            higher_priority_goes_first_then_first_in_first_out,
            tasks_of_one_batch_stay_in_their_order,
            an_endpoint_that_is_not_asked_for_holds_up_its_own_tasks_alone,
            a_look_at_many_accounts_gives_each_its_own_in_the_order_asked,
            a_retried_task_waits_and_then_has_its_old_place,
            waits_end_in_their_order,
            an_idempotency_key_belongs_to_one_task,
            an_idempotency_key_is_given_once_however_many_ask_together,
            a_key_twice_in_a_batch_fails_the_later_one,
            the_same_key_in_two_accounts_is_two_keys,
            a_key_is_free_again_when_its_task_is_gone_and_not_before,
            a_full_queue_takes_all_or_none,
            room_is_counted_exactly_however_many_ask_together,
            a_claimed_task_makes_room,
            depth_counts_what_waits_and_what_runs,
            accounts_with_something_to_run_are_waiting,
            at_most_so_many_stand_before_a_task,
        }
    };
    (deliveries: $with_store:path) => {
        $crate::contract_tests! { $with_store, deliveries:
            an_end_with_a_webhook_is_due_at_once,
            an_end_without_a_webhook_has_no_delivery,
            a_delivery_is_taken_once,
            a_delivery_that_is_put_back_is_the_same_attempt_again,
            hosts_take_turns_and_each_is_oldest_first,
            a_host_gets_no_more_than_it_has_room_for,
            retries_have_a_lane_of_their_own,
            a_retry_is_due_at_its_time,
            each_outcome_of_an_attempt_is_written,
            an_attempt_is_recorded_once,
            an_attempt_at_nothing_is_missing,
            a_delivery_can_be_made_again,
            a_delivery_that_is_being_sent_is_not_made_again,
            given_up_deliveries_are_made_again_together,
            past_the_bound_the_oldest_retry_is_given_up,
            fresh_and_taken_deliveries_are_never_given_up_for_room,
            attempts_of_unknown_and_foreign_tasks_are_missing,
            deliveries_are_listed_newest_first_page_by_page,
            a_list_of_deliveries_has_what_its_filter_says,
            failed_deliveries_are_counted_up_to_a_bound,
            states_of_deliveries_are_read_together,
            secrets_are_written_with_their_account,
            secrets_are_replaced_and_removed,
            a_delivery_comes_with_the_secrets_in_force,
        }
    };
    (pages: $with_store:path) => {
        $crate::contract_tests! { $with_store, pages:
            a_page_is_there_until_it_expires,
            a_page_put_again_is_the_newer_one,
            no_more_pages_expire_than_asked_for,
        }
    };
    ($with_store:path) => {
        $crate::store_contract!(accounts: $with_store);
        $crate::store_contract!(keys: $with_store);
        $crate::store_contract!(members: $with_store);
        $crate::store_contract!(ledger: $with_store);
        $crate::store_contract!(tasks: $with_store);
        $crate::store_contract!(queue: $with_store);
        $crate::store_contract!(deliveries: $with_store);
        $crate::store_contract!(pages: $with_store);
    };
}

/// The same for the log: the closure takes `&dyn Logs`.
#[macro_export]
macro_rules! logs_contract {
    ($with_logs:path) => {
        $crate::contract_tests! { $with_logs, logs:
            a_line_reads_back_as_it_was,
            lines_come_newest_first_page_by_page,
            a_cursor_stays_good_while_lines_arrive_and_blocks_merge,
            one_accounts_lines_are_read_alone,
            a_request_is_found_with_and_without_its_account,
            filters_hold_together,
            each_filter_lets_pass_what_it_names,
            a_request_is_found_by_how_its_id_begins,
            a_tail_reads_only_what_came_after,
            a_search_whose_time_is_up_can_go_on,
            many_small_batches_read_like_a_large_one,
            a_batch_larger_than_a_block_is_kept_whole,
            a_gap_is_kept_with_and_without_lines,
            lines_too_old_are_trimmed,
            a_log_too_large_is_trimmed_from_the_old_end,
            a_cursor_is_never_given_twice,
        }
        $crate::contract_tests! { $with_logs, rollups:
            lines_are_counted_by_step_route_and_key,
            late_lines_are_counted_at_their_arrival,
            slot_time_is_spread_over_the_steps_it_covers,
            steps_are_as_wide_as_was_asked_for,
            a_rollup_tells_peak_and_last_slots,
            rollups_of_deleted_lines_go_with_them,
            each_line_counts_once_however_many_came,
            the_last_use_of_a_key_outlives_its_lines,
        }
        $crate::contract_tests! { $with_logs, texts:
            a_text_reads_back_as_it_was_and_to_its_account_alone,
            a_text_kept_again_is_the_newer_one,
            texts_too_old_are_deleted,
            texts_too_large_are_deleted_from_the_old_end_and_lines_stay,
        }
    };
}

/// One module of `#[tokio::test]`s; used by the macros above.
#[macro_export]
macro_rules! contract_tests {
    ($with:path, $file:ident: $($test:ident,)*) => {
        mod $file {
            $(#[tokio::test]
            async fn $test() {
                $with(async |store| $crate::contract::$file::$test(store).await).await;
            })*
        }
    };
}
