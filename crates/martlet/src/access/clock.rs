//! Both clocks.

use std::time::{Instant, SystemTime};

use mqtt_access::login::Moment;

/// This moment. Where a test turns the runtime's clock, the one for dates goes with it.
pub(super) fn now() -> Moment {
    let instant = tokio::time::Instant::now().into_std();
    let turned = instant.saturating_duration_since(Instant::now());
    Moment { instant, wall: SystemTime::now() + turned }
}
