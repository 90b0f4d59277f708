//! Which deliveries are taken next: one receiver after the other, so that one with many holds up none with few.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;

use super::rows::get;
use super::shared::Shared;
use super::task_rows;
use crate::deliveries::{Lane, Room};
use crate::error::StoreError;

/// Receivers that one look asks for, and that it looks at to find them: those whose retries are not due yet are passed.
const RECEIVERS_MAX: usize = 256;
const LOOKED_AT_MAX: i64 = 4096;

/// An account and a host: one account's dead receiver holds up nobody else's deliveries, not even to the same host.
pub(super) type Receiver = (i64, Vec<u8>);

/// Receivers behind this one that have something due: from one to the next by the index, whatever each has.
const NEXT: &str = "WITH RECURSIVE r AS (
        (SELECT account, host, due_at, 1::bigint AS place FROM due
         WHERE lane = $1 AND node IS NULL AND (account, host) > ($2::bigint, $3::bytea)
         ORDER BY account, host, due_at, seq LIMIT 1)
        UNION ALL
        SELECT n.account, n.host, n.due_at, r.place + 1 FROM r CROSS JOIN LATERAL (
            SELECT account, host, due_at FROM due
            WHERE lane = $1 AND node IS NULL AND (account, host) > (r.account, r.host)
            ORDER BY account, host, due_at, seq LIMIT 1) n
        WHERE r.place < $4)
    SELECT account, host, due_at, place FROM r ORDER BY place";

/// Where each lane goes on.
#[derive(Debug, Default)]
pub(super) struct Turns([Mutex<Receiver>; 2]);

/// The lane, as a column keeps it.
pub(super) const fn lane_number(lane: Lane) -> i16 {
    match lane {
        Lane::Fresh => 0,
        Lane::Retry => 1,
    }
}

/// Receivers that have something due and room for it, in turn, with their room.
pub(super) async fn receivers(
    shared: &Shared,
    turns: &Turns,
    lane: Lane,
    now: Timestamp,
    room: Room<'_>,
    count: usize,
) -> Result<Vec<(i64, Vec<u8>, usize)>, StoreError> {
    let turn = &turns.0[usize::from(lane == Lane::Retry)];
    let began = turn.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (mut from, mut around) = (began.clone(), false);
    let (mut asked, mut found) = (HashSet::new(), Vec::new());
    let lane = lane_number(lane);
    'look: loop {
        let rows = shared.query(NEXT, &[&lane, &from.0, &from.1, &LOOKED_AT_MAX]).await?;
        for row in &rows {
            from = (get(row, 0)?, get(row, 1)?);
            if around && from > began {
                break 'look;
            }
            let due_at: i64 = get(row, 2)?;
            if due_at > now.millis() || !asked.insert(from.clone()) {
                continue;
            }
            let host = task_rows::text(&from.1)?;
            let room = room(AccountId::from_i64(from.0), host);
            if room > 0 {
                found.push((from.0, from.1.clone(), room));
            }
            if found.len() >= count.min(RECEIVERS_MAX) {
                break 'look;
            }
        }
        if rows.len() < usize::try_from(LOOKED_AT_MAX).unwrap_or(usize::MAX) {
            if around || began == Receiver::default() {
                break;
            }
            (from, around) = (Receiver::default(), true);
        }
    }
    *turn.lock().unwrap_or_else(PoisonError::into_inner) = from;
    Ok(found)
}
