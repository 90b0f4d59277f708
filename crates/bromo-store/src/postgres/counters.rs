//! What the counters of tasks and deliveries must agree with.

/// By how much they do not, a row each: counters of what waits, floors, counters of what runs, and of what is due.
pub(crate) const WRONG: &str = "SELECT count(*) FROM (
        SELECT account, priority, count(*) FILTER (WHERE node IS NULL) AS waiting FROM queue GROUP BY 1, 2) q
        FULL JOIN (SELECT i.account, i.priority, i.tasks - coalesce(o.claimed + o.removed, 0) AS waiting
            FROM queue_in i LEFT JOIN queue_out o USING (account, priority)) c USING (account, priority)
        WHERE coalesce(q.waiting, 0) <> coalesce(c.waiting, 0)
        UNION ALL SELECT count(*) FROM queue q JOIN queue_in i USING (account, priority)
            WHERE q.node IS NULL AND q.not_before IS NULL AND q.seq < i.floor
        UNION ALL SELECT abs((SELECT count(*) FROM queue WHERE node IS NOT NULL)
            - coalesce((SELECT sum(claimed) FROM queue_out), 0) + coalesce((SELECT sum(stopped) FROM queue_over), 0))
            ::bigint
        UNION ALL SELECT abs((SELECT count(*) FROM due)
            - coalesce((SELECT sum(booked) FROM queue_over), 0) + coalesce((SELECT sum(closed) FROM due_over), 0))
            ::bigint";
