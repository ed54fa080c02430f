//! How a local client subscribes and unsubscribes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mqtt_codec::{QoS, ReasonCode, RetainHandling, SubscriptionOptions};
use mqtt_session::Subscription as Asked;
use mqtt_store::QueueLimits;
use mqtt_topic::TopicFilter;

use super::mailbox::{Mailbox, Subscription};
use super::{LocalClient, LocalError, LocalMessage, Shared};
use crate::connection::{ask_to_subscribe, refuse_filter};
use crate::hooks::{Events, Hooks};

/// What a local client subscribes with: everything that a SUBSCRIBE can say, and how much may wait.
///
/// ```
/// use mqtt_broker::{QoS, Subscribe};
///
/// let alarms = Subscribe::to("$share/staff/+/alarm").qos(QoS::ExactlyOnce).identifier(7);
/// # let _ = alarms;
/// ```
#[derive(Clone, Debug)]
pub struct Subscribe {
    filter: String,
    options: SubscriptionOptions,
    identifier: Option<u32>,
    mailbox: Option<QueueLimits>,
}

/// The largest subscription identifier (section 3.8.2.1.2).
const IDENTIFIER_MAX: u32 = 268_435_455;

impl Subscribe {
    /// With this filter (`$share/name/filter` for a shared subscription), at QoS 0.
    pub fn to(filter: impl Into<String>) -> Self {
        let options = SubscriptionOptions::default();
        Self { filter: filter.into(), options, identifier: None, mailbox: None }
    }

    /// The highest quality of service of its messages.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.options.qos = qos;
        self
    }

    /// Without the client's own publications.
    #[must_use]
    pub fn no_local(mut self) -> Self {
        self.options.no_local = true;
        self
    }

    /// Messages keep the RETAIN flag that their publisher set.
    #[must_use]
    pub fn retain_as_published(mut self) -> Self {
        self.options.retain_as_published = true;
        self
    }

    /// Whether messages that are kept already come first; by default they do.
    #[must_use]
    pub fn retain_handling(mut self, handling: RetainHandling) -> Self {
        self.options.retain_handling = handling;
        self
    }

    /// All options at once.
    #[must_use]
    pub fn options(mut self, options: SubscriptionOptions) -> Self {
        self.options = options;
        self
    }

    /// A subscription identifier, 1 to 268,435,455, that comes with each message.
    #[must_use]
    pub fn identifier(mut self, identifier: u32) -> Self {
        self.identifier = Some(identifier);
        self
    }

    /// How much may wait, instead of [`Settings::queue`](crate::Settings::queue). When half of it waits, publishers
    /// are slowed down.
    #[must_use]
    pub fn mailbox(mut self, limits: QueueLimits) -> Self {
        self.mailbox = Some(limits);
        self
    }
}

impl From<&str> for Subscribe {
    fn from(filter: &str) -> Self {
        Self::to(filter)
    }
}

impl LocalClient {
    /// Subscribes. Every message that is published after this returns is seen.
    ///
    /// The same filter may be subscribed more than once; each subscription gets every message.
    ///
    /// # Errors
    /// The filter or an option is not valid, the broker refuses (access, limits), or it has stopped.
    pub async fn subscribe(&self, subscribe: impl Into<Subscribe>) -> Result<Subscription, LocalError> {
        let mut subscribe = subscribe.into();
        let Shared { core, identity, .. } = &*self.shared;
        let Subscribe { filter, options, .. } = &mut subscribe;
        if self.shared.is_hooked(Events::SUBSCRIBE) {
            let asked = core.hooks.subscribe(identity, filter, options);
            asked.map_err(LocalError::Refused)?;
        }
        if self.shared.is_hooked(Events::REVIEW_SUBSCRIBE) {
            let reviewed = core.hooks.review_subscribe(identity, filter, options).await;
            reviewed.map_err(LocalError::Refused)?;
        }
        if core.access.consults() {
            let asked = TopicFilter::parse(filter.as_str()).map_err(|_| LocalError::InvalidFilter)?;
            ask_to_subscribe(core, identity, &asked, options.qos).await.map_err(LocalError::Refused)?;
        }
        self.shared.subscribe(subscribe)
    }

    /// Subscribes and calls `on_message` for each message, one after the other on a task of its own, until the
    /// filter is unsubscribed or the broker stops. A call that panics is logged, and the next message comes.
    ///
    /// `on_message` must not block: while it runs, nothing else is taken from this subscription.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_each(
        &self,
        subscribe: impl Into<Subscribe>,
        mut on_message: impl FnMut(LocalMessage) + Send + 'static,
    ) -> Result<(), LocalError> {
        let mut subscription = self.subscribe(subscribe).await?;
        tokio::spawn(async move {
            while let Some(message) = subscription.recv().await {
                let call = AssertUnwindSafe(|| on_message(message));
                if catch_unwind(call).is_err() {
                    tracing::error!(filter = subscription.filter(), "a callback panicked");
                }
            }
        });
        Ok(())
    }

    /// Ends all subscriptions of this client that have exactly this filter text; how many there were. What waits in
    /// them can still be taken. Hooks may change the filter, and keep the subscriptions by refusing.
    pub fn unsubscribe(&self, filter: &str) -> usize {
        let mut filter = filter.to_owned();
        let Shared { core, identity, .. } = &*self.shared;
        if self.shared.is_hooked(Events::UNSUBSCRIBE)
            && core.hooks.unsubscribe(identity, &mut filter).is_err()
        {
            return 0;
        }
        let ended = self.shared.mailboxes.lock().remove(&*filter).unwrap_or_default();
        if !ended.is_empty() {
            self.shared.tell_unsubscribed(&filter);
        }
        ended.iter().for_each(|mailbox| mailbox.end(&self.shared.core));
        ended.len()
    }
}

impl Shared {
    fn subscribe(self: &Arc<Self>, subscribe: Subscribe) -> Result<Subscription, LocalError> {
        let Subscribe { filter, options, identifier, mailbox } = subscribe;
        let filter = TopicFilter::parse(filter.as_str()).map_err(|_| LocalError::InvalidFilter)?.to_boxed();
        let no_id = identifier.is_some_and(|identifier| identifier == 0 || identifier > IDENTIFIER_MAX);
        if no_id || (options.no_local && filter.share_name().is_some()) {
            return Err(LocalError::InvalidOptions);
        }
        if let Some(reason) = refuse_filter(&self.core, &self.identity, &filter.as_ref(), options.qos, true) {
            return Err(LocalError::Refused(reason));
        }
        let mut mailboxes = self.mailboxes.lock();
        let count: usize = mailboxes.values().map(Vec::len).sum();
        if count >= self.core.settings.limits.subscriptions_max {
            return Err(LocalError::Refused(ReasonCode::QuotaExceeded));
        }
        // Under the lock with which a stop ends all mailboxes, so that none is missed.
        if *self.core.stopping.borrow() {
            return Err(LocalError::Stopped);
        }
        let same = mailboxes.entry(filter.as_str().into()).or_default();
        let wants_retained = match options.retain_handling {
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendIfNew => same.is_empty(),
            RetainHandling::DoNotSend => false,
        };
        let mailbox = Mailbox::new(self, filter, Asked { options, identifier }, mailbox);
        same.push(mailbox.clone());
        drop(mailboxes);
        if self.is_hooked(Events::SUBSCRIBED) {
            let tell = |hook: &dyn Hooks| hook.subscribed(&self.identity, mailbox.filter.as_str(), options);
            self.core.hooks.tell(Events::SUBSCRIBED, tell);
        }
        Ok(Subscription::new(self.clone(), mailbox, wants_retained))
    }

    /// A subscription was dropped.
    pub(super) fn forget(&self, mailbox: &Arc<Mailbox>) {
        let mut mailboxes = self.mailboxes.lock();
        let text = mailbox.filter.as_str();
        let Some(same) = mailboxes.get_mut(text) else { return };
        same.retain(|other| !Arc::ptr_eq(other, mailbox));
        if same.is_empty() {
            mailboxes.remove(text);
            drop(mailboxes);
            self.tell_unsubscribed(text);
        }
    }

    fn tell_unsubscribed(&self, filter: &str) {
        if self.is_hooked(Events::UNSUBSCRIBED) {
            let tell = |hook: &dyn Hooks| hook.unsubscribed(&self.identity, filter);
            self.core.hooks.tell(Events::UNSUBSCRIBED, tell);
        }
    }
}
