//! `martlet store`: a data directory that no broker uses at the moment.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::{Args, Subcommand};
use mqtt_session::Message;
use mqtt_store::durable::{Directory, Dumped, dump};
use mqtt_store::{DurableStore, Journal as _};
use serde_json::{Value, json};

use crate::config::Configuration;
use crate::exit::{Exit, Failure};
use crate::{output, storage};

#[derive(Args, Debug)]
pub(crate) struct StoreArguments {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Print what is stored: counts, or with --json every item on a line of its own
    Dump {
        #[command(flatten)]
        place: Place,
        /// One JSON object per line: sessions, their messages, retained messages
        #[arg(long)]
        json: bool,
    },
    /// Read everything and report what is damaged
    Verify(Place),
    /// Write what is needed anew and give the rest of the disk back
    Compact(Place),
}

#[derive(Args, Debug)]
struct Place {
    /// The data directory; without it, the one that `martlet serve` would use
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn path(&self) -> Result<PathBuf, Failure> {
        self.data_dir.clone().map_or_else(|| storage::directory(None), Ok)
    }

    fn dump(&self) -> Result<Dumped, Failure> {
        let path = self.path()?;
        dump(&path, storage::wall()).map_err(|error| failure(&path, &error))
    }
}

fn failure(path: &std::path::Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format_args!("{}: {error}", path.display()))
}

/// `martlet store`.
///
/// # Errors
/// A broker uses the directory, it cannot be read, or something in it is damaged.
pub(crate) fn run(arguments: &StoreArguments) -> Result<(), Failure> {
    match &arguments.command {
        StoreCommand::Dump { place, json } => {
            let dumped = place.dump()?;
            output::print(&if *json { lines(dumped) } else { summary(&dumped) })
        }
        StoreCommand::Verify(place) => verify(&place.dump()?),
        StoreCommand::Compact(place) => compact(place),
    }
}

fn verify(dumped: &Dumped) -> Result<(), Failure> {
    let findings = &dumped.findings;
    let mut text: String = findings.torn.iter().map(|finding| format!("cut off: {finding}\n")).collect();
    text.extend(findings.damaged.iter().map(|finding| format!("damaged: {finding}\n")));
    if findings.damaged.is_empty() {
        return output::print(&(text + "nothing is damaged\n"));
    }
    Err(Failure { exit: Exit::Failed, message: text })
}

fn compact(place: &Place) -> Result<(), Failure> {
    let path = place.path()?;
    let medium = Directory::open(&path).map_err(|error| failure(&path, &error))?;
    let settings = storage::settings(&Configuration::default());
    let store =
        DurableStore::open_inline(Arc::new(medium), &settings).map_err(|error| failure(&path, &error))?;
    let before = store.len_bytes();
    store.compact().map_err(|error| failure(&path, &error))?;
    store.close();
    let written = store.health().bytes_written.load(Ordering::Relaxed);
    output::print(&format!("{before} bytes before, {} after, {written} written\n", store.len_bytes()))
}

fn summary(dumped: &Dumped) -> String {
    let waiting: usize = dumped.sessions.iter().map(|session| session.queue.len()).sum();
    let under_way: usize =
        dumped.sessions.iter().map(|recovered| recovered.session.unacknowledged_len()).sum();
    let subscriptions: usize =
        dumped.sessions.iter().map(|recovered| recovered.session.subscriptions().len()).sum();
    format!(
        "sessions        {}\nsubscriptions   {subscriptions}\nmessages        {waiting} waiting, {under_way} under way\n\
         retained        {}\nbytes           {} on the disk, {} needed\n",
        dumped.sessions.len(),
        dumped.retained.len(),
        dumped.bytes,
        dumped.bytes_live,
    )
}

fn lines(dumped: Dumped) -> String {
    let mut text = String::new();
    let mut add = |value: Value| {
        text.push_str(&value.to_string());
        text.push('\n');
    };
    for mut recovered in dumped.sessions {
        let client_id = recovered.head.client_id.clone();
        let subscriptions: Vec<Value> = recovered
            .session
            .subscriptions()
            .map(|(filter, subscription)| {
                json!({
                    "filter": filter,
                    "qos": subscription.options.qos as u8,
                    "no_local": subscription.options.no_local,
                    "retain_as_published": subscription.options.retain_as_published,
                    "identifier": subscription.identifier,
                })
            })
            .collect();
        add(json!({
            "session": &*client_id,
            "session_expiry_s": recovered.head.session_expiry_s,
            "away_since_ms": recovered.head.away_since_ms,
            "will": recovered.head.will.as_ref().map(|will| will.topic_text()),
            "subscriptions": subscriptions,
            "unreleased": recovered.session.unreleased_len(),
        }));
        for delivery in recovered.session.into_unacknowledged() {
            add(message(
                &delivery.message,
                &json!({ "under_way_to": &*client_id, "qos": delivery.hop.qos as u8 }),
            ));
        }
        while let Some(delivery) = recovered.queue.pop() {
            add(message(
                &delivery.message,
                &json!({ "waits_for": &*client_id, "qos": delivery.hop.qos as u8 }),
            ));
        }
    }
    for retained in dumped.retained {
        add(message(&retained.message, &json!({ "retained": true, "qos": retained.qos as u8 })));
    }
    text
}

/// A message with what is said about it; a payload that is no text stands in hexadecimal digits.
fn message(message: &Message, about: &Value) -> Value {
    let mut value = about.clone();
    value["topic"] = message.topic().into();
    match std::str::from_utf8(message.payload()) {
        Ok(text) => value["payload"] = text.into(),
        Err(_) => {
            let digits: String = message.payload().iter().map(|byte| format!("{byte:02x}")).collect();
            value["payload_hex"] = digits.into();
        }
    }
    value["expires"] = message.expires_at().is_some().into();
    value
}
