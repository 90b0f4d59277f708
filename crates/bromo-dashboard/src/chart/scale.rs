//! How high a value stands. Heights are shares from 0 (the floor) to 1 (the top of the box).

/// A grid line every 1, 2 or 5 times a power of ten, at most five with the floor.
const GRID_GAPS_MAX: f64 = 4.0;

/// A linear scale from 0 to `top`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linear {
    top: f64,
}

impl Linear {
    /// Room above the highest value, so that a limit's label fits over its line.
    pub(super) fn with_room(highest: f64) -> Self {
        Self { top: highest.max(1.0) * 1.1 }
    }

    /// The top is the next 1, 2 or 5 times a power of ten.
    pub(super) fn round(highest: f64) -> Self {
        Self { top: round_up(highest.max(1.0)) }
    }

    pub(super) fn share(self, value: f64) -> f64 {
        (value / self.top).clamp(0.0, 1.0)
    }

    /// Values with a grid line; whole numbers, from 0 up.
    pub(super) fn grid(self) -> Vec<f64> {
        let gap = round_up((self.top / GRID_GAPS_MAX).max(1.0));
        let lines = (self.top / gap).floor() as u32;
        (0..=lines).map(|line| f64::from(line) * gap).collect()
    }
}

fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|part| part * power).find(|&top| top >= value).unwrap_or(10.0 * power)
}

/// The fixed logarithmic scale of durations: 10 ms on the floor, 300 s at the top. Faster answers lie on the floor.
pub(super) fn log_share(millis: f64) -> f64 {
    ((millis / 10.0).max(1.0).ln() / 30_000_f64.ln()).clamp(0.0, 1.0)
}
