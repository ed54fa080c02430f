use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::decoder::{Decoder, Event};
use super::encoder::{Encoder, Header};
use super::handshake::{self, Agreed};
use super::{CloseCode, Role, WsOptions};
use crate::arrival::{HandshakeError, TransportViolation};
use crate::close::poll_drain;
use crate::url::Url;

/// A WebSocket connection that reads and writes like a socket.
///
/// Reading: the content of binary messages, one after the other, is one byte stream, so packets may span messages and share
/// them `[MQTT-6.0.0-2]`. It is unmasked where it arrives, in the caller's buffer: the connection has none of its own. Pings
/// are answered while reading, the last one if there are several. The peer's close is the end of the stream; anything but
/// binary data fails with [`io::ErrorKind::InvalidData`] and is answered with a close code `[MQTT-6.0.0-1]`.
/// Writing: each write becomes one binary message of at most 64 KiB; a broker's end hands it on without a copy. Shutting
/// down sends close code 1000; reading then goes on until the peer has answered it.
///
/// ```
/// use mqtt_transport::{Connection, WsOptions, WsStream};
/// use tokio::net::TcpStream;
///
/// /// Takes a connection over that another HTTP server has upgraded, with the bytes that it has read too far.
/// fn upgraded(stream: TcpStream, early: Vec<u8>) -> Connection {
///     Connection::boxed(WsStream::upgraded(stream, early, &WsOptions::default()))
/// }
/// # let _ = upgraded;
/// ```
pub struct WsStream<S> {
    io: S,
    decoder: Decoder,
    encoder: Encoder,
    /// Bytes that came along with the handshake.
    early: Vec<u8>,
    state: State,
    /// Found behind data that had to be delivered first.
    failure: Option<TransportViolation>,
    /// The header of the message being written.
    header: Header,
    /// Bytes of that message that the caller still has to hand over.
    announced: usize,
    /// Whole frames on their way out, from `written` on: control frames, and a client's messages.
    out: Vec<u8>,
    written: usize,
    /// A ping to be answered.
    ping: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Both directions work.
    Open,
    /// Our close frame has been handed over; the peer may still send data.
    Closing,
    /// The peer's close frame has come; our answer must still be flushed.
    Answering,
    /// The peer broke the rules and has been told; what it still sends is thrown away, `discarded` bytes so far.
    Broken { discarded: usize },
    /// Nothing more can be read.
    Ended,
}

/// What a broken peer may still send before the connection counts as ended.
const BROKEN_BYTES_MAX: usize = 1024 * 1024;
/// Largest message written; the longest that a short header can announce.
const MESSAGE_BYTES_OUT: usize = 65_535;
/// Largest message of a client, which is copied to be masked.
const MASKED_BYTES_OUT: usize = 16 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> WsStream<S> {
    /// Server side: reads the client's HTTP request and agrees to it or answers why not.
    ///
    /// The request is bounded by [`HEAD_BYTES_MAX`](crate::HEAD_BYTES_MAX); the time is the caller's to bound.
    ///
    /// # Errors
    /// [`HandshakeError::Refused`] after the refusal has been written, [`HandshakeError::Io`] when the stream fails.
    pub async fn accept(stream: S, options: &WsOptions) -> Result<Self, HandshakeError> {
        Ok(Self::accept_from(stream, options, None).await?.0)
    }

    /// The same for a peer whose address is known, which may be a proxy. Returns whom it speaks for, if it is believed.
    ///
    /// # Errors
    /// As [`WsStream::accept`].
    pub async fn accept_from(
        mut stream: S,
        options: &WsOptions,
        peer: Option<IpAddr>,
    ) -> Result<(Self, Option<SocketAddr>), HandshakeError> {
        let Agreed { early, forwarded } = handshake::accept(&mut stream, options, peer).await?;
        Ok((Self::new(stream, early, Role::Broker, options), forwarded))
    }

    /// Server side of a connection that another HTTP server has upgraded already; `early` is what it has read beyond the
    /// request.
    pub fn upgraded(stream: S, early: Vec<u8>, options: &WsOptions) -> Self {
        Self::new(stream, early, Role::Broker, options)
    }

    /// Client side: asks for `url`, offering the subprotocol `mqtt` `[MQTT-6.0.0-3]`.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] with the HTTP status when the peer does not agree to MQTT, else those of the
    /// stream.
    pub async fn connect(mut stream: S, url: &Url, options: &WsOptions) -> io::Result<Self> {
        let early = handshake::ask(&mut stream, url).await?;
        Ok(Self::new(stream, early, Role::Client, options))
    }

    fn new(io: S, early: Vec<u8>, role: Role, options: &WsOptions) -> Self {
        Self {
            io,
            decoder: Decoder::new(role, options.message_bytes_max),
            encoder: Encoder::new(role),
            early,
            state: State::Open,
            failure: None,
            header: Header::default(),
            announced: 0,
            out: Vec::new(),
            written: 0,
            ping: None,
        }
    }

    /// Reads into `buffer` and leaves there what is data. Ready without new data: the stream has ended.
    fn poll_data(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.filled().len() == before && buffer.remaining() > 0 {
            if let Some(violation) = self.failure.take() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
            }
            match &mut self.state {
                State::Open | State::Closing => ready!(self.poll_frames(cx, buffer))?,
                State::Answering => {
                    // Once the answer is out nothing more is expected, whether or not it reached the peer.
                    let _ = ready!(self.poll_send(cx));
                    let _ = ready!(Pin::new(&mut self.io).poll_flush(cx));
                    self.state = State::Ended;
                }
                State::Broken { discarded } => {
                    ready!(poll_drain(cx, &mut self.io, BROKEN_BYTES_MAX, discarded));
                    self.state = State::Ended;
                }
                State::Ended => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One read, decoded where it landed.
    fn poll_frames(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        } else {
            let step = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..step]);
            self.early.drain(..step);
            if self.early.is_empty() {
                self.early = Vec::new();
            }
        }
        if buffer.filled().len() == before {
            self.state = State::Ended;
            return Poll::Ready(Ok(()));
        }
        let data = self.decode(&mut buffer.filled_mut()[before..]);
        buffer.set_filled(before + data);
        if self.ping.is_some() || self.state != State::Open {
            // If the stream blocks, it goes out with the next write.
            let _ = self.poll_send(cx)?;
            let _ = Pin::new(&mut self.io).poll_flush(cx)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Moves all data in `bytes` to their front and acts on whatever else is there. Returns how much data it is.
    fn decode(&mut self, bytes: &mut [u8]) -> usize {
        let (mut from, mut data) = (0, 0);
        while from < bytes.len() {
            let run = self.decoder.run(&mut bytes[from..]);
            bytes.copy_within(from..from + run.data, data);
            data += run.data;
            from += run.used;
            match run.event {
                None => {}
                Some(Event::Ping(payload)) => self.ping = Some(payload),
                Some(Event::Close(code)) => {
                    self.say_close(code);
                    self.state = State::Answering;
                    break;
                }
                Some(Event::Broken(code, violation)) => {
                    self.say_close(Some(code as u16));
                    self.failure = Some(TransportViolation { cause: violation.cause, text: violation.text });
                    self.state = State::Broken { discarded: 0 };
                    break;
                }
            }
        }
        data
    }

    /// Puts our close frame behind what is to be sent, unless it was already or a message is incomplete.
    fn say_close(&mut self, code: Option<u16>) {
        if self.state == State::Open && self.announced == 0 {
            self.encoder.close(code, &mut self.out);
        }
    }

    /// Writes the frames that are complete. Ready: there are none left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.announced > 0 {
            return Poll::Ready(Ok(())); // nothing may come in between
        }
        loop {
            if let Some(payload) = self.ping.take_if(|_| self.out.is_empty()) {
                self.encoder.pong(&payload, &mut self.out);
            }
            if self.out.is_empty() {
                return Poll::Ready(Ok(()));
            }
            while self.written < self.out.len() {
                match ready!(Pin::new(&mut self.io).poll_write(cx, &self.out[self.written..]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    step => self.written += step,
                }
            }
            self.out = Vec::new();
            self.written = 0;
        }
    }

    /// A client's message: masked, so copied.
    fn poll_write_masked(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let payload = gather(slices, MASKED_BYTES_OUT);
        self.encoder.binary(&payload, &mut self.out);
        // It is accepted; what the stream does not take now goes out with the next write or flush.
        let _ = self.poll_send(cx)?;
        Poll::Ready(Ok(payload.len()))
    }

    /// A broker's message: its header goes out in front of the caller's own bytes.
    fn poll_write_plain(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.announced == 0 {
            ready!(self.poll_send(cx))?;
            let total: usize = slices.iter().map(|slice| slice.len()).sum();
            self.announced = total.min(MESSAGE_BYTES_OUT);
            self.header = Header::of_binary(self.announced);
        }
        loop {
            let step = ready!(self.poll_write_announced(cx, slices))?;
            if step == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let accepted = self.header.advance(step);
            self.announced -= accepted;
            if accepted > 0 {
                return Poll::Ready(Ok(accepted));
            }
        }
    }

    /// One write of the rest of the header and of the caller's bytes, as far as they are announced.
    fn poll_write_announced(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        const SLICES_MAX: usize = 33;
        let mut all = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut put = |bytes| {
            all[count] = IoSlice::new(bytes);
            count += 1;
        };
        if !self.header.rest().is_empty() {
            put(self.header.rest());
        }
        let mut room = self.announced;
        for slice in slices.iter().filter(|slice| !slice.is_empty()).take(SLICES_MAX - 1) {
            let step = slice.len().min(room);
            if step == 0 {
                break;
            }
            put(&slice[..step]);
            room -= step;
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, &all[..count])
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().poll_data(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.state != State::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        if this.encoder.masks() {
            this.poll_write_masked(cx, slices)
        } else {
            this.poll_write_plain(cx, slices)
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state == State::Open {
            this.say_close(Some(CloseCode::Normal as u16));
            this.state = State::Closing;
        }
        ready!(this.poll_send(cx))?;
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        // While the peer has not answered, ending the stream would keep its answer from us.
        if this.state == State::Ended {
            Pin::new(&mut this.io).poll_shutdown(cx)
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl<S> fmt::Debug for WsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsStream").field("state", &self.state).finish_non_exhaustive()
    }
}

/// The first `bytes_max` bytes of all slices together.
fn gather(slices: &[IoSlice<'_>], bytes_max: usize) -> Vec<u8> {
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut gathered = Vec::with_capacity(total.min(bytes_max));
    for slice in slices {
        let room = bytes_max - gathered.len();
        gathered.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    gathered
}
