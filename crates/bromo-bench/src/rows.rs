//! Which figures stand in the table, in which order, and what each is to reach.

use crate::idle::Idle;
use crate::report::{Goal, Row};
use crate::round::{Paced, Round};

/// Figures of the whole run rather than of a round.
pub(crate) struct Once {
    pub(crate) admission_ns: Option<f64>,
    pub(crate) started_s: f64,
    pub(crate) fresh_mb: f64,
    pub(crate) after_calls_mb: f64,
    pub(crate) idle: Idle,
    pub(crate) idle_connections: usize,
    pub(crate) log_lines_lost: f64,
    pub(crate) charges_short: f64,
}

/// The rows of the table.
pub(crate) fn rows(rounds: &[Round], once: &Once) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(ns) = once.admission_ns {
        rows.push(Row::alone("admit + release, one thread, ns", [ns]).reaching(Goal::AtMost(200.0)));
    }
    speed(rounds, &mut rows);
    added(rounds, &mut rows);
    slots(rounds, &mut rows);
    size(once, &mut rows);
    rows
}

fn speed(rounds: &[Round], rows: &mut Vec<Row>) {
    let both = |value: fn(&Round) -> (f64, f64)| rounds.iter().map(value);
    rows.extend([
        Row::beside(
            "requests/s, 64 connections",
            both(|r| (r.free_speed.per_second, r.nginx_speed.per_second)),
        )
        .ratio_reaching(Goal::AtLeast(0.5)),
        Row::beside("CPU s per 1,000 requests", both(|r| (r.free_speed.cpu_s, r.nginx_speed.cpu_s)))
            .reaching(Goal::AtMost(0.035)),
        Row::beside("busy share of the core", both(|r| (r.free_speed.busy, r.nginx_speed.busy))),
        Row::beside("p50 then, us", both(|r| (r.free_speed.p50_us, r.nginx_speed.p50_us))),
        Row::beside("p99 then, us", both(|r| (r.free_speed.p99_us, r.nginx_speed.p99_us))),
        Row::beside(
            "requests/s, provider streams",
            both(|r| (r.streamed_speed.per_second, r.nginx_speed.per_second)),
        ),
        Row::beside(
            "CPU s per 1,000, provider streams",
            both(|r| (r.streamed_speed.cpu_s, r.nginx_speed.cpu_s)),
        ),
        Row::beside("requests/s, charged", both(|r| (r.charged_speed.per_second, r.nginx_speed.per_second))),
        Row::beside("CPU s per 1,000, charged", both(|r| (r.charged_speed.cpu_s, r.nginx_speed.cpu_s))),
    ]);
}

fn added(rounds: &[Round], rows: &mut Vec<Row>) {
    let over = |by: Paced, direct: Paced| (by.p50_us - direct.p50_us, by.p99_us - direct.p99_us);
    let free = |r: &Round| (over(r.free, r.direct), over(r.nginx, r.direct));
    let charged = |r: &Round| over(r.charged, r.direct);
    rows.extend([
        Row::beside(
            "added p50 at 1,000/s, free, us",
            rounds.iter().map(free).map(|(bromo, nginx)| (bromo.0, nginx.0)),
        )
        .ratio_reaching(Goal::AtMost(1.5)),
        Row::beside(
            "added p99 at 1,000/s, free, us",
            rounds.iter().map(free).map(|(bromo, nginx)| (bromo.1, nginx.1)),
        )
        .ratio_reaching(Goal::AtMost(1.5)),
        Row::alone("added p50 at 1,000/s, charged, us", rounds.iter().map(|r| charged(r).0))
            .reaching(Goal::AtMost(600.0)),
        Row::alone("added p99 at 1,000/s, charged, us", rounds.iter().map(|r| charged(r).1))
            .reaching(Goal::AtMost(2000.0)),
        Row::alone("write of 4 KiB and fdatasync p50, us", rounds.iter().map(|r| r.sync.p50_us)),
        Row::alone("write of 4 KiB and fdatasync p99, us", rounds.iter().map(|r| r.sync.p99_us)),
        Row::alone("direct p50 at 1,000/s, us", rounds.iter().map(|r| r.direct.p50_us)),
        Row::alone("direct p99 at 1,000/s, us", rounds.iter().map(|r| r.direct.p99_us)),
    ]);
}

fn slots(rounds: &[Round], rows: &mut Vec<Row>) {
    let both = |value: fn(&Round) -> (f64, f64)| rounds.iter().map(value);
    rows.extend([
        Row::beside("slots used under churn", both(|r| (r.bromo_slots.used, r.nginx_slots.used)))
            .reaching(Goal::AtLeast(0.95)),
        Row::beside(
            "most calls at once, 20 slots",
            both(|r| (r.bromo_slots.most.into(), r.nginx_slots.most.into())),
        )
        .reaching(Goal::AtMost(20.0)),
        Row::beside(
            "free after 20 hang up, ms",
            both(|r| (r.bromo_slots.few_free_ms, r.nginx_slots.few_free_ms)),
        )
        .reaching(Goal::AtMost(5.0)),
        Row::beside(
            "free after 1,000 hang up, ms",
            both(|r| (r.bromo_slots.many_free_ms, r.nginx_slots.many_free_ms)),
        )
        .reaching(Goal::AtMost(5.0)),
        Row::alone("the same without a gateway, ms", rounds.iter().map(|r| r.direct_free_ms)),
    ]);
}

fn size(once: &Once, rows: &mut Vec<Row>) {
    let connections = once.idle_connections as f64;
    rows.extend([
        Row::alone("start to listening, s", [once.started_s]).reaching(Goal::AtMost(1.0)),
        Row::alone("resident at start, MB", [once.fresh_mb]).reaching(Goal::AtMost(40.0)),
        Row::alone("resident after the rounds, MB", [once.after_calls_mb]),
        Row::alone("idle connections held", [once.idle.held as f64]).reaching(Goal::AtLeast(connections)),
        Row::alone("resident with them, MB", [once.idle.resident_mb]),
        Row::alone("kB for each of them", [once.idle.kilobytes_each]),
        Row::alone("log lines lost", [once.log_lines_lost]).reaching(Goal::AtMost(0.0)),
        Row::alone("charges short", [once.charges_short]).reaching(Goal::AtMost(0.0)),
    ]);
}
