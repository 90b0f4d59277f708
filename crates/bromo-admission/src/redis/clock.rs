//! The clock that leases are counted on.

/// Milliseconds of a clock that also runs while the machine is suspended; its beginning means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub(crate) struct Boot(pub(crate) u64);

impl Boot {
    pub(crate) const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where it is read.
#[derive(Debug, Clone)]
pub(crate) enum BootClock {
    /// `CLOCK_BOOTTIME`.
    System,
    /// The same, so many milliseconds ahead: for tests.
    #[cfg(test)]
    Ahead(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl BootClock {
    pub(crate) fn now(&self) -> Boot {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
        let now = Boot(seconds.unwrap_or(0) * 1000 + nanos.unwrap_or(0) / 1_000_000);
        match self {
            Self::System => now,
            #[cfg(test)]
            Self::Ahead(ms) => now.plus(ms.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }
}
