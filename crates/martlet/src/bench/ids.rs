//! The packet identifiers of one publisher above QoS 0.

use std::collections::VecDeque;

use mqtt_codec::{PacketId, PacketType, QoS};

/// Which identifiers are free, and what each other one waits for.
#[derive(Debug)]
pub(super) struct Ids {
    /// Taken from the front, given back at the end, so that an identifier rests as long as possible.
    free: VecDeque<PacketId>,
    /// By identifier; the first place is unused.
    waiting: Vec<Waiting>,
    qos: QoS,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Puback,
    Pubrec,
    Pubcomp,
}

/// What an acknowledgement leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The message is done and its identifier free again.
    Done,
    /// PUBREL has to be sent.
    Release,
    /// It acknowledges nothing that waits for it.
    Unexpected,
}

impl Ids {
    /// `in_flight_max` identifiers, for messages of this QoS.
    pub(super) fn new(qos: QoS, in_flight_max: u16) -> Self {
        Self {
            free: (1..=in_flight_max).filter_map(PacketId::new).collect(),
            waiting: vec![Waiting::Nothing; usize::from(in_flight_max) + 1],
            qos,
        }
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// Whether nothing waits for an acknowledgement.
    pub(super) fn all_free(&self) -> bool {
        self.free.len() + 1 == self.waiting.len()
    }

    /// Takes an identifier for a message that leaves now; there must be a free one.
    pub(super) fn take(&mut self) -> PacketId {
        let id = self.free.pop_front().expect("the caller has asked how many are free");
        self.waiting[usize::from(id.get())] =
            if self.qos == QoS::ExactlyOnce { Waiting::Pubrec } else { Waiting::Puback };
        id
    }

    /// Takes an acknowledgement of one of the three types that a publisher gets.
    pub(super) fn acknowledge(&mut self, packet: PacketType, id: u16) -> Step {
        let Some(waiting) = self.waiting.get_mut(usize::from(id)) else { return Step::Unexpected };
        match (packet, *waiting) {
            (PacketType::Pubrec, Waiting::Pubrec) => {
                *waiting = Waiting::Pubcomp;
                Step::Release
            }
            (PacketType::Puback, Waiting::Puback) | (PacketType::Pubcomp, Waiting::Pubcomp) => {
                *waiting = Waiting::Nothing;
                self.free.extend(PacketId::new(id));
                Step::Done
            }
            _ => Step::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_free_again_once_it_is_acknowledged() {
        let mut ids = Ids::new(QoS::AtLeastOnce, 2);
        assert_eq!([ids.take().get(), ids.take().get(), ids.free() as u16], [1, 2, 0]);
        assert_eq!(ids.acknowledge(PacketType::Puback, 2), Step::Done);
        assert_eq!((ids.take().get(), ids.all_free()), (2, false));
        assert_eq!(ids.acknowledge(PacketType::Puback, 1), Step::Done);
        assert_eq!(ids.acknowledge(PacketType::Puback, 2), Step::Done);
        assert!(ids.all_free());
    }

    #[test]
    fn at_qos_2_there_are_two_steps() {
        let mut ids = Ids::new(QoS::ExactlyOnce, 1);
        let id = ids.take().get();
        assert_eq!(ids.acknowledge(PacketType::Pubcomp, id), Step::Unexpected);
        assert_eq!(ids.acknowledge(PacketType::Pubrec, id), Step::Release);
        assert_eq!(ids.acknowledge(PacketType::Pubrec, id), Step::Unexpected);
        assert_eq!(ids.acknowledge(PacketType::Pubcomp, id), Step::Done);
        assert!(ids.all_free());
    }

    #[test]
    fn what_was_never_sent_cannot_be_acknowledged() {
        let mut ids = Ids::new(QoS::AtLeastOnce, 3);
        for id in [0, 1, 4, u16::MAX] {
            assert_eq!(ids.acknowledge(PacketType::Puback, id), Step::Unexpected);
        }
    }
}
