use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, protocol::CloseFrame};

use super::handshake;
use super::{MESSAGE_BYTES_OUT, SUBPROTOCOLS, WsOptions};
use crate::arrival::HandshakeError;
use crate::close::poll_drain;
use crate::url::Url;

/// A WebSocket connection that reads and writes like a socket.
///
/// Reading: the content of binary messages, one after the other, is one byte stream, so packets may span messages and share
/// them `[MQTT-6.0.0-2]`. Pings are answered while reading. The peer's close is the end of the stream; anything but binary
/// data fails with [`io::ErrorKind::InvalidData`] and is answered with a close code `[MQTT-6.0.0-1]`.
/// Writing: each write becomes one binary message (of at most 16 KiB). Shutting down sends close code 1000; reading then
/// goes on until the peer has answered it.
pub struct WsStream<S> {
    socket: WebSocketStream<S>,
    /// What is left of the message being read.
    message: Bytes,
    state: State,
    /// Found behind data that had to be delivered first.
    failure: Option<io::Error>,
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

impl<S: AsyncRead + AsyncWrite + Unpin> WsStream<S> {
    /// Server side: reads the client's HTTP request and agrees to it or answers why not.
    ///
    /// The request is bounded by [`HEAD_BYTES_MAX`](crate::HEAD_BYTES_MAX); the time is the caller's to bound.
    ///
    /// # Errors
    /// [`HandshakeError::Refused`] after the refusal has been written, [`HandshakeError::Io`] when the stream fails.
    pub async fn accept(mut stream: S, options: &WsOptions) -> Result<Self, HandshakeError> {
        let early = handshake::accept(&mut stream, options).await?;
        let config = Some(options.config());
        Ok(Self::new(WebSocketStream::from_partially_read(stream, early, Role::Server, config).await))
    }

    /// Client side: asks for `url`, offering the subprotocol `mqtt` `[MQTT-6.0.0-3]`.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] with the HTTP status when the peer does not agree to MQTT,
    /// [`io::ErrorKind::InvalidInput`] when `url` is none of WebSocket, else those of the stream.
    pub async fn connect(stream: S, url: &Url, options: &WsOptions) -> io::Result<Self> {
        let refused = |error| client_error(url, error);
        let mut request = url.to_string().into_client_request().map_err(refused)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOLS[0]));
        let config = Some(options.config());
        let (socket, _response) =
            tokio_tungstenite::client_async_with_config(request, stream, config).await.map_err(refused)?;
        Ok(Self::new(socket))
    }

    fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, message: Bytes::new(), state: State::Open, failure: None }
    }

    /// Moves what fits of the present message; returns whether the caller's buffer is full.
    fn take_message(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let step = self.message.len().min(buffer.remaining());
        buffer.put_slice(&self.message[..step]);
        self.message.advance(step);
        if self.message.is_empty() {
            // An empty handle still owns the library's read buffer, which could not be used again.
            self.message = Bytes::new();
        }
        buffer.remaining() == 0
    }

    /// Brings the next binary message, or whatever ends the stream.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Err(error));
        }
        while self.message.is_empty() {
            match &mut self.state {
                State::Open | State::Closing => {
                    let event = ready!(Pin::new(&mut self.socket).poll_next(cx));
                    self.on_event(event)?;
                }
                State::Answering => {
                    // Once the answer is out nothing more is expected, whether or not it reached the peer.
                    let _ = ready!(Pin::new(&mut self.socket).poll_flush(cx));
                    self.state = State::Ended;
                }
                State::Broken { discarded } => {
                    ready!(poll_drain(cx, self.socket.get_mut(), BROKEN_BYTES_MAX, discarded));
                    self.state = State::Ended;
                }
                State::Ended => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn on_event(&mut self, event: Option<Result<Message, WsError>>) -> io::Result<()> {
        match event {
            Some(Ok(Message::Binary(payload))) => self.message = payload,
            // The library has queued the answer to a ping; its next step sends it.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) => self.state = State::Answering,
            Some(Ok(Message::Text(_)) | Err(WsError::Utf8(_))) => {
                return Err(self.refuse(CloseCode::Unsupported, "MQTT needs binary frames")); // [MQTT-6.0.0-1]
            }
            Some(Err(WsError::Capacity(error))) => {
                return Err(self.refuse(CloseCode::Size, error));
            }
            None | Some(Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                self.state = State::Ended;
            }
            Some(Err(WsError::Io(error))) => {
                self.state = State::Ended;
                return Err(error);
            }
            Some(Err(error)) => return Err(self.refuse(CloseCode::Protocol, error)),
        }
        Ok(())
    }

    /// Tells the peer why it is refused; the frame is small, so if the stream blocks it goes out with the shutdown.
    fn refuse(&mut self, code: CloseCode, problem: impl fmt::Display) -> io::Error {
        if self.state == State::Open {
            let frame = CloseFrame { code, reason: "".into() };
            let _ = Pin::new(&mut self.socket).start_send(Message::Close(Some(frame)));
        }
        self.state = State::Broken { discarded: 0 };
        io::Error::new(io::ErrorKind::InvalidData, format!("WebSocket: {problem}"))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &dyn Fn() -> Bytes) -> Poll<io::Result<usize>> {
        if self.state != State::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(into_io)?;
            let payload = payload();
            let length = payload.len();
            match Pin::new(&mut self.socket).start_send(Message::Binary(payload)) {
                Ok(()) => return Poll::Ready(Ok(length)),
                // Answers to pings fill the buffer while the peer does not read.
                Err(WsError::WriteBufferFull(_)) => {
                    ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(into_io)?;
                }
                Err(error) => return Poll::Ready(Err(into_io(error))),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        // As many messages as are there and fit, so that one read brings a whole burst.
        while !this.take_message(buffer) {
            match this.poll_message(cx) {
                Poll::Ready(Ok(())) if this.message.is_empty() => break,
                Poll::Ready(Ok(())) => {}
                Poll::Pending if buffer.filled().len() > before => break,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) if buffer.filled().len() > before => {
                    this.failure = Some(error);
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let step = bytes.len().min(MESSAGE_BYTES_OUT);
        self.get_mut().poll_send(cx, &|| Bytes::copy_from_slice(&bytes[..step]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, &|| gather(slices, MESSAGE_BYTES_OUT))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx).map_err(into_io)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.socket).poll_flush(cx)).map_err(into_io)?;
        if this.state == State::Open {
            let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            Pin::new(&mut this.socket).start_send(Message::Close(Some(frame))).map_err(into_io)?;
            this.state = State::Closing;
            ready!(Pin::new(&mut this.socket).poll_flush(cx)).map_err(into_io)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> fmt::Debug for WsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsStream").field("state", &self.state).finish_non_exhaustive()
    }
}

/// The first `bytes_max` bytes of all slices together.
fn gather(slices: &[IoSlice<'_>], bytes_max: usize) -> Bytes {
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut gathered = Vec::with_capacity(total.min(bytes_max));
    for slice in slices {
        let room = bytes_max - gathered.len();
        gathered.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    gathered.into()
}

fn into_io(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        WsError::ConnectionClosed | WsError::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        WsError::Protocol(ProtocolError::SendAfterClosing) => io::ErrorKind::BrokenPipe.into(),
        error => io::Error::other(error),
    }
}

fn client_error(url: &Url, error: WsError) -> io::Error {
    use io::ErrorKind::{ConnectionRefused, InvalidInput};
    match error {
        WsError::Io(error) => error,
        WsError::Url(error) => io::Error::new(InvalidInput, format!("{url}: {error}")),
        error => io::Error::new(ConnectionRefused, format!("{url} does not speak MQTT: {error}")),
    }
}
