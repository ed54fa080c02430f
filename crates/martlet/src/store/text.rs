//! `martlet store dump --items`: what is stored, for people.

use std::io::{self, Write};

use mqtt_store::durable::{CopyItem, Item, MessageItem};

/// Characters of a payload that are shown.
const SHOWN: usize = 60;

/// Writes one item as a line.
///
/// # Errors
/// `out` failed.
pub(super) fn write(out: &mut dyn Write, item: &Item<'_>) -> io::Result<()> {
    match *item {
        Item::Message { number, message } => {
            let MessageItem { topic, payload, expires_at_ms, .. } = message;
            write!(out, "message {number} on {topic:?}, {} bytes: {}", payload.len(), shown(payload))?;
            writeln!(out, "{}", ms(", expires at", expires_at_ms))
        }
        Item::Retained { topic, message, qos, .. } => {
            writeln!(out, "retained on {topic:?}: message {message}, QoS {}", qos as u8)
        }
        Item::Session { number, head } => {
            let expiry = match head.session_expiry_s {
                u32::MAX => "never ends".to_owned(),
                seconds => format!("ends {seconds} s after its connection"),
            };
            let will = head.will.as_ref().map(|will| format!(", has a will for {:?}", will.topic_text()));
            let (away, will) = (ms(", away since", head.away_since_ms), will.unwrap_or_default());
            writeln!(out, "session {number} of client {:?}: {expiry}{away}{will}", head.client_id)
        }
        Item::Subscription { filter, subscription, .. } => {
            let identifier = subscription.identifier.map(|identifier| format!(", identifier {identifier}"));
            let qos = subscription.options.qos as u8;
            writeln!(out, "  subscribed to {filter:?}, QoS {qos}{}", identifier.unwrap_or_default())
        }
        Item::Received { packet_id, .. } => {
            writeln!(out, "  has sent packet {} at QoS 2 and not released it", packet_id.get())
        }
        Item::InFlight { copy, packet_id, released, .. } => {
            let next = if released { "PUBREL" } else { "PUBLISH" };
            writeln!(out, "  under way as packet {}, {next} comes next: {}", packet_id.get(), part(&copy))
        }
        Item::Queued { copy, .. } => writeln!(out, "  waits: {}", part(&copy)),
    }
}

fn part(copy: &CopyItem<'_>) -> String {
    let retained = if copy.retain { ", retained" } else { "" };
    format!("message {}, QoS {}{retained}", copy.message, copy.qos as u8)
}

fn ms(what: &str, ms: Option<u64>) -> String {
    let at = ms.and_then(|ms| jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
    at.map(|at| format!("{what} {at}")).unwrap_or_default()
}

fn shown(payload: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(payload).chars().take(SHOWN + 1).collect();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
