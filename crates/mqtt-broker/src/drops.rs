//! The drop ledger: the one way in which a message may be discarded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mqtt_codec::QoS;
use mqtt_session::DropReason;
use parking_lot::Mutex;

use crate::hooks::{Chain, Events};
use crate::metrics::Metrics;
use crate::outbox::Outbox;

/// One message that did not reach a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Why.
    pub reason: DropReason,
    /// Client identifier of the receiver, or of the publisher where no receiver was chosen yet.
    pub client_id: Arc<str>,
    /// Topic name.
    pub topic: Box<str>,
    /// Quality of service towards that receiver.
    pub qos: QoS,
}

/// The latest discarded messages, for whoever asks why something did not arrive.
#[derive(Debug, Default)]
pub(crate) struct DropLedger {
    hooks: Arc<Chain>,
    latest: Mutex<VecDeque<Dropped>>,
}

/// Entries that the ledger keeps; the counters know them all.
const LATEST_MAX: usize = 1024;

impl DropLedger {
    pub(crate) fn new(hooks: Arc<Chain>) -> Self {
        Self { hooks, latest: Mutex::default() }
    }

    /// Records a message that `outbox` will not get.
    pub(crate) fn record(
        &self,
        metrics: &Metrics,
        reason: DropReason,
        outbox: &Outbox,
        topic: &str,
        qos: QoS,
    ) {
        outbox.dropped.fetch_add(1, Ordering::Relaxed);
        self.record_for(metrics, reason, &outbox.client_id, topic, qos);
    }

    /// Records a message that has no receiver yet, under its publisher.
    pub(crate) fn record_for(
        &self,
        metrics: &Metrics,
        reason: DropReason,
        client_id: &Arc<str>,
        topic: &str,
        qos: QoS,
    ) {
        metrics.count_dropped(reason, 1);
        tracing::debug!(client_id = &**client_id, topic, reason = reason.name(), "message dropped");
        self.hooks.tell(Events::DROPPED, |hook| hook.dropped(reason, client_id, topic, qos));
        let entry = Dropped { reason, client_id: client_id.clone(), topic: topic.into(), qos };
        let mut latest = self.latest.lock();
        if latest.len() == LATEST_MAX {
            latest.pop_front();
        }
        latest.push_back(entry);
    }

    /// The latest entries, oldest first.
    pub(crate) fn latest(&self) -> Vec<Dropped> {
        self.latest.lock().iter().cloned().collect()
    }
}
