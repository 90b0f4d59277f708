//! The protocol on a bad day, many thousand times: nodes, Redis, clocks and network as one value that a seed moves.
//!
//! The nodes run the program's own state machine ([`Node`]), Redis is the model that the conformance test holds to the
//! scripts. A run is nothing but its seed. The variants at the end are broken on purpose, and must be caught.

mod calls;
mod check;
mod fault;
mod message;
mod network;
mod world;

use super::model::Broken;
use world::World;

/// What a run is.
#[derive(Debug, Clone, Copy)]
struct Variant {
    redis: Broken,
    node: NodeBroken,
}

/// What is broken on purpose in a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NodeBroken {
    Nothing,
    /// It goes on whatever its clock says.
    NoFencing,
    /// It counts from the moment a renewal was answered.
    CountsFromReceipt,
    /// After a loss it registers what it has cached of the account.
    RegistersCachedFacts,
}

const SOUND: Variant = Variant { redis: Broken::Nothing, node: NodeBroken::Nothing };
/// Runs that must hold.
const SEEDS: u64 = 3_000;
/// A broken variant must be caught within so many runs.
const CAUGHT_WITHIN: u64 = 3_000;

/// What went wrong, if anything.
fn run(seed: u64, variant: Variant) -> Result<world::Seen, String> {
    World::new(seed, variant).run()
}

#[test]
fn whatever_breaks_no_account_runs_more_than_its_limit_and_every_slot_comes_back() {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let runs: Vec<_> = (0..threads)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut seen = world::Seen::default();
                for seed in (thread..SEEDS).step_by(usize::try_from(threads).unwrap()) {
                    match run(seed, SOUND) {
                        Ok(of) => seen.add(&of),
                        Err(_) => {
                            panic!("seed {seed}: {}", World::new(seed, SOUND).run_with_history().unwrap_err())
                        }
                    }
                }
                seen
            })
        })
        .collect();
    let mut seen = world::Seen::default();
    for run in runs {
        seen.add(&run.join().unwrap());
    }
    // The bad days were bad: all of it happened, and often.
    assert!(seen.all_above(100), "{seen:?}");
}

#[track_caller]
fn caught(variant: Variant, expected: &str) {
    let found =
        (0..CAUGHT_WITHIN).find_map(|seed| run(seed, variant).err().filter(|why| why.contains(expected)));
    assert!(found.is_some(), "{variant:?} was not caught within {CAUGHT_WITHIN} runs");
}

#[test]
fn a_node_without_fencing_is_caught() {
    caught(Variant { node: NodeBroken::NoFencing, ..SOUND }, "S1");
}

#[test]
fn a_node_that_counts_from_the_receipt_of_a_renewal_is_caught() {
    caught(Variant { node: NodeBroken::CountsFromReceipt, ..SOUND }, "S1");
}

#[test]
fn a_registration_with_cached_facts_is_caught() {
    caught(Variant { node: NodeBroken::RegistersCachedFacts, ..SOUND }, "S4");
}

#[test]
fn a_release_without_an_id_is_caught() {
    caught(Variant { redis: Broken::ReleaseWithoutId, ..SOUND }, "S1");
}

#[test]
fn a_renewal_that_recreates_an_expired_lease_is_caught() {
    caught(Variant { redis: Broken::RenewalRecreates, ..SOUND }, "S2");
}

#[test]
fn a_limit_that_is_read_outside_of_the_script_is_caught() {
    caught(Variant { redis: Broken::LimitOutside, ..SOUND }, "S");
}

#[test]
fn an_empty_redis_without_registration_is_caught() {
    caught(Variant { redis: Broken::NoRegistration, ..SOUND }, "S1");
}

#[test]
fn a_snapshot_that_is_taken_for_the_truth_is_caught() {
    caught(Variant { redis: Broken::AnyProcess, ..SOUND }, "S");
}

#[test]
fn a_registration_that_was_sent_for_an_earlier_loss_is_caught() {
    caught(Variant { redis: Broken::AnyRegistration, ..SOUND }, "S1");
}

#[test]
fn holds_that_expire_and_are_not_given_back_are_caught() {
    caught(Variant { redis: Broken::HoldsStay, ..SOUND }, "S2");
}

#[test]
fn a_balance_without_the_charges_of_a_dead_node_is_caught() {
    caught(Variant { redis: Broken::NoDoubts, ..SOUND }, "M1");
}
