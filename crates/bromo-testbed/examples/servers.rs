//! PostgreSQL and Redis for tests that are not written in Rust: prints their addresses as one line of JSON, and ends both
//! when its input does.
#![expect(clippy::print_stdout, reason = "whoever started it reads the addresses there")]

use std::io::Read;

use bromo_testbed::{Postgres, Redis};

fn main() -> anyhow::Result<()> {
    let (postgres, redis) = (Postgres::start()?, Redis::start()?);
    let database = postgres.database()?;
    println!(r#"{{"postgres": "{}", "redis": "{}"}}"#, database.url(), redis.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
