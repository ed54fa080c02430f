//! Retained messages for somebody who subscribes, of which some bodies have to be read first.

use std::sync::Arc;

use super::budget::Budget;
use super::loader::{Fetched, Loader, Wanted};
use crate::RetainedPage;
use crate::retained::{Hole, Shelf};
use std::task::Waker;

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
        let wanted = holes.iter().map(|hole| (hole.topic.clone(), hole.version)).collect();
        let fetched = loader.fetch(Wanted::Retained(wanted), waker);
        Self(Box::new(Waiting { page, holes, fetched }))
    }

    /// The page, once its bodies have been read. What was cleared or replaced meanwhile is left out: who was subscribed
    /// by then got what came instead.
    pub(super) fn complete(&mut self, shelf: &Shelf, budget: &Budget) -> Option<RetainedPage> {
        let Waiting { page, holes, fetched } = &mut *self.0;
        let found = fetched.take()?;
        for (hole, found) in holes.iter().zip(found) {
            let Some(delivery) = found else { continue };
            let message = delivery.message;
            if !budget.is_over() && shelf.fill(hole, &message) {
                budget.add(message.size_bytes());
            }
            page.messages[hole.index].message = message;
        }
        let mut page = std::mem::take(page);
        page.messages.retain(|retained| !retained.message.is_absent());
        Some(page)
    }
}
