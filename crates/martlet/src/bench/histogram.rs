//! Latencies in buckets whose width grows with the value, so that every percentile is exact to 1.6 percent.

/// Each power of two is cut into this many buckets.
const PARTS: u64 = 1 << PARTS_LOG2;
const PARTS_LOG2: u32 = 6;
/// Values below [`PARTS`] have a bucket each, then [`PARTS`] buckets for each further power of two.
const BUCKETS: usize = ((64 - PARTS_LOG2 as usize) + 1) * PARTS as usize;

/// Counts of values; takes any `u64`.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// One without values.
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice(), total: 0, max: 0 }
    }

    /// Adds a value `times` times.
    #[inline]
    pub(super) fn record(&mut self, value: u64, times: u64) {
        self.counts[bucket(value)] += times;
        self.total += times;
        self.max = self.max.max(value);
    }

    /// Adds all values of another.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.max = 0;
    }

    /// How many values there are.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The largest value, exactly; 0 without values.
    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// The value that the given share of all values (0 to 1) does not exceed; at most 1.6 percent too large. 0 without
    /// values.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        let rank = ((share * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return last_value(index).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket of a value.
#[inline]
fn bucket(value: u64) -> usize {
    if value < PARTS {
        return value as usize;
    }
    let shift = value.ilog2() - PARTS_LOG2;
    ((u64::from(shift) * PARTS) + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn last_value(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    let part = bucket - shift * PARTS;
    (part << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        for value in
            (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, 3 << bit >> 1, u64::MAX - (1 << bit)])
        {
            let bucket = bucket(value);
            let last = last_value(bucket);
            assert!(bucket < BUCKETS && last >= value, "{value}");
            assert!(last - value <= value / PARTS, "{value}: {last}");
            assert!(bucket == 0 || last_value(bucket - 1) < value, "{value}");
        }
        assert_eq!(last_value(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn quantiles_of_equal_steps_are_where_they_belong() {
        let mut histogram = Histogram::new();
        (1..=10_000).for_each(|value| histogram.record(value, 3));
        assert_eq!(histogram.total(), 30_000);
        for (share, expected) in [(0.5, 5_000), (0.9, 9_000), (0.99, 9_900), (0.999, 9_990), (1.0, 10_000)] {
            let found = histogram.quantile(share);
            assert!((expected..=expected + expected / 60).contains(&found), "{share}: {found}");
        }
        assert_eq!((histogram.quantile(0.0), histogram.max()), (1, 10_000));
    }

    #[test]
    fn an_empty_one_says_zero_and_merging_adds() {
        let mut sum = Histogram::new();
        assert_eq!((sum.quantile(0.5), sum.max()), (0, 0));
        let mut one = Histogram::new();
        one.record(40, 2);
        sum.merge(&one);
        one.record(50, 1);
        sum.merge(&one);
        assert_eq!((sum.total(), sum.quantile(0.5), sum.max()), (5, 40, 50));
        sum.clear();
        assert_eq!((sum.total(), sum.max()), (0, 0));
    }
}
