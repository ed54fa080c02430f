//! One end of a connection under a test's control.

use std::{collections::VecDeque, future::Future, io, panic::Location, time::Duration};

use mqtt_codec::{Framing, Packet, PacketType, ReasonCode, Version, frame};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    time::timeout,
};

use crate::{
    ReceivedAck, ReceivedAuth, ReceivedConnack, ReceivedDisconnect, ReceivedPacket, ReceivedPublish,
    ReceivedSuback, ToWire,
};

/// How long a peer waits for what it expects. Under paused time this costs nothing.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How long nothing may come before [`Peer::expect_silence`] is content. Under paused time the clock only
/// moves when every task is idle, so that this is a proof and not a guess.
pub const IDLE: Duration = Duration::from_millis(100);

/// Bytes that a [`pipe`] holds in each direction before the writer has to wait.
pub const PIPE_BYTES: usize = 256 * 1024;

/// A connection in memory: its two ends.
#[must_use]
pub fn pipe() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(PIPE_BYTES)
}

/// A raw MQTT endpoint over any stream.
///
/// Every `expect_…` method fails with the place in the test, what was expected, what came instead, and the
/// conversation so far.
pub struct Peer<S = DuplexStream> {
    name: String,
    stream: S,
    version: Version,
    buffer: Vec<u8>,
    transcript: Vec<String>,
    /// Messages that came while an acknowledgement was awaited; they are next to be read.
    set_aside: VecDeque<ReceivedPacket>,
    pub(crate) last_packet_id: u16,
}

/// What a wait for a packet ended with.
enum Event {
    Packet(ReceivedPacket),
    Closed,
    Broken(io::Error),
    Silence,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// A peer that speaks 5.0 until it sends a CONNECT of another version. `name` appears in failures.
    pub fn new(name: &str, stream: S) -> Self {
        Self {
            name: name.to_owned(),
            stream,
            version: Version::V5,
            buffer: Vec::new(),
            transcript: Vec::new(),
            set_aside: VecDeque::new(),
            last_packet_id: 0,
        }
    }

    /// The version that packets are read and written in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Changes the version, for a peer that plays the server.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Sends a packet or raw bytes.
    #[track_caller]
    pub fn send(&mut self, packet: impl ToWire) -> impl Future<Output = ()> {
        let at = Location::caller();
        if let Some(version) = packet.decides_version() {
            self.version = version;
        }
        let bytes = packet.to_wire(self.version);
        async move {
            self.transcript.push(format!("-> {}", self.describe(&bytes)));
            if let Err(error) = self.write(&bytes).await {
                self.fail(at, "to be able to send", &error.to_string());
            }
        }
    }

    /// Sends what it can and does not mind if the other side has gone.
    pub async fn send_carelessly(&mut self, packet: impl ToWire) {
        let bytes = packet.to_wire(self.version);
        self.transcript.push(format!("-> {}", self.describe(&bytes)));
        if let Err(error) = self.write(&bytes).await {
            self.transcript.push(format!("-> could not be written: {error}"));
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Closes the sending direction only; what the other side still says can be read.
    pub async fn finish_sending(&mut self) {
        self.transcript.push("-> end of stream".to_owned());
        // The other side may have closed already, which is just as good.
        drop(self.stream.shutdown().await);
    }

    /// Cuts the connection without a DISCONNECT, as a lost network does.
    pub fn cut(self) {
        drop(self);
    }

    /// The stream, for a test that goes on without the peer.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// The next packet, whatever it is.
    #[track_caller]
    pub fn expect_packet(&mut self) -> impl Future<Output = ReceivedPacket> {
        let at = Location::caller();
        async move {
            match self.next(DEADLINE).await {
                Event::Packet(packet) => packet,
                other => self.fail(at, "a packet", &other.describe()),
            }
        }
    }

    /// The next packet, which must have exactly these bytes.
    #[track_caller]
    pub fn expect_bytes(&mut self, expected: &[u8]) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            match self.next(DEADLINE).await {
                Event::Packet(packet) if packet.bytes() == expected => (),
                Event::Packet(packet) => {
                    let got = format!("{:02X?}, which is {packet:?}", packet.bytes());
                    self.fail(at, &format!("the bytes {expected:02X?}"), &got)
                }
                other => self.fail(at, &format!("the bytes {expected:02X?}"), &other.describe()),
            }
        }
    }

    /// A CONNACK.
    #[track_caller]
    pub fn expect_connack(&mut self) -> impl Future<Output = ReceivedConnack> {
        self.expect_kind("CONNACK", ReceivedConnack::of)
    }

    /// A PUBLISH.
    #[track_caller]
    pub fn expect_publish(&mut self) -> impl Future<Output = ReceivedPublish> {
        self.expect_kind("PUBLISH", ReceivedPublish::of)
    }

    /// A PUBACK for this packet identifier.
    #[track_caller]
    pub fn expect_puback(&mut self, packet_id: u16) -> impl Future<Output = ReceivedAck> {
        self.expect_ack(PacketType::Puback, packet_id)
    }

    /// A PUBREC for this packet identifier.
    #[track_caller]
    pub fn expect_pubrec(&mut self, packet_id: u16) -> impl Future<Output = ReceivedAck> {
        self.expect_ack(PacketType::Pubrec, packet_id)
    }

    /// A PUBREL for this packet identifier.
    #[track_caller]
    pub fn expect_pubrel(&mut self, packet_id: u16) -> impl Future<Output = ReceivedAck> {
        self.expect_ack(PacketType::Pubrel, packet_id)
    }

    /// A PUBCOMP for this packet identifier.
    #[track_caller]
    pub fn expect_pubcomp(&mut self, packet_id: u16) -> impl Future<Output = ReceivedAck> {
        self.expect_ack(PacketType::Pubcomp, packet_id)
    }

    /// A SUBACK.
    #[track_caller]
    pub fn expect_suback(&mut self) -> impl Future<Output = ReceivedSuback> {
        self.expect_kind("SUBACK", ReceivedSuback::of_suback)
    }

    /// An UNSUBACK.
    #[track_caller]
    pub fn expect_unsuback(&mut self) -> impl Future<Output = ReceivedSuback> {
        self.expect_kind("UNSUBACK", ReceivedSuback::of_unsuback)
    }

    /// A PINGRESP.
    #[track_caller]
    pub fn expect_pingresp(&mut self) -> impl Future<Output = ()> {
        self.expect_kind("PINGRESP", |packet| matches!(packet, Packet::Pingresp).then_some(()))
    }

    /// An AUTH.
    #[track_caller]
    pub fn expect_auth(&mut self) -> impl Future<Output = ReceivedAuth> {
        self.expect_kind("AUTH", ReceivedAuth::of)
    }

    /// A DISCONNECT with this reason, and then the end of the connection.
    #[track_caller]
    pub fn expect_disconnect(&mut self, reason: ReasonCode) -> impl Future<Output = ReceivedDisconnect> {
        let at = Location::caller();
        async move {
            let expected = format!("DISCONNECT {:#04X} ({reason})", reason as u8);
            let pick = |packet: &Packet<'_>| {
                ReceivedDisconnect::of(packet).filter(|disconnect| disconnect.reason == reason)
            };
            let disconnect = self.pick(at, &expected, pick).await;
            self.closed(at).await;
            disconnect
        }
    }

    /// A CONNACK with this reason, session present 0, and then the end of the connection.
    #[track_caller]
    pub fn expect_refusal(&mut self, reason: ReasonCode) -> impl Future<Output = ReceivedConnack> {
        let at = Location::caller();
        async move {
            let expected = format!("CONNACK {:#04X} ({reason}) without a session", reason as u8);
            let pick = |packet: &Packet<'_>| {
                ReceivedConnack::of(packet).filter(|it| it.reason == reason && !it.session_present)
            };
            let connack = self.pick(at, &expected, pick).await;
            self.closed(at).await;
            connack
        }
    }

    /// The end of the connection, with no packet before it.
    #[track_caller]
    pub fn expect_closed(&mut self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move { self.closed(at).await }
    }

    /// Nothing comes until every task is idle, and the connection stays open.
    #[track_caller]
    pub fn expect_silence(&mut self) -> impl Future<Output = ()> {
        self.expect_silence_for(IDLE)
    }

    /// Nothing comes for this time, and the connection stays open.
    #[track_caller]
    pub fn expect_silence_for(&mut self, time: Duration) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            match self.next(time).await {
                Event::Silence => (),
                other => self.fail(at, &format!("silence for {time:?}"), &other.describe()),
            }
        }
    }

    /// A packet, or `None` for the end of the connection.
    #[track_caller]
    pub fn expect_packet_or_closed(&mut self) -> impl Future<Output = Option<ReceivedPacket>> {
        let at = Location::caller();
        async move {
            match self.next(DEADLINE).await {
                Event::Packet(packet) => Some(packet),
                Event::Closed => None,
                Event::Broken(error) if error.kind() != io::ErrorKind::InvalidData => None,
                other => self.fail(at, "a packet or the end of the connection", &other.describe()),
            }
        }
    }

    /// Every packet that comes before all tasks are idle.
    #[track_caller]
    pub fn drain(&mut self) -> impl Future<Output = Vec<ReceivedPacket>> {
        let at = Location::caller();
        async move {
            let mut packets = Vec::new();
            loop {
                match self.next(IDLE).await {
                    Event::Packet(packet) => packets.push(packet),
                    Event::Silence => return packets,
                    other => self.fail(at, "packets, then silence", &other.describe()),
                }
            }
        }
    }

    #[track_caller]
    fn expect_ack(&mut self, kind: PacketType, packet_id: u16) -> impl Future<Output = ReceivedAck> {
        let at = Location::caller();
        async move { self.ack_at(at, kind, packet_id).await }
    }

    async fn ack_at(
        &mut self,
        at: &'static Location<'static>,
        kind: PacketType,
        packet_id: u16,
    ) -> ReceivedAck {
        let expected = format!("{kind:?} for packet {packet_id}");
        let pick =
            |packet: &Packet<'_>| ReceivedAck::of(kind, packet).filter(|ack| ack.packet_id == packet_id);
        self.pick(at, &expected, pick).await
    }

    /// Waits for an acknowledgement and sets messages aside that come before it.
    pub(crate) async fn await_ack(
        &mut self,
        at: &'static Location<'static>,
        kind: PacketType,
        packet_id: u16,
    ) -> ReceivedAck {
        loop {
            match self.next_from_stream(DEADLINE).await {
                Event::Packet(packet) if packet.packet().packet_type() == PacketType::Publish => {
                    self.set_aside.push_back(packet);
                }
                Event::Packet(packet) => match ReceivedAck::of(kind, &packet.packet()) {
                    Some(ack) if ack.packet_id == packet_id => return ack,
                    _ => self.fail(at, &format!("{kind:?} for packet {packet_id}"), &format!("{packet:?}")),
                },
                other => self.fail(at, &format!("{kind:?} for packet {packet_id}"), &other.describe()),
            }
        }
    }

    #[track_caller]
    fn expect_kind<T>(
        &mut self,
        name: &'static str,
        pick: impl Fn(&Packet<'_>) -> Option<T>,
    ) -> impl Future<Output = T> {
        let at = Location::caller();
        async move { self.pick(at, name, pick).await }
    }

    pub(crate) async fn pick<T>(
        &mut self,
        at: &'static Location<'static>,
        expected: &str,
        pick: impl Fn(&Packet<'_>) -> Option<T>,
    ) -> T {
        match self.next(DEADLINE).await {
            Event::Packet(received) => {
                let picked = pick(&received.packet());
                picked.unwrap_or_else(|| self.fail(at, expected, &format!("{received:?}")))
            }
            other => self.fail(at, expected, &other.describe()),
        }
    }

    pub(crate) async fn closed(&mut self, at: &'static Location<'static>) {
        match self.next(DEADLINE).await {
            Event::Closed => (),
            // A reset is an end as well: the other side may close with our bytes unread.
            Event::Broken(error) if error.kind() != io::ErrorKind::InvalidData => (),
            other => self.fail(at, "the end of the connection", &other.describe()),
        }
    }

    async fn next(&mut self, time: Duration) -> Event {
        match self.set_aside.pop_front() {
            Some(packet) => Event::Packet(packet),
            None => self.next_from_stream(time).await,
        }
    }

    async fn next_from_stream(&mut self, time: Duration) -> Event {
        let event = match timeout(time, self.read_packet()).await {
            Ok(Ok(Some(bytes))) => Event::Packet(ReceivedPacket::new(bytes, self.version)),
            Ok(Ok(None)) => Event::Closed,
            Ok(Err(error)) => Event::Broken(error),
            Err(_) => Event::Silence,
        };
        self.transcript.push(format!("<- {}", event.describe()));
        event
    }

    async fn read_packet(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            match frame(&self.buffer, u32::MAX) {
                Ok(Framing::Complete { frame_len, .. }) => {
                    let rest = self.buffer.split_off(frame_len);
                    return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
                }
                Ok(Framing::Incomplete { .. }) => (),
                Err(error) => {
                    let what = format!("not a packet: {error}: {:02X?}", self.buffer);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    left => Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("the connection ended after {left} bytes of a packet"),
                    )),
                };
            }
        }
    }

    fn describe(&self, bytes: &[u8]) -> String {
        let shown = &bytes[..bytes.len().min(64)];
        let more = if bytes.len() > shown.len() { " …" } else { "" };
        match mqtt_codec::decode(bytes, self.version) {
            Ok(packet) if more.is_empty() => format!("{packet:?}"),
            _ => format!("{} bytes {shown:02X?}{more}", bytes.len()),
        }
    }

    pub(crate) fn fail(&self, at: &'static Location<'static>, expected: &str, got: &str) -> ! {
        let from = self.transcript.len().saturating_sub(20);
        let conversation = self.transcript[from..].join("\n  ");
        panic!(
            "{at}: `{}` ({:?}) expected {expected}\n  but got {got}\nconversation:\n  {conversation}\n",
            self.name, self.version
        );
    }
}

impl Event {
    fn describe(&self) -> String {
        match self {
            Self::Packet(packet) if packet.bytes().len() <= 256 => format!("{packet:?}"),
            Self::Packet(packet) => {
                format!("a packet of {} bytes {:02X?}…", packet.bytes().len(), &packet.bytes()[..64])
            }
            Self::Closed => "the end of the connection".to_owned(),
            Self::Broken(error) => format!("a broken connection: {error}"),
            Self::Silence => "silence".to_owned(),
        }
    }
}
