//! What the fuzz target of the TLS stream and the test of its corpus do with one input.
//!
//! An input is a script: each of its steps has a client of rustls' own seal something, forges or cuts what is on its way,
//! or has the server answer, over a wire that gives and takes as few bytes at a time as the script says.

use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use mqtt_testkit::Authority;
use mqtt_transport::{BoxStream, CertificateFiles, TlsOptions, TlsServer};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is under way between both ends.
struct Between {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// Bytes that a call reads or writes at the most.
    step: usize,
    /// Whether the next write has to be asked again.
    holds_up: bool,
    cut: bool,
}

#[derive(Clone)]
struct Wire(Arc<Mutex<Between>>);

impl Wire {
    fn lock(&self) -> MutexGuard<'_, Between> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut between = self.lock();
        let bytes = between.step.min(buffer.remaining()).min(between.to_server.len());
        if bytes == 0 && !between.cut {
            return Poll::Pending;
        }
        buffer.put_slice(&between.to_server.drain(..bytes).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut between = self.lock();
        between.holds_up = !between.holds_up;
        if between.holds_up {
            return Poll::Pending;
        }
        let bytes = &bytes[..bytes.len().min(between.step)];
        between.to_client.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A server, and clients of TLS 1.2 and 1.3 that trust it and remember nothing.
struct Ends {
    server: TlsServer,
    clients: [Arc<ClientConfig>; 2],
}

static ENDS: LazyLock<Ends> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("authority");
    authority.issue("server", &["localhost"], 1).write(folder.path(), "server");
    let path = |name| folder.path().join(name);
    let files = CertificateFiles { certificate: path("server.pem"), key: path("server.key") };
    let options = TlsOptions { certificates: vec![files], ..TlsOptions::default() };
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate");
    roots.add(ca).expect("an authority");
    let clients = [&rustls::version::TLS12, &rustls::version::TLS13].map(|it| client(it, roots.clone()));
    Ends { server: TlsServer::load(options).expect("good files"), clients }
});

fn client(version: &'static SupportedProtocolVersion, roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
    let builder = builder.expect("it has this version").with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Both ends of a connection, and what each has said and heard.
struct Talk {
    wire: Wire,
    client: ClientConnection,
    server: BoxStream,
    is_v1_3: bool,
    room: usize,
    client_said: Vec<u8>,
    server_heard: Vec<u8>,
    server_said: Vec<u8>,
    client_heard: Vec<u8>,
    /// Something was changed on the way, so either end may give up.
    is_forged: bool,
    has_ended: bool,
    failed: bool,
}

/// Runs until both ends have shaken hands, over a wire of the given step.
fn shake_hands(is_v1_3: bool, step: usize) -> Talk {
    let wire = Wire(Arc::new(Mutex::new(Between {
        to_server: VecDeque::new(),
        to_client: VecDeque::new(),
        step,
        holds_up: false,
        cut: false,
    })));
    let name = ServerName::try_from("localhost").expect("a name");
    let config = ENDS.clients[usize::from(is_v1_3)].clone();
    let mut client = ClientConnection::new(config, name).expect("a good configuration");
    let mut accept = pin!(ENDS.server.accept(wire.clone()));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        exchange(&wire, &mut client, &mut Vec::new()).expect("nothing is wrong yet");
        if let Poll::Ready(accepted) = accept.as_mut().poll(&mut cx) {
            let (server, _) = accepted.expect("nothing is wrong yet");
            exchange(&wire, &mut client, &mut Vec::new()).expect("nothing is wrong yet");
            return Talk {
                wire,
                client,
                server: Box::new(server),
                is_v1_3,
                room: 64 << 10,
                client_said: Vec::new(),
                server_heard: Vec::new(),
                server_said: Vec::new(),
                client_heard: Vec::new(),
                is_forged: false,
                has_ended: false,
                failed: false,
            };
        }
    }
}

/// What has come for the client, whose data goes to `heard`, and what it has to send.
fn exchange(wire: &Wire, client: &mut ClientConnection, heard: &mut Vec<u8>) -> Result<(), rustls::Error> {
    let mut between = wire.lock();
    let mut arrived: Vec<u8> = between.to_client.drain(..).collect();
    let mut arrived = &mut arrived[..];
    while !arrived.is_empty() {
        let read =
            client.read_tls(&mut &*arrived).map_err(|error| rustls::Error::General(error.to_string()))?;
        arrived = &mut arrived[read..];
        client.process_new_packets()?;
        // It blocks where nothing more has come.
        let _ = io::Read::read_to_end(&mut client.reader(), heard);
        if read == 0 {
            break;
        }
    }
    while client.wants_write() {
        let mut sealed = Vec::new();
        client.write_tls(&mut sealed).expect("memory takes everything");
        between.to_server.extend(sealed);
    }
    Ok(())
}

impl Talk {
    /// Runs until neither end has anything left to do.
    fn settle(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut room = vec![0; self.room];
        // Each turn of a wire that goes on moves a byte, or is the one that it is held up for.
        let turns = 2 * (self.wire.lock().to_server.len() + self.server_said.len()) + 100_000;
        for _ in 0..turns {
            let mut buffer = ReadBuf::new(&mut room);
            let read = Pin::new(&mut self.server).poll_read(&mut cx, &mut buffer);
            self.server_heard.extend_from_slice(buffer.filled());
            let heard = buffer.filled().len();
            match &read {
                Poll::Ready(Ok(())) if heard == 0 => self.has_ended = true,
                Poll::Ready(Err(error)) => self.fail(error),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            let flushed = Pin::new(&mut self.server).poll_flush(&mut cx);
            if let Poll::Ready(Err(error)) = &flushed {
                self.fail(error);
            }
            self.hear();
            let nothing_came = read_is_over(&read, heard);
            if nothing_came && flushed.is_ready() && self.wire.lock().to_server.is_empty() {
                return;
            }
            if (self.failed || self.has_ended) && flushed.is_ready() {
                return;
            }
        }
        panic!("both ends come to rest");
    }

    fn fail(&mut self, error: &io::Error) {
        let forged = self.is_forged
            && matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
        let cut = self.wire.lock().cut && error.kind() == io::ErrorKind::UnexpectedEof;
        assert!(forged || cut || self.failed, "{error}");
        self.failed = true;
    }

    /// What the client makes of what has come.
    fn hear(&mut self) {
        let heard = exchange(&self.wire, &mut self.client, &mut self.client_heard);
        assert!(heard.is_ok() || self.failed || self.is_forged, "{heard:?}");
    }

    fn check(&self) {
        assert!(self.client_said.starts_with(&self.server_heard), "the server heard what nobody said");
        assert!(self.server_said.starts_with(&self.client_heard), "the client heard what nobody said");
        if !self.is_forged && !self.failed {
            assert!(self.server_heard == self.client_said, "the server missed something");
            assert!(self.client_heard == self.server_said, "the client missed something");
        }
    }

    /// The client seals so many bytes, as many records as that takes.
    fn say(&mut self, bytes: usize) {
        let at = self.client_said.len();
        let data: Vec<u8> = (at..at + bytes).map(|at| (at * 31 + at / 251) as u8).collect();
        // It takes no more than it has room for, and nothing after a failure.
        if let Ok(taken) = io::Write::write(&mut self.client.writer(), &data) {
            self.client_said.extend_from_slice(&data[..taken]);
        }
        self.hear();
    }

    /// The server seals so many bytes, as far as the wire takes them.
    fn answer(&mut self, bytes: usize) {
        let data: Vec<u8> = (0..bytes).map(|at| (at * 13 + at / 241) as u8).collect();
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.server).poll_write(&mut cx, &data) {
            Poll::Ready(Ok(taken)) => self.server_said.extend_from_slice(&data[..taken]),
            Poll::Ready(Err(_)) => assert!(self.failed, "it can be written to"),
            Poll::Pending => {}
        }
    }

    /// Does the next step of a script; `None` at its end.
    fn act(&mut self, script: &mut impl Iterator<Item = u8>) -> Option<()> {
        let (action, more) = (script.next()?, usize::from(script.next()?));
        match action % 9 {
            0 => self.say(more),
            1 => self.say(more * 300),
            2 => self.answer(more),
            3 => self.answer(more * 400),
            4 => self.wire.lock().step = more * more + 1,
            5 => self.room = more * more + 1,
            6 if self.is_v1_3 => {
                let renewed = self.client.refresh_traffic_keys();
                assert!(renewed.is_ok() || self.is_forged, "{renewed:?}");
            }
            6 => {}
            // Bytes of the script's own between two records, or one of a record changed.
            7 => {
                let garbage: Vec<u8> = script.take(more % 64).collect();
                self.is_forged |= !garbage.is_empty();
                self.wire.lock().to_server.extend(garbage);
            }
            _ => {
                let mut between = self.wire.lock();
                let length = between.to_server.len().max(1);
                if let Some(byte) = between.to_server.get_mut(more * 57 % length) {
                    *byte ^= 1 << (more % 8);
                    drop(between);
                    self.is_forged = true;
                }
            }
        }
        if action & 0x80 != 0 {
            self.settle();
            self.check();
        }
        Some(())
    }
}

fn read_is_over(read: &Poll<io::Result<()>>, heard: usize) -> bool {
    matches!(read, Poll::Pending) || heard == 0
}

/// Whatever is cut, however it is cut: each end hears what the other said, in its order, and after a forgery nothing more.
pub(crate) fn check_tls(input: &[u8]) {
    let mut script = input.iter().copied();
    let Some(beginning) = script.next() else { return };
    let mut talk = shake_hands(beginning & 1 == 1, usize::from(beginning) * 8 + 1);
    while talk.act(&mut script).is_some() {}
    talk.settle();
    talk.check();
    if beginning & 2 == 0 {
        talk.client.send_close_notify();
    }
    talk.hear();
    talk.wire.lock().cut = true;
    talk.settle();
    talk.check();
    assert!(talk.has_ended || talk.failed, "an end or a cut is noticed");
    // A close_notify makes it an end, its absence a cut.
    assert!(talk.is_forged || talk.has_ended == (beginning & 2 == 0));
}
