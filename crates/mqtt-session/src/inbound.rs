//! What the peer sent and we have not yet acknowledged to the end.

use core::num::NonZeroU16;

use hashbrown::HashMap;
use mqtt_codec::{PacketId, ReasonCode};

use crate::Violation;

/// QoS 2 identifiers between PUBREC and PUBREL, and the peer's send quota.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// Identifier, and whether its PUBLISH came on this connection: only those count against the quota, which
    /// starts anew with each connection (section 4.9).
    received: HashMap<u16, bool>,
    /// How many of `received` came on this connection.
    received_here: u16,
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
        let known = if exactly_once { self.received.get(&id.get()).copied() } else { None };
        if known == Some(true) {
            return Ok(false);
        }
        if let Some(maximum) = receive_maximum
            && u32::from(self.received_here) + u32::from(self.unanswered) >= u32::from(maximum.get())
        {
            // [MQTT-3.3.4-7] is the client's duty; 3.3.4 tells the receiver to disconnect with 0x93.
            return Err(Violation::new(ReasonCode::ReceiveMaximumExceeded, "MQTT-3.3.4-9"));
        }
        if known.is_some() {
            self.note_received(id);
            return Ok(false);
        }
        self.unanswered = self.unanswered.saturating_add(1);
        Ok(true)
    }

    fn note_received(&mut self, id: PacketId) {
        if self.received.insert(id.get(), true) != Some(true) {
            self.received_here += 1; // At most one per identifier, and those have 16 bits without zero.
        }
    }

    /// A PUBACK or PUBREC goes out for a message that [`arrive`](Self::arrive) admitted.
    pub(crate) fn answer(&mut self, id: PacketId, awaits_pubrel: bool) {
        self.unanswered = self.unanswered.saturating_sub(1);
        if awaits_pubrel {
            self.note_received(id);
        }
    }

    /// A PUBREL arrived. Whether its identifier was in use.
    pub(crate) fn release(&mut self, id: PacketId) -> bool {
        let known = self.received.remove(&id.get());
        self.received_here -= u16::from(known == Some(true));
        known.is_some()
    }

    /// A new connection begins: what was not answered will be sent again.
    pub(crate) fn reconnect(&mut self) {
        self.unanswered = 0;
        self.received_here = 0;
        self.received.values_mut().for_each(|here| *here = false);
    }

    /// An identifier of an earlier connection.
    pub(crate) fn restore(&mut self, id: PacketId) {
        self.received.insert(id.get(), false);
    }

    pub(crate) fn len(&self) -> usize {
        self.received.len()
    }
}
