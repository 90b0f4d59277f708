//! What follows from the rows, once they are all here; and the end of the move.

use super::Target;
use crate::error::StoreError;
use crate::postgres::logs::ROLLUP_ROW_BYTES;
use crate::sqlite::Marks;

/// Counters say what waits and what is due; whatever came and went before is not counted. Where nothing may run, a floor
/// is as high as can be.
const COUNTERS: &str = "DELETE FROM queue_in; DELETE FROM queue_out; DELETE FROM queue_over; DELETE FROM due_over;
    INSERT INTO queue_in (account, priority, tasks, floor)
        SELECT account, priority, count(*), coalesce(min(seq) FILTER (WHERE not_before IS NULL), 9223372036854775807)
        FROM queue GROUP BY account, priority;
    INSERT INTO queue_over (account, stopped, booked) SELECT account, 0, count(*) FROM due GROUP BY account;
    UPDATE text_bytes SET bytes = (SELECT coalesce(sum(octet_length(data)), 0) FROM texts);";

const TASK_SEQS: &str = "SELECT setval('task_seqs', greatest($1::bigint, 1), $1 > 0)";
const APPENDED: &str = "UPDATE appended SET last_seq = $1, lines = $2";
/// What was not counted for charts waits to be.
const ROLLED: &str = "UPDATE rolled SET seq = $1,
        lines = $2 - (SELECT coalesce(sum(lines), 0) FROM blocks WHERE last_seq > $1)::bigint,
        bytes = (SELECT coalesce(sum(octet_length(data) + $3::bigint), 0) FROM rollups)::bigint";

/// From now on it is an installation like any other: programs that know nothing of moves may serve it too.
const FINISH: &str = "RESET synchronous_commit;
    BEGIN;
    UPDATE moves SET finished_at = now();
    UPDATE migrations SET needs = 1 WHERE schema = 'store' AND name = 'moves';
    COMMIT";

impl Target {
    /// Makes what follows from the rows. Doing it again changes nothing.
    pub(crate) async fn settle(&self, marks: &Marks) -> Result<(), StoreError> {
        let client = &self.link.client;
        self.batch("BEGIN").await?;
        self.batch(COUNTERS).await?;
        client.query(TASK_SEQS, &[&marks.last_task]).await?;
        client.execute(APPENDED, &[&marks.last_line, &marks.lines]).await?;
        client.execute(ROLLED, &[&marks.rolled, &marks.lines, &ROLLUP_ROW_BYTES]).await?;
        self.batch("COMMIT").await
    }

    /// The move is over: nodes may start.
    pub(crate) async fn finish(&self) -> Result<(), StoreError> {
        self.batch(FINISH).await
    }
}
