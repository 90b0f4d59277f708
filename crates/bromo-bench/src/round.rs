//! One round: everything that is compared, once for each gateway, in turn.

use std::time::Duration;

use crate::bromo::Bromo;
use crate::client::Target;
use crate::load;
use crate::nginx::Nginx;
use crate::process::Process;
use crate::slots;
use crate::upstream::Upstream;

/// Connections of the closed loop.
pub(crate) const CONNECTIONS: usize = 64;
/// Requests a second of the open loop.
pub(crate) const RATE: u32 = 1000;
/// Connections that the open loop may use at once.
const OPEN_CONNECTIONS: usize = 64;
/// Before each measurement: pools fill, branches are learnt.
const WARM: Duration = Duration::from_millis(500);
/// Hang-ups of each kind; the worst one counts.
const HANG_UPS: usize = 5;

/// How long the parts of a round take.
#[derive(Clone, Copy)]
pub(crate) struct Lengths {
    pub(crate) closed: Duration,
    pub(crate) open: Duration,
    pub(crate) churn: Duration,
}

/// Slots of the two accounts.
#[derive(Clone, Copy)]
pub(crate) struct Slots {
    pub(crate) many: u32,
    pub(crate) few: u32,
}

/// Full speed on [`CONNECTIONS`].
#[derive(Clone, Copy)]
pub(crate) struct Speed {
    pub(crate) per_second: f64,
    /// Of CPU, for 1,000 requests.
    pub(crate) cpu_s: f64,
    /// Of the gateway's core; below 1 the load was the limit.
    pub(crate) busy: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Two percentiles of latency.
#[derive(Clone, Copy)]
pub(crate) struct Paced {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// What one gateway does with its slots.
#[derive(Clone, Copy)]
pub(crate) struct SlotUse {
    pub(crate) used: f64,
    pub(crate) most: u32,
    /// The worst hang-up of all few slots, in milliseconds.
    pub(crate) few_free_ms: f64,
    /// The same of all many.
    pub(crate) many_free_ms: f64,
}

/// One round's figures. The names of bromo's own kinds of calls are those of [`Bromo`]'s targets.
pub(crate) struct Round {
    pub(crate) nginx_speed: Speed,
    pub(crate) free_speed: Speed,
    pub(crate) streamed_speed: Speed,
    pub(crate) charged_speed: Speed,
    pub(crate) direct: Paced,
    pub(crate) nginx: Paced,
    pub(crate) free: Paced,
    pub(crate) charged: Paced,
    pub(crate) nginx_slots: SlotUse,
    pub(crate) bromo_slots: SlotUse,
    /// The worst hang-up of all many calls without a gateway: what this program itself takes to close its
    /// sockets and to see that they are.
    pub(crate) direct_free_ms: f64,
    /// A write of 4 KiB and its `fdatasync` where bromo's data lies, right before the charged calls.
    pub(crate) sync: Paced,
}

/// What is measured on, and for how long.
pub(crate) struct Bench<'a> {
    /// Where bromo's data lies.
    pub(crate) folder: &'a std::path::Path,
    pub(crate) upstream: &'a Upstream,
    pub(crate) nginx: &'a Nginx,
    pub(crate) bromo: &'a Bromo,
    pub(crate) lengths: Lengths,
    pub(crate) slots: Slots,
}

impl Bench<'_> {
    pub(crate) async fn round(&self) -> anyhow::Result<Round> {
        let (nginx, bromo) = (self.nginx, self.bromo);
        let direct = Target::post(self.upstream.address, "/v1/chat/completions", "sk_live_bench");
        Ok(Round {
            nginx_speed: self.speed(&nginx.answers(), &nginx.process).await?,
            free_speed: self.speed(&bromo.free(), &bromo.process).await?,
            streamed_speed: self.speed(&bromo.streamed(), &bromo.process).await?,
            charged_speed: self.speed(&bromo.charged(), &bromo.process).await?,
            direct: self.paced(&direct).await?,
            nginx: self.paced(&nginx.answers()).await?,
            free: self.paced(&bromo.free()).await?,
            sync: crate::disk::sync_us(self.folder).map(|(p50_us, p99_us)| Paced { p50_us, p99_us })?,
            charged: self.paced(&bromo.charged()).await?,
            nginx_slots: self.slot_use(&nginx.few_slots(), &nginx.answers()).await?,
            bromo_slots: self.slot_use(&bromo.few_slots(), &bromo.free()).await?,
            direct_free_ms: self.free_ms(&direct, self.slots.many).await?,
        })
    }

    pub(crate) async fn speed(&self, target: &Target, process: &Process) -> anyhow::Result<Speed> {
        load::closed(target, CONNECTIONS, WARM).await?;
        let (before, begun) = (process.cpu_s()?, std::time::Instant::now());
        let load = load::closed(target, CONNECTIONS, self.lengths.closed).await?;
        let (cpu_s, took_s) = (process.cpu_s()? - before, begun.elapsed().as_secs_f64());
        let requests = load.latencies.len() as f64;
        let (p50_us, p99_us) = load.latencies.p50_p99_us();
        let (per_second, busy) = (load.per_second, cpu_s / took_s);
        Ok(Speed { per_second, cpu_s: cpu_s * 1000.0 / requests, busy, p50_us, p99_us })
    }

    async fn paced(&self, target: &Target) -> anyhow::Result<Paced> {
        load::open(target, RATE, OPEN_CONNECTIONS, WARM).await?;
        let latencies = load::open(target, RATE, OPEN_CONNECTIONS, self.lengths.open).await?;
        let (p50_us, p99_us) = latencies.p50_p99_us();
        Ok(Paced { p50_us, p99_us })
    }

    async fn slot_use(&self, few: &Target, many: &Target) -> anyhow::Result<SlotUse> {
        let churn = slots::churn(few, self.slots.few, self.upstream, self.lengths.churn).await?;
        let few_free_ms = self.free_ms(few, self.slots.few).await?;
        let many_free_ms = self.free_ms(many, self.slots.many).await?;
        Ok(SlotUse { used: churn.used, most: churn.most, few_free_ms, many_free_ms })
    }

    /// The worst of some hang-ups of all slots at once.
    async fn free_ms(&self, target: &Target, slots: u32) -> anyhow::Result<f64> {
        let mut worst = Duration::ZERO;
        for _ in 0..HANG_UPS {
            worst = worst.max(slots::hang_up(target, slots, self.upstream).await?);
        }
        Ok(worst.as_secs_f64() * 1e3)
    }
}
