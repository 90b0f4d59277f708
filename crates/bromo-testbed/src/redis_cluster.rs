//! A Redis Cluster of one's own.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::{Redis, port, process};

/// A cluster that takes longer to agree is broken.
const PATIENCE: Duration = Duration::from_secs(30);
const TRIED_MAX: u32 = 3;
const SLOTS: usize = 16_384;

/// Some primaries that share the slots evenly, and a replica of each of them or of none. Dropping it ends all.
#[derive(Debug)]
pub struct RedisCluster {
    primaries: usize,
    servers: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one. Its servers take each other for dead after a second; and when one is, the others go on.
    ///
    /// # Errors
    /// If Redis is not installed or does not start.
    pub fn start(primaries: usize, replicated: bool) -> anyhow::Result<Self> {
        let mut tried = 1;
        loop {
            match Self::try_start(primaries, replicated) {
                // Other programs take free ports too, and there are two for each server.
                Err(_) if tried < TRIED_MAX => tried += 1,
                started => return started,
            }
        }
    }

    fn try_start(primaries: usize, replicated: bool) -> anyhow::Result<Self> {
        let count = if replicated { 2 * primaries } else { primaries };
        let servers = (0..count).map(|_| start_server()).collect::<anyhow::Result<Vec<_>>>()?;
        let cluster = Self { primaries, servers };
        cluster.meet()?;
        Ok(cluster)
    }

    /// The address of the first primary.
    pub fn url(&self) -> String {
        self.servers[0].url()
    }

    /// The primaries as they were at the start, then their replicas in the same order.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// Gives a slot with all its keys to another primary, as `redis-cli --cluster reshard` does.
    ///
    /// # Errors
    /// If a server refuses, or does not have it.
    pub fn move_slot(&self, slot: u16, from: &Redis, to: &Redis) -> anyhow::Result<()> {
        let (slot, source, target) = (slot.to_string(), id(from)?, id(to)?);
        ok(to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source])?)?;
        ok(from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target])?)?;
        loop {
            let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"])?;
            // An array of one text: how many, how long, the text.
            let Some(key) = keys.lines().nth(2) else { break };
            ok(from.command(&["MIGRATE", "127.0.0.1", &to.port().to_string(), key, "0", "5000"])?)?;
        }
        for server in [to, from] {
            ok(server.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &target])?)?;
        }
        Ok(())
    }

    fn meet(&self) -> anyhow::Result<()> {
        let (first, primaries) = (&self.servers[0], &self.servers[..self.primaries]);
        for (place, server) in primaries.iter().enumerate() {
            let slots = |place: usize| place * SLOTS / self.primaries;
            let (from, until) = (slots(place).to_string(), (slots(place + 1) - 1).to_string());
            ok(server.command(&["CLUSTER", "ADDSLOTSRANGE", &from, &until])?)?;
            ok(server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()])?)?;
        }
        for server in &self.servers[1..] {
            let bus = server.command(&["CONFIG", "GET", "cluster-port"])?;
            let bus = bus.lines().last().context("no cluster-port")?;
            ok(first.command(&["CLUSTER", "MEET", "127.0.0.1", &server.port().to_string(), bus])?)?;
        }
        for (primary, replica) in primaries.iter().zip(&self.servers[self.primaries..]) {
            let primary = id(primary)?;
            process::wait_for("a replica knows its primary", PATIENCE, || {
                Ok((replica.command(&["CLUSTER", "REPLICATE", &primary])? == "+OK").then_some(()))
            })?;
        }
        let known = format!("cluster_known_nodes:{}\r", self.servers.len());
        for (place, server) in self.servers.iter().enumerate() {
            process::wait_for("the servers of a cluster know each other", PATIENCE, || {
                let info = server.command(&["CLUSTER", "INFO"])?;
                let replicates = place < self.primaries
                    || server.command(&["INFO", "replication"])?.contains("master_link_status:up");
                let says = |what: &str| info.contains(what);
                // Who has which slots is told after who is there.
                let agrees =
                    says("cluster_state:ok") && says(&known) && says("cluster_slots_assigned:16384\r");
                Ok((agrees && replicates).then_some(()))
            })?;
        }
        Ok(())
    }
}

fn start_server() -> anyhow::Result<Redis> {
    let bus = port::free()?.to_string();
    let mut settings = vec!["--cluster-enabled", "yes", "--cluster-port", &bus];
    settings.extend(["--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"]);
    settings.extend(["--cluster-allow-replica-migration", "no", "--repl-diskless-sync-delay", "0"]);
    Redis::start_with(&settings)
}

fn id(server: &Redis) -> anyhow::Result<String> {
    let answer = server.command(&["CLUSTER", "MYID"])?;
    Ok(answer.lines().last().context("no id")?.to_owned())
}

fn ok(answer: String) -> anyhow::Result<()> {
    if answer != "+OK" {
        bail!("a server of a cluster said {answer}");
    }
    Ok(())
}
