//! The suite that every backend passes, one file a trait. Each test gets a store of its own, empty.
//!
//! A backend runs it with [`store_contract!`](crate::store_contract) and
//! [`logs_contract!`](crate::logs_contract), which make a test of each function that they list.

pub mod accounts;
pub mod keys;
pub mod ledger;
pub mod logs;
pub mod pages;

use bromo_rules::account::{Account, Entry, Key};
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::key::{ApiKey, KeyKind};
use bromo_rules::plan::{Plan, PlanTable};
use bromo_rules::time::Timestamp;

use crate::error::StoreError;
use crate::ledger::Charge;

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

/// Makes a `#[tokio::test]` of each test of the store suite. The argument is called with the test, as an
/// async closure of `&dyn Store`, and provides the store: see `sqlite/tests.rs`.
#[macro_export]
macro_rules! store_contract {
    ($with_store:path) => {
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
        $crate::contract_tests! { $with_store, keys:
            a_key_is_found_by_its_hash_with_its_account,
            making_a_key_moves_the_version_once,
            revoking_a_key_moves_the_version_once,
            a_secret_belongs_to_one_key,
            keys_are_listed_oldest_first,
            a_key_of_an_unknown_account_is_missing,
        }
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
        $crate::contract_tests! { $with_store, pages:
            a_page_is_there_until_it_expires,
            a_page_put_again_is_the_newer_one,
            no_more_pages_expire_than_asked_for,
        }
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
            many_small_batches_read_like_a_large_one,
            a_batch_larger_than_a_block_is_kept_whole,
            a_gap_is_kept_with_and_without_lines,
            lines_too_old_are_trimmed,
            a_log_too_large_is_trimmed_from_the_old_end,
            a_cursor_is_never_given_twice,
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
