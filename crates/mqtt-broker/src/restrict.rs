//! What access rules leave of a route, of a queue and of a retained message.

use std::sync::Arc;

use mqtt_codec::QoS;
use mqtt_session::{DropReason, Rights};
use mqtt_store::{Retained, Source};
use mqtt_topic::TopicName;

use crate::ListenerRules;
use crate::access::{Identity, Remembered};
use crate::core::Core;
use crate::group::Group;
use crate::index::Route;
use crate::outbox::Outbox;

impl Core {
    /// Where a message of `publisher` on `topic` may go now.
    pub(crate) fn route(&self, topic: TopicName<&str>, publisher: u64) -> Route {
        let mut route = self.index.route(topic, publisher);
        if self.access.restricts_receiving() {
            self.restrict(&mut route, topic);
        }
        route
    }

    /// Takes those off a route who may get nothing on the topic. They are no receivers, so no delivery to them is counted;
    /// that they were left out is noted once.
    fn restrict(&self, route: &mut Route, topic: TopicName<&str>) {
        let mut targets = std::mem::take(&mut route.targets).into_vec();
        targets.retain_mut(|target| {
            target.rights = self.receive_rights(&target.outbox, topic);
            if target.rights.is_none() {
                self.note_left_out(&target.outbox, topic);
            }
            !target.rights.is_none()
        });
        route.targets = targets.into();
        route.denied = self.denied_members(&route.groups, topic);
        let denied = &route.denied;
        route.groups = std::mem::take(&mut route.groups)
            .into_iter()
            .filter(|group| group.outboxes().iter().any(|outbox| !denied.contains(&outbox.key)))
            .collect();
    }

    fn note_left_out(&self, outbox: &Outbox, topic: TopicName<&str>) {
        let reason = DropReason::ReceiveNotAuthorized;
        self.drops.record(&self.metrics, reason, outbox, topic.as_str(), QoS::AtMostOnce);
    }

    /// Members that may not get everything on a topic. A group passes them over: any other member will do.
    pub(crate) fn denied_members(&self, groups: &[Arc<Group>], topic: TopicName<&str>) -> Box<[u64]> {
        if groups.is_empty() || !self.access.restricts_receiving() {
            return Box::default();
        }
        let outboxes = groups.iter().flat_map(|group| group.outboxes());
        outboxes
            .filter(|outbox| !self.receive_rights(outbox, topic).is_all())
            .map(|outbox| outbox.key)
            .collect()
    }

    fn receive_rights(&self, outbox: &Outbox, topic: TopicName<&str>) -> Rights {
        let identity = outbox.identity();
        identity.map_or(Rights::ALL, |identity| self.access.receive_rights(&identity, topic))
    }

    /// Whether a client may get a message that has waited, perhaps since before its rights changed.
    pub(crate) fn may_still_get(&self, client: &Identity, topic: &str, qos: QoS, retain: bool) -> bool {
        let topic = TopicName::assume_valid(topic);
        !self.access.restricts_receiving() || self.access.receive_rights(client, topic).allow(qos, retain)
    }

    /// Whether a client may get a retained message, and whether its publisher might still publish it.
    pub(crate) fn may_replay(&self, client: &Identity, retained: &Retained, qos: QoS) -> bool {
        let topic = retained.message.topic();
        let source = retained.source.as_ref();
        let withdrawn = source.is_some_and(|source| {
            !self.access.may_replay(source, TopicName::assume_valid(topic), retained.qos)
        });
        !withdrawn && self.may_still_get(client, topic, qos, true)
    }
}

/// A client that is remembered, as far as it is: without what its [`Access`](crate::Access) kept with it.
pub(crate) fn identity_of(core: &Core, source: &Source) -> Identity {
    let template = core.mountpoints.get(&*source.listener);
    let mountpoint =
        template.and_then(|it| it.mountpoint(&source.client_id, source.username.as_deref()).ok());
    Identity {
        mountpoint,
        client_id: (&*source.client_id).into(),
        username: source.username.as_deref().map(Into::into),
        address: source.address.map(|address| (address, 0).into()),
        listener: Arc::new(ListenerRules { name: (&*source.listener).into(), ..ListenerRules::default() }),
        certificate: None,
        privileged: false,
        details: Some(Arc::new(Remembered)),
    }
}

/// What is remembered of the publisher of a retained message, or of whom a session belongs to.
pub(crate) fn source_of(identity: &Identity) -> Arc<Source> {
    Arc::new(Source {
        client_id: (&*identity.client_id).into(),
        username: identity.username.as_deref().map(Into::into),
        listener: (&*identity.listener.name).into(),
        address: identity.address.map(|address| address.ip()),
    })
}
