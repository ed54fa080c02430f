//! What rustls says about the records of one connection, and what it wants to be sent.

use std::mem;

use rustls::Error;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, ReadTraffic, UnbufferedStatus,
    WriteTraffic,
};

use crate::scratch;

/// A connection without buffers: the caller lends them.
pub(super) struct Engine {
    pub(super) tls: UnbufferedServerConnection,
    /// Records on their way out.
    pub(super) out: Outgoing,
    /// The peer has said that nothing more comes.
    pub(super) peer_closed: bool,
    failure: Option<Error>,
}

/// Most of a record's plain text; rustls makes no larger ones.
pub(super) const RECORD_BYTES: usize = 16 * 1024;
/// What a record can have around it, in either version.
const OVERHEAD_BYTES: usize = 64;

impl Engine {
    pub(super) fn new(tls: UnbufferedServerConnection) -> Self {
        Self { tls, out: Outgoing::default(), peer_closed: false, failure: None }
    }

    /// Opens the complete records in `sealed` and hands on what was in them. Returns how many bytes are done with; the
    /// rest has to come again, with more behind it.
    pub(super) fn open(
        &mut self,
        sealed: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
    ) -> (usize, Result<(), Error>) {
        self.run(sealed, plain, &mut |_, _| Ok(()))
    }

    /// Seals data behind what is on its way out. `sealed` is what waits to be opened, which rustls wants to see each time;
    /// it is done with as much of it as is returned.
    pub(super) fn seal(&mut self, data: &[u8], sealed: &mut [u8]) -> (usize, Result<(), Error>) {
        self.run(sealed, &mut |_| {}, &mut |traffic, out| {
            for record in data.chunks(RECORD_BYTES) {
                out.append(record.len() + OVERHEAD_BYTES, |room| {
                    traffic.encrypt(record, room).map_err(Lack::from)
                })?;
            }
            Ok(())
        })
    }

    /// Puts the end of our direction behind what is on its way out.
    pub(super) fn close(&mut self, sealed: &mut [u8]) -> (usize, Result<(), Error>) {
        self.run(sealed, &mut |_| {}, &mut |traffic, out| {
            out.append(OVERHEAD_BYTES, |room| traffic.queue_close_notify(room).map_err(Lack::from))
        })
    }

    /// Goes from state to state until nothing is left to do with `sealed`; `write` is called if data may be written then.
    ///
    /// rustls keeps positions in what it was shown, so it must see the same bytes again, without those that are done with.
    /// After a failure it must not be asked any more, but for the alert that it has for the peer.
    fn run(
        &mut self,
        sealed: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
        write: &mut dyn FnMut(&mut Traffic<'_>, &mut Outgoing) -> Result<(), Error>,
    ) -> (usize, Result<(), Error>) {
        if let Some(error) = &self.failure {
            return (sealed.len(), Err(error.clone()));
        }
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut sealed[used..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(records)) => hand_on(records, plain),
                Ok(ConnectionState::EncodeTlsData(mut data)) => self
                    .out
                    .append(OVERHEAD_BYTES, |room| data.encode(room).map_err(Lack::from))
                    .map(|()| true),
                // It stays in its place among what is on its way out.
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Ok(true)
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    Ok(true)
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    write(&mut traffic, &mut self.out).map(|()| false)
                }
                // Early data is never asked for, and what else may come some day is nothing that we can act on.
                Ok(_) => Ok(false),
                Err(error) => Err(error),
            };
            used += discard;
            match goes_on {
                Ok(true) => {}
                Ok(false) => return (used, Ok(())),
                Err(error) => {
                    self.take_alert(&mut sealed[used..]);
                    self.failure = Some(error.clone());
                    return (used, Err(error));
                }
            }
        }
    }

    fn take_alert(&mut self, sealed: &mut [u8]) {
        if let Ok(ConnectionState::EncodeTlsData(mut alert)) = self.tls.process_tls_records(sealed).state {
            // Without it the peer only sees the connection end.
            let _ = self.out.append(OVERHEAD_BYTES, |room| alert.encode(room).map_err(Lack::from));
        }
    }
}

type Traffic<'c> = WriteTraffic<'c, ServerConnectionData>;

/// All data that was opened.
fn hand_on(
    mut records: ReadTraffic<'_, '_, ServerConnectionData>,
    plain: &mut dyn FnMut(&[u8]),
) -> Result<bool, Error> {
    while let Some(record) = records.next_record() {
        plain(record?.payload);
    }
    Ok(true)
}

/// Why something could not be appended: there is not enough room, or it cannot be at all.
enum Lack {
    Room(usize),
    Everything(Error),
}

impl From<InsufficientSizeError> for Lack {
    fn from(error: InsufficientSizeError) -> Self {
        Self::Room(error.required_size)
    }
}

impl From<EncryptError> for Lack {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(error) => error.into(),
            EncryptError::EncryptExhausted => Self::Everything(Error::EncryptError),
        }
    }
}

impl From<EncodeError> for Lack {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(error) => error.into(),
            EncodeError::AlreadyEncoded => Self::Everything(Error::General(error.to_string())),
        }
    }
}

/// Bytes on their way out, in a buffer that is the thread's as soon as it is empty.
#[derive(Default)]
pub(super) struct Outgoing {
    /// As long as it ever had to be; what counts is from `from` to `to`.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Outgoing {
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Memory that it holds.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn advance(&mut self, sent: usize) {
        self.from += sent;
        if self.from == self.to {
            scratch::give_seal_spare(mem::take(&mut self.buffer));
            (self.from, self.to) = (0, 0);
        }
    }

    /// Lets `write` fill room of about that size, or of the size that it asks for.
    fn append(
        &mut self,
        mut room_bytes: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, Lack>,
    ) -> Result<(), Error> {
        if self.buffer.is_empty() {
            self.buffer = scratch::take_seal_spare();
        }
        loop {
            if self.buffer.len() < self.to + room_bytes {
                self.buffer.resize(self.to + room_bytes, 0);
            }
            match write(&mut self.buffer[self.to..]) {
                Ok(written) => {
                    self.to += written;
                    return Ok(());
                }
                Err(Lack::Room(required)) if required > room_bytes => room_bytes = required,
                Err(Lack::Room(_)) => return Err(Error::EncryptError),
                Err(Lack::Everything(error)) => return Err(error),
            }
        }
    }
}
