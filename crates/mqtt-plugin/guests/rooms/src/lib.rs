//! A plug-in that gives each device a room of its own: what `lamp7` publishes to `my/state` goes to `rooms/lamp7/state`, and what it
//! subscribes to in `my/` it gets from there. Messages to `locked/` are refused.
//!
//! The setting is the name of the topic level above the rooms, `rooms` if it is empty.

use std::cell::OnceCell;

wit_bindgen::generate!({ world: "plugin", path: "../../wit" });

use exports::martlet::plugin::hooks::{
    Client, Events, Guest, Login, Message, Opinion, Reason, Refusal, Subscription, Terms, Verdict,
};
use martlet::plugin::host::{Level, log};

const NOT_AUTHORIZED: Reason = 135;
const PRIVATE: &str = "my/";

struct Rooms;

thread_local! {
    static ABOVE: OnceCell<String> = const { OnceCell::new() };
}

/// The whole topic or filter behind a private one.
fn place(client_id: &str, private: &str) -> Option<String> {
    let rest = private.strip_prefix(PRIVATE)?;
    ABOVE.with(|above| Some(format!("{}/{client_id}/{rest}", above.get()?)))
}

impl Guest for Rooms {
    fn start(settings: String) -> Result<Events, String> {
        if settings.contains(['/', '+', '#']) {
            return Err(format!("{settings:?} is no single topic level"));
        }
        let above = if settings.is_empty() { "rooms".to_owned() } else { settings };
        log(Level::Debug, &format!("rooms are below {above}"));
        ABOVE.with(|level| level.set(above)).map_err(|_| "started twice".to_owned())?;
        Ok(Events::PUBLISH | Events::SUBSCRIBE | Events::UNSUBSCRIBE | Events::WILL)
    }

    fn authenticate(_: Login) -> Opinion {
        Opinion::None
    }

    fn connect(_: Client, terms: Terms) -> Result<Terms, Refusal> {
        Ok(terms)
    }

    fn publish(client: Client, message: Message) -> Verdict {
        if message.topic.starts_with("locked/") {
            return Verdict::Reject(NOT_AUTHORIZED);
        }
        match place(&client.client_id, &message.topic) {
            Some(topic) => Verdict::Rewrite(Message { topic, ..message }),
            None => Verdict::Pass,
        }
    }

    fn subscribe(client: Client, subscription: Subscription) -> Result<Subscription, Reason> {
        let filter = place(&client.client_id, &subscription.filter);
        Ok(Subscription { filter: filter.unwrap_or(subscription.filter), ..subscription })
    }

    fn unsubscribe(client: Client, filter: String) -> Result<String, Reason> {
        Ok(place(&client.client_id, &filter).unwrap_or(filter))
    }

    fn will(client_id: String, message: Message) -> Option<Message> {
        let topic = place(&client_id, &message.topic);
        Some(Message { topic: topic.unwrap_or(message.topic), ..message })
    }
}

export!(Rooms);
