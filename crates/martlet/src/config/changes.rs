//! What a reload cannot take over.

use super::settings::{Configuration, ListenerEntry};
use super::table::{LISTENER_ROWS, ROWS};

/// Sections whose options a reload takes over: users, rules, and whoever decides about them.
const RELOADED: [&str; 6] = ["access", "http_access", "http_login", "jwt", "postgres", "redis"];

/// The options in which a configuration differs from the one that the broker was started with, and that count only after
/// another start.
pub(crate) fn needing_restart(running: &Configuration, read: &Configuration) -> Vec<String> {
    let differs = ROWS.iter().filter(|row| (row.show)(running) != (row.show)(read));
    let options = differs.filter(|row| !RELOADED.contains(&row.split_key().0)).map(|row| row.key.to_owned());
    options.chain(listeners_needing_restart(&running.listeners, &read.listeners)).collect()
}

fn listeners_needing_restart(running: &[ListenerEntry], read: &[ListenerEntry]) -> Vec<String> {
    if running.len() != read.len() {
        return vec!["the number of listeners".to_owned()];
    }
    let mut options = Vec::new();
    for (running, read) in running.iter().zip(read) {
        let differs = LISTENER_ROWS.iter().filter(|row| (row.show)(running) != (row.show)(read));
        options.extend(differs.map(|row| format!("{} of the listener {}", row.key, running.url)));
    }
    options
}
