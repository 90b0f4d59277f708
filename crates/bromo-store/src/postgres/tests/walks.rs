//! That no statement walks over what grows, whatever the statistics say.
//!
//! Statistics can be as wrong as can be: a queue may be analyzed when nearly all of its rows are dead, tomorrow's partition
//! when it is empty. To walk over the whole of an index seems to cost no more than a look-up then, and may be what is
//! planned until the table is analyzed again. So the contract runs with such statistics, the server writes down each plan,
//! and none may walk.

use bromo_testbed::Database;
use tokio_postgres::Client;

use super::{beside, number};

/// What `ANALYZE` leaves behind where it finds dead rows alone.
const DECEIVE: &str = "UPDATE pg_class SET relpages = 1, reltuples = 0
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')";

/// Where the testbed has its servers write.
const LOG: &str = "current_setting('data_directory') || '/../log'";

/// Tables that may be walked over, and a part of the statements that may; all, if it is empty.
const MEANT: [(&str, &str); 21] = [
    // One row each, or one a node.
    ("appended", ""),
    ("rolled", ""),
    ("text_bytes", ""),
    ("task_seqs", ""),
    ("nodes", ""),
    // A row is thousands of log lines, or a gap between them.
    ("runs", ""),
    ("gaps", ""),
    // A row an account and priority: how much there is in all, once a second, and which accounts have something to run.
    ("queue_in", "SELECT sum(tasks)"),
    ("queue_in", "SELECT DISTINCT i.account"),
    ("queue_out", "SELECT sum(claimed)"),
    ("queue_out", "SELECT sum(claimed + removed)"),
    ("queue_over", "SELECT sum(stopped)"),
    ("queue_over", "SELECT sum(booked)"),
    ("due_over", "SELECT sum(closed)"),
    // What a node had, when it died, and once a minute what it does not know of. No index has nodes, or each claim would
    // change it.
    ("queue", "node = $1"),
    ("due", "node = $1"),
    ("queue", "SELECT DISTINCT node"),
    ("due", "SELECT DISTINCT node"),
    // Tasks that wait for another attempt have an index of their own, and are counted up to a bound.
    ("queue", "WHERE not_before IS NOT NULL LIMIT 10000"),
    // One, which its request has found.
    ("texts", "WHERE request = $1 AND account = $2"),
    // Few, and an operator looks at all of them.
    ("plan_requests", ""),
];

/// What is compared with one of these only once it was read, an index should have found.
const KEYS: [&str; 6] = ["(id = ", "(seq = ", "(hash = ", "(token = ", "(request = ", "(account = "];

/// A database whose plans are written down.
pub(in crate::postgres) struct Watched {
    client: Client,
    /// Where the log ended.
    from: i64,
}

/// Has the server write down the plans of this database, over connections that are made from now on.
pub(in crate::postgres) fn write_down(database: &Database<'_>) {
    let all = "DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = auto_explain', current_database());
            EXECUTE format('ALTER DATABASE %I SET auto_explain.log_min_duration = 0', current_database());
        END $$";
    database.execute(all).unwrap();
}

impl Watched {
    /// Makes the statistics wrong, once the schema is there. What follows is watched.
    pub(in crate::postgres) async fn begin(database: &Database<'_>) -> Self {
        let client = beside(database).await;
        client.batch_execute(DECEIVE).await.unwrap();
        let from = number(&client, &format!("SELECT (pg_stat_file({LOG})).size")).await;
        Self { client, from }
    }

    /// Fails if anything that a connection did which is still there walked.
    pub(in crate::postgres) async fn end(self) {
        let pids = "SELECT '[' || pid || ']' FROM pg_stat_activity WHERE datname = current_database()
            AND pid <> pg_backend_pid()";
        let pids = self.client.query(pids, &[]).await.unwrap();
        let pids: Vec<String> = pids.iter().map(|row| row.get(0)).collect();
        let read = format!("SELECT pg_read_binary_file({LOG}, $1, 1000000000)");
        let log: Vec<u8> = self.client.query_one(&read, &[&self.from]).await.unwrap().get(0);
        let log = String::from_utf8_lossy(&log);
        let mut plans = 0;
        // All but the first line of what is written at once is indented.
        let mut lines = log.lines().peekable();
        while let Some(line) = lines.next() {
            let mut text = Vec::new();
            while let Some(more) = lines.next_if(|more| more.starts_with('\t')) {
                text.push(more);
            }
            if line.ends_with("plan:") && pids.iter().any(|pid| line.contains(pid)) {
                plans += 1;
                check(&text);
            }
        }
        assert!(plans > 0, "no plan was written down");
    }
}

/// A statement and its plan.
#[track_caller]
fn check(text: &[&str]) {
    let is_node = |line: &&str| line.contains("  (cost=");
    let plan = text.iter().position(is_node).unwrap_or(text.len());
    let statement = text[..plan].join(" ");
    for (at, line) in text.iter().enumerate().skip(plan).filter(|(_, line)| is_node(line)) {
        let properties = || text[at + 1..].iter().take_while(|line| !is_node(line)).map(|line| line.trim());
        let filter = properties().find(|property| property.starts_with("Filter:"));
        let walks = if line.contains("Index Scan ") || line.contains("Index Only Scan ") {
            let looks_up = properties().any(|property| property.starts_with("Index Cond:"))
                && !filter.is_some_and(|filter| KEYS.iter().any(|key| filter.contains(key)));
            let is_the_first = filter.is_none() && text[at - 1].contains("Limit  (cost=");
            !looks_up && !is_the_first
        } else {
            line.contains("Seq Scan on ") || line.contains("Bitmap Heap Scan on ")
        };
        let table = line.split_once(" on ").and_then(|(_, table)| table.split(' ').next()).unwrap_or("");
        let is_meant = MEANT.iter().any(|(of, part)| *of == table && statement.contains(part));
        assert!(!walks || is_meant, "walks over {table}:\n{}", text.join("\n"));
    }
}
