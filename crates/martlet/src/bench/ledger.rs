//! Whether each message of a shared subscription reached one member and no second one.

use std::collections::VecDeque;

use super::sequence::Flaws;

/// Which messages the members of a group have received, over all of them.
#[derive(Debug)]
pub(super) struct Ledger(Vec<Page>);

/// The messages of one publisher, a bit for each; what is complete at the start is not kept.
#[derive(Debug, Default)]
struct Page {
    /// Numbers below have all arrived; a multiple of 64.
    complete: u64,
    bits: VecDeque<u64>,
    duplicated: u64,
    /// One past the highest number seen; the numbers that arrive have only 32 bits.
    highest: u64,
}

impl Ledger {
    /// For publishers 0 to `publishers`.
    pub(super) fn new(publishers: usize) -> Self {
        Self((0..publishers).map(|_| Page::default()).collect())
    }

    /// Notes the arrival of a message; `false` when it had arrived before, at any member. The publisher must exist.
    pub(super) fn arrive(&mut self, publisher: usize, number: u32) -> bool {
        self.0[publisher].arrive(number)
    }

    /// What is missing and what came twice, once it is known how many each publisher has sent.
    pub(super) fn flaws(&self, published: impl Iterator<Item = u64>) -> Flaws {
        let mut flaws = Flaws::default();
        for (page, published) in self.0.iter().zip(published) {
            flaws += Flaws {
                lost: published.saturating_sub(page.arrived()),
                duplicated: page.duplicated,
                ..Flaws::default()
            };
        }
        flaws
    }
}

impl Page {
    fn arrive(&mut self, number: u32) -> bool {
        let ahead = i64::from(number.wrapping_sub(self.highest as u32).cast_signed());
        let number = self.highest.saturating_add_signed(ahead);
        self.highest = self.highest.max(number + 1);
        if number < self.complete {
            self.duplicated += 1;
            return false;
        }
        let (word, bit) = (((number - self.complete) / 64) as usize, 1 << (number % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let first = self.bits[word] & bit == 0;
        self.duplicated += u64::from(!first);
        self.bits[word] |= bit;
        while self.bits.front() == Some(&u64::MAX) {
            self.bits.pop_front();
            self.complete += 64;
        }
        first
    }

    fn arrived(&self) -> u64 {
        self.complete + self.bits.iter().map(|word| u64::from(word.count_ones())).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_words_are_not_kept() {
        let mut ledger = Ledger::new(1);
        (0..6400).rev().for_each(|number| assert!(ledger.arrive(0, number)));
        assert!(ledger.0[0].bits.is_empty());
        assert_eq!(ledger.flaws([6400].into_iter()), Flaws::default());
    }

    #[test]
    fn the_second_arrival_anywhere_is_a_duplicate() {
        let mut ledger = Ledger::new(2);
        assert!(ledger.arrive(0, 5) && ledger.arrive(1, 5));
        assert!(!ledger.arrive(0, 5));
        (0..64).for_each(|number| {
            ledger.arrive(1, number);
        });
        assert!(!ledger.arrive(1, 0));
        let flaws = ledger.flaws([8, 64].into_iter());
        assert_eq!((flaws.lost, flaws.duplicated), (7, 3));
    }

    #[test]
    fn numbers_wrap() {
        let mut ledger = Ledger::new(1);
        ledger.0[0] = Page { complete: (1 << 32) - 64, highest: (1 << 32) - 64, ..Page::default() };
        (0..128).for_each(|ahead| assert!(ledger.arrive(0, (u32::MAX - 63).wrapping_add(ahead))));
        assert_eq!(ledger.0[0].arrived(), (1 << 32) + 64);
    }
}
