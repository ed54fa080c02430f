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
    /// All but the one at hand.
    segments: HashMap<u32, u64>,
    /// The segment that was changed last, and its bytes: mostly it is changed next as well. There is no segment 0.
    at_hand: (u32, u64),
    total_bytes: u64,
}

impl Live {
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Of one segment.
    pub(crate) fn bytes_of(&self, segment: u32) -> u64 {
        let (number, bytes) = self.at_hand;
        if number == segment { bytes } else { self.segments.get(&segment).copied().unwrap_or(0) }
    }

    /// Takes a segment at hand; `None` if nothing is known of it.
    fn find(&mut self, segment: u32) -> Option<&mut u64> {
        if self.at_hand.0 != segment {
            let bytes = self.segments.remove(&segment)?;
            let (other, bytes) = std::mem::replace(&mut self.at_hand, (segment, bytes));
            if other > 0 {
                self.segments.insert(other, bytes);
            }
        }
        Some(&mut self.at_hand.1)
    }

    /// A record is needed from now on.
    pub(crate) fn add(&mut self, spot: Spot) {
        if spot.is_written() {
            let number = number_at(spot.at);
            if self.find(number).is_none() {
                self.segments.insert(number, 0);
            }
            *self.find(number).expect("it was put there") += u64::from(spot.bytes);
            self.total_bytes += u64::from(spot.bytes);
        }
    }

    /// A record is not needed any more.
    pub(crate) fn remove(&mut self, spot: Spot) {
        if spot.is_written()
            && let Some(bytes) = self.find(number_at(spot.at))
        {
            *bytes -= u64::from(spot.bytes);
            self.total_bytes -= u64::from(spot.bytes);
        }
    }

    /// A segment is gone.
    pub(crate) fn forget(&mut self, segment: u32) {
        let left = self.find(segment).copied();
        debug_assert!(left.unwrap_or(0) == 0, "nothing was needed of it");
        if left.is_some() {
            self.at_hand = (0, 0);
        }
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
