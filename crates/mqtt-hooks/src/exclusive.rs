use hashbrown::HashMap;
use mqtt_broker::{Answer, Broker, Events, Hooks, Identity, ReasonCode, SubscriptionOptions};
use parking_lot::Mutex;

/// Lets one client at a time subscribe with a filter: `$exclusive/FILTER` subscribes with `FILTER`, and while that
/// subscription lasts, with its session, others who ask for the same are told [`ReasonCode::QuotaExceeded`]. Whoever
/// subscribes with `FILTER` itself is not asked.
///
/// Filters are compared as texts. Shared ones are told [`ReasonCode::TopicFilterInvalid`]. Who holds what is not kept
/// over a restart of the program; the subscriptions themselves are, where a store keeps the session.
///
/// ```
/// use std::sync::Arc;
/// use mqtt_broker::Broker;
/// use mqtt_hooks::Exclusive;
///
/// let exclusive = Arc::new(Exclusive::new(1_000));
/// let builder = Broker::builder().hook(exclusive.clone());
/// // A client that subscribes to `$exclusive/jobs` holds it from then on.
/// assert_eq!(exclusive.holder("jobs"), None);
/// # let _ = builder;
/// ```
#[derive(Debug)]
pub struct Exclusive {
    filters_max: usize,
    holders: Mutex<HashMap<String, Holder>>,
    broker: Mutex<Option<Broker>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    client_id: String,
    /// A client inside the program, whose subscriptions the broker does not list.
    is_local: bool,
}

const PREFIX: &str = "$exclusive/";

impl Exclusive {
    /// For so many filters at a time; more are told [`ReasonCode::QuotaExceeded`].
    #[must_use]
    pub fn new(filters_max: usize) -> Self {
        Self { filters_max, holders: Mutex::default(), broker: Mutex::default() }
    }

    /// Who holds a filter now.
    #[must_use]
    pub fn holder(&self, filter: &str) -> Option<String> {
        self.holders.lock().get(filter).map(|holder| holder.client_id.clone())
    }

    /// Takes a filter for a client unless another one holds it; who that is otherwise.
    fn take(&self, filter: &str, client: &Holder) -> Result<(), Option<Holder>> {
        let mut holders = self.holders.lock();
        match holders.get(filter) {
            Some(holder) if holder == client => Ok(()),
            Some(holder) => Err(Some(holder.clone())),
            None if holders.len() >= self.filters_max => Err(None),
            None => {
                holders.insert(filter.to_owned(), client.clone());
                Ok(())
            }
        }
    }

    /// Whether a client really has the subscription that it once asked for: another hook or an access rule may have
    /// refused it.
    async fn holds(&self, filter: &str, holder: &Holder) -> bool {
        let Some(broker) = self.broker.lock().clone() else { return true };
        if holder.is_local {
            return true;
        }
        let details = broker.client(&holder.client_id).details().await;
        details.is_ok_and(|details| details.subscriptions.iter().any(|(own, _)| own == filter))
    }

    async fn claim(&self, filter: &str, client: &Holder) -> Result<(), ReasonCode> {
        let Err(refused) = self.take(filter, client) else { return Ok(()) };
        let holder = refused.ok_or(ReasonCode::QuotaExceeded)?;
        if self.holds(filter, &holder).await {
            return Err(ReasonCode::QuotaExceeded);
        }
        self.release(filter, &holder.client_id);
        self.take(filter, client).map_err(|_| ReasonCode::QuotaExceeded)
    }

    fn release(&self, filter: &str, client_id: &str) {
        let mut holders = self.holders.lock();
        if holders.get(filter).is_some_and(|holder| holder.client_id == client_id) {
            holders.remove(filter);
        }
    }
}

impl Hooks for Exclusive {
    fn interests(&self) -> Events {
        Events::STARTED
            | Events::STOPPED
            | Events::REVIEW_SUBSCRIBE
            | Events::UNSUBSCRIBE
            | Events::UNSUBSCRIBED
            | Events::SESSION_ENDED
    }

    fn started(&self, broker: &Broker) {
        *self.broker.lock() = Some(broker.clone());
    }

    fn stopped(&self) {
        *self.broker.lock() = None;
    }

    fn review_subscribe<'a>(
        &'a self,
        client: &'a Identity,
        filter: &'a mut String,
        _: &'a mut SubscriptionOptions,
    ) -> Answer<'a, Result<(), ReasonCode>> {
        Box::pin(async move {
            let Some(wanted) = filter.strip_prefix(PREFIX) else { return Ok(()) };
            if wanted.is_empty() || wanted.starts_with("$share/") {
                return Err(ReasonCode::TopicFilterInvalid);
            }
            let is_local = &*client.listener.name == "local";
            let holder = Holder { client_id: client.client_id.to_string(), is_local };
            self.claim(wanted, &holder).await?;
            filter.drain(..PREFIX.len());
            Ok(())
        })
    }

    fn unsubscribe(&self, _: &Identity, filter: &mut String) -> Result<(), ReasonCode> {
        if filter.starts_with(PREFIX) {
            filter.drain(..PREFIX.len());
        }
        Ok(())
    }

    fn unsubscribed(&self, client: &Identity, filter: &str) {
        self.release(filter, &client.client_id);
    }

    fn session_ended(&self, client_id: &str) {
        self.holders.lock().retain(|_, holder| holder.client_id != client_id);
    }
}
