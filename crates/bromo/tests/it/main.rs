//! The product through HTTP: real server, real SQLite, real sockets, a clock in hand. With `BROMO_IT=shared` in the
//! environment the same server keeps its state in a PostgreSQL and a Redis of its own instead.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod admin;
mod bodies;
mod credits;
mod dashboard;
mod hang_ups;
mod headers;
mod isolation;
mod limits;
mod moving;
mod nodes;
mod pages;
mod plans;
mod providers;
mod restart;
mod slots;
mod sources;
mod support;
mod tasks;
mod webhooks;
