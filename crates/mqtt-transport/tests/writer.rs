//! The frame writer over streams that accept little at a time.

mod support;

use std::io;
use std::task::Poll;

use bytes::Bytes;
use mqtt_transport::{CHAIN_BYTES_MIN, FrameWriter};
use support::{PINGREQ, Throttle, noop, publish};
use tokio::io::AsyncReadExt;

/// Appends a small packet and chains a payload around the smallest size that is shared; returns both.
fn put(writer: &mut FrameWriter, round: u8) -> Vec<u8> {
    let head = publish(usize::from(round), round);
    let payload = vec![round; CHAIN_BYTES_MIN - 1 + usize::from(round % 3)];
    let pending = writer.pending_bytes();
    writer.buffer().extend_from_slice(&head);
    writer.chain(Bytes::from(payload.clone()));
    assert_eq!(writer.pending_bytes(), pending + head.len() + payload.len());
    [head, payload].concat()
}

fn put_all(writer: &mut FrameWriter, rounds: u8) -> Vec<u8> {
    (0..rounds).flat_map(|round| put(writer, round)).collect()
}

/// Flushes, polling as often as the stream blocks; the count of pending bytes must always be right.
fn flush(writer: &mut FrameWriter, stream: &mut Throttle) {
    let total = stream.written.len() + writer.pending_bytes();
    loop {
        let progress = writer.poll_flush(&mut noop(), stream);
        assert_eq!(stream.written.len() + writer.pending_bytes(), total);
        if let Poll::Ready(outcome) = progress {
            outcome.expect("the stream does not fail");
            break;
        }
    }
    assert!(writer.is_empty());
}

#[test]
fn small_packets_leave_in_one_write() {
    let mut writer = FrameWriter::new();
    for _ in 0..100 {
        writer.buffer().extend_from_slice(&PINGREQ);
    }
    let mut stream = Throttle::new(usize::MAX, usize::MAX, true);
    flush(&mut writer, &mut stream);
    assert_eq!(stream.written, PINGREQ.repeat(100));
    assert_eq!((stream.writes, stream.flushes), (1, 1));
}

#[test]
fn heads_and_chained_payloads_leave_in_one_vectored_write() {
    let mut writer = FrameWriter::new();
    let expected = put_all(&mut writer, 9);
    let mut stream = Throttle::new(usize::MAX, usize::MAX, true);
    flush(&mut writer, &mut stream);
    assert!(stream.written == expected);
    assert_eq!(stream.writes, 1);
}

#[test]
fn order_survives_partial_writes_and_blocking() {
    for vectored in [true, false] {
        for bytes_per_write in [1000, 16_383, 16_384, 16_389, 50_000, usize::MAX] {
            for writes_per_turn in [1, 3] {
                let mut writer = FrameWriter::new();
                let expected = put_all(&mut writer, 40);
                let mut stream = Throttle::new(bytes_per_write, writes_per_turn, vectored);
                flush(&mut writer, &mut stream);
                assert!(stream.written == expected, "{vectored} {bytes_per_write} {writes_per_turn}");
            }
        }
    }
}

#[test]
fn a_byte_at_a_time_is_enough() {
    let mut writer = FrameWriter::new();
    let expected = put_all(&mut writer, 2);
    let mut stream = Throttle::new(1, 7, true);
    flush(&mut writer, &mut stream);
    assert!(stream.written == expected);
}

#[test]
fn appending_while_the_stream_blocks_keeps_the_order() {
    for bytes_per_write in [10, 5000, 40_000] {
        let mut writer = FrameWriter::new();
        let mut stream = Throttle::new(bytes_per_write, 1, true);
        let mut expected = Vec::new();
        for round in 0..60 {
            expected.extend(put(&mut writer, round));
            for _ in 0..3 {
                assert!(writer.poll_write_all(&mut noop(), &mut stream).is_pending() || writer.is_empty());
            }
        }
        flush(&mut writer, &mut stream);
        assert!(stream.written == expected, "{bytes_per_write}");
    }
}

#[test]
fn a_chained_payload_is_not_copied() {
    let payload = Bytes::from(vec![1; CHAIN_BYTES_MIN]);
    let mut writer = FrameWriter::new();
    writer.chain(payload.clone());
    assert!(!payload.is_unique());
    flush(&mut writer, &mut Throttle::new(usize::MAX, usize::MAX, true));
    assert!(payload.is_unique());
}

#[test]
fn a_flush_reaches_the_stream_once_per_burst() {
    let mut writer = FrameWriter::new();
    let mut stream = Throttle::new(usize::MAX, usize::MAX, true);
    flush(&mut writer, &mut stream);
    assert_eq!(stream.flushes, 0);
    writer.buffer().extend_from_slice(&PINGREQ);
    assert!(writer.poll_write_all(&mut noop(), &mut stream).is_ready());
    assert_eq!(stream.flushes, 0);
    flush(&mut writer, &mut stream);
    flush(&mut writer, &mut stream);
    assert_eq!(stream.flushes, 1);
}

#[test]
fn a_stream_that_accepts_nothing_is_an_error() {
    let mut writer = FrameWriter::new();
    writer.buffer().extend_from_slice(&PINGREQ);
    let outcome = writer.poll_flush(&mut noop(), &mut Throttle::new(0, usize::MAX, true));
    let Poll::Ready(Err(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}

#[tokio::test]
async fn a_slow_reader_gets_everything_in_order() {
    let (mut ours, mut theirs) = tokio::io::duplex(100);
    let mut writer = FrameWriter::new();
    let expected = put_all(&mut writer, 20);
    let writing = async {
        writer.flush(&mut ours).await.expect("the reader lives");
        drop(ours);
    };
    let reading = async {
        let mut received = Vec::new();
        let mut piece = [0; 37];
        loop {
            match theirs.read(&mut piece).await.expect("the writer lives") {
                0 => break received,
                count => received.extend_from_slice(&piece[..count]),
            }
            tokio::task::yield_now().await;
        }
    };
    let ((), received) = tokio::join!(writing, reading);
    assert!(received == expected);
}
