use mqtt_broker::{Broker, Events, Hooks, Identity, SubscriptionOptions};
use parking_lot::Mutex;

/// Subscribes every client that comes, past access rules. In a filter, `${clientid}` and `${username}` stand for the
/// client's own; where it has no user name, or one of the two has a wildcard, the filter is left out.
///
/// ```
/// use std::sync::Arc;
/// use mqtt_broker::{Broker, QoS, SubscriptionOptions};
/// use mqtt_hooks::AutoSubscribe;
///
/// let news = AutoSubscribe::new().filter("news/#", SubscriptionOptions::at(QoS::AtMostOnce));
/// let builder = Broker::builder().hook(Arc::new(news));
/// # let _ = builder;
/// ```
#[derive(Debug, Default)]
pub struct AutoSubscribe {
    filters: Vec<(String, SubscriptionOptions)>,
    broker: Mutex<Option<Broker>>,
}

impl AutoSubscribe {
    /// Without any filter.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more filter.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>, options: SubscriptionOptions) -> Self {
        self.filters.push((filter.into(), options));
        self
    }
}

impl Hooks for AutoSubscribe {
    fn interests(&self) -> Events {
        Events::STARTED | Events::STOPPED | Events::SESSION_ESTABLISHED
    }

    fn started(&self, broker: &Broker) {
        *self.broker.lock() = Some(broker.clone());
    }

    fn stopped(&self) {
        *self.broker.lock() = None;
    }

    fn session_established(&self, client: &Identity, _: bool) {
        let Some(broker) = self.broker.lock().clone() else { return };
        let own =
            |(filter, options): &(String, SubscriptionOptions)| Some((fill_in(filter, client)?, *options));
        let filters: Vec<_> = self.filters.iter().filter_map(own).collect();
        let handle = broker.client(&client.client_id);
        tokio::spawn(async move {
            for (filter, options) in filters {
                if let Err(error) = handle.subscribe(&filter, options).await {
                    tracing::warn!(client_id = handle.client_id(), filter, %error, "cannot subscribe a client");
                }
            }
        });
    }
}

fn fill_in(filter: &str, client: &Identity) -> Option<String> {
    let mut filled = filter.to_owned();
    for (place, own) in
        [("${clientid}", Some(&*client.client_id)), ("${username}", client.username.as_deref())]
    {
        if filter.contains(place) {
            let own = own.filter(|own| !own.contains(['+', '#', '/']))?;
            filled = filled.replace(place, own);
        }
    }
    Some(filled)
}
