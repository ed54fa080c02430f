//! A client that is cut off again and again and leaves a will each time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::wire::Link;
use super::{Place, RETRY};

pub(super) const WILL_TOPIC: &str = "wills/mortal";

/// How long each of its lives lasts.
const LIFE: Duration = Duration::from_millis(60);
/// Lives after the last kill, whose wills must all arrive.
const LIVES_AT_LAST: u64 = 5;

pub(super) struct Mortal<'a> {
    place: &'a Place,
}

impl<'a> Mortal<'a> {
    pub(super) fn new(place: &'a Place) -> Self {
        Self { place }
    }

    /// Lives and dies until `running` is false, and some times more. The numbers of the wills that must arrive: a
    /// will of an earlier life may have been taken back by the client's return before the broker was there again.
    pub(super) fn run(self, running: &AtomicBool) -> Vec<u64> {
        let mut number = 0;
        let mut left = LIVES_AT_LAST;
        let mut certain = Vec::new();
        while left > 0 {
            number += 1;
            let is_last = !running.load(Ordering::SeqCst);
            let will = (WILL_TOPIC, number.to_string());
            match Link::open_with_will(self.place.address, "mortal", &will) {
                Ok(link) => {
                    thread::sleep(LIFE);
                    drop(link);
                    if is_last {
                        certain.push(number);
                        left -= 1;
                    }
                }
                Err(_) => thread::sleep(RETRY),
            }
        }
        thread::sleep(LIFE);
        certain
    }
}
