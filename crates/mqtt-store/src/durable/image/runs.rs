//! Batches as they came: messages in a row, for which the image keeps one run instead of an entry each. Most are sent and
//! acknowledged as they came, and never become anything else. Where something else happens, a run dissolves into entries.

use mqtt_codec::QoS;
use mqtt_session::Batch;

use super::{At, BodyImage, EntryImage, FRESH, Image, InFlight, Live, Pending, Places, SessionImage, Spot};
use crate::durable::record::{self, Record};

/// Messages of one batch for one session: places, bodies, packet identifiers and orders go up by one with each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) place: u64,
    pub(super) count: u32,
    pub(super) body: u64,
    /// Under which number its bodies are known together.
    pub(super) key: u64,
    /// Where the record stands, which other runs may share with it; 0 if it is not written.
    pub(super) at: At,
    /// Its part of the record's bytes, at least one for each message, so that the record counts as long as one is left.
    pub(super) bytes: u32,
    /// 0 if they wait.
    pub(super) packet_id: u16,
    pub(super) order: u64,
}

/// Bodies of one batch, written with one record.
#[derive(Debug, Default)]
pub(super) struct BodyRun {
    /// Number of the first that is written.
    pub(super) first: u64,
    pub(super) spot: Spot,
    /// Where each stands in the record.
    pub(super) offsets: Vec<u32>,
    /// How often one of them is needed.
    left: u64,
    /// Who has runs of them, and from which place on.
    pub(super) receivers: Vec<(u64, u64)>,
}

/// Fewer messages are not worth a run.
pub(super) const RUN_MESSAGES_MIN: u32 = 4;

impl Run {
    pub(super) fn spot(&self) -> Spot {
        Spot { at: self.at, bytes: self.bytes }
    }

    fn holds(&self, place: u64) -> bool {
        place.checked_sub(self.place).is_some_and(|step| step < self.count.into())
    }

    fn has_id(&self, packet_id: u16) -> bool {
        self.packet_id > 0
            && packet_id.checked_sub(self.packet_id).is_some_and(|step| u32::from(step) < self.count)
    }

    /// The first messages; the others stay.
    fn split_front(&mut self, count: u32) -> Self {
        let bytes = record::share_of(self.bytes, self.count, 0..count);
        let front = Self { count, bytes, ..*self };
        let step = u64::from(count);
        (self.place, self.body, self.order) = (self.place + step, self.body + step, self.order + step);
        if self.packet_id > 0 {
            self.packet_id = self.packet_id.wrapping_add(u16::try_from(count).unwrap_or(0));
        }
        (self.count, self.bytes) = (self.count - count, self.bytes - bytes);
        front
    }

    fn entry(&self, step: u32) -> EntryImage {
        EntryImage {
            body: self.body + u64::from(step),
            at: self.at,
            bytes: record::share_of(self.bytes, self.count, step..step + 1),
            packet_id: if self.packet_id == 0 {
                0
            } else {
                self.packet_id + u16::try_from(step).unwrap_or(0)
            },
            qos: 1,
            retain: false,
        }
    }
}

impl BodyRun {
    /// One body by itself; fresh if it is not written.
    fn image_of(&self, id: u64) -> BodyImage {
        let index = id.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let found = index.and_then(|index| Some((*self.offsets.get(index)?, self.offsets.get(index + 1)?)));
        match found {
            Some((from, to)) if self.spot.is_written() => {
                BodyImage { at: self.spot.at + u64::from(from), bytes: to - from, ..BodyImage::default() }
            }
            _ => BodyImage { at: FRESH, ..BodyImage::default() },
        }
    }
}

impl SessionImage {
    /// The run with this place.
    fn run_of(&self, place: u64) -> Option<usize> {
        let index = self.run_from(place);
        self.runs.get(index)?.holds(place).then_some(index)
    }

    /// The first run with this place or a later one.
    pub(super) fn run_from(&self, place: u64) -> usize {
        self.runs.partition_point(|run| run.place + u64::from(run.count) <= place)
    }

    /// Those that were sent: they come before all others.
    fn sent_runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().take_while(|run| run.packet_id > 0)
    }

    /// Under which number the body of a message in a run is known.
    pub(super) fn key_of(&self, place: u64) -> Option<u64> {
        self.run_of(place).map(|index| self.runs[index].key)
    }

    /// The next identifier, from this on, that is in a run.
    pub(super) fn next_run(&self, packet_id: u16) -> Option<u16> {
        self.sent_runs().map(|run| run.packet_id).filter(|first| *first > packet_id).min()
    }

    /// Whether a message is there, by itself or in a run.
    pub(super) fn holds(&self, place: u64) -> bool {
        self.run_of(place).is_some() || self.entries.get(place).is_some()
    }

    /// Makes a run of its own of some of its messages: `count` of them at most, from the one at `step` on.
    fn cut(&mut self, index: usize, step: u32, count: u32) -> usize {
        let index = if step > 0 { self.split(index, step) } else { index };
        if count < self.runs[index].count {
            self.split(index, count);
        }
        index
    }

    /// Cuts a run in two. Where the second part is.
    fn split(&mut self, index: usize, count: u32) -> usize {
        let front = self.runs[index].split_front(count);
        self.runs.insert(index, front);
        index + 1
    }
}

impl Image {
    /// Takes a batch over as a run, unless it is not worth it, or some of its bodies stand alone. Whether it did.
    pub(super) fn enqueue_run(&mut self, session: u64, batch: &Batch, key: u64, is_new: bool) -> bool {
        let Some(image) = self.sessions.get_mut(&session) else { return false };
        let (place, count) = (batch.place(), batch.messages());
        let is_next = image.runs.back().is_none_or(|last| last.place + u64::from(last.count) <= place);
        let is_known = is_new || self.body_runs.contains_key(&key);
        let is_worth_it = (RUN_MESSAGES_MIN..=record::ROW_MAX).contains(&count);
        if batch.qos() != QoS::AtLeastOnce || !is_worth_it || !is_next || !is_known {
            return false;
        }
        image.runs.push_back(Run { place, count, body: key, key, at: 0, bytes: 0, packet_id: 0, order: 0 });
        let bodies = self.body_runs.entry(key).or_default();
        bodies.left += u64::from(count);
        bodies.receivers.push((session, place));
        self.messages += u64::from(count);
        true
    }

    /// Messages were sent that are the first of one run, behind runs that were sent, under identifiers that do not begin again.
    /// Whether they are written; `None` if it is not so.
    pub(super) fn send_run(&mut self, session: u64, place: u64, packet_id: u16, count: u16) -> Option<bool> {
        let image = self.sessions.get_mut(&session)?;
        packet_id.checked_add(count - 1)?;
        let index = image.run_of(place)?;
        let run = &image.runs[index];
        let is_next = index == 0 || image.runs[index - 1].packet_id > 0;
        if packet_id == 0 || run.packet_id > 0 || run.place != place || run.count < count.into() || !is_next {
            return None;
        }
        let index = image.cut(index, 0, count.into());
        let (order, run) = (image.last_order + 1, &mut image.runs[index]);
        (run.packet_id, run.order) = (packet_id, order);
        image.last_order += u64::from(count);
        Some(run.at != 0)
    }

    /// Of a row of identifiers, those at the beginning are done that are in one run: how many, the place of the first, and
    /// whether they are written.
    pub(super) fn settle_run(
        &mut self,
        session: u64,
        packet_id: u16,
        count: u16,
    ) -> Option<(u16, u64, bool)> {
        let image = self.sessions.get_mut(&session)?;
        let index = image.sent_runs().position(|run| run.has_id(packet_id))?;
        let run = &image.runs[index];
        let step = packet_id - run.packet_id;
        let count = u16::try_from(run.count - u32::from(step)).map_or(count, |rest| rest.min(count));
        let index = image.cut(index, step.into(), count.into());
        let run = image.runs.remove(index)?;
        self.messages = self.messages.saturating_sub(count.into());
        self.live.remove(run.spot());
        self.release_run(&run);
        Some((count, run.place, run.at != 0))
    }

    /// The session of a run has gone.
    pub(super) fn forget_run(&mut self, run: &Run) {
        self.messages = self.messages.saturating_sub(run.count.into());
        self.live.remove(run.spot());
        self.release_run(run);
    }

    fn release_run(&mut self, run: &Run) {
        let Some(bodies) = self.body_runs.get_mut(&run.key) else { return };
        bodies.left = bodies.left.saturating_sub(run.count.into());
        if bodies.left == 0 {
            self.live.remove(bodies.spot);
            self.body_runs.remove(&run.key);
        }
    }

    /// Makes entries and bodies of the runs of a batch, for all sessions that have them.
    pub(crate) fn dissolve(&mut self, key: u64) {
        let Some(mut bodies) = self.body_runs.remove(&key) else { return };
        self.live.remove(bodies.spot);
        for (session, place) in std::mem::take(&mut bodies.receivers) {
            let Some(image) = self.sessions.get_mut(&session) else { continue };
            let index = image.run_from(place);
            while image.runs.get(index).is_some_and(|run| run.key == key)
                && let Some(run) = image.runs.remove(index)
            {
                self.live.remove(run.spot());
                image.expand(&run, &bodies, &mut self.bodies, &mut self.live);
            }
        }
    }

    /// The same for the batch of one message, if it is in a run.
    pub(crate) fn dissolve_at(&mut self, session: u64, place: u64) {
        if let Some(key) = self.sessions.get(&session).and_then(|image| image.key_of(place)) {
            self.dissolve(key);
        }
    }

    /// The same for all there are.
    pub(super) fn dissolve_all(&mut self) {
        let keys: Vec<u64> = self.body_runs.keys().copied().collect();
        keys.into_iter().for_each(|key| self.dissolve(key));
    }

    /// The same for those that a record tells of.
    pub(super) fn dissolve_recorded(&mut self, record: &Record<'_>, at: At) {
        let key = match *record {
            Record::Bodies(bodies) => {
                let found = self.body_runs.range(..=bodies.first).next_back();
                found.filter(|(_, run)| run.spot.at == at).map(|(key, _)| *key)
            }
            Record::Entries(entries) => {
                let image = self.sessions.get(&entries.session);
                let run = image.and_then(|image| image.runs.get(image.run_from(entries.place)));
                run.filter(|run| run.at == at).map(|run| run.key)
            }
            _ => None,
        };
        key.into_iter().for_each(|key| self.dissolve(key));
    }

    /// What has to be written again of a record of a row, which was [dissolved](Self::dissolve_recorded) before.
    pub(super) fn save_row<'c>(&mut self, record: &Record<'c>, at: At, pending: &mut Vec<Pending<'c>>) {
        match *record {
            Record::Bodies(bodies) => {
                for item in bodies.items() {
                    let here = at + u64::from(item.offset);
                    if self.bodies.get(item.id).is_some_and(|body| body.at == here) {
                        pending.push(item.checked().map_or(Pending::Lost(item.id), Pending::Body));
                    }
                }
            }
            Record::Entries(entries) => {
                let Some(image) = self.sessions.get_mut(&entries.session) else { return };
                for place in entries.places() {
                    if let Some(entry) = image.entries.find_mut(place).filter(|entry| entry.at == at) {
                        self.live.remove(entry.spot());
                        (entry.at, entry.bytes) = (0, 0);
                        pending.push(Pending::Entry(entries.session, place));
                    }
                }
            }
            _ => {}
        }
    }
}

impl SessionImage {
    fn expand(&mut self, run: &Run, from: &BodyRun, bodies: &mut Places<BodyImage>, live: &mut Live) {
        for step in 0..run.count {
            let (entry, wide) = (run.entry(step), u64::from(step));
            live.add(entry.spot());
            if entry.packet_id > 0 {
                let in_flight =
                    InFlight { place: run.place + wide, order: run.order + wide, released: false };
                self.in_flight.insert(entry.packet_id, in_flight);
            }
            self.entries.insert(run.place + wide, entry);
            let body = bodies.find_or_insert(entry.body, || from.image_of(entry.body));
            if body.refs == 0 {
                live.add(body.spot());
            }
            body.refs += 1;
        }
    }
}
