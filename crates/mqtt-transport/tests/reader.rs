//! The frame reader over pieces of every size.

mod support;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use mqtt_transport::{Burst, FrameReader, ReadError};
use support::{PINGREQ, Pieces, noop, poll_frames, publish, read_all};
use tokio::io::AsyncWriteExt;

const MIB: u32 = 1024 * 1024;

fn sample_frames() -> Vec<Vec<u8>> {
    vec![PINGREQ.to_vec(), publish(0, 1), publish(5, 2), PINGREQ.to_vec(), publish(130, 3), publish(1, 4)]
}

#[tokio::test]
async fn mqtt_6_0_0_2_every_two_cuts_of_a_byte_stream_give_the_same_frames() {
    let expected = sample_frames();
    let bytes = expected.concat();
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let (mut ours, mut theirs) = tokio::io::duplex(1024);
            let mut reader = FrameReader::new(MIB);
            let mut frames = Vec::new();
            for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                theirs.write_all(piece).await.expect("room in the pipe");
                let (more, failure) = read_all(&mut reader, &mut ours);
                assert!(failure.is_none());
                frames.extend(more);
            }
            assert_eq!(frames, expected, "cut at {first} and {second}");
            assert_eq!(reader.buffered(), 0);
        }
    }
}

#[test]
fn one_byte_at_a_time_gives_the_same_frames() {
    let expected = sample_frames();
    let mut stream = Pieces::new(expected.concat().into_iter().map(|byte| [byte]));
    let (frames, failure) = read_all(&mut FrameReader::new(MIB), &mut stream);
    assert_eq!(frames, expected);
    assert!(failure.is_none());
}

#[test]
fn a_whole_read_is_one_burst() {
    let bytes = PINGREQ.repeat(1000);
    let mut stream = Pieces::new([bytes]);
    let mut frames = Vec::new();
    let burst = poll_frames(&mut FrameReader::new(MIB), &mut stream, usize::MAX, &mut frames);
    let Poll::Ready(Ok(burst)) = burst else { panic!("{burst:?}") };
    assert_eq!(burst, Burst { frames: 1000, bytes: 2000, more_buffered: false });
    assert_eq!(stream.reads, 1);
}

#[test]
fn an_early_break_keeps_the_rest_and_hands_it_out_before_the_next_read() {
    let expected = sample_frames();
    let mut bytes = expected.concat();
    bytes.push(PINGREQ[0]);
    let mut stream = Pieces::new([bytes, vec![PINGREQ[1]]]);
    let mut reader = FrameReader::new(MIB);
    let mut frames = Vec::new();
    for taken in 1..=expected.len() {
        let burst = poll_frames(&mut reader, &mut stream, 1, &mut frames);
        let Poll::Ready(Ok(burst)) = burst else { panic!("{burst:?}") };
        assert_eq!(burst.frames, 1);
        assert_eq!(burst.bytes > 0, taken == 1, "only the first call reads");
        assert_eq!(burst.more_buffered, taken < expected.len());
        assert_eq!(stream.reads, 1);
    }
    assert_eq!(frames, expected);
    assert_eq!(reader.buffered(), 1);
    let (last, _) = read_all(&mut reader, &mut stream);
    assert_eq!(last, [PINGREQ]);
}

#[test]
fn a_break_within_buffered_frames_and_a_partial_one_behind_it_do_not_disturb_each_other() {
    let expected: Vec<_> = (0..200).map(|seed| publish(300, seed)).collect();
    let bytes = expected.concat();
    let mut stream = Pieces::new(bytes.chunks(7000).map(<[u8]>::to_vec));
    let mut reader = FrameReader::new(MIB);
    let mut frames = Vec::new();
    let mut step = 1;
    while poll_frames(&mut reader, &mut stream, step, &mut frames).is_ready() {
        step = step % 7 + 1;
    }
    assert_eq!(frames, expected);
}

#[test]
fn frames_larger_than_the_thread_buffer_arrive_whole() {
    for payload_len in [65_000, 65_530, 65_536, 66_000, 200_000, 1_000_000] {
        for piece_len in [1000, 65_536, 100_000, 3_000_000] {
            let expected = vec![PINGREQ.to_vec(), publish(payload_len, 7), publish(9, 8), PINGREQ.to_vec()];
            let bytes = expected.concat();
            let mut stream = Pieces::new(bytes.chunks(piece_len).map(<[u8]>::to_vec));
            let mut reader = FrameReader::new(MIB);
            let (frames, failure) = read_all(&mut reader, &mut stream);
            assert!(failure.is_none());
            assert!(frames == expected, "payload {payload_len}, pieces {piece_len}");
            assert_eq!(reader.buffered(), 0);
        }
    }
}

#[test]
fn a_large_frame_behind_an_early_break_arrives_whole() {
    let expected = vec![PINGREQ.to_vec(), publish(300_000, 1), PINGREQ.to_vec(), publish(300_000, 2)];
    let mut stream = Pieces::new([expected.concat()]);
    let mut reader = FrameReader::new(MIB);
    let mut frames = Vec::new();
    while poll_frames(&mut reader, &mut stream, 1, &mut frames).is_ready() {}
    assert!(frames == expected);
}

#[test]
fn a_frame_above_the_limit_is_refused_as_soon_as_its_length_is_known() {
    let mut stream = Pieces::new([vec![0x30, 0xFF], vec![0xFF, 0x7F]]);
    let mut reader = FrameReader::new(1000);
    let (frames, failure) = read_all(&mut reader, &mut stream);
    assert!(frames.is_empty());
    assert!(matches!(failure, Some(ReadError::Malformed(_))), "{failure:?}");
}

#[test]
fn the_limit_counts_the_whole_frame_and_can_be_changed() {
    let packet = publish(95, 0);
    assert_eq!(packet.len(), 100);
    let mut stream = Pieces::new([packet.repeat(2)]);
    let mut reader = FrameReader::new(100);
    let mut frames = Vec::new();
    assert!(matches!(poll_frames(&mut reader, &mut stream, 1, &mut frames), Poll::Ready(Ok(_))));
    reader.set_frame_bytes_max(99);
    let refused = poll_frames(&mut reader, &mut stream, 1, &mut frames);
    assert!(matches!(refused, Poll::Ready(Err(ReadError::Malformed(_)))), "{refused:?}");
    assert_eq!(frames.len(), 1);
}

#[test]
fn frames_before_a_malformed_one_are_handed_out_first() {
    let mut bytes = sample_frames().concat();
    bytes.extend_from_slice(&[0x00, 0x00]);
    let mut stream = Pieces::new([bytes]);
    let mut reader = FrameReader::new(MIB);
    let mut frames = Vec::new();
    let burst = poll_frames(&mut reader, &mut stream, usize::MAX, &mut frames);
    let Poll::Ready(Ok(burst)) = burst else { panic!("{burst:?}") };
    assert_eq!(frames, sample_frames());
    assert!(burst.more_buffered);
    for _ in 0..2 {
        let failed = poll_frames(&mut reader, &mut stream, usize::MAX, &mut frames);
        assert!(matches!(failed, Poll::Ready(Err(ReadError::Malformed(_)))), "{failed:?}");
    }
    assert_eq!(stream.reads, 1);
}

#[test]
fn the_end_between_frames_differs_from_the_end_within_one() {
    let (frames, failure) = read_all(&mut FrameReader::new(MIB), &mut Pieces::new([PINGREQ]).then_end());
    assert_eq!(frames, [PINGREQ]);
    assert!(matches!(failure, Some(ReadError::Closed)), "{failure:?}");

    for cut in [1, 2, 50, 70_000] {
        let mut partial = publish(100_000, 0);
        partial.truncate(cut);
        let mut stream = Pieces::new([PINGREQ.to_vec(), partial]).then_end();
        let (frames, failure) = read_all(&mut FrameReader::new(MIB), &mut stream);
        assert_eq!(frames, [PINGREQ]);
        assert!(matches!(failure, Some(ReadError::ClosedMidFrame)), "{failure:?}");
    }
}

#[test]
fn a_stream_error_is_passed_on() {
    let mut broken = tokio_failing::Failing;
    let (_, failure) = read_all(&mut FrameReader::new(MIB), &mut broken);
    assert!(matches!(failure, Some(ReadError::Io(_))), "{failure:?}");
}

mod tokio_failing {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, ReadBuf};

    pub(super) struct Failing;

    impl AsyncRead for Failing {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }
}

#[test]
fn reading_another_stream_within_the_callback_works() {
    let mut outer_stream = Pieces::new([PINGREQ.repeat(3)]);
    let mut outer_frames = 0;
    let mut inner_frames = Vec::new();
    let burst = FrameReader::new(MIB).poll_burst(&mut noop(), &mut outer_stream, &mut |frame: &[u8]| {
        assert_eq!(frame, PINGREQ);
        outer_frames += 1;
        let (frames, _) = read_all(&mut FrameReader::new(MIB), &mut Pieces::new(sample_frames()));
        inner_frames.extend(frames);
        ControlFlow::Continue(())
    });
    assert!(matches!(burst, Poll::Ready(Ok(_))));
    assert_eq!(outer_frames, 3);
    assert_eq!(inner_frames.len(), 3 * sample_frames().len());
}

#[test]
fn a_panic_in_the_callback_does_not_harm_later_readers_of_the_thread() {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut stream = Pieces::new([PINGREQ]);
        FrameReader::new(MIB).poll_burst(&mut noop(), &mut stream, &mut |_| panic!("on purpose"))
    }));
    assert!(outcome.is_err());
    let (frames, _) = read_all(&mut FrameReader::new(MIB), &mut Pieces::new([PINGREQ]));
    assert_eq!(frames, [PINGREQ]);
}

#[tokio::test]
async fn one_frame_can_be_awaited_at_a_time() {
    let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let expected = sample_frames();
    let bytes = expected.concat();
    let writing = async {
        for piece in bytes.chunks(3) {
            theirs.write_all(piece).await.expect("the reader lives");
            tokio::task::yield_now().await;
        }
        drop(theirs);
    };
    let reading = async {
        let mut reader = FrameReader::new(MIB);
        let mut frame = Vec::new();
        for packet in &expected {
            reader.next_frame(&mut ours, &mut frame).await.expect("a frame");
            assert_eq!(&frame, packet);
        }
        let end = reader.next_frame(&mut ours, &mut frame).await;
        assert!(matches!(end, Err(ReadError::Closed)), "{end:?}");
    };
    tokio::join!(writing, reading);
}
