//! The `$SYS` tree: the broker's figures as retained messages.

use std::sync::Arc;
use std::time::Duration;

use mqtt_access::consult::Unanswered;
use mqtt_codec::{Properties, QoS};
use mqtt_session::{DropReason, Message, NO_PUBLISHER};
use mqtt_topic::TopicName;
use mqtt_transport::{Cause, Scheme};

use crate::core::Core;
use crate::hooks::Events;
use crate::load::Loads;
use crate::refusals::{EntryRefusal, topic_level};

/// Publishes the tree until the broker stops.
pub(crate) async fn publish_regularly(core: Arc<Core>, interval: Duration) {
    let mut loads = Loads::new(interval);
    let publisher: Arc<str> = Arc::from("$SYS");
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut figures = Figures::default();
        figures.constant(&core);
        figures.clients(&core);
        figures.messages(&core);
        figures.drops(&core);
        figures.storage(&core);
        figures.refusals(&core);
        figures.certificates(&core);
        loads.add(&core.metrics.snapshot(), &mut figures);
        for (topic, value) in figures.entries {
            publish(&core, &topic, &value, &publisher);
        }
        core.hooks.tell(Events::TICK, |hook| hook.tick(&core.snapshot()));
    }
}

fn publish(core: &Core, topic: &str, value: &str, publisher: &Arc<str>) {
    let topic = format!("$SYS/broker/{topic}");
    let name = TopicName::parse(&*topic).expect("a topic of ours");
    let message = Message::new(name, Properties::EMPTY, value.as_bytes(), NO_PUBLISHER, None);
    core.publish(&message, QoS::AtMostOnce, true, publisher);
}

/// Topics below `$SYS/broker/` with their values.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    entries: Vec<(String, String)>,
}

impl Figures {
    pub(crate) fn add(&mut self, topic: impl Into<String>, value: impl ToString) {
        self.entries.push((topic.into(), value.to_string()));
    }

    fn constant(&mut self, core: &Core) {
        let uptime_s = core.now().duration_since(core.started_at).as_secs();
        let unix_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.add("version", concat!("martlet ", env!("CARGO_PKG_VERSION")));
        self.add("uptime", format!("{uptime_s} seconds"));
        self.add("time", unix_s.as_secs());
        self.add("started", unix_s.as_secs().saturating_sub(uptime_s));
    }

    fn clients(&mut self, core: &Core) {
        let metrics = core.metrics.snapshot();
        let (online, away) = core.clients.len();
        let (subscriptions, groups) = core.index.len();
        self.add("clients/connected", online);
        self.add("clients/active", online);
        self.add("clients/disconnected", away);
        self.add("clients/inactive", away);
        self.add("clients/total", online + away);
        self.add("clients/maximum", metrics.clients_connected_max);
        self.add("clients/expired", metrics.sessions_expired);
        self.add("clients/taken_over", metrics.sessions_taken_over);
        self.add("connections/accepted", metrics.connections_accepted);
        self.add("connections/refused", metrics.connections_refused);
        self.add("connections/failed", metrics.connects_failed);
        self.add("connections/violations", metrics.violations);
        self.add("connections/keep_alive_timeouts", metrics.keep_alive_timeouts);
        self.add("subscriptions/count", subscriptions);
        self.add("shared_subscriptions/count", groups);
    }

    fn messages(&mut self, core: &Core) {
        let metrics = core.metrics.snapshot();
        let retained = core.store.retained_totals();
        self.add("retained messages/count", retained.messages);
        self.add("store/messages/count", retained.messages);
        self.add("store/messages/bytes", retained.bytes);
        self.add("messages/received", metrics.packets_received);
        self.add("messages/sent", metrics.packets_sent);
        self.add("messages/dropped", metrics.dropped_total());
        self.add("messages/retained", retained.messages);
        self.add("packets/received", metrics.packets_received);
        self.add("packets/sent", metrics.packets_sent);
        self.add("publish/messages/received", metrics.publish_received);
        self.add("publish/messages/sent", metrics.publish_sent);
        self.add("publish/messages/dropped", metrics.dropped_total());
        self.add("publish/bytes/received", metrics.publish_bytes_received);
        self.add("publish/bytes/sent", metrics.publish_bytes_sent);
        self.add("bytes/received", metrics.bytes_received);
        self.add("bytes/sent", metrics.bytes_sent);
        self.add("wills/published", metrics.wills_published);
    }

    /// Only what has happened: the table is large and mostly empty.
    fn refusals(&mut self, core: &Core) {
        let metrics = core.snapshot();
        for scheme in Scheme::ALL {
            for cause in Cause::ALL {
                let count = metrics.refused_for(scheme, *cause);
                if count > 0 {
                    self.add(format!("connections/refused/{}/{}", scheme.name(), cause.name()), count);
                }
            }
        }
        for cause in EntryRefusal::ALL {
            let count = metrics.entries_refused_for(*cause);
            if count > 0 {
                self.add(format!("refusals/connection/{}", cause.name()), count);
            }
        }
        for (why, count) in Unanswered::ALL.iter().zip(metrics.unanswered).filter(|(_, count)| *count > 0) {
            self.add(format!("refusals/unanswered/{}", why.name()), count);
        }
        for (refused, reason, count) in metrics.reasons.iter() {
            self.add(format!("refusals/{}/{}", refused.name(), topic_level(reason)), count);
        }
        self.add("bans/count", metrics.bans);
        self.add("clients/banned", metrics.clients_banned);
    }

    fn certificates(&mut self, core: &Core) {
        if core.certificates.is_empty() {
            return;
        }
        for (number, certificate) in core.certificates.expiries().iter().enumerate() {
            let left = core.seconds_left(certificate);
            let left = left.map_or_else(|| "unknown".to_owned(), |left| left.to_string());
            self.add(format!("certificates/{}/file", number + 1), certificate.file.display());
            self.add(format!("certificates/{}/seconds_left", number + 1), left);
        }
        let metrics = core.metrics.snapshot();
        self.add("certificates/reloads", metrics.certificate_reloads);
        self.add("certificates/reloads_failed", metrics.certificate_reloads_failed);
    }

    fn drops(&mut self, core: &Core) {
        let metrics = core.metrics.snapshot();
        for reason in DropReason::ALL {
            self.add(format!("drops/{}", reason.name()), metrics.dropped_for(reason));
        }
    }
}
