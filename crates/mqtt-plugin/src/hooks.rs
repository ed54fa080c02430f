//! A plug-in as the broker's hook.

use std::future::ready;
use std::sync::Arc;

use mqtt_broker::{
    Answer, Authentication, Broker, Events, FailureRule, Hooks, Identity, InboundPublish, LocalOptions,
    Login, MetricsSnapshot, Opening, Peer, Publication, PublishVerdict, ReasonCode, Refusal,
    SubscriptionOptions,
};

use crate::binding::exports::martlet::plugin::hooks::{Events as Asked, Opinion, Terms, Verdict};
use crate::convert::{self, NO_REASON};
use crate::error::Failure;
use crate::plugin::Plugin;

/// What the guest's events are called here.
const EVENTS: [(Asked, Events); 6] = [
    (Asked::AUTHENTICATE, Events::AUTHENTICATE),
    (Asked::CONNECT, Events::CONNECT),
    (Asked::PUBLISH, Events::PUBLISH),
    (Asked::SUBSCRIBE, Events::SUBSCRIBE),
    (Asked::UNSUBSCRIBE, Events::UNSUBSCRIBE),
    (Asked::WILL, Events::WILL),
];
/// Who publishes the figures.
const VOICE: &str = "$plugins";

impl Hooks for Plugin {
    fn interests(&self) -> Events {
        let asked = EVENTS.into_iter().filter(|(asked, _)| self.events.contains(*asked));
        let own = Events::STARTED | Events::STOPPED | Events::TICK;
        asked.fold(own, |all, (_, event)| all | event)
    }

    fn failure_rule(&self) -> FailureRule {
        FailureRule { refuse: !self.fails_open(), ..FailureRule::default() }
    }

    fn started(&self, broker: &Broker) {
        *self.voice.lock() = Some(broker.local_as(LocalOptions::new(VOICE).past_hooks()));
    }

    fn stopped(&self) {
        *self.voice.lock() = None;
    }

    /// Shows the figures in the `$SYS` tree.
    fn tick(&self, _: &MetricsSnapshot) {
        let Some(voice) = self.voice.lock().clone() else { return };
        for (figure, value) in self.figures().named() {
            let topic = format!("$SYS/broker/plugins/{}/{figure}", self.level());
            // The next tick brings the next value.
            let _ = voice.publish_now(Publication::new(topic, value.to_string()).retain());
        }
    }

    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Authentication> {
        Box::pin(ready(self.judge(login)))
    }

    fn connect<'a>(&'a self, peer: &'a Peer, opening: &'a mut Opening) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(ready(self.admit(peer, opening)))
    }

    fn publish(&self, client: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        if !self.wants(Asked::PUBLISH) {
            return PublishVerdict::Pass;
        }
        match self.rule(client, publish) {
            Ok(verdict) => verdict,
            Err(_) if self.fails_open() => PublishVerdict::Pass,
            Err(_) => PublishVerdict::Reject(NO_REASON),
        }
    }

    fn subscribe(
        &self,
        client: &Identity,
        filter: &mut String,
        options: &mut SubscriptionOptions,
    ) -> Result<(), ReasonCode> {
        if !self.wants(Asked::SUBSCRIBE) {
            return Ok(());
        }
        let (client, asked) = (convert::client(client), convert::subscription(filter, *options));
        let answer = self
            .ask(|guest, store| guest.martlet_plugin_hooks().call_subscribe(store, &client, &asked))
            .map(|answer| answer.map_err(convert::reason));
        let Some(granted) = self.or_as_if_absent(answer)? else { return Ok(()) };
        *options = convert::options(&granted, *options);
        *filter = granted.filter;
        Ok(())
    }

    fn unsubscribe(&self, client: &Identity, filter: &mut String) -> Result<(), ReasonCode> {
        if !self.wants(Asked::UNSUBSCRIBE) {
            return Ok(());
        }
        let client = convert::client(client);
        let answer = self
            .ask(|guest, store| guest.martlet_plugin_hooks().call_unsubscribe(store, &client, filter))
            .map(|answer| answer.map_err(convert::reason));
        if let Some(changed) = self.or_as_if_absent(answer)? {
            *filter = changed;
        }
        Ok(())
    }

    fn will(&self, client_id: &str, will: &mut Publication) -> bool {
        if !self.wants(Asked::WILL) {
            return true;
        }
        let asked = convert::will(will);
        let answer =
            self.ask(|guest, store| guest.martlet_plugin_hooks().call_will(store, client_id, &asked));
        let changed = match answer {
            Ok(Some(changed)) => self.checked(convert::publication(changed, will.qos)),
            Ok(None) => return false,
            Err(failure) => Err(failure),
        };
        let failed = changed.map(|changed| *will = changed).is_err();
        !failed || self.fails_open()
    }
}

impl Plugin {
    fn judge(&self, login: &Login<'_>) -> Authentication {
        if !self.wants(Asked::AUTHENTICATE) {
            return Authentication::NoOpinion;
        }
        let login = convert::login(login);
        match self.ask(|guest, store| guest.martlet_plugin_hooks().call_authenticate(store, &login)) {
            Ok(Opinion::None) => Authentication::NoOpinion,
            Ok(Opinion::Admit) => Authentication::Admit,
            Ok(Opinion::Refuse(refusal)) => Authentication::Refuse(convert::refusal(refusal)),
            Err(_) if self.fails_open() => Authentication::NoOpinion,
            Err(_) => Authentication::Refuse(NO_REASON.into()),
        }
    }

    fn admit(&self, peer: &Peer, opening: &mut Opening) -> Result<(), Refusal> {
        if !self.wants(Asked::CONNECT) {
            return Ok(());
        }
        let client = convert::newcomer(peer, opening);
        let asked = Terms { keep_alive_s: opening.keep_alive_s, session_expiry_s: opening.session_expiry_s };
        let answer = self
            .ask(|guest, store| guest.martlet_plugin_hooks().call_connect(store, &client, asked))
            .map(|answer| answer.map_err(convert::refusal));
        if let Some(terms) = self.or_as_if_absent(answer)? {
            opening.keep_alive_s = terms.keep_alive_s;
            opening.session_expiry_s = terms.session_expiry_s;
        }
        Ok(())
    }

    fn rule(&self, client: &Identity, publish: &InboundPublish<'_>) -> Result<PublishVerdict, Failure> {
        let (client, message) = (convert::client(client), convert::message(publish));
        let verdict =
            self.ask(|guest, store| guest.martlet_plugin_hooks().call_publish(store, &client, &message))?;
        Ok(match verdict {
            Verdict::Pass => PublishVerdict::Pass,
            Verdict::Rewrite(message) => {
                PublishVerdict::rewrite(self.checked(convert::publication(message, publish.qos))?)
            }
            Verdict::Swallow => PublishVerdict::Swallow,
            Verdict::Reject(reason) => PublishVerdict::Reject(convert::reason(reason)),
        })
    }

    /// An answer that is none counts as a failure.
    fn checked<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        answer.inspect_err(|failure| self.note(failure))
    }

    /// The answer; nothing, or a refusal, if there was none.
    fn or_as_if_absent<T, E: From<ReasonCode>>(
        &self,
        answer: Result<Result<T, E>, Failure>,
    ) -> Result<Option<T>, E> {
        match answer {
            Ok(answer) => answer.map(Some),
            Err(_) if self.fails_open() => Ok(None),
            Err(_) => Err(NO_REASON.into()),
        }
    }

    /// The name as a topic level.
    fn level(&self) -> Arc<str> {
        self.name().replace(['/', '+', '#', '\0'], "_").into()
    }
}
