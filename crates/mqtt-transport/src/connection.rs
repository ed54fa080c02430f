use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A byte stream in both directions; whatever is one can carry MQTT (section 4.2: ordered, lossless, both ways).
///
/// ```
/// use mqtt_transport::{Connection, Stream};
///
/// // Whatever reads and writes is one: here a pipe in memory.
/// fn takes(stream: impl Stream + 'static) -> Connection {
///     Connection::boxed(stream)
/// }
///
/// let (near, far) = tokio::io::duplex(4_096);
/// let (near, far) = (takes(near), takes(far));
/// # drop((near, far));
/// ```
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + ?Sized> Stream for S {}

/// A stream whose kind is known at run time only.
pub type BoxStream = Box<dyn Stream>;

/// A connection that is ready for MQTT bytes.
///
/// Plain TCP sits inside without a heap allocation of its own and without dynamic dispatch; everything else is boxed.
pub enum Connection {
    /// A TCP connection.
    Tcp(TcpStream),
    /// WebSocket, an in-memory pipe, or any stream an embedder brings along.
    Boxed(BoxStream),
}

impl Connection {
    /// Makes a connection of any stream, for example of one half of [`tokio::io::duplex`].
    pub fn boxed(stream: impl Stream + 'static) -> Self {
        Self::Boxed(Box::new(stream))
    }
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<BoxStream> for Connection {
    fn from(stream: BoxStream) -> Self {
        Self::Boxed(stream)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(stream) => f.debug_tuple("Tcp").field(stream).finish(),
            Self::Boxed(_) => f.write_str("Boxed"),
        }
    }
}

/// Calls one method of the pinned stream inside.
macro_rules! forward {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Connection::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Connection::Boxed(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Connection {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Connection {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self.poll_write(cx, bytes))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Boxed(stream) => stream.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.poll_shutdown(cx))
    }
}
