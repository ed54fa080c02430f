//! Keep Alive without a clock (section 3.1.2.10).

use std::time::{Duration, Instant};

/// Watches for silence: a peer that sends nothing for one and a half intervals is gone.
///
/// ```
/// use std::time::{Duration, Instant};
/// use mqtt_session::KeepAlive;
///
/// let start = Instant::now();
/// let mut keep_alive = KeepAlive::new(60, start);
/// assert_eq!(keep_alive.deadline(), Some(start + Duration::from_secs(90)));
/// keep_alive.heard(start + Duration::from_secs(20));
/// assert_eq!(keep_alive.deadline(), Some(start + Duration::from_secs(110)));
/// assert_eq!(KeepAlive::new(0, start).deadline(), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    interval_s: u16,
    last_heard: Instant,
}

impl KeepAlive {
    /// Starts watching now; 0 seconds watches for nothing.
    #[must_use]
    pub fn new(interval_s: u16, now: Instant) -> Self {
        Self { interval_s, last_heard: now }
    }

    /// Seconds between packets that the peer promised; 0 for no promise.
    #[must_use]
    pub fn interval_s(&self) -> u16 {
        self.interval_s
    }

    /// The peer sent a packet.
    pub fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// When the connection must be closed if nothing more is heard ([MQTT-3.1.2-22]).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.interval_s == 0 {
            return None;
        }
        // 65,535 s times 1,500 ms fits easily in 64 bits.
        let silence = Duration::from_millis(u64::from(self.interval_s) * 1500);
        self.last_heard.checked_add(silence)
    }
}
