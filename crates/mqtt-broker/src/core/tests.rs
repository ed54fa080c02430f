use std::sync::Arc;

use mqtt_codec::{Properties, QoS, SubscriptionOptions};
use mqtt_session::{DropReason, Message, NO_PUBLISHER, Session, Subscription};
use mqtt_topic::{TopicFilter, TopicName};

use super::{Core, Touched};
use crate::Broker;
use crate::index::Member;
use crate::outbox::Outbox;

const GROUP: &str = "$share/g/t";

fn member(core: &Core, name: &str) -> Arc<Outbox> {
    let queue = core.store.open_queue(name, core.settings.queue).expect("a queue");
    let outbox = Arc::new(Outbox::new(core.index.new_key(), name.into(), queue));
    outbox.go_online(None);
    outbox
}

fn join(core: &Core, outbox: &Arc<Outbox>) -> Session {
    let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
    let subscription = Subscription { options, identifier: None };
    let filter = TopicFilter::parse(GROUP).expect("a filter");
    core.index.subscribe(&filter, Member { outbox: outbox.clone(), subscription });
    let mut session = Session::new();
    session.subscribe(GROUP, subscription);
    session
}

/// Section 4.8.2: a message for a member that was chosen and left before it got it goes to another.
#[test]
fn a_member_that_leaves_while_it_is_chosen_loses_nothing() {
    let core = Broker::builder().into_core();
    let (leaving, staying) = (member(&core, "leaving"), member(&core, "staying"));
    let session = join(&core, &leaving);
    let topic = TopicName::parse("t").expect("a name");
    let route = core.index.route(topic, NO_PUBLISHER);
    let chosen = core.index.choose(&route.groups[0], "t", NO_PUBLISHER, &[]).expect("the only member");
    join(&core, &staying);
    core.end_session(session, &leaving);

    let message = Message::new(topic, Properties::EMPTY, b"x", NO_PUBLISHER, None);
    let mut touched = Touched::default();
    core.push(&chosen, &message, QoS::AtLeastOnce, false, core.now(), &mut touched);
    assert_eq!(staying.waiting().0, 1);
    assert_eq!(core.metrics.snapshot().dropped_total(), 0);

    // With nobody left it is counted.
    let session = join(&core, &staying);
    core.end_session(session, &staying);
    core.push(&chosen, &message, QoS::AtLeastOnce, false, core.now(), &mut touched);
    assert_eq!(core.metrics.snapshot().dropped_for(DropReason::SessionEnded), 2);
}
