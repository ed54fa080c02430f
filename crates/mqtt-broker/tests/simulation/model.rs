//! What was promised to whom.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_topic::{TopicFilter, TopicName};

/// A message that somebody published, or will publish with their last breath.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    /// Sessions that must get it once it is acknowledged.
    candidates: BTreeSet<usize>,
    /// Sessions that were subscribed when it was sent for the first time: for others, a repetition may be the first.
    heard_by: BTreeSet<usize>,
    /// How many changes of sessions had been made when it was sent.
    changes: u64,
}

/// A session, from the CONNACK that began it to its end.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Acknowledged subscriptions.
    pub(crate) subscriptions: BTreeMap<&'static str, u8>,
    /// All that were ever asked for.
    ever: BTreeSet<&'static str>,
    expected: BTreeSet<usize>,
    got: BTreeSet<usize>,
    got_at_qos_2: BTreeSet<usize>,
    last: BTreeMap<String, usize>,
    has_ended: bool,
    /// Whether it outlives its connections.
    pub(crate) lasts: bool,
    /// Number of its latest change.
    changed: u64,
}

/// What is retained on a topic: one of the values that were published since the latest that is certain.
#[derive(Debug)]
struct Retained {
    /// Numbers of messages; `None` for nothing.
    values: Vec<Option<usize>>,
    certain: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) messages: Vec<Message>,
    pub(crate) sessions: Vec<Session>,
    retained: BTreeMap<String, Retained>,
    pub(crate) faults: Vec<String>,
    changes: u64,
    /// Changes of sessions up to this one survive a power failure.
    safe_changes: u64,
}

fn matches(filter: &str, topic: &str) -> bool {
    TopicFilter::parse(filter).expect("a filter").matches(&TopicName::assume_valid(topic))
}

impl Model {
    pub(crate) fn begin_session(&mut self, lasts: bool) -> usize {
        self.changes += 1;
        self.sessions.push(Session { changed: self.changes, lasts, ..Session::default() });
        self.sessions.len() - 1
    }

    pub(crate) fn end_session(&mut self, session: usize) {
        self.changes += 1;
        self.sessions[session].has_ended = true;
    }

    /// A SUBSCRIBE or UNSUBSCRIBE leaves: until it is answered, nothing is certain.
    pub(crate) fn ask(&mut self, session: usize, filter: &'static str, subscribes: bool) {
        self.changes += 1;
        let asking = &mut self.sessions[session];
        asking.changed = self.changes;
        asking.subscriptions.remove(filter);
        if subscribes {
            asking.ever.insert(filter);
        }
        for message in &mut self.messages {
            message.candidates.remove(&session);
        }
    }

    pub(crate) fn subscribed(&mut self, session: usize, filter: &'static str, qos: u8) {
        self.sessions[session].subscriptions.insert(filter, qos);
        self.answered(session);
    }

    /// A SUBSCRIBE or UNSUBSCRIBE was answered.
    pub(crate) fn answered(&mut self, session: usize) {
        self.changes += 1;
        self.sessions[session].changed = self.changes;
    }

    /// A message is about to leave its publisher. Its number, which is its payload.
    pub(crate) fn publish(&mut self, topic: &str, qos: u8) -> usize {
        let number = self.messages.len();
        let changes = self.changes;
        let subscribed =
            |session: &Session| session.subscriptions.keys().any(|filter| matches(filter, topic));
        let sessions = self.sessions.iter().enumerate();
        let heard_by = sessions.filter(|(_, session)| subscribed(session)).map(|(at, _)| at).collect();
        let topic = topic.to_owned();
        self.messages.push(Message { topic, qos, candidates: BTreeSet::new(), heard_by, changes });
        self.choose(number);
        number
    }

    /// Notes who must get a message that is published now.
    pub(crate) fn choose(&mut self, number: usize) {
        let message = &mut self.messages[number];
        message.changes = self.changes;
        let must = |session: &Session| {
            let mut subscriptions = session.subscriptions.iter();
            let granted = subscriptions.any(|(filter, qos)| *qos > 0 && matches(filter, &message.topic));
            message.qos > 0 && !session.has_ended && granted
        };
        let sessions = self.sessions.iter().enumerate();
        message.candidates = sessions.filter(|(_, session)| must(session)).map(|(at, _)| at).collect();
    }

    /// The broker has taken a message over; if it was retained, as this value of its topic.
    pub(crate) fn acknowledged(&mut self, number: usize, value: Option<usize>) {
        let message = &mut self.messages[number];
        // To clear what is not there changes nothing.
        let stands = |at: usize| {
            self.retained.get(&message.topic).is_some_and(|retained| retained.values[at].is_some())
        };
        let mut is_kept = value.is_some_and(stands);
        for session in std::mem::take(&mut message.candidates) {
            let session = &mut self.sessions[session];
            session.expected.insert(number);
            is_kept |= session.lasts;
        }
        if is_kept {
            self.safe_changes = self.safe_changes.max(message.changes);
        }
        if let Some(at) = value {
            let retained = self.retained.get_mut(&message.topic).expect("it was published");
            retained.certain = retained.certain.max(at);
        }
    }

    /// A message, or with `clears` nothing, is about to be retained. Which value of its topic that is.
    pub(crate) fn retain(&mut self, number: usize, clears: bool) -> usize {
        let message = &mut self.messages[number];
        if clears {
            message.candidates.clear(); // it has no number to be known by
        }
        let empty = || Retained { values: vec![None], certain: 0 };
        let retained = self.retained.entry(message.topic.clone()).or_insert_with(empty);
        retained.values.push(Some(number).filter(|_| !clears));
        retained.values.len() - 1
    }

    /// Whether the numbers that are retained on the topics can be right.
    pub(crate) fn check_retained(&mut self, found: &BTreeMap<String, usize>) {
        for (topic, retained) in &self.retained {
            let (value, possible) = (found.get(topic).copied(), &retained.values[retained.certain..]);
            if !possible.contains(&value) {
                self.faults.push(format!("{topic} retains {value:?} instead of one of {possible:?}"));
            }
        }
        for topic in found.keys().filter(|topic| !self.retained.contains_key(*topic)) {
            self.faults.push(format!("{topic} retains what nobody published"));
        }
    }

    /// A session's client got a message that it did not have under this packet identifier yet.
    pub(crate) fn received(&mut self, client: &str, session: usize, topic: &str, payload: &[u8], qos: u8) {
        if topic.starts_with("r/") && payload.is_empty() {
            return; // it cleared what was retained
        }
        let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse::<usize>().ok());
        let Some(number) =
            number.filter(|number| self.messages.get(*number).is_some_and(|m| m.topic == topic))
        else {
            return self.faults.push(format!("{client} got {payload:?} on {topic}, which nobody published"));
        };
        let receiving = &mut self.sessions[session];
        if !receiving.ever.iter().any(|filter| matches(filter, topic)) {
            self.faults.push(format!("{client} got {number} on {topic} without a subscription"));
        }
        let is_first = receiving.got.insert(number);
        if qos == 2 && !receiving.got_at_qos_2.insert(number) {
            self.faults.push(format!("{client} got {number} twice at QoS 2"));
        }
        if is_first && topic.starts_with("s/c") && self.messages[number].heard_by.contains(&session) {
            let last = receiving.last.insert(topic.to_owned(), number);
            if last.is_some_and(|last| last > number) {
                self.faults.push(format!("{client} got {number} on {topic} only after {last:?}"));
            }
        }
    }

    /// The power failed. Sessions that may be gone, or lack their latest subscriptions.
    pub(crate) fn lose_power(&self) -> BTreeSet<usize> {
        let mut doubtful = BTreeSet::new();
        for (at, session) in self.sessions.iter().enumerate() {
            if session.changed > self.safe_changes {
                doubtful.insert(at);
            }
        }
        doubtful
    }

    /// Everything has had its time: what is still missing?
    pub(crate) fn check_missing(&mut self, client: &str, session: usize) {
        let session = &self.sessions[session];
        let missing: Vec<_> = session.expected.difference(&session.got).collect();
        if !missing.is_empty() {
            let topics: Vec<_> = missing.iter().map(|number| &self.messages[**number].topic).collect();
            self.faults.push(format!("{client} never got {missing:?} on {topics:?}"));
        }
    }
}
