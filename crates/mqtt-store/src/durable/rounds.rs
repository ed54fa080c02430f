//! Writes that many share. Whoever waits for a write could do it at once, and where there are many, others come with the same
//! wish just behind. So orders come in rounds: who is alone in a round writes at once, and the end of a crowded one writes for
//! all.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;

/// Tells when the next round has to end.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Has the end of a round called; without it there are no rounds, and everybody writes at once.
    call: RwLock<Option<Box<dyn Fn() + Send + Sync>>>,
    /// Orders of the round that has begun; above 0, its end is called.
    orders: AtomicUsize,
    /// Whether the last round had more than one: then this one mostly has, too, and all are left to its end.
    is_crowded: AtomicBool,
}

impl Rounds {
    /// Who calls the end of a round once whoever is ready has had his turn.
    pub(crate) fn set_caller(&self, call: Option<Box<dyn Fn() + Send + Sync>>) {
        *self.call.write() = call;
    }

    /// An order is in the queue. Whether whoever brought it writes at once, instead of leaving that to the end of the round.
    pub(crate) fn is_first(&self) -> bool {
        let call = self.call.read();
        let Some(call) = &*call else { return true };
        if self.orders.fetch_add(1, Ordering::AcqRel) > 0 {
            return false;
        }
        call();
        !self.is_crowded.load(Ordering::Relaxed)
    }

    /// The next order begins another round. Those of this one have to be looked for afterwards.
    pub(crate) fn end(&self) {
        let orders = self.orders.swap(0, Ordering::AcqRel);
        self.is_crowded.store(orders > 1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds").field("orders", &self.orders).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_is_alone_writes_at_once_and_a_crowd_at_the_end_of_its_round() {
        let (rounds, calls) = (Rounds::default(), Arc::new(AtomicUsize::new(0)));
        assert!(rounds.is_first() && rounds.is_first(), "nobody would call the end of a round");
        let called = calls.clone();
        rounds.set_caller(Some(Box::new(move || _ = called.fetch_add(1, Ordering::Relaxed))));
        let round = |orders: usize| {
            let first: Vec<bool> = (0..orders).map(|_| rounds.is_first()).collect();
            rounds.end();
            first
        };
        assert_eq!([round(1), round(1)], [[true], [true]]);
        assert_eq!(round(3), [true, false, false], "nobody knew that others would come");
        assert_eq!(round(3), [false, false, false]);
        assert_eq!([round(1), round(1)], [[false], [true]], "the crowd has gone");
        assert_eq!(calls.load(Ordering::Relaxed), 6, "one call for each round");
        rounds.set_caller(None);
        assert!(rounds.is_first() && rounds.is_first());
    }
}
