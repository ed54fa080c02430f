//! Messages that the application acknowledges itself, in the order in which they came.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use futures_util::task::AtomicWaker;
use mqtt_codec::ReasonCode;
use mqtt_session::Ticket;
use parking_lot::Mutex;

/// What the application still has to say of messages, between it and the driver.
#[derive(Debug)]
pub(crate) struct Acknowledgements {
    state: Mutex<State>,
    driver: Arc<AtomicWaker>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the first entry.
    first: u64,
    entries: VecDeque<(Ticket, Answer)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Awaited,
    Given(ReasonCode),
    /// The message was dropped: no answer comes on this connection, and nobody waits for it.
    None,
}

/// The application's answer to one message. The last copy that is dropped without having been used leaves the message
/// unacknowledged.
pub(crate) struct Pending {
    number: u64,
    to: Arc<Acknowledgements>,
}

impl Acknowledgements {
    pub(crate) fn new(driver: Arc<AtomicWaker>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), driver })
    }

    /// A message came. Their number is bounded by the Receive Maximum, since they are not acknowledged.
    pub(crate) fn expect(self: &Arc<Self>, ticket: Ticket) -> Arc<Pending> {
        let mut state = self.state.lock();
        state.entries.push_back((ticket, Answer::Awaited));
        let number = state.first + state.entries.len() as u64 - 1;
        drop(state);
        Arc::new(Pending { number, to: self.clone() })
    }

    /// The next answer to send: acknowledgements keep the order of the messages ([MQTT-4.6.0-2], [MQTT-4.6.0-3]).
    pub(crate) fn next(&self) -> Option<(Ticket, ReasonCode)> {
        let mut state = self.state.lock();
        loop {
            let (ticket, answer) = *state.entries.front()?;
            if answer == Answer::Awaited {
                return None;
            }
            state.entries.pop_front();
            state.first += 1;
            if let Answer::Given(reason) = answer {
                return Some((ticket, reason));
            }
        }
    }

    /// The connection has ended: the server sends again what was not acknowledged.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        state.first += state.entries.len() as u64;
        state.entries.clear();
    }

    fn answer(&self, number: u64, answer: Answer) {
        let mut state = self.state.lock();
        let place = number.checked_sub(state.first).and_then(|place| usize::try_from(place).ok());
        let Some((_, known)) = place.and_then(|place| state.entries.get_mut(place)) else { return };
        if *known == Answer::Awaited {
            *known = answer;
            drop(state);
            self.driver.wake();
        }
    }
}

impl Pending {
    pub(crate) fn answer(&self, reason: ReasonCode) {
        self.to.answer(self.number, Answer::Given(reason));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.to.answer(self.number, Answer::None);
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("number", &self.number).finish_non_exhaustive()
    }
}
