//! Takes a store apart, item by item.

use std::io;
use std::path::Path;

use hashbrown::HashMap;
use mqtt_codec::PacketId;

use super::image::SessionImage;
use super::item::{CopyItem, Item, MessageItem};
use super::record::{self, Decoder};
use super::recovery::OpenError;
use super::tools;
use super::writer::Kept;

/// Hands every item of a store that no other process uses to `each`, always in the same order: retained messages by
/// topic, then sessions by client identifier, and each message before whatever refers to it first. Messages are
/// numbered in that order, and so are sessions, so that two stores with the same contents give the same items.
///
/// # Errors
/// Another process uses the store, the medium failed, something in it is damaged, or `each` failed.
pub fn export(path: &Path, each: impl FnMut(&Item<'_>) -> io::Result<()>) -> Result<(), OpenError> {
    let (kept, findings) = tools::read(path)?;
    if !findings.damaged.is_empty() {
        return Err(OpenError::Damaged(findings.damaged));
    }
    let mut export = Export { kept: &kept, numbers: HashMap::new(), each };
    export.retained()?;
    export.sessions()?;
    Ok(())
}

struct Export<'k, F> {
    kept: &'k Kept,
    /// Numbers of the messages that are out already.
    numbers: HashMap<u64, u64>,
    each: F,
}

impl<F: FnMut(&Item<'_>) -> io::Result<()>> Export<'_, F> {
    fn retained(&mut self) -> io::Result<()> {
        let mut all: Vec<_> = self.kept.image.retained.iter().collect();
        all.sort_unstable_by_key(|(topic, _)| *topic);
        for (topic, retained) in all {
            let message = self.message(retained.body)?;
            let publisher = retained.publisher.as_deref().unwrap_or_default();
            let qos = record::qos(retained.qos);
            (self.each)(&Item::Retained { topic, message, qos, publisher })?;
        }
        Ok(())
    }

    fn sessions(&mut self) -> io::Result<()> {
        let sessions = self.kept.image.sessions.iter();
        let mut all: Vec<_> =
            sessions.filter_map(|(id, image)| Some((image.head.as_ref()?, *id, image))).collect();
        all.sort_unstable_by_key(|(head, id, _)| (head.client_id.clone(), *id));
        for (number, (head, _, image)) in (1..).zip(all) {
            (self.each)(&Item::Session { number, head })?;
            self.session(number, image)?;
        }
        Ok(())
    }

    fn session(&mut self, session: u64, image: &SessionImage) -> io::Result<()> {
        for (filter, (subscription, _)) in &image.subscriptions {
            (self.each)(&Item::Subscription { session, filter, subscription: *subscription })?;
        }
        for packet_id in image.received.keys().filter_map(|id| PacketId::new(*id)) {
            (self.each)(&Item::Received { session, packet_id })?;
        }
        let mut in_flight: Vec<_> = image.in_flight.iter().collect();
        in_flight.sort_unstable_by_key(|(_, one)| one.order);
        for (packet_id, one) in in_flight {
            if let Some(packet_id) = PacketId::new(*packet_id) {
                self.copy(image, one.place, |copy| Item::InFlight {
                    session,
                    copy,
                    packet_id,
                    released: one.released,
                })?;
            }
        }
        let waiting = image.entries.iter().filter(|(_, entry)| entry.packet_id == 0);
        let mut places: Vec<u64> = waiting.map(|(place, _)| place).collect();
        places.sort_unstable();
        places
            .into_iter()
            .try_for_each(|place| self.copy(image, place, |copy| Item::Queued { session, copy }))
    }

    fn copy(
        &mut self,
        image: &SessionImage,
        place: u64,
        item: impl for<'c> FnOnce(CopyItem<'c>) -> Item<'c>,
    ) -> io::Result<()> {
        let (Some(entry), Some(hop)) = (image.entries.get(place), image.hop(place)) else { return Ok(()) };
        let message = self.message(entry.body)?;
        let subscription_ids = hop.subscription_ids.as_deref().unwrap_or_default();
        (self.each)(&item(CopyItem { message, qos: hop.qos, retain: hop.retain, subscription_ids }))
    }

    /// The number of a message, which goes out first if it has not yet.
    fn message(&mut self, id: u64) -> io::Result<u64> {
        if let Some(number) = self.numbers.get(&id) {
            return Ok(*number);
        }
        let number = self.numbers.len() as u64 + 1;
        self.numbers.insert(id, number);
        let bytes = self.kept.body_bytes(id)?;
        let body = Decoder::checked_body(&bytes, id).map_err(|_| io::ErrorKind::InvalidData)?;
        let message = MessageItem {
            topic: body.topic,
            properties: body.properties,
            payload: body.payload,
            expires_at_ms: Some(body.expires_at_ms).filter(|ms| *ms > 0),
        };
        (self.each)(&Item::Message { number, message })?;
        Ok(number)
    }
}
