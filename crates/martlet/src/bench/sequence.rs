//! Whether the messages of one publisher arrive once each and in order.

use std::collections::VecDeque;

/// Gaps that are remembered; what is missing beyond them counts as lost for good.
const GAPS_MAX: usize = 64 * 1024;

/// What a sequence number turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next one.
    InOrder,
    /// So many before it are missing; they may still come.
    AfterGap(u32),
    /// One that was missing, so it comes too late to be in order.
    Late,
    /// One that had arrived already.
    Duplicate,
}

/// What was wrong with the arrivals; all counts are messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flaws {
    /// Published and never received.
    pub(super) lost: u64,
    /// Received more often than once, each further time.
    pub(super) duplicated: u64,
    /// Received after a later one of the same publisher.
    pub(super) out_of_order: u64,
    /// Received with another payload than was sent.
    pub(super) damaged: u64,
    /// Received, but of no publisher of this run.
    pub(super) foreign: u64,
}

impl std::ops::AddAssign for Flaws {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.damaged += other.damaged;
        self.foreign += other.foreign;
    }
}

/// The numbers that one receiver has seen of one publisher, starting at 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    /// All below have arrived or are missing.
    next: u64,
    trouble: Option<Box<Trouble>>,
}

/// What only a sequence with flaws needs.
#[derive(Clone, Debug, Default)]
struct Trouble {
    /// Ranges of missing numbers, ascending and apart: first, and one past the last.
    gaps: VecDeque<(u64, u64)>,
    /// Missing numbers whose gap was forgotten.
    given_up: u64,
    duplicated: u64,
    out_of_order: u64,
}

impl Sequence {
    /// Takes a number, of which only the low 32 bits are known; the true one lies within 2^31 of what is expected.
    #[inline]
    pub(super) fn arrive(&mut self, number: u32) -> Arrival {
        if number == self.next as u32 {
            self.next += 1;
            return Arrival::InOrder;
        }
        self.arrive_unexpected(number.wrapping_sub(self.next as u32))
    }

    #[cold]
    fn arrive_unexpected(&mut self, ahead: u32) -> Arrival {
        let trouble = self.trouble.get_or_insert_default();
        if ahead.cast_signed() > 0 {
            trouble.open_gap(self.next, self.next + u64::from(ahead));
            self.next += u64::from(ahead) + 1;
            return Arrival::AfterGap(ahead);
        }
        let number = self.next.saturating_sub(u64::from(ahead.wrapping_neg()));
        if trouble.close_gap(number) {
            trouble.out_of_order += 1;
            Arrival::Late
        } else {
            trouble.duplicated += 1;
            Arrival::Duplicate
        }
    }

    /// What was wrong, once it is known how many were published.
    pub(super) fn flaws(&self, published: u64) -> Flaws {
        let never_reached = published.saturating_sub(self.next);
        let Some(trouble) = &self.trouble else { return Flaws { lost: never_reached, ..Flaws::default() } };
        let missing: u64 = trouble.gaps.iter().map(|(first, end)| end - first).sum();
        Flaws {
            lost: missing + trouble.given_up + never_reached,
            duplicated: trouble.duplicated,
            out_of_order: trouble.out_of_order,
            ..Flaws::default()
        }
    }
}

impl Trouble {
    fn open_gap(&mut self, first: u64, end: u64) {
        if self.gaps.len() == GAPS_MAX {
            let (first, end) = self.gaps.pop_front().expect("it is full");
            self.given_up += end - first;
        }
        self.gaps.push_back((first, end));
    }

    /// Takes a number out of the gap it lies in; says whether it lay in one.
    fn close_gap(&mut self, number: u64) -> bool {
        let at = self.gaps.partition_point(|(_, end)| *end <= number);
        let Some(&(first, end)) = self.gaps.get(at).filter(|(first, _)| *first <= number) else {
            return false;
        };
        self.gaps.remove(at);
        if number + 1 < end {
            self.gaps.insert(at, (number + 1, end));
        }
        if first < number {
            self.gaps.insert(at, (first, number));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaws_of(numbers: &[u32], published: u64) -> Flaws {
        let mut sequence = Sequence::default();
        numbers.iter().for_each(|&number| {
            sequence.arrive(number);
        });
        sequence.flaws(published)
    }

    #[test]
    fn what_is_complete_and_in_order_has_no_flaws() {
        assert_eq!(flaws_of(&[0, 1, 2, 3], 4), Flaws::default());
        assert_eq!(flaws_of(&[], 0), Flaws::default());
    }

    #[test]
    fn losses_count_in_the_middle_and_at_the_end() {
        assert_eq!(flaws_of(&[0, 3], 6), Flaws { lost: 4, ..Flaws::default() });
        assert_eq!(flaws_of(&[], 6), Flaws { lost: 6, ..Flaws::default() });
    }

    #[test]
    fn a_late_message_is_out_of_order_and_not_lost() {
        assert_eq!(flaws_of(&[0, 4, 2, 1, 3], 5), Flaws { out_of_order: 3, ..Flaws::default() });
    }

    #[test]
    fn a_second_copy_is_a_duplicate_wherever_it_comes() {
        assert_eq!(flaws_of(&[0, 0, 1, 3, 2, 2, 0], 4).duplicated, 3);
        assert_eq!(flaws_of(&[0, 0, 1, 3, 2, 2, 0], 4).lost, 0);
    }

    #[test]
    fn numbers_wrap() {
        let mut sequence = Sequence { next: u64::from(u32::MAX), trouble: None };
        assert_eq!(sequence.arrive(u32::MAX), Arrival::InOrder);
        assert_eq!(sequence.arrive(0), Arrival::InOrder);
        assert_eq!(sequence.arrive(3), Arrival::AfterGap(2));
        assert_eq!(sequence.arrive(u32::MAX), Arrival::Duplicate);
        assert_eq!(sequence.arrive(2), Arrival::Late);
        assert_eq!(sequence.flaws((1 << 32) + 4).lost, 1);
    }

    #[test]
    fn gaps_beyond_the_limit_are_lost_for_good() {
        let mut sequence = Sequence::default();
        let last = 2 * u32::try_from(GAPS_MAX).expect("small") + 1;
        (1..=last).step_by(2).for_each(|number| assert_eq!(sequence.arrive(number), Arrival::AfterGap(1)));
        assert_eq!(sequence.flaws(u64::from(last) + 1).lost, GAPS_MAX as u64 + 1);
        assert_eq!(sequence.arrive(0), Arrival::Duplicate);
        assert_eq!(sequence.arrive(2), Arrival::Late);
    }
}
