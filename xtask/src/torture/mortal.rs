//! Clients that are cut off again and again and leave a will each time, if the broker does not die before them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::wire::Link;
use super::{Mode, Place, RETRY};

/// How long each of its lives lasts.
const LIFE: Duration = Duration::from_millis(60);
/// Lives after the last kill.
const LIVES_AT_LAST: u64 = 5;

/// A will: whose it is, and which of theirs.
pub(super) type Will = (&'static str, u64);

pub(super) struct Mortal<'a> {
    name: &'static str,
    /// Whether its session outlives its connections.
    lasts: bool,
    place: &'a Place,
}

/// Names of those whose sessions outlive their connections, and of those whose sessions do not.
pub(super) const NAMES: [(&str, bool); 2] = [("mortal", true), ("passing", false)];

impl<'a> Mortal<'a> {
    pub(super) fn all(place: &'a Place) -> [Self; 2] {
        NAMES.map(|(name, lasts)| Self { name, lasts, place })
    }

    /// Lives and dies until `running` is false, and some times more. The wills that must arrive: those that were
    /// taken over by a broker whose disk is sound for the whole of its life and whose machine does not fail.
    pub(super) fn run(self, running: &AtomicBool) -> Vec<Will> {
        let mut number = 0;
        let mut left = LIVES_AT_LAST;
        let mut certain = Vec::new();
        while left > 0 {
            number += 1;
            let is_last = !running.load(Ordering::SeqCst);
            let before = self.place.life.load(Ordering::SeqCst);
            let will = (&*format!("wills/{}", self.name), number.to_string());
            match Link::open_with_will(self.place.address, self.name, self.lasts, &will) {
                Ok(link) => {
                    let same_life = before == self.place.life.load(Ordering::SeqCst);
                    thread::sleep(LIFE);
                    drop(link);
                    let is_kept = is_sound(before) && same_life && self.place.mode != Mode::Memory;
                    if is_kept || is_last {
                        certain.push((self.name, number));
                    }
                    left -= u64::from(is_last);
                }
                Err(_) => thread::sleep(RETRY),
            }
        }
        thread::sleep(LIFE);
        certain
    }
}

/// What is said of a life: its number, and whether nothing but its end harms it.
pub(super) fn life(number: u64, sound: bool) -> u64 {
    number << 1 | u64::from(sound)
}

fn is_sound(life: u64) -> bool {
    life & 1 == 1
}
