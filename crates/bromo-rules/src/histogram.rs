//! Durations counted in buckets, from which percentiles come. Histograms are added up over steps, nodes and
//! endpoints, and only then a percentile is taken; percentiles themselves are never averaged.

use std::time::Duration;

/// Bounds of buckets double every so many.
const PER_DOUBLING: usize = 8;
/// How many bounds there are: 1 ms × 2^(k/8) for k from 0 to 160, so the last is 2^20 ms, some 17 minutes.
const BOUNDS: usize = 161;
/// Buckets: one up to each bound, and one for what lies above the last.
const BUCKETS: usize = BOUNDS + 1;
/// Upper bounds of buckets in microseconds.
const BOUND_US: [u64; BOUNDS] = bounds();
/// From a bucket's upper bound to its geometric middle: 2^(-1/16).
const TO_MIDDLE: f64 = 0.957_603_280_698_573_6;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^64")]
const fn bounds() -> [u64; BOUNDS] {
    // 2^(0/8) to 2^(7/8).
    const STEPS: [f64; PER_DOUBLING] = [
        1.0,
        1.090_507_732_665_257_7,
        1.189_207_115_002_721,
        1.296_839_554_651_009_6,
        std::f64::consts::SQRT_2,
        1.542_210_825_407_940_7,
        1.681_792_830_507_429,
        1.834_008_086_409_342_4,
    ];
    let mut bounds = [0; BOUNDS];
    let mut k = 0;
    while k < BOUNDS {
        bounds[k] = (1000.0 * STEPS[k % PER_DOUBLING] * (1_u64 << (k / PER_DOUBLING)) as f64) as u64;
        k += 1;
    }
    bounds
}

/// Which share of the durations lies below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quantile {
    /// Half of them.
    P50,
    /// 95 of 100.
    P95,
    /// 99 of 100.
    P99,
}

impl Quantile {
    /// All of them, the lowest first.
    pub const ALL: [Self; 3] = [Self::P50, Self::P95, Self::P99];

    /// How many durations it takes before this says anything.
    pub const fn needed(self) -> u64 {
        match self {
            Self::P50 => 1,
            Self::P95 => 20,
            Self::P99 => 100,
        }
    }

    const fn percent(self) -> u128 {
        match self {
            Self::P50 => 50,
            Self::P95 => 95,
            Self::P99 => 99,
        }
    }
}

/// How many durations fell into which bucket, and the exact longest.
///
/// A percentile is off by 4.5 % at most, from 1 ms to the last bound; below and above it is no longer than the longest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Bucket and count, ascending, no count 0.
    counts: Vec<(u8, u64)>,
    n: u64,
    max_us: u64,
}

impl Histogram {
    /// Counts a duration of so many microseconds.
    pub fn add(&mut self, us: u64) {
        let bucket = BOUND_US.partition_point(|bound| *bound < us);
        self.count(u8::try_from(bucket).unwrap_or(u8::MAX), 1);
        self.max_us = self.max_us.max(us);
    }

    /// Counts all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            self.count(*bucket, *count);
        }
        self.max_us = self.max_us.max(other.max_us);
    }

    fn count(&mut self, bucket: u8, count: u64) {
        self.n = self.n.saturating_add(count);
        if self.counts.last().is_none_or(|(last, _)| *last < bucket) {
            self.counts.push((bucket, count));
            return;
        }
        match self.counts.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(place) => self.counts[place].1 = self.counts[place].1.saturating_add(count),
            Err(place) => self.counts.insert(place, (bucket, count)),
        }
    }

    /// How many durations.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// The longest, exactly; none if nothing was counted.
    pub fn max(&self) -> Option<Duration> {
        (self.n > 0).then(|| Duration::from_micros(self.max_us))
    }

    /// The duration that this share does not exceed; none of fewer than [`Quantile::needed`].
    pub fn percentile(&self, quantile: Quantile) -> Option<Duration> {
        if self.n < quantile.needed() {
            return None;
        }
        let rank = (u128::from(self.n) * quantile.percent()).div_ceil(100);
        let mut below = 0;
        let reaches = |(_, count): &&(u8, u64)| {
            below += u128::from(*count);
            below >= rank
        };
        let (bucket, _) = self.counts.iter().find(reaches)?;
        Some(Duration::from_micros(middle(*bucket).map_or(self.max_us, |us| us.min(self.max_us))))
    }

    /// The counts as bytes, few for few buckets. The mirror is [`Histogram::decode`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.max_us);
        let mut previous = 0;
        for (bucket, count) in &self.counts {
            out.push(bucket - previous);
            put_varint(out, *count);
            previous = *bucket;
        }
    }

    /// What [`Histogram::encode`] wrote, all of `bytes`; none if they are anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut histogram = Self::default();
        histogram.merge_encoded(bytes)?;
        Some(histogram)
    }

    /// Counts all that the histogram of these bytes counted; none if they are not one, and then it may have counted
    /// some.
    pub fn merge_encoded(&mut self, mut bytes: &[u8]) -> Option<()> {
        let max_us = varint(&mut bytes)?;
        let mut previous = None;
        while let Some((more, rest)) = bytes.split_first() {
            bytes = rest;
            let bucket = previous.map_or(Some(*more), |previous: u8| previous.checked_add(*more))?;
            let count = varint(&mut bytes)?;
            if usize::from(bucket) >= BUCKETS || count == 0 || previous == Some(bucket) {
                return None;
            }
            previous = Some(bucket);
            self.count(bucket, count);
        }
        self.max_us = self.max_us.max(max_us);
        Some(())
    }
}

/// A bucket's geometric middle in microseconds; the first one's is its bound. None of the last, which has no end.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^64")]
fn middle(bucket: u8) -> Option<u64> {
    let bound = *BOUND_US.get(usize::from(bucket))?;
    Some(if bucket == 0 { bound } else { (bound as f64 * TO_MIDDLE) as u64 })
}

#[expect(clippy::cast_possible_truncation, reason = "masked to the bits that fit")]
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn of(durations: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        durations.iter().for_each(|us| histogram.add(*us));
        histogram
    }

    #[test]
    fn bounds_double_every_eight() {
        assert_eq!((BOUND_US[0], BOUND_US[8], BOUND_US[160]), (1000, 2000, 1000 << 20));
        for (k, bound) in BOUND_US.into_iter().enumerate() {
            let exact = 1000.0 * 2_f64.powf(k as f64 / 8.0);
            assert!((exact - bound as f64).abs() <= 1.0, "{k}");
        }
        assert!((TO_MIDDLE - 2_f64.powf(-1.0 / 16.0)).abs() < 1e-15);
    }

    #[test]
    fn a_percentile_needs_enough_durations() {
        for (n, said) in [(0, 0), (1, 1), (19, 1), (20, 2), (99, 2), (100, 3)] {
            let histogram = of(&vec![5000; n]);
            let found = Quantile::ALL.into_iter().filter(|q| histogram.percentile(*q).is_some());
            assert_eq!(found.count(), said, "{n}");
        }
    }

    #[test]
    fn what_lies_outside_the_bounds_is_counted_too() {
        assert_eq!(of(&[3]).percentile(Quantile::P50), Some(Duration::from_micros(3)));
        assert_eq!(of(&[u64::MAX]).percentile(Quantile::P50), Some(Duration::from_micros(u64::MAX)));
    }

    #[test]
    fn a_histogram_of_one_length_takes_few_bytes() {
        let mut bytes = Vec::new();
        of(&[2_000_000; 100]).encode(&mut bytes);
        assert!(bytes.len() <= 5, "{bytes:?}");
    }

    fn any_us() -> impl Strategy<Value = u64> {
        prop_oneof![0..2000_u64, 1000..1_048_576_000_u64, any::<u64>()]
    }

    proptest! {
        #[test]
        fn merging_counts_as_if_all_had_been_added(a in vec(any_us(), 0..50), b in vec(any_us(), 0..50)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn a_percentile_is_off_by_less_than_its_promise(mut durations in vec(1000..1_048_576_000_u64, 100..300)) {
            let histogram = of(&durations);
            durations.sort_unstable();
            for (quantile, percent) in Quantile::ALL.into_iter().zip([50, 95, 99]) {
                let exact = durations[(durations.len() * percent).div_ceil(100) - 1] as f64;
                let found = histogram.percentile(quantile).unwrap().as_micros() as f64;
                prop_assert!((found / exact - 1.0).abs() <= 0.045, "{found} for {exact}");
            }
        }

        #[test]
        fn no_percentile_exceeds_the_longest(durations in vec(any_us(), 1..300)) {
            let histogram = of(&durations);
            let longest = durations.iter().max().copied().map(Duration::from_micros);
            prop_assert_eq!(histogram.max(), longest);
            prop_assert!(Quantile::ALL.into_iter().all(|q| histogram.percentile(q) <= longest));
        }

        #[test]
        fn a_histogram_reads_back_as_it_was(durations in vec(any_us(), 0..100)) {
            let mut bytes = Vec::new();
            of(&durations).encode(&mut bytes);
            prop_assert_eq!(Histogram::decode(&bytes), Some(of(&durations)));
        }

        #[test]
        fn garbage_is_no_histogram_and_never_a_panic(bytes in vec(any::<u8>(), 0..40)) {
            if let Some(read) = Histogram::decode(&bytes) {
                read.percentile(Quantile::P50);
            }
        }
    }
}
