//! A bound on a process' CPU time, through the kernel's control groups (version 1 or 2).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The kernel looks this often whether a process has used up its share.
const PERIOD_US: u64 = 10_000;

/// A control group of its own; dropping it deletes it, once its processes have ended.
pub(crate) struct Quota(PathBuf);

impl Quota {
    /// Lets the process `id` have this share of one core. Needs the right to make control groups.
    pub(crate) fn of(id: u32, share: f64) -> anyhow::Result<Self> {
        let quota_us = (PERIOD_US as f64 * share).round();
        let old = Path::new("/sys/fs/cgroup/cpu");
        let root = if old.exists() { old } else { Path::new("/sys/fs/cgroup") };
        let group = root.join(format!("bromo-bench-{id}"));
        fs::create_dir_all(&group).context("no right to make a control group")?;
        let quota = Self(group);
        if old.exists() {
            quota.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            quota.write("cpu.cfs_quota_us", &quota_us.to_string())?;
        } else {
            quota.write("cpu.max", &format!("{quota_us} {PERIOD_US}"))?;
        }
        quota.write("cgroup.procs", &id.to_string())?;
        Ok(quota)
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.0.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
