//! What every store must do. A store's own test file opens it and calls [`store_suite`].

pub(crate) mod large;
pub(crate) mod models;
pub(crate) mod parking;
pub(crate) mod queues;
pub(crate) mod retained;

use mqtt_codec::{Properties, QoS};
use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER};
use mqtt_store::{Retained, RetainedLimits, Store};
use mqtt_topic::{TopicFilter, TopicName};
use std::time::Instant;

/// Opens an empty store with these limits.
pub(crate) type Open = dyn Fn(RetainedLimits) -> Box<dyn Store>;

/// No limit that a test would reach.
pub(crate) const UNLIMITED: RetainedLimits =
    RetainedLimits { messages_max: usize::MAX, bytes_max: usize::MAX };

/// Makes one test of each rule, for the stores that `$open` opens.
macro_rules! store_suite {
    ($open:expr; $($module:ident { $($rule:ident,)* })*) => {$(
        mod $module {
            $(
                #[test]
                fn $rule() {
                    crate::suite::$module::$rule(&$open);
                }
            )*
        }
    )*};
    ($open:expr) => {
        crate::suite::store_suite! { $open;
            retained {
                a_message_is_kept_with_its_qos,
                a_later_message_takes_the_place_of_the_earlier_one,
                an_empty_message_clears_its_topic_alone,
                a_full_store_refuses_a_new_topic_and_changes_nothing,
                bytes_are_limited_and_a_refusal_changes_nothing,
                a_replacement_needs_only_the_room_that_the_old_one_does_not_give_back,
                a_full_store_can_be_cleared,
                pages_join_to_the_whole_in_one_order,
                a_scan_goes_on_behind_a_name_that_has_gone,
                a_scan_sees_what_comes_behind_its_place,
                wildcards_at_the_start_do_not_see_dollar_topics,
                a_filter_without_wildcards_finds_one,
                a_scan_leaves_out_what_has_expired,
                expiry_removes_what_is_due_and_nothing_else,
                expiry_knows_every_dollar_topic,
                a_replaced_message_takes_its_expiry_along,
                expiry_makes_room,
            }
            queues {
                the_first_in_is_the_first_out,
                a_queue_full_of_messages_refuses_the_newest,
                a_queue_full_of_bytes_refuses_the_newest,
                a_queue_full_of_messages_gives_up_the_oldest,
                a_queue_full_of_bytes_gives_up_as_many_as_it_must,
                what_never_fits_is_refused_and_costs_nobody_his_place,
                a_queue_of_nothing_refuses_everything,
                bytes_return_to_nothing,
                queues_of_different_clients_are_apart,
            }
            parking {
                a_session_comes_back_as_it_went,
                a_session_comes_back_once,
                a_later_session_takes_the_place_of_the_earlier_one,
                sessions_are_told_apart_by_the_whole_identifier,
            }
            models {
                retained_messages_follow_the_model,
                queues_follow_the_model,
            }
            large {
                a_million_messages_are_kept_and_found,
            }
        }
    };
}
pub(crate) use store_suite;

pub(crate) fn name(text: &str) -> TopicName<&str> {
    TopicName::parse(text).expect("a topic name")
}

pub(crate) fn filter(text: &str) -> TopicFilter<&str> {
    TopicFilter::parse(text).expect("a topic filter")
}

/// A message to retain, at QoS 1.
pub(crate) fn retained(topic: &str, payload: &[u8], expires_at: Option<Instant>) -> Retained {
    let message = Message::new(name(topic), Properties::EMPTY, payload, NO_PUBLISHER, expires_at);
    Retained { message, qos: QoS::AtLeastOnce, source: None }
}

/// A message to queue, at QoS 1.
pub(crate) fn delivery(payload: &[u8]) -> Delivery {
    let message = Message::new(name("t"), Properties::EMPTY, payload, NO_PUBLISHER, None);
    Delivery { hop: Hop::new(QoS::AtLeastOnce), message }
}

/// Topics and payloads of all pages of a scan, each page checked for its size.
pub(crate) fn scan(
    store: &dyn Store,
    filter_text: &str,
    page_max: usize,
    now: Instant,
) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut after: Option<TopicName<Box<str>>> = None;
    loop {
        let page = store
            .scan_retained(&filter(filter_text), after.as_ref(), page_max, now)
            .expect("the store can be read");
        assert!(page.messages.len() <= page_max, "a page of {} messages", page.messages.len());
        found.extend(
            page.messages
                .iter()
                .map(|retained| (retained.message.topic().to_owned(), retained.message.payload().to_vec())),
        );
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

/// The topics of a scan.
pub(crate) fn topics(store: &dyn Store, filter_text: &str, now: Instant) -> Vec<String> {
    scan(store, filter_text, 3, now).into_iter().map(|(topic, _)| topic).collect()
}
