//! What ended sessions leave behind, counted a little at a time: whoever is connected does not wait for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mqtt_session::DropReason;
use mqtt_store::Queue;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::core::Core;
use crate::outbox::Outbox;

/// A queue, and whose it was.
type Leftover = (Arc<Outbox>, Box<dyn Queue>);

/// Queues of sessions that have ended.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    queues: Mutex<VecDeque<Leftover>>,
    more: Notify,
}

/// Messages that are counted in a row.
const PART: usize = 128;
/// Time that belongs to others after each part.
const PAUSE: Duration = Duration::from_millis(1);

impl Leftovers {
    /// Takes a queue over, none of whose messages can be given to anybody else.
    pub(crate) fn add(&self, outbox: Arc<Outbox>, queue: Box<dyn Queue>) {
        self.queues.lock().push_back((outbox, queue));
        self.more.notify_one();
    }

    /// Counts some messages as dropped. Whether there may be more.
    fn count_part(&self, core: &Core) -> bool {
        let Some((outbox, mut queue)) = self.queues.lock().pop_front() else { return false };
        for _ in 0..PART {
            let Some(delivery) = queue.pop() else { return true };
            let (topic, qos) = (delivery.message.topic(), delivery.hop.qos);
            core.drops.record(&core.metrics, DropReason::SessionEnded, &outbox, topic, qos);
        }
        self.queues.lock().push_front((outbox, queue));
        true
    }

    /// Counts all that is there, at the end.
    pub(crate) fn count_all(&self, core: &Core) {
        while self.count_part(core) {}
    }
}

/// Counts for as long as the broker runs.
pub(crate) async fn count_leftovers(core: Arc<Core>) {
    loop {
        core.leftovers.more.notified().await;
        while core.leftovers.count_part(&core) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
