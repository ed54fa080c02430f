//! Which bytes of the segments are still needed, exactly.

use hashbrown::HashMap;

use super::segments::number_at;

/// Where a record stands: number of the segment in the upper half, offset in the lower. 0: nowhere yet.
pub(crate) type At = u64;

/// A record in a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) at: At,
    pub(crate) bytes: u32,
}

impl Spot {
    /// Whether it stands anywhere.
    pub(crate) fn is_written(self) -> bool {
        self.at != 0
    }
}

/// Bytes of records that are needed, by segment.
#[derive(Debug, Default)]
pub(crate) struct Live {
    segments: HashMap<u32, u64>,
    total_bytes: u64,
}

impl Live {
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Of one segment.
    pub(crate) fn bytes_of(&self, segment: u32) -> u64 {
        self.segments.get(&segment).copied().unwrap_or(0)
    }

    /// A record is needed from now on.
    pub(crate) fn add(&mut self, spot: Spot) {
        if spot.is_written() {
            *self.segments.entry(number_at(spot.at)).or_default() += u64::from(spot.bytes);
            self.total_bytes += u64::from(spot.bytes);
        }
    }

    /// A record is not needed any more.
    pub(crate) fn remove(&mut self, spot: Spot) {
        if let Some(bytes) = self.segments.get_mut(&number_at(spot.at)).filter(|_| spot.is_written()) {
            *bytes -= u64::from(spot.bytes);
            self.total_bytes -= u64::from(spot.bytes);
        }
    }

    /// A segment is gone.
    pub(crate) fn forget(&mut self, segment: u32) {
        let left = self.segments.remove(&segment);
        debug_assert!(left.unwrap_or(0) == 0, "nothing was needed of it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_where_they_stand() {
        let spot = |segment: u64, bytes| Spot { at: segment << 32 | 16, bytes };
        let mut live = Live::default();
        live.add(spot(7, 10));
        live.add(spot(9, 5));
        live.add(spot(3, 1));
        live.add(Spot::default());
        assert_eq!([3, 7, 8, 9, 10].map(|number| live.bytes_of(number)), [1, 10, 0, 5, 0]);
        live.remove(spot(3, 1));
        live.remove(spot(7, 4));
        assert_eq!([3, 7, 8, 9].map(|number| live.bytes_of(number)), [0, 6, 0, 5]);
        assert_eq!(live.total_bytes(), 11);
    }
}
