//! Many connections whose messages have to be stored share one write, if they are ready at the same time.

use std::sync::Arc;

use mqtt_store::Store;
use tokio::sync::Notify;

use crate::core::Core;

/// Ends the rounds of a durable store, each as soon as all connections that were ready have had their turn.
pub(crate) async fn end_rounds(core: Arc<Core>) {
    let begun = Arc::new(Notify::new());
    let Some(calling) = Calling::new(core.store.clone(), begun.clone()) else { return };
    loop {
        begun.notified().await;
        // Comes back behind whoever was ready, and whoever the system says is ready now.
        tokio::task::yield_now().await;
        calling.end_round();
    }
}

/// Nobody waits for the end of a round once there is nobody who calls it.
struct Calling(Arc<dyn Store>);

impl Calling {
    fn new(store: Arc<dyn Store>, begun: Arc<Notify>) -> Option<Self> {
        store.journal()?.call_rounds(Some(Box::new(move || begun.notify_one())));
        Some(Self(store))
    }

    fn end_round(&self) {
        self.0.journal().expect("it was there").end_round();
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.journal().expect("it was there").call_rounds(None);
    }
}
