//! Each record reads as it was written, and nothing else reads as one.

use super::*;

#[track_caller]
fn check(record: Record<'_>) {
    let mut bytes = Vec::new();
    Encoder(&mut bytes).record(&record);
    let mut decoder = Decoder::new(&bytes);
    assert_eq!(decoder.next(), Ok(Some(record)));
    assert_eq!(decoder.next(), Ok(None));
    for cut in 1..bytes.len() {
        assert_eq!(Decoder::new(&bytes[..cut]).next(), Err(Unreadable::Bytes), "cut at {cut}");
    }
}

#[test]
fn every_record_reads_as_it_was_written_and_no_part_of_it_reads() {
    let entry = Entry {
        session: 1,
        place: u64::MAX,
        body: 300,
        qos: 2,
        retain: true,
        ids: &[1, 0, 0, 0],
        packet_id: 65_535,
        released: true,
        order: 128,
    };
    let (session, place) = (7, 1 << 40);
    let will = Will {
        topic: "w",
        payload: b"gone",
        properties: &[1, 1],
        message_expiry: 61,
        qos: 1,
        retain: true,
        delay_interval_s: 5,
    };
    let head = Head {
        session,
        client_id: "ä",
        owner: "o",
        session_expiry_s: u32::MAX,
        away_since_ms: 1,
        will: None,
    };
    check(Record::Body(Body {
        id: 1,
        expires_at_ms: 0,
        topic: "a/b",
        properties: &[],
        payload: &[0; 300],
        checksum: Some(0x0123_4567),
    }));
    check(Record::Entry(entry));
    let (count, packet_id, order) = (300, 7, 900);
    check(Record::Entries(Entries { session, place, body: 1 << 33, count, packet_id, order }));
    check(Record::Entry(Entry { ids: &[], packet_id: 0, released: false, order: 0, ..entry }));
    check(Record::Sent { session, place, packet_id: 1, order: 2, count: 1 });
    check(Record::Pubrec { session, place, order: 3, count: 300 });
    check(Record::Done { session, place, count: u16::MAX });
    check(Record::Head(head));
    check(Record::Head(Head { will: Some(will), ..head }));
    check(Record::End { session });
    check(Record::Subscribe { session, filter: "#", options: 0x2e, identifier: 268_435_455 });
    check(Record::Unsubscribe { session, filter: "+/a" });
    check(Record::Received { session, packet_id: 1 });
    check(Record::Released { session, packet_id: 65_535, count: 1 });
    check(Record::Retained { topic: "t", version: 8, body: 9, qos: 1, publisher: "p" });
    check(Record::Cleared { topic: "t", version: 10 });
}

proptest::proptest! {
    /// Whatever stands in a segment, reading ends, and what was read can be written and read again.
    #[test]
    fn any_bytes_are_read_to_an_end(kind in 0_u8..16, rest: Vec<u8>) {
        let bytes = [&[VERSION, kind], &rest[..]].concat();
        let mut decoder = Decoder::new(&bytes);
        let mut written = Vec::new();
        while let Ok(Some(record)) = decoder.next() {
            written.clear();
            Encoder(&mut written).record(&record);
            proptest::prop_assert!(matches!(Decoder::new(&written).next(), Ok(Some(_))));
        }
        proptest::prop_assert!(decoder.position() <= bytes.len());
    }
}

#[test]
fn another_version_is_not_guessed_at() {
    for other in [0, VERSION - 1, VERSION + 1, u8::MAX] {
        assert_eq!(Decoder::new(&[other, 7, 1]).next(), Err(Unreadable::Version(other)));
    }
}

#[test]
fn a_body_that_was_changed_in_any_bit_of_it_is_not_read_alone() {
    let (properties, payload) = (&[1, 1][..], &[7; 40][..]);
    let body = Body { id: 700, expires_at_ms: 9, topic: "a/b", properties, payload, checksum: None };
    let mut bytes = Vec::new();
    Encoder(&mut bytes).record(&Record::Body(body));
    let read = Decoder::checked_body(&bytes, 700).expect("it is as it was written");
    assert_eq!(Body { checksum: None, ..read }, body);
    for bit in 32..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(Decoder::checked_body(&changed, 700).is_err(), "bit {bit}");
    }
    bytes.push(0);
    assert_eq!(Decoder::checked_body(&bytes, 700), Err(Unreadable::Bytes));
}

#[test]
fn a_body_that_is_damaged_stays_so_when_it_is_written_again() {
    let (properties, payload) = (&[][..], &[7; 40][..]);
    let body = Body { id: 7, expires_at_ms: 0, topic: "a/b", properties, payload, checksum: None };
    let mut bytes = Vec::new();
    Encoder(&mut bytes).record(&Record::Body(body));
    *bytes.last_mut().expect("the payload") ^= 1;
    let mut moved = Vec::new();
    let record = Decoder::new(&bytes).next().expect("its fields are whole").expect("it is there");
    Encoder(&mut moved).record(&record);
    assert_eq!(Decoder::checked_body(&moved, 7), Err(Unreadable::Bytes));
    assert_eq!(moved, bytes);
}

#[test]
fn each_body_of_a_batch_can_be_read_alone_and_no_other_is_taken_for_it() {
    let packets = [&b"\x32\x08\0\x01t\0\x01abc"[..], b"\x32\x06\0\x01t\0\x01d"];
    let mut bytes = Vec::new();
    let offsets = Encoder(&mut bytes).bodies(500, 2, false, packets.into_iter());
    let mut decoder = Decoder::new(&bytes);
    let Ok(Some(Record::Bodies(bodies))) = decoder.next() else { panic!("it is a record") };
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(offsets, [bodies.offset, bodies.offset + 16, bodies.offset + 16 + 14]);
    let mut again = Vec::new();
    Encoder(&mut again).record(&Record::Bodies(bodies));
    assert_eq!(again, bytes);
    for (item, (id, payload)) in bodies.items().zip([(500, &b"abc"[..]), (501, b"d")]) {
        let from = item.offset as usize;
        assert_eq!((item.id, item.bytes), (id, &bytes[from..from + item.bytes.len()]));
        let body = item.checked().expect("it is as it was written");
        assert_eq!((body.id, body.topic, body.payload), (id, "t", payload));
        assert!(Decoder::checked_body(item.bytes, id + 1).is_err());
        for bit in 0..item.bytes.len() * 8 {
            let mut changed = item.bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Decoder::checked_body(&changed, id).is_err(), "bit {bit}");
        }
    }
    for cut in 1..bytes.len() {
        assert_eq!(Decoder::new(&bytes[..cut]).next(), Err(Unreadable::Bytes), "cut at {cut}");
    }
    // No number is behind the last, and nobody ever wrote that.
    let mut bytes = Vec::new();
    Encoder(&mut bytes).bodies(u64::MAX, 2, false, packets.into_iter());
    let Ok(Some(Record::Bodies(bodies))) = Decoder::new(&bytes).next() else { panic!("it is a record") };
    assert_eq!(bodies.items().map(|item| item.id).collect::<Vec<_>>(), [u64::MAX, 0]);
}

#[test]
fn the_shares_of_a_record_are_all_of_it_and_none_is_nothing() {
    for (bytes, count) in [(12, 5), (12, 500), (1, 1), (700, 7)] {
        let bytes = row_bytes(bytes, count);
        let each: Vec<u32> = (0..count).map(|one| share_of(bytes, count, one..one + 1)).collect();
        assert!(each.iter().all(|share| *share > 0) && each.iter().sum::<u32>() == bytes);
        let front = share_of(bytes, count, 0..count / 2);
        assert_eq!(front, each[..count as usize / 2].iter().sum::<u32>());
    }
}

#[test]
fn what_is_in_a_row_is_one_record() {
    let row = |from: u64, count| Record::Done { session: 1, place: from, count };
    assert_eq!(row(5, 2).joined(&row(7, 1)), Some(row(5, 3)));
    assert_eq!(row(5, 2).joined(&row(8, 1)), None);
    assert_eq!(row(5, u16::MAX).joined(&row(5 + u64::from(u16::MAX), 1)), None);
    assert_eq!(row(5, 1).joined(&Record::Done { session: 2, place: 6, count: 1 }), None);
    let sent = |place, packet_id, order, count| Record::Sent { session: 1, place, packet_id, order, count };
    assert_eq!(sent(5, 9, 3, 1).joined(&sent(6, 10, 4, 1)), Some(sent(5, 9, 3, 2)));
    assert_eq!(sent(5, 65_535, 3, 1).joined(&sent(6, 1, 4, 1)), None);
    assert_eq!(sent(5, 9, 3, 1).joined(&sent(6, 10, 5, 1)), None);
    let released = |packet_id, count| Record::Released { session: 1, packet_id, count };
    assert_eq!(released(9, 1).joined(&released(10, 1)), Some(released(9, 2)));
    let pubrec = |place, order| Record::Pubrec { session: 1, place, order, count: 1 };
    assert_eq!(pubrec(1, 5).joined(&pubrec(2, 7)), None);
}
