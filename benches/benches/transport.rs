//! The frame reader and the frame writer over streams in memory: what they cost per packet, without the system's part.
//! And every transport over the loopback, with it.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

#[path = "transport/loopback.rs"]
mod loopback;

use std::hint::black_box;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mqtt_transport::{FrameReader, FrameWriter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PACKETS: usize = 1_000;

/// A PUBLISH at QoS 0 to `t`, `packet_bytes` long altogether.
fn publish(packet_bytes: usize) -> Vec<u8> {
    let mut packet = vec![0x30];
    let length_bytes = if packet_bytes < 130 { 1 } else { 2 };
    let mut remaining = packet_bytes - 1 - length_bytes;
    while remaining >= 128 {
        packet.push(remaining as u8 & 0x7F | 0x80);
        remaining >>= 7;
    }
    packet.push(remaining as u8);
    packet.extend_from_slice(&[0, 1, b't']);
    packet.resize(packet_bytes, b'x');
    packet
}

/// Gives out the same bytes again and again, at most `bytes_per_read` at a time.
struct Source {
    bytes: Vec<u8>,
    at: usize,
    bytes_per_read: usize,
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let step = self.bytes_per_read.min(buffer.remaining()).min(self.bytes.len() - self.at);
        buffer.put_slice(&self.bytes[self.at..self.at + step]);
        self.at = (self.at + step) % self.bytes.len();
        Poll::Ready(Ok(()))
    }
}

/// Takes everything.
struct Sink;

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(slices).iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads a thousand frames.
fn read(reader: &mut FrameReader, source: &mut Source) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut frames = 0;
    while frames < PACKETS {
        let burst = reader.poll_burst(&mut cx, source, &mut |frame: &[u8]| {
            black_box(frame);
            frames += 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(burst, Poll::Ready(Ok(_))), "{burst:?}");
    }
    frames
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transport/read 1,000 frames");
    group.throughput(Throughput::Elements(PACKETS as u64));
    for packet_bytes in [64, 1_024] {
        for bytes_per_read in [100, 1_460, 65_536] {
            let name = format!("{packet_bytes} B");
            let id = BenchmarkId::new(name, format!("{bytes_per_read} B per read"));
            group.bench_function(id, |bencher| {
                let bytes = publish(packet_bytes).repeat(PACKETS);
                let mut source = Source { bytes, at: 0, bytes_per_read };
                let mut reader = FrameReader::new(1 << 20);
                bencher.iter(|| read(&mut reader, &mut source));
            });
        }
    }
    group.finish();
}

fn write(writer: &mut FrameWriter) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(writer.poll_flush(&mut cx, &mut Sink), Poll::Ready(Ok(()))));
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transport/write 1,000 packets");
    group.throughput(Throughput::Elements(PACKETS as u64));
    for packets_per_write in [1, 10, 1_000] {
        let packet = publish(64);
        group.bench_function(BenchmarkId::new("64 B, packets per write", packets_per_write), |bencher| {
            let mut writer = FrameWriter::new();
            bencher.iter(|| {
                for _ in 0..PACKETS / packets_per_write {
                    for _ in 0..packets_per_write {
                        writer.buffer().extend_from_slice(black_box(&packet));
                    }
                    write(&mut writer);
                }
            });
        });
    }
    let payload = Bytes::from(vec![b'x'; 64 * 1_024]);
    group.bench_function("chained 64 KiB", |bencher| {
        let mut writer = FrameWriter::new();
        bencher.iter(|| {
            for _ in 0..PACKETS {
                writer.buffer().extend_from_slice(&[0x30, 0x83, 0x80, 0x04, 0, 1, b't']);
                writer.chain(payload.clone());
                write(&mut writer);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, reading, writing, loopback::loopback);
criterion_main!(benches);
