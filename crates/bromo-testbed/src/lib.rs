//! Real servers for tests: started on free ports from the system's packages, ended with the process that asked for them.
//!
//! Nothing here knows bromo. A missing program is an error that names the package to install.

mod port;
mod postgres;
mod process;
mod program;
mod proxy;
mod redis;
mod redis_cluster;

pub use postgres::{Database, Postgres};
pub use proxy::{Cut, Proxy};
pub use redis::Redis;
pub use redis_cluster::RedisCluster;
