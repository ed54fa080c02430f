//! Which subscription gets a message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::task::AtomicWaker;
use hashbrown::HashMap;
use mqtt_codec::{
    PacketId, Properties, PropertiesBuf, Property, QoS, ReasonCode, SubscribeFiltersBuf, SubscriptionOptions,
    UnsubscribeFiltersBuf, Version,
};
use mqtt_session::{Protocol, Ticket};
use mqtt_topic::{TopicFilter, TopicName};

use crate::command::{Answer, SubscribeRequest, tell};
use crate::mailbox::Mailbox;
use crate::{ClientError, Incoming, Subscription};

/// All subscriptions of a client, and the requests about them that are under way.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    entries: Vec<Entry>,
    /// Messages that some full mailbox has no room for yet. Nothing is read meanwhile, unless an answer of the server is
    /// awaited: then at most `capacity` of QoS 0, and as many others as the Receive Maximum allows.
    stuck: VecDeque<(Incoming, Ticket)>,
    /// Messages that came before anybody asked for them: those of a session that was resumed. At most
    /// `capacity`; the next subscription that matches gets them.
    unclaimed: VecDeque<Incoming>,
    requests: HashMap<PacketId, Request>,
    capacity: usize,
    /// Identifier for the next subscription; 0 if the server knows none.
    next_identifier: u32,
    /// Messages that nobody got.
    dropped: Arc<AtomicU64>,
    driver: Arc<AtomicWaker>,
}

#[derive(Debug)]
struct Entry {
    /// The subscription identifier that the server knows it by.
    identifier: Option<u32>,
    filters: Vec<(TopicFilter, SubscriptionOptions)>,
    properties: PropertiesBuf,
    mailbox: Arc<Mailbox>,
    /// Whether the server is asked for it; if not, it knows by itself what to send.
    is_asked: bool,
}

#[derive(Debug)]
enum Request {
    Subscribe {
        answer: Answer<(Subscription, Vec<ReasonCode>)>,
        subscription: Subscription,
    },
    Unsubscribe {
        answer: Answer<Vec<ReasonCode>>,
    },
    /// Nobody waits for the answer: made again after a lost session, or for an abandoned subscription.
    Silent,
}

/// The largest subscription identifier (section 3.8.2.1.2).
const IDENTIFIER_MAX: u32 = 268_435_455;

impl Subscriptions {
    pub(crate) fn new(capacity: usize, driver: Arc<AtomicWaker>) -> Self {
        Self {
            entries: Vec::new(),
            stuck: VecDeque::new(),
            unclaimed: VecDeque::new(),
            requests: HashMap::new(),
            capacity,
            next_identifier: 0,
            dropped: Arc::default(),
            driver,
        }
    }

    /// The counter of messages that nobody got.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }

    /// A server admitted the client: whether it knows subscription identifiers.
    pub(crate) fn offered(&mut self, version: Version, connack: Properties<'_>) {
        let known = version == Version::V5 && connack.subscription_identifiers_available().unwrap_or(true);
        self.next_identifier = if known { self.next_identifier.max(1) } else { 0 };
    }

    /// The identifier of a new subscription: the application's, or one that no other one has.
    fn identify(&mut self, properties: &mut PropertiesBuf) -> Option<u32> {
        let given = properties.as_properties().subscription_identifiers().next();
        if given.is_some() || self.next_identifier == 0 {
            return given;
        }
        let taken = |number: u32| self.entries.iter().any(|entry| entry.identifier == Some(number));
        let identifier = (self.next_identifier..=IDENTIFIER_MAX).find(|number| !taken(*number))?;
        self.next_identifier = if identifier == IDENTIFIER_MAX { 1 } else { identifier + 1 };
        properties.push(&Property::SubscriptionIdentifier(identifier)).ok()?;
        Some(identifier)
    }

    pub(crate) fn subscribe(
        &mut self,
        protocol: &mut Protocol,
        request: SubscribeRequest,
        out: &mut Vec<u8>,
    ) {
        let SubscribeRequest { filters, mut properties, answer } = request;
        let parsed = filters
            .into_iter()
            .map(|(text, options)| TopicFilter::parse(text.into_boxed_str()).map(|filter| (filter, options)));
        let Ok(filters) = parsed.collect::<Result<Vec<_>, _>>() else {
            tell(answer, Err(ClientError::InvalidTopic));
            return;
        };
        let (mailbox, subscription) = Mailbox::new(self.capacity, self.driver.clone());
        let identifier = self.identify(&mut properties);
        let entry = Entry { identifier, filters, properties, mailbox, is_asked: true };
        match entry.send(protocol, out) {
            Ok(id) => {
                self.claim(&entry);
                // In place before the SUBACK: retained messages may overtake it ([MQTT-3.8.4-2]).
                self.entries.push(entry);
                self.requests.insert(id, Request::Subscribe { answer, subscription });
            }
            Err(error) => tell(answer, Err(error)),
        }
    }

    /// Takes what the server sends without having been asked here.
    pub(crate) fn listen(&mut self, filter: String) -> Result<Subscription, ClientError> {
        let filter = TopicFilter::parse(filter.into_boxed_str()).map_err(|_| ClientError::InvalidTopic)?;
        let (mailbox, subscription) = Mailbox::new(self.capacity, self.driver.clone());
        let filters = vec![(filter, SubscriptionOptions::default())];
        let properties = PropertiesBuf::new();
        let entry = Entry { identifier: None, filters, properties, mailbox, is_asked: false };
        self.claim(&entry);
        self.entries.push(entry);
        Ok(subscription)
    }

    /// Gives an entry the messages that waited for it.
    fn claim(&mut self, entry: &Entry) {
        for _ in 0..self.unclaimed.len() {
            let Some(incoming) = self.unclaimed.pop_front() else { break };
            // What came for an earlier subscription may bear its identifier.
            if entry.matches(&incoming.topic) {
                entry.mailbox.put(incoming);
            } else {
                self.unclaimed.push_back(incoming);
            }
        }
    }

    pub(crate) fn unsubscribe(
        &mut self,
        protocol: &mut Protocol,
        filters: &[String],
        properties: &PropertiesBuf,
        answer: Answer<Vec<ReasonCode>>,
        out: &mut Vec<u8>,
    ) {
        match send_unsubscribe(protocol, filters.iter().map(String::as_str), properties, out) {
            Ok(id) => {
                self.forget(filters);
                self.requests.insert(id, Request::Unsubscribe { answer });
            }
            Err(error) => tell(answer, Err(error)),
        }
    }

    fn forget(&mut self, filters: &[String]) {
        self.entries.retain_mut(|entry| {
            entry.filters.retain(|(filter, _)| !filters.iter().any(|gone| gone == filter.as_str()));
            if entry.filters.is_empty() {
                entry.mailbox.end();
            }
            !entry.filters.is_empty()
        });
    }

    /// Unsubscribes what nobody holds any more.
    pub(crate) fn drop_abandoned(&mut self, protocol: &mut Protocol, out: &mut Vec<u8>) {
        while let Some(position) = self.entries.iter().position(|entry| entry.mailbox.is_abandoned()) {
            let entry = self.entries.swap_remove(position);
            if !entry.is_asked {
                continue;
            }
            let still_wanted =
                |text: &str| self.entries.iter().any(|other| other.is_asked && other.has(text));
            let gone = entry.filters.iter().map(|(filter, _)| filter.as_str());
            let gone: Vec<&str> = gone.filter(|text| !still_wanted(text)).collect();
            if !gone.is_empty()
                && let Ok(id) = send_unsubscribe(protocol, gone.into_iter(), &PropertiesBuf::new(), out)
            {
                self.requests.insert(id, Request::Silent);
            }
        }
    }

    /// The server answered a SUBSCRIBE or an UNSUBSCRIBE.
    pub(crate) fn answered(&mut self, id: PacketId, reasons: Vec<ReasonCode>) {
        match self.requests.remove(&id) {
            Some(Request::Subscribe { answer, subscription }) => {
                tell(answer, Ok((subscription, reasons)));
            }
            Some(Request::Unsubscribe { answer }) => tell(answer, Ok(reasons)),
            Some(Request::Silent) | None => {}
        }
    }

    /// A message arrived. Its ticket comes back when every subscription that it belongs to has it.
    pub(crate) fn arrived(&mut self, incoming: Incoming, ticket: Ticket) -> Option<Ticket> {
        if self.stuck.is_empty() && self.has_room_for(&incoming) {
            self.hand_out(incoming);
            return Some(ticket);
        }
        if incoming.qos == QoS::AtMostOnce && self.stuck_qos0() >= self.capacity {
            self.drop(&incoming);
            return None;
        }
        self.stuck.push_back((incoming, ticket));
        None
    }

    /// Tries again with what is stuck; the next ticket to answer.
    pub(crate) fn next_unstuck(&mut self) -> Option<Ticket> {
        let (incoming, _) = self.stuck.front()?;
        if !self.has_room_for(incoming) {
            return None;
        }
        let (incoming, ticket) = self.stuck.pop_front()?;
        self.hand_out(incoming);
        Some(ticket)
    }

    pub(crate) fn is_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// Whether an answer to a SUBSCRIBE or UNSUBSCRIBE is awaited.
    pub(crate) fn is_awaiting(&self) -> bool {
        !self.requests.is_empty()
    }

    fn stuck_qos0(&self) -> usize {
        self.stuck.iter().filter(|(incoming, _)| incoming.qos == QoS::AtMostOnce).count()
    }

    fn drop(&self, incoming: &Incoming) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(topic = incoming.topic, "dropped a message that no subscription had room for");
    }

    /// The subscriptions that a message belongs to: those whose identifiers came with it, or without any, or with those
    /// of an earlier process, all with a filter that matches. To the server, the same filter is one subscription, however
    /// many there are here.
    fn matching(&self, incoming: &Incoming) -> Vec<&Arc<Mailbox>> {
        let matching: Vec<&Entry> =
            self.entries.iter().filter(|entry| entry.matches(&incoming.topic)).collect();
        let properties = incoming.properties.as_properties();
        let is_named = |entry: &&&Entry| {
            let mut identifiers = properties.subscription_identifiers();
            identifiers.any(|identifier| Some(identifier) == entry.identifier)
        };
        let named: Vec<&Entry> = matching.iter().filter(is_named).copied().collect();
        let belongs = |entry: &&&Entry| named.is_empty() || named.iter().any(|named| named.shares(entry));
        matching.iter().filter(belongs).map(|entry| &entry.mailbox).collect()
    }

    fn has_room_for(&self, incoming: &Incoming) -> bool {
        self.matching(incoming).iter().all(|mailbox| mailbox.has_room())
    }

    fn hand_out(&mut self, incoming: Incoming) {
        let mut is_claimed = false;
        for mailbox in self.matching(&incoming) {
            mailbox.put(incoming.clone());
            is_claimed = true;
        }
        if is_claimed {
            return;
        }
        if self.unclaimed.len() >= self.capacity
            && let Some(oldest) = self.unclaimed.pop_front()
        {
            oldest.acknowledge(); // it is not wanted, and would come again and again
            self.drop(&oldest);
        }
        self.unclaimed.push_back(incoming);
    }

    /// A connection was lost: answers that were due do not come. Messages that were stuck will be sent again,
    /// or were QoS 0.
    pub(crate) fn connection_lost(&mut self) {
        for (_, request) in self.requests.drain() {
            match request {
                Request::Subscribe { answer, .. } => tell(answer, Err(ClientError::SessionLost)),
                Request::Unsubscribe { answer } => tell(answer, Err(ClientError::SessionLost)),
                Request::Silent => {}
            }
        }
        self.stuck.retain(|(incoming, _)| incoming.qos == QoS::AtMostOnce);
        self.entries.retain(|entry| !entry.mailbox.is_abandoned());
    }

    /// Makes all subscriptions again, for a server that has forgotten them.
    pub(crate) fn renew(&mut self, protocol: &mut Protocol, out: &mut Vec<u8>) {
        for entry in self.entries.iter().filter(|entry| entry.is_asked) {
            if let Ok(id) = entry.send(protocol, out) {
                self.requests.insert(id, Request::Silent);
            }
        }
    }

    /// The client ends.
    pub(crate) fn end(&mut self) {
        self.connection_lost();
        for entry in self.entries.drain(..) {
            entry.mailbox.end();
        }
    }
}

impl Entry {
    fn send(&self, protocol: &mut Protocol, out: &mut Vec<u8>) -> Result<PacketId, ClientError> {
        let mut block = SubscribeFiltersBuf::new();
        for (filter, options) in &self.filters {
            block.push(filter.as_str(), *options).map_err(|_| ClientError::NotEncodable)?;
        }
        let id = protocol.send_subscribe(block.as_filters(), self.properties.as_properties(), out);
        id.ok_or(ClientError::TooLarge)
    }

    /// Whether both have a filter in common.
    fn shares(&self, other: &Self) -> bool {
        other.filters.iter().any(|(filter, _)| self.has(filter.as_str()))
    }

    fn has(&self, text: &str) -> bool {
        self.filters.iter().any(|(filter, _)| filter.as_str() == text)
    }

    fn matches(&self, topic: &str) -> bool {
        let Ok(name) = TopicName::parse(topic) else { return false };
        self.filters.iter().any(|(filter, _)| filter.matches(&name))
    }
}

fn send_unsubscribe<'a>(
    protocol: &mut Protocol,
    filters: impl Iterator<Item = &'a str>,
    properties: &PropertiesBuf,
    out: &mut Vec<u8>,
) -> Result<PacketId, ClientError> {
    let mut block = UnsubscribeFiltersBuf::new();
    for filter in filters {
        block.push(filter).map_err(|_| ClientError::NotEncodable)?;
    }
    protocol
        .send_unsubscribe(block.as_filters(), properties.as_properties(), out)
        .ok_or(ClientError::TooLarge)
}
