//! The limit on open files: each connection is one.

use mqtt_broker::Limits;
use tracing::{debug, info, warn};

/// Files for all else: listeners, the store, logs, connections to services.
const RESERVED: u64 = 128;

/// Raises the limit as far as the system allows, since the usual one of 1,024 is there for programs of another kind, and
/// keeps the number of connections below it. Otherwise the store could not open its next file, and who comes would wait
/// without a word instead of being refused.
pub(crate) fn make_room(connections_max: &mut usize) {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => return warn!(%error, "the limit on open files could not be raised"),
    };
    let places = places(limit);
    if *connections_max <= places {
        return debug!(limit, "open files");
    }
    let asked = std::mem::replace(connections_max, places);
    if asked == Limits::default().connections_max {
        info!(limit, connections_max = places, "the limit on open files bounds the connections");
    } else {
        warn!(
            limit,
            asked,
            connections_max = places,
            "the limit on open files is too low for limits.connections_max"
        );
    }
}

/// Connections that a limit leaves room for: at least half of it.
fn places(limit: u64) -> usize {
    usize::try_from(limit - RESERVED.min(limit / 2)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn files_for_all_else_are_kept_free() {
        for (limit, connections) in
            [(0, 0), (1, 1), (64, 32), (256, 128), (1024, 896), (u64::MAX, usize::MAX - 128)]
        {
            assert_eq!(places(limit), connections);
        }
    }
}
