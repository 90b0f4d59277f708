//! Claiming tasks, and putting claimed ones back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bromo_rules::id::{KeyId, NodeId};
use bromo_rules::task::Priority;
use bromo_rules::time::Timestamp;
use tokio_postgres::Row;

use super::lane::{Answers, Job};
use super::link::{Rows, call};
use super::local::{Hidden, Local, Moves};
use super::rows::{self, get};
use super::task_rows;
use super::tx::Tx;
use crate::error::StoreError;
use crate::tasks::{Back, Claim, Claimed, TaskSeq};

/// Those that somebody else is at are left to them.
const CLAIM: &str = "WITH free AS MATERIALIZED (
        SELECT seq FROM queue WHERE seq = ANY($2) AND node IS NULL AND not_before IS NULL
        ORDER BY seq FOR UPDATE SKIP LOCKED),
    claimed AS (
        UPDATE queue SET node = $1, fence = (SELECT nextval('task_fences')), attempts = attempts + 1,
            started_at = coalesce(started_at, $3)
        WHERE seq = ANY(ARRAY(SELECT seq FROM free))
        RETURNING seq, id, account, priority, fence, attempts, cuts),
    counted AS (
        INSERT INTO queue_out AS o (account, priority, claimed, removed)
            SELECT account, priority, count(*), 0 FROM claimed GROUP BY account, priority
            ORDER BY account, priority
        ON CONFLICT (account, priority) DO UPDATE SET claimed = o.claimed + excluded.claimed)
    SELECT c.seq, c.fence, c.attempts, c.cuts, t.id, t.account, t.key, t.kind, t.endpoint, t.payload,
        t.webhook IS NOT NULL, t.price, t.clusters_max, t.created_at, t.priority
    FROM claimed c
        CROSS JOIN LATERAL (SELECT * FROM tasks WHERE account = c.account AND id = c.id OFFSET 0) t";

const PUT_BACK: &str = "WITH back AS MATERIALIZED (
        SELECT q.seq, b.uncounted, b.cut, b.not_before
        FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::int[], $5::bigint[])
            AS b (seq, fence, uncounted, cut, not_before) JOIN queue q ON q.seq = ANY(ARRAY[b.seq])
        WHERE q.fence = b.fence AND q.node IS NOT NULL ORDER BY b.seq FOR UPDATE OF q),
    put AS (
        UPDATE queue q SET node = NULL, attempts = q.attempts - b.uncounted, cuts = q.cuts + b.cut,
            not_before = b.not_before,
            started_at = CASE WHEN q.attempts - b.uncounted + q.cuts + b.cut > 0 THEN q.started_at END
        FROM back b WHERE q.seq = ANY(ARRAY[b.seq]) RETURNING q.seq, q.fence, q.account, q.priority),
    counted AS (
        INSERT INTO queue_in AS i (account, priority, tasks, floor)
            SELECT account, priority, count(*), min(seq) FROM put GROUP BY account, priority
            ORDER BY account, priority
        ON CONFLICT (account, priority) DO UPDATE
            SET tasks = i.tasks + excluded.tasks, floor = least(i.floor, excluded.floor)),
    stopped AS (
        INSERT INTO queue_over AS o (account, stopped, booked)
            SELECT account, count(*), 0 FROM put GROUP BY account ORDER BY account
        ON CONFLICT (account) DO UPDATE SET stopped = o.stopped + excluded.stopped)
    SELECT seq, fence FROM put";

/// What this lane writes.
pub(super) enum Take {
    /// Claims what still waits.
    Claim(ClaimAsk),
    /// Puts a claimed task back.
    Back(Claim, Back, Arc<Local>),
    /// Puts back what was claimed for somebody who has left: never made, and to be had at once.
    Unmake(Vec<Claim>, Arc<Local>, #[expect(dead_code, reason = "held until they are put back")] Hidden),
}

/// Tasks to be claimed.
pub(super) struct ClaimAsk {
    /// Out of sight until it is settled who has them.
    pub(super) tasks: Hidden,
    /// When.
    pub(super) now: Timestamp,
    /// Who.
    pub(super) node: NodeId,
    /// To be told.
    pub(super) local: Arc<Local>,
}

/// What became of it.
pub(super) enum Taken {
    /// These were claimed.
    Claimed(Vec<Claimed>),
    /// Whether it was put back.
    Back(bool),
}

impl Job for Take {
    type Answer = Taken;
    const GUARDED: bool = true;
    const ROWS_MAX: usize = 512;

    fn rows(&self) -> usize {
        match self {
            Self::Claim(ask) => ask.tasks.seqs().len(),
            Self::Back(..) => 1,
            Self::Unmake(claims, ..) => claims.len(),
        }
    }

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Taken>, StoreError> {
        let (claims, backs) = (Claims::of(jobs), Backs::of(jobs));
        let node = claims.node;
        let claim = call(CLAIM, &[&node, &claims.seqs, &claims.now]);
        let put_back =
            call(PUT_BACK, &[&backs.seqs, &backs.fences, &backs.uncounted, &backs.cuts, &backs.not_before]);
        // Each is one statement, so a group of claims is one round trip.
        let (claimed, put) = match (claims.seqs.is_empty(), backs.seqs.is_empty()) {
            (true, true) => (Rows::default(), Rows::default()),
            (false, true) => (only(tx.commit([claim]).await?), Rows::default()),
            (true, false) => (Rows::default(), only(tx.commit([put_back]).await?)),
            (false, false) => {
                let [put, claimed] = tx.commit([put_back, claim]).await?;
                (claimed, put)
            }
        };
        answer(jobs, &claimed, &put)
    }

    fn unwritten(&self) {
        if let Self::Unmake(_, local, _) = self {
            local.doubt();
        }
    }

    fn unheard(self, answer: Taken) -> Option<Self> {
        let (Self::Claim(ask), Taken::Claimed(claimed)) = (self, answer) else { return None };
        let claims: Vec<_> = claimed.into_iter().map(|one| one.claim).collect();
        (!claims.is_empty()).then(|| Self::Unmake(claims, ask.local, ask.tasks))
    }
}

/// Puts claimed tasks back whose attempts were never made.
pub(super) async fn unmake(tx: &Tx<'_>, claims: &[Claim]) -> Result<(), StoreError> {
    let mut backs = Backs::default();
    claims.iter().for_each(|claim| backs.push(*claim, (1, 0), None));
    tx.execute(PUT_BACK, &[&backs.seqs, &backs.fences, &backs.uncounted, &backs.cuts, &backs.not_before])
        .await?;
    Ok(())
}

fn only([rows]: [Rows; 1]) -> Rows {
    rows
}

fn answer(jobs: &[Take], claimed: &Rows, put: &Rows) -> Result<Answers<Taken>, StoreError> {
    let mut of_seq = HashMap::with_capacity(claimed.rows.len());
    let mut lines: HashMap<(i64, Priority), u32> = HashMap::new();
    for row in &claimed.rows {
        let one = read(row)?;
        *lines.entry((one.account.to_i64(), task_rows::priority(row, 14)?)).or_default() += 1;
        of_seq.insert(one.claim.seq, one);
    }
    let mut backs = HashSet::with_capacity(put.rows.len());
    for row in &put.rows {
        backs.insert(Claim { seq: get(row, 0)?, fence: get(row, 1)? });
    }
    let moved = |count: usize| i64::try_from(count).unwrap_or(0);
    let (to_run, to_wait) = (moved(claimed.rows.len()), moved(put.rows.len()));
    if let Some(Take::Claim(ClaimAsk { local, .. }) | Take::Back(.., local) | Take::Unmake(_, local, _)) =
        jobs.first()
    {
        local.moved(Moves { waiting: to_wait - to_run, running: to_run - to_wait, pending: 0 });
        local.claimed(lines);
    }
    Ok(jobs
        .iter()
        .map(|job| {
            Ok(match job {
                Take::Claim(ask) => {
                    Taken::Claimed(ask.tasks.seqs().iter().filter_map(|seq| of_seq.remove(seq)).collect())
                }
                Take::Back(claim, ..) => Taken::Back(backs.remove(claim)),
                Take::Unmake(..) => Taken::Back(true),
            })
        })
        .collect())
}

fn read(row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        claim: Claim { seq: get(row, 0)?, fence: get(row, 1)? },
        attempt: task_rows::attempts(row, 2)?,
        cuts: task_rows::small(row, 3)?,
        id: task_rows::id(row, 4)?,
        account: task_rows::account(row, 5)?,
        key: KeyId::from_i64(get(row, 6)?),
        kind: task_rows::kind(row, 7)?,
        endpoint: task_rows::endpoint(row, 8)?,
        payload: task_rows::text(get(row, 9)?)?.to_owned(),
        webhook: get(row, 10)?,
        price: task_rows::price(row, 11)?,
        created_at: rows::instant(row, 13)?,
    })
}

#[derive(Default)]
struct Claims {
    node: i64,
    seqs: Vec<TaskSeq>,
    /// Of all: they were asked for within one transaction of each other.
    now: i64,
}

impl Claims {
    fn of(jobs: &[Take]) -> Self {
        let mut claims = Self::default();
        for job in jobs {
            let Take::Claim(ask) = job else { continue };
            claims.node = ask.node.to_i64();
            claims.now = claims.now.max(ask.now.millis());
            claims.seqs.extend_from_slice(ask.tasks.seqs());
        }
        claims
    }
}

#[derive(Default)]
struct Backs {
    seqs: Vec<TaskSeq>,
    fences: Vec<i64>,
    uncounted: Vec<i16>,
    cuts: Vec<i32>,
    not_before: Vec<Option<i64>>,
}

impl Backs {
    fn of(jobs: &[Take]) -> Self {
        let mut backs = Self::default();
        for job in jobs {
            match job {
                Take::Claim(_) => {}
                Take::Back(claim, back, _) => match back {
                    Back::Failed(not_before) => backs.push(*claim, (0, 0), Some(*not_before)),
                    Back::Unmade(not_before) => backs.push(*claim, (1, 0), Some(*not_before)),
                    Back::Cut => backs.push(*claim, (1, 1), None),
                },
                Take::Unmake(claims, ..) => {
                    claims.iter().for_each(|claim| backs.push(*claim, (1, 0), None));
                }
            }
        }
        backs
    }

    fn push(&mut self, claim: Claim, (uncounted, cut): (i16, i32), not_before: Option<Timestamp>) {
        self.seqs.push(claim.seq);
        self.fences.push(claim.fence);
        self.uncounted.push(uncounted);
        self.cuts.push(cut);
        self.not_before.push(not_before.map(Timestamp::millis));
    }
}
