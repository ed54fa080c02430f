//! A connection of the load generator, once it is admitted.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::num::NonZeroU16;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mqtt_codec::{Packet, PacketType, QoS, Version, decode};
use mqtt_transport::{Connection, FrameReader, ReadError};
use tokio::io::{AsyncWrite as _, AsyncWriteExt as _};

use super::packets;

/// Why a connection is of no use any more, for people.
pub(super) type Broken = String;

/// A stream, the frames that come out of it, and the answers that go into it.
#[derive(Debug)]
pub(super) struct Link {
    stream: Connection,
    reader: FrameReader,
    answers: Answers,
    unflushed: bool,
    pub(super) version: Version,
    /// Messages above QoS 0 that may wait for their acknowledgement, as the broker said.
    pub(super) receive_maximum: u16,
}

/// Acknowledgements that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Answers {
    bytes: Vec<u8>,
    written: usize,
}

impl Answers {
    /// Adds a packet.
    #[inline]
    pub(super) fn push(&mut self, packet: [u8; 4]) {
        self.bytes.extend_from_slice(&packet);
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    fn advance(&mut self, written: usize) {
        self.written += written;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
    }
}

impl Link {
    /// Logs in on a fresh stream; `connect` is the CONNECT packet.
    ///
    /// # Errors
    /// The stream breaks, or the broker refuses.
    pub(super) async fn admit(stream: Connection, version: Version, connect: &[u8]) -> Result<Self, Broken> {
        let mut link = Self {
            stream,
            reader: FrameReader::new(u32::MAX),
            answers: Answers::default(),
            unflushed: false,
            version,
            receive_maximum: u16::MAX,
        };
        link.send(connect).await?;
        let mut frame = Vec::new();
        link.next_frame(&mut frame).await?;
        match decode(&frame, version) {
            Ok(Packet::Connack(connack)) if connack.reason.is_error() => {
                Err(format!("the broker refused the connection: {}", connack.reason))
            }
            Ok(Packet::Connack(connack)) => {
                link.receive_maximum = connack.properties.receive_maximum().map_or(u16::MAX, NonZeroU16::get);
                Ok(link)
            }
            Ok(packet) => Err(format!("the broker answered CONNECT with {:?}", packet.packet_type())),
            Err(error) => Err(format!("the broker answered CONNECT with a malformed packet: {error}")),
        }
    }

    /// Subscribes to one filter.
    ///
    /// # Errors
    /// The stream breaks, or the broker grants less than is asked for.
    pub(super) async fn subscribe(&mut self, filter: &str, qos: QoS) -> Result<(), Broken> {
        let packet = packets::subscribe(self.version, filter, qos).map_err(|error| error.to_string())?;
        self.send(&packet).await?;
        let mut frame = Vec::new();
        self.next_frame(&mut frame).await?;
        match decode(&frame, self.version) {
            Ok(Packet::Suback(suback)) => match suback.reasons.iter().next() {
                Some(reason) if reason.is_error() => {
                    Err(format!("the broker refused the subscription: {reason}"))
                }
                Some(granted) if (granted as u8) < qos as u8 => {
                    Err(format!("the broker granted QoS {} only", granted as u8))
                }
                _ => Ok(()),
            },
            Ok(packet) => Err(format!("the broker answered SUBSCRIBE with {:?}", packet.packet_type())),
            Err(error) => Err(format!("the broker answered SUBSCRIBE with a malformed packet: {error}")),
        }
    }

    /// Sends PINGREQ and waits for the answer; other packets that come before it are thrown away.
    ///
    /// # Errors
    /// The stream breaks.
    pub(super) async fn ping(&mut self) -> Result<(), Broken> {
        self.send(&packets::PINGREQ).await?;
        let mut frame = Vec::new();
        loop {
            self.next_frame(&mut frame).await?;
            match PacketType::from_first_byte(frame[0]) {
                Some(PacketType::Pingresp) => return Ok(()),
                Some(PacketType::Disconnect) => return Err(farewell(&frame, self.version)),
                _ => {}
            }
        }
    }

    /// Says goodbye; whether it arrives is no matter any more.
    pub(super) async fn disconnect(mut self) {
        let packet = packets::disconnect(self.version);
        if self.send(&packet).await.is_ok() {
            let _ = self.stream.shutdown().await;
        }
    }

    /// Writes a whole packet.
    ///
    /// # Errors
    /// The stream breaks.
    pub(super) async fn send(&mut self, packet: &[u8]) -> Result<(), Broken> {
        let written = self.stream.write_all(packet).await;
        written.map_err(broken_write)?;
        self.stream.flush().await.map_err(broken_write)
    }

    /// Waits for a packet, which replaces what is in `frame`.
    ///
    /// # Errors
    /// The stream breaks.
    pub(super) async fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<(), Broken> {
        self.reader.next_frame(&mut self.stream, frame).await.map_err(broken_read)
    }

    /// Waits for packets and hands out all that one read has brought; answers to them are kept for the next write.
    ///
    /// # Errors
    /// The stream breaks.
    pub(super) async fn frames(
        &mut self,
        mut on_frame: impl FnMut(&[u8], &mut Answers),
    ) -> Result<(), Broken> {
        poll_fn(|cx| self.poll_frames(cx, &mut on_frame)).await
    }

    /// As [`Link::frames`].
    pub(super) fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        mut on_frame: impl FnMut(&[u8], &mut Answers),
    ) -> Poll<Result<(), Broken>> {
        let Self { stream, reader, answers, .. } = self;
        let burst = reader.poll_burst(cx, stream, &mut |frame| {
            on_frame(frame, answers);
            ControlFlow::Continue(())
        });
        burst.map(|burst| burst.map(drop).map_err(broken_read))
    }

    /// Writes the answers, and flushes what the stream itself holds back.
    ///
    /// # Errors
    /// The stream breaks.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.answers.rest().is_empty() {
            ready!(self.poll_write(cx, &[], false))?;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(broken_write)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// One write of answers and of `messages`, in the order in which they may go out: whole packets never mix, so messages
    /// of which a part has been written (`begun`) go first. Returns how many bytes of `messages` were accepted.
    ///
    /// # Errors
    /// The stream breaks.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        messages: &[u8],
        begun: bool,
    ) -> Poll<Result<usize, Broken>> {
        let answers = self.answers.rest();
        let stream = Pin::new(&mut self.stream);
        let written = if answers.is_empty() {
            ready!(stream.poll_write(cx, messages))
        } else {
            let answers_first = [IoSlice::new(answers), IoSlice::new(messages)];
            let messages_first = [IoSlice::new(messages), IoSlice::new(answers)];
            ready!(stream.poll_write_vectored(cx, if begun { &messages_first } else { &answers_first }))
        };
        let written =
            written.and_then(
                |written| if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) },
            );
        let written = written.map_err(broken_write)?;
        self.unflushed = true;
        let of_messages =
            if begun { written.min(messages.len()) } else { written.saturating_sub(answers.len()) };
        self.answers.advance(written - of_messages);
        Poll::Ready(Ok(of_messages))
    }
}

fn broken_write(error: io::Error) -> Broken {
    format!("writing failed: {error}")
}

fn broken_read(error: ReadError) -> Broken {
    error.to_string()
}

/// Why the broker ends the connection, from its DISCONNECT.
#[cold]
pub(super) fn farewell(frame: &[u8], version: Version) -> Broken {
    match decode(frame, version) {
        Ok(Packet::Disconnect(disconnect)) => format!("the broker disconnected: {}", disconnect.reason),
        _ => "the broker sent a malformed DISCONNECT".to_owned(),
    }
}
