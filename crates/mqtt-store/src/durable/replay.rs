//! Retained messages for somebody who subscribes, of which some bodies have to be read first.

use std::sync::Arc;
use std::task::Waker;

use mqtt_session::Message;

use super::budget::Budget;
use super::loader::{Fetched, Loader, Wanted};
use crate::RetainedPage;
use crate::retained::{Hole, Shelf};

/// A page whose bodies are being read. Made and used up by [`Store::poll_retained`](crate::Store::poll_retained).
#[derive(Debug)]
pub struct RetainedTicket(Box<Waiting>);

#[derive(Debug)]
struct Waiting {
    page: RetainedPage,
    holes: Vec<Hole>,
    fetched: Arc<Fetched>,
}

impl RetainedTicket {
    pub(super) fn new(page: RetainedPage, holes: Vec<Hole>, loader: &Loader, waker: Waker) -> Self {
        let fetched = fetch(&holes, loader, waker);
        Self(Box::new(Waiting { page, holes, fetched }))
    }

    /// The page, once its bodies have been read. What was cleared meanwhile is left out; in the place of what was replaced
    /// stands what came instead, which is read as well if it has to be [MQTT-3.3.1-6].
    pub(super) fn complete(
        &mut self,
        shelf: &Shelf,
        budget: &Budget,
        loader: &Loader,
        waker: &dyn Fn() -> Waker,
    ) -> Option<RetainedPage> {
        let Waiting { page, holes, fetched } = &mut *self.0;
        loop {
            let found = fetched.take()?;
            let mut again = Vec::new();
            for (hole, found) in holes.drain(..).zip(found) {
                match found {
                    Some(delivery) => fill(page, &hole, delivery.message, shelf, budget),
                    None => again.extend(replace(page, hole, shelf)),
                }
            }
            if again.is_empty() {
                break;
            }
            *fetched = fetch(&again, loader, waker());
            *holes = again;
        }
        let mut page = std::mem::take(page);
        page.messages.retain(|retained| !retained.message.is_absent());
        Some(page)
    }
}

fn fetch(holes: &[Hole], loader: &Loader, waker: Waker) -> Arc<Fetched> {
    let wanted = holes.iter().map(|hole| (hole.topic.clone(), hole.version)).collect();
    loader.fetch(Wanted::Retained(wanted), waker)
}

fn fill(page: &mut RetainedPage, hole: &Hole, message: Message, shelf: &Shelf, budget: &Budget) {
    if !budget.is_over() && shelf.fill(hole, &message) {
        budget.add(message.size_bytes());
    }
    page.messages[hole.index].message = message;
}

/// Takes what stands on the topic instead; the new hole if its body is elsewhere, too.
fn replace(page: &mut RetainedPage, hole: Hole, shelf: &Shelf) -> Option<Hole> {
    let (retained, version) = shelf.successor(&hole)?;
    let absent = retained.message.is_absent();
    page.messages[hole.index] = retained;
    absent.then_some(Hole { version, ..hole })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use mqtt_codec::{Properties, QoS};
    use mqtt_session::NO_PUBLISHER;
    use mqtt_topic::TopicName;

    use super::*;
    use crate::{Retained, RetainedLimits};

    fn topic() -> TopicName<&'static str> {
        TopicName::assume_valid("a/b")
    }

    fn retained(message: Message) -> Retained {
        Retained { message, qos: QoS::AtLeastOnce, source: None }
    }

    fn message(payload: &[u8]) -> Message {
        Message::new(topic(), Properties::EMPTY, payload, NO_PUBLISHER, None::<Instant>)
    }

    /// A page that waits for the first body of the topic, and the shelf with what stands there by then.
    fn waiting_for_first(now: Option<Message>) -> (RetainedPage, Hole, Shelf) {
        let shelf = Shelf::new(RetainedLimits::default());
        if let Some(message) = now {
            shelf.retain(topic(), retained(message), 2).expect("there is room");
        }
        let mut page = RetainedPage::default();
        page.messages.push(retained(Message::absent(3, None)));
        (page, Hole { index: 0, topic: topic().as_str().into(), version: 1 }, shelf)
    }

    #[test]
    fn what_was_replaced_while_it_was_read_is_answered_by_its_successor() {
        let (mut page, hole, shelf) = waiting_for_first(Some(message(b"new")));
        assert!(replace(&mut page, hole, &shelf).is_none());
        assert_eq!(page.messages[0].message.payload(), b"new");
    }

    #[test]
    fn a_successor_that_is_not_in_memory_is_read_in_its_turn() {
        let (mut page, hole, shelf) = waiting_for_first(Some(Message::absent(3, None)));
        assert_eq!(replace(&mut page, hole, &shelf).map(|hole| hole.version), Some(2));
    }

    #[test]
    fn what_was_cleared_while_it_was_read_has_no_successor() {
        let (mut page, hole, shelf) = waiting_for_first(None);
        assert!(replace(&mut page, hole, &shelf).is_none());
        assert!(page.messages[0].message.is_absent());
    }
}
