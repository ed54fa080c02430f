//! Records: what stands in the segments, byte for byte. Each begins with its version.
//!
//! Numbers are written in seven bits per byte, least significant first; texts and bytes follow their length.
//! A frame's checksum covers all of its records. The body of a message has one of its own besides, because it is
//! also read alone, when it is delivered.

use mqtt_codec::{Packet, QoS, Version, decode};

/// The version that is written, and the only one that is read. Version 1 was never released.
pub(crate) const VERSION: u8 = 2;

/// A record, borrowed from the segment. Those with a count, which is at least 1, stand for so many in a row: places,
/// packet identifiers and orders go up by one with each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Record<'a> {
    Body(Body<'a>),
    Entry(Entry<'a>),
    Sent { session: u64, place: u64, packet_id: u16, order: u64, count: u16 },
    Pubrec { session: u64, place: u64, order: u64, count: u16 },
    Done { session: u64, place: u64, count: u16 },
    Head(Head<'a>),
    End { session: u64 },
    Subscribe { session: u64, filter: &'a str, options: u8, identifier: u32 },
    Unsubscribe { session: u64, filter: &'a str },
    Received { session: u64, packet_id: u16 },
    Released { session: u64, packet_id: u16, count: u16 },
    Retained { topic: &'a str, version: u64, body: u64, qos: u8, publisher: &'a str },
    Cleared { topic: &'a str, version: u64 },
    Bodies(Bodies<'a>),
    Entries(Entries),
}

/// The messages of a batch, as they are encoded for clients; numbers go up by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bodies<'a> {
    pub(crate) first: u64,
    pub(crate) count: u32,
    /// Where the first item begins, in the record.
    pub(crate) offset: u32,
    pub(crate) items: &'a [u8],
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) id: u64,
    /// Where it begins, in the record.
    pub(crate) offset: u32,
    /// All of it. It can be read alone, see [`Decoder::checked_body`].
    pub(crate) bytes: &'a [u8],
}

/// One session's part in messages next to each other, none of which has anything of its own. If they were sent, packet
/// identifiers and orders go up by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entries {
    pub(crate) session: u64,
    pub(crate) place: u64,
    pub(crate) body: u64,
    pub(crate) count: u32,
    /// 0 if they wait.
    pub(crate) packet_id: u16,
    pub(crate) order: u64,
}

/// A message, stored once however many wait for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Body<'a> {
    pub(crate) id: u64,
    /// Milliseconds since 1970; 0 for never.
    pub(crate) expires_at_ms: u64,
    pub(crate) topic: &'a str,
    pub(crate) properties: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// Of one that was read: what it says of itself, so that what is damaged is recognised wherever it moves.
    pub(crate) checksum: Option<u32>,
}

/// One session's part in a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry<'a> {
    pub(crate) session: u64,
    pub(crate) place: u64,
    pub(crate) body: u64,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Subscription identifiers, four bytes each, least significant first.
    pub(crate) ids: &'a [u8],
    /// 0 if it waits.
    pub(crate) packet_id: u16,
    pub(crate) released: bool,
    /// Order of sending, or of the PUBREC.
    pub(crate) order: u64,
}

/// A session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head<'a> {
    pub(crate) session: u64,
    pub(crate) client_id: &'a str,
    /// See [`Source::to_text`](crate::Source::to_text); empty if it is nobody's.
    pub(crate) owner: &'a str,
    pub(crate) session_expiry_s: u32,
    /// Milliseconds since 1970; 0 while the client is connected.
    pub(crate) away_since_ms: u64,
    pub(crate) will: Option<Will<'a>>,
}

/// A will that is not published yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Will<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) properties: &'a [u8],
    /// Plus one; 0 for none.
    pub(crate) message_expiry: u64,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) delay_interval_s: u32,
}

impl Body<'_> {
    /// What stands for one that is lost.
    pub(crate) fn lost(id: u64, expires_at_ms: u64) -> Self {
        Self { id, expires_at_ms, topic: "", properties: &[], payload: &[], checksum: None }
    }
}

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A record of another version.
    Version(u8),
    /// Of the version that is known, but of no kind or not whole.
    Bytes,
}

pub(crate) struct Encoder<'o>(pub(crate) &'o mut Vec<u8>);

impl Encoder<'_> {
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    fn number(&mut self, mut number: u64) -> &mut Self {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.byte(u8::try_from(number).expect("seven bits"))
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn record(&mut self, record: &Record<'_>) {
        self.byte(VERSION).byte(record.kind());
        match *record {
            Record::Body(body) => self.body(&body),
            Record::Entry(entry) => self.entry(&entry),
            Record::Sent { session, place, packet_id, order, count } => {
                self.number(session)
                    .number(place)
                    .number(packet_id.into())
                    .number(order)
                    .number(count.into());
            }
            Record::Pubrec { session, place, order, count } => {
                self.number(session).number(place).number(order).number(count.into());
            }
            Record::Done { session, place, count } => {
                self.number(session).number(place).number(count.into());
            }
            Record::Head(head) => self.head(&head),
            Record::End { session } => {
                self.number(session);
            }
            Record::Subscribe { session, filter, options, identifier } => {
                self.number(session).text(filter).byte(options).number(identifier.into());
            }
            Record::Unsubscribe { session, filter } => {
                self.number(session).text(filter);
            }
            Record::Received { session, packet_id } => {
                self.number(session).number(packet_id.into());
            }
            Record::Released { session, packet_id, count } => {
                self.number(session).number(packet_id.into()).number(count.into());
            }
            Record::Retained { topic, version, body, qos, publisher } => {
                self.text(topic).number(version).number(body).byte(qos).text(publisher);
            }
            Record::Cleared { topic, version } => {
                self.text(topic).number(version);
            }
            Record::Bodies(bodies) => {
                self.number(bodies.first).number(bodies.count.into());
                self.0.extend_from_slice(bodies.items);
            }
            Record::Entries(entries) => {
                self.number(entries.session).number(entries.place).number(entries.body);
                self.number(entries.count.into()).number(entries.packet_id.into()).number(entries.order);
            }
        }
    }

    /// The record of a batch's messages, given as PUBLISH packets of a version with properties or of one without. Where
    /// each begins in the record, and where the last ends.
    pub(crate) fn bodies<'p>(
        &mut self,
        first: u64,
        count: u32,
        with_properties: bool,
        packets: impl Iterator<Item = &'p [u8]>,
    ) -> Vec<u32> {
        let from = self.0.len();
        self.byte(VERSION).byte(BODIES).number(first).number(count.into());
        let mut offsets = Vec::with_capacity(count as usize + 1);
        let here = |bytes: &Vec<u8>| u32::try_from(bytes.len() - from).expect("a frame is short");
        for (id, packet) in in_a_row(first, count).zip(packets) {
            offsets.push(here(self.0));
            let checksum = item_checksum(id, with_properties, packet);
            self.byte(with_properties.into());
            self.0.extend_from_slice(&checksum.to_le_bytes());
            self.bytes(packet);
        }
        offsets.push(here(self.0));
        offsets
    }

    fn body(&mut self, body: &Body<'_>) {
        self.number(body.id);
        let from = self.0.len();
        self.0.extend_from_slice(&[0; CHECKSUM_BYTES]);
        self.number(body.expires_at_ms).text(body.topic).bytes(body.properties).bytes(body.payload);
        let (checksum, covered) = self.0[from..].split_at_mut(CHECKSUM_BYTES);
        let of_body = body.checksum.unwrap_or_else(|| crc32fast::hash(covered));
        checksum.copy_from_slice(&of_body.to_le_bytes());
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let flags = entry.qos
            | u8::from(entry.retain) << 2
            | u8::from(entry.released) << 3
            | u8::from(!entry.ids.is_empty()) << 4
            | u8::from(entry.packet_id != 0) << 5;
        self.number(entry.session).number(entry.place).number(entry.body).byte(flags);
        if !entry.ids.is_empty() {
            self.bytes(entry.ids);
        }
        if entry.packet_id != 0 {
            self.number(entry.packet_id.into()).number(entry.order);
        }
    }

    fn head(&mut self, head: &Head<'_>) {
        self.number(head.session).text(head.client_id).text(head.owner);
        self.number(head.session_expiry_s.into()).number(head.away_since_ms);
        let Some(will) = head.will else {
            self.byte(0);
            return;
        };
        self.byte(1).text(will.topic).bytes(will.payload).bytes(will.properties);
        self.number(will.message_expiry).byte(will.qos | u8::from(will.retain) << 2);
        self.number(will.delay_interval_s.into());
    }
}

/// Messages in a row at most: there are no more packet identifiers.
pub(crate) const ROW_MAX: u32 = u16::MAX as u32;
/// Bytes of the checksum of a body, over all that follows it in the record.
const CHECKSUM_BYTES: usize = 4;

impl Record<'_> {
    /// The same without a borrow, if it is of a kind that may stand for a row.
    pub(crate) fn as_row(&self) -> Option<Record<'static>> {
        match *self {
            Self::Sent { session, place, packet_id, order, count } => {
                Some(Record::Sent { session, place, packet_id, order, count })
            }
            Self::Pubrec { session, place, order, count } => {
                Some(Record::Pubrec { session, place, order, count })
            }
            Self::Done { session, place, count } => Some(Record::Done { session, place, count }),
            Self::Released { session, packet_id, count } => {
                Some(Record::Released { session, packet_id, count })
            }
            _ => None,
        }
    }

    /// One record for this and the one behind it, if both together are a row.
    pub(crate) fn joined(&self, next: &Record<'_>) -> Option<Record<'static>> {
        let row = |first: u64, count: u16, next: u64| {
            first.checked_add(count.into()) == Some(next) && count < u16::MAX
        };
        let same = |a: u64, b: u64| a == b;
        match (*self, *next) {
            (
                Self::Sent { session, place, packet_id, order, count },
                Record::Sent { session: s, place: p, packet_id: id, order: o, count: 1 },
            ) if same(session, s) && row(place, count, p) && row(packet_id.into(), count, id.into()) => {
                row(order, count, o).then_some(Record::Sent {
                    session,
                    place,
                    packet_id,
                    order,
                    count: count + 1,
                })
            }
            (
                Self::Pubrec { session, place, order, count },
                Record::Pubrec { session: s, place: p, order: o, count: 1 },
            ) if same(session, s) && row(place, count, p) => {
                row(order, count, o).then_some(Record::Pubrec { session, place, order, count: count + 1 })
            }
            (Self::Done { session, place, count }, Record::Done { session: s, place: p, count: 1 })
                if same(session, s) && row(place, count, p) =>
            {
                Some(Record::Done { session, place, count: count + 1 })
            }
            (
                Self::Released { session, packet_id, count },
                Record::Released { session: s, packet_id: id, count: 1 },
            ) if same(session, s) && row(packet_id.into(), count, id.into()) => {
                Some(Record::Released { session, packet_id, count: count + 1 })
            }
            _ => None,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Body(_) => 1,
            Self::Entry(_) => 2,
            Self::Sent { .. } => 3,
            Self::Pubrec { .. } => 4,
            Self::Done { .. } => 5,
            Self::Head(_) => 6,
            Self::End { .. } => 7,
            Self::Subscribe { .. } => 8,
            Self::Unsubscribe { .. } => 9,
            Self::Received { .. } => 10,
            Self::Released { .. } => 11,
            Self::Retained { .. } => 12,
            Self::Cleared { .. } => 13,
            Self::Bodies(_) => BODIES,
            Self::Entries(_) => 15,
        }
    }
}

const BODIES: u8 = 14;

/// Covers the number and the layout as well, which are no part of the packet.
fn item_checksum(id: u64, with_properties: bool, packet: &[u8]) -> u32 {
    let seed = (id as u32) ^ (id >> 32) as u32 ^ if with_properties { 1 << 31 } else { 0 };
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(packet);
    hasher.finalize()
}

impl<'a> Bodies<'a> {
    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let Self { first, count, offset, items } = *self;
        let mut decoder = Decoder::new(items);
        in_a_row(first, count).map_while(move |id| {
            let from = decoder.position();
            decoder.item().ok()?;
            let bytes = &items[from..decoder.position()];
            Some(Item { id, offset: offset + u32::try_from(from).ok()?, bytes })
        })
    }
}

impl<'a> Item<'a> {
    /// The message, if it is what was written.
    pub(crate) fn checked(&self) -> Option<Body<'a>> {
        Decoder::checked_body(self.bytes, self.id).ok()
    }
}

impl Entries {
    /// One of them.
    pub(crate) fn entry(&self, step: u32, place: u64) -> Entry<'static> {
        let wide = u64::from(step);
        let is_sent = self.packet_id > 0;
        Entry {
            session: self.session,
            place,
            body: self.body.wrapping_add(wide),
            qos: 1,
            retain: false,
            ids: &[],
            packet_id: if is_sent { self.packet_id.wrapping_add(step as u16) } else { 0 },
            released: false,
            order: if is_sent { self.order.wrapping_add(wide) } else { 0 },
        }
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = u64> + use<> {
        in_a_row(self.place, self.count)
    }
}

/// Numbers that go up by one, also where a record that was never written begins with the last there is.
fn in_a_row(first: u64, count: u32) -> impl Iterator<Item = u64> + use<> {
    (0..u64::from(count)).map(move |step| first.wrapping_add(step))
}

/// What some of several messages next to each other have of the bytes of their common record. Each has at least one, so that
/// the record counts as long as one of them is there: to be given the result of [`row_bytes`].
pub(crate) fn share_of(bytes: u32, count: u32, part: core::ops::Range<u32>) -> u32 {
    let (each, rest) = (bytes / count.max(1), bytes % count.max(1));
    each * (part.end - part.start) + part.end.min(rest) - part.start.min(rest)
}

/// The bytes that a record counts for so many messages.
pub(crate) fn row_bytes(bytes: u32, count: u32) -> u32 {
    bytes.max(count)
}

/// Takes records off a slice.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    start: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, start: bytes }
    }

    /// Bytes taken so far.
    pub(crate) fn position(&self) -> usize {
        self.start.len() - self.bytes.len()
    }

    /// The next record; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'a>>, Unreadable> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        match self.byte()? {
            VERSION => {}
            other => return Err(Unreadable::Version(other)),
        }
        let kind = self.byte()?;
        self.of_kind(kind).map(Some)
    }

    fn of_kind(&mut self, kind: u8) -> Result<Record<'a>, Unreadable> {
        Ok(match kind {
            1 => Record::Body(self.body()?),
            2 => Record::Entry(self.entry()?),
            3 => Record::Sent {
                session: self.number()?,
                place: self.number()?,
                packet_id: self.small()?,
                order: self.number()?,
                count: self.count()?,
            },
            4 => Record::Pubrec {
                session: self.number()?,
                place: self.number()?,
                order: self.number()?,
                count: self.count()?,
            },
            5 => Record::Done { session: self.number()?, place: self.number()?, count: self.count()? },
            6 => Record::Head(self.head()?),
            7 => Record::End { session: self.number()? },
            8 => Record::Subscribe {
                session: self.number()?,
                filter: self.text()?,
                options: self.byte()?,
                identifier: self.small()?,
            },
            9 => Record::Unsubscribe { session: self.number()?, filter: self.text()? },
            10 => Record::Received { session: self.number()?, packet_id: self.small()? },
            11 => {
                Record::Released { session: self.number()?, packet_id: self.small()?, count: self.count()? }
            }
            12 => Record::Retained {
                topic: self.text()?,
                version: self.number()?,
                body: self.number()?,
                qos: self.byte()?,
                publisher: self.text()?,
            },
            13 => Record::Cleared { topic: self.text()?, version: self.number()? },
            BODIES => Record::Bodies(self.bodies()?),
            15 => Record::Entries(Entries {
                session: self.number()?,
                place: self.number()?,
                body: self.number()?,
                count: self.row_count()?,
                packet_id: self.small()?,
                order: self.number()?,
            }),
            _ => return Err(Unreadable::Bytes),
        })
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (&first, rest) = self.bytes.split_first().ok_or(Unreadable::Bytes)?;
        self.bytes = rest;
        Ok(first)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unreadable::Bytes)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Unreadable> {
        T::try_from(self.number()?).map_err(|_| Unreadable::Bytes)
    }

    fn count(&mut self) -> Result<u16, Unreadable> {
        Some(self.small()?).filter(|count| *count > 0).ok_or(Unreadable::Bytes)
    }

    fn row_count(&mut self) -> Result<u32, Unreadable> {
        Some(self.small()?).filter(|count| (1..=ROW_MAX).contains(count)).ok_or(Unreadable::Bytes)
    }

    fn bodies(&mut self) -> Result<Bodies<'a>, Unreadable> {
        let from = self.position();
        let (first, count) = (self.number()?, self.row_count()?);
        let (begin, rest) = (self.position(), self.bytes);
        for _ in 0..count {
            self.item()?;
        }
        let items = &rest[..self.position() - begin];
        // Behind the version and the kind.
        let offset = u32::try_from(begin - from + 2).map_err(|_| Unreadable::Bytes)?;
        Ok(Bodies { first, count, offset, items })
    }

    /// Whether it has properties, its checksum, and the packet.
    fn item(&mut self) -> Result<(bool, u32, &'a [u8]), Unreadable> {
        let with_properties = match self.byte()? {
            0 => false,
            1 => true,
            _ => return Err(Unreadable::Bytes),
        };
        let (checksum, rest) = self.bytes.split_first_chunk().ok_or(Unreadable::Bytes)?;
        self.bytes = rest;
        Ok((with_properties, u32::from_le_bytes(*checksum), self.bytes()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let len = self.small::<usize>()?;
        let (bytes, rest) = self.bytes.split_at_checked(len).ok_or(Unreadable::Bytes)?;
        self.bytes = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        core::str::from_utf8(self.bytes()?).map_err(|_| Unreadable::Bytes)
    }

    /// The body with this number that is all of these bytes, a record of its own or an item of another, if its checksum says
    /// that they are what was written.
    pub(crate) fn checked_body(bytes: &'a [u8], id: u64) -> Result<Body<'a>, Unreadable> {
        if bytes.first().is_some_and(|first| *first != VERSION) {
            return Self::checked_item(bytes, id);
        }
        let mut decoder = Self::new(bytes);
        let Some(Record::Body(body)) = decoder.next()? else { return Err(Unreadable::Bytes) };
        let mut decoder = Self::new(&bytes[2..]);
        decoder.number()?;
        let covered = decoder.bytes.get(CHECKSUM_BYTES..).ok_or(Unreadable::Bytes)?;
        let is_right = Some(crc32fast::hash(covered)) == body.checksum && body.id == id;
        is_right.then_some(body).ok_or(Unreadable::Bytes)
    }

    fn checked_item(bytes: &'a [u8], id: u64) -> Result<Body<'a>, Unreadable> {
        let mut decoder = Self::new(bytes);
        let (with_properties, checksum, packet) = decoder.item()?;
        if !decoder.bytes.is_empty() || item_checksum(id, with_properties, packet) != checksum {
            return Err(Unreadable::Bytes);
        }
        let version = if with_properties { Version::V5 } else { Version::V3_1_1 };
        let Ok(Packet::Publish(publish)) = decode(packet, version) else { return Err(Unreadable::Bytes) };
        let (topic, properties, payload) = (publish.topic, publish.properties.as_bytes(), publish.payload);
        Ok(Body { id, expires_at_ms: 0, topic, properties, payload, checksum: None })
    }

    fn body(&mut self) -> Result<Body<'a>, Unreadable> {
        let id = self.number()?;
        let (checksum, rest) = self.bytes.split_first_chunk().ok_or(Unreadable::Bytes)?;
        self.bytes = rest;
        Ok(Body {
            id,
            checksum: Some(u32::from_le_bytes(*checksum)),
            expires_at_ms: self.number()?,
            topic: self.text()?,
            properties: self.bytes()?,
            payload: self.bytes()?,
        })
    }

    fn entry(&mut self) -> Result<Entry<'a>, Unreadable> {
        let (session, place, body) = (self.number()?, self.number()?, self.number()?);
        let flags = self.byte()?;
        let ids = if flags & 1 << 4 == 0 { &[] } else { self.bytes()? };
        let (packet_id, order) = if flags & 1 << 5 == 0 { (0, 0) } else { (self.small()?, self.number()?) };
        let (qos, retain, released) = (flags & 3, flags & 1 << 2 != 0, flags & 1 << 3 != 0);
        Ok(Entry { session, place, body, qos, retain, ids, packet_id, released, order })
    }

    fn head(&mut self) -> Result<Head<'a>, Unreadable> {
        let (session, client_id, owner) = (self.number()?, self.text()?, self.text()?);
        let (session_expiry_s, away_since_ms) = (self.small()?, self.number()?);
        let will = if self.byte()? == 0 { None } else { Some(self.will()?) };
        Ok(Head { session, client_id, owner, session_expiry_s, away_since_ms, will })
    }

    fn will(&mut self) -> Result<Will<'a>, Unreadable> {
        let (topic, payload, properties) = (self.text()?, self.bytes()?, self.bytes()?);
        let (message_expiry, flags, delay_interval_s) = (self.number()?, self.byte()?, self.small()?);
        let (qos, retain) = (flags & 3, flags & 1 << 2 != 0);
        Ok(Will { topic, payload, properties, message_expiry, qos, retain, delay_interval_s })
    }
}

/// The quality of service of a record; only 0, 1 and 2 are ever written.
pub(crate) fn qos(bits: u8) -> QoS {
    match bits & 3 {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

#[cfg(test)]
mod tests;
