//! What the peer sent and we have not yet acknowledged to the end.

use core::num::NonZeroU16;

use hashbrown::HashSet;
use mqtt_codec::{PacketId, ReasonCode};

use crate::Violation;

/// QoS 2 identifiers between PUBREC and PUBREL, and the peer's send quota.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    received: HashSet<u16>,
    /// QoS 1 and QoS 2 messages handed upwards and not yet answered.
    unanswered: u16,
}

impl Inbound {
    /// A PUBLISH above QoS 0 arrived. Whether it is new; if not, it is only answered again
    /// ([MQTT-4.3.3-10]).
    pub(crate) fn arrive(
        &mut self,
        id: PacketId,
        exactly_once: bool,
        receive_maximum: Option<NonZeroU16>,
    ) -> Result<bool, Violation> {
        if exactly_once && self.received.contains(&id.get()) {
            return Ok(false);
        }
        if let Some(maximum) = receive_maximum
            && self.received.len() + usize::from(self.unanswered) >= usize::from(maximum.get())
        {
            // [MQTT-3.3.4-7] is the client's duty; 3.3.4 tells the receiver to disconnect with 0x93.
            return Err(Violation::new(ReasonCode::ReceiveMaximumExceeded, "MQTT-3.3.4-9"));
        }
        self.unanswered = self.unanswered.saturating_add(1);
        Ok(true)
    }

    /// A PUBACK or PUBREC goes out for a message that [`arrive`](Self::arrive) admitted.
    pub(crate) fn answer(&mut self, id: PacketId, awaits_pubrel: bool) {
        self.unanswered = self.unanswered.saturating_sub(1);
        if awaits_pubrel {
            self.received.insert(id.get());
        }
    }

    /// A PUBREL arrived. Whether its identifier was in use.
    pub(crate) fn release(&mut self, id: PacketId) -> bool {
        self.received.remove(&id.get())
    }

    /// A new connection begins: what was not answered will be sent again.
    pub(crate) fn reconnect(&mut self) {
        self.unanswered = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.received.len()
    }
}
