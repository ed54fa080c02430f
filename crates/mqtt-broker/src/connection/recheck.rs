//! A client whose rights may have changed.

use std::time::Instant;

use mqtt_codec::ReasonCode;
use mqtt_topic::TopicFilter;

use super::End;
use super::dialogue::Dialogue;
use crate::clients::Order;
use crate::connection::subscribing::refuse_filter;

impl Dialogue {
    /// Looks at everything again after access rules have changed. The end, if the client may not stay.
    pub(super) fn recheck(&mut self) -> Option<End> {
        if self.core.is_banned(&self.identity) {
            self.core.metrics.clients_banned.add(1);
            // A DISCONNECT cannot say 0x8A (section 2.4).
            return Some(End::Ordered(Order::Disconnect(ReasonCode::AdministrativeAction.into())));
        }
        if let Err(refusal) = self.core.access.still_admitted(&self.identity) {
            self.core.metrics.clients_revoked.add(1);
            tracing::info!(client_id = &*self.identity.client_id, reason = %refusal.reason, "client revoked");
            return Some(End::Ordered(Order::Disconnect(refusal)));
        }
        self.recheck_session();
        None
    }

    /// Ends the subscriptions that the client may not have any more. What waits is looked at when its turn comes.
    pub(super) fn recheck_session(&mut self) {
        let subscriptions = self.protocol.session().subscriptions();
        let revoked = subscriptions.filter(|(filter, subscription)| {
            let filter = TopicFilter::parse(*filter).expect("a session holds valid filters");
            refuse_filter(&self.core, &self.identity, &filter, subscription.options.qos, true).is_some()
        });
        let revoked: Vec<Box<str>> = revoked.map(|(filter, _)| filter.into()).collect();
        for filter in revoked {
            self.core.metrics.subscriptions_revoked.add(1);
            tracing::info!(client_id = &*self.identity.client_id, filter = &*filter, "subscription revoked");
            let filter = TopicFilter::parse(&*filter).expect("a session holds valid filters");
            self.end_subscription(&filter);
        }
        self.unchecked = if self.core.access.restricts_receiving() { self.outbox.waiting().0 } else { 0 };
    }

    /// Whether the login or the connection has lasted as long as it may.
    pub(super) fn expired(&self, now: Instant) -> Option<End> {
        let (at, reason) = self.bounds.as_ref()?.ends_at?;
        (at <= now).then_some(End::Expired(reason))
    }
}

/// When a connection ends whatever happens: with its login, or after the longest time that one may last.
pub(super) fn end_of(
    login: Option<Instant>,
    lifetime: Option<std::time::Duration>,
    now: Instant,
) -> Option<(Instant, ReasonCode)> {
    let login = login.map(|at| (at, ReasonCode::NotAuthorized));
    let lifetime =
        lifetime.and_then(|lifetime| Some((now.checked_add(lifetime)?, ReasonCode::MaximumConnectTime)));
    [login, lifetime].into_iter().flatten().min_by_key(|(at, _)| *at)
}
