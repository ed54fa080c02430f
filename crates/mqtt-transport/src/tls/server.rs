use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use tokio::sync::Semaphore;

use super::files::{self, Stamp};
use super::pick::{Certificates, Offered};
use super::stream::{TlsStream, first_record};
use super::{CertificateExpiry, ClientCertificates, Reloaded, TlsOptions, expiry, names};
use crate::arrival::HandshakeError;
use crate::certificate::Certificate;
use crate::connection::Stream;

/// The TLS side of a listener: what its files held when they were last read.
///
/// Reading them again changes what new connections get; those that exist go on.
///
/// ```no_run
/// use mqtt_transport::{CertificateFiles, TlsOptions, TlsServer};
///
/// # fn run() -> std::io::Result<()> {
/// let files = CertificateFiles { certificate: "broker.pem".into(), key: "broker.key".into() };
/// let tls = TlsServer::load(TlsOptions { certificates: vec![files], ..TlsOptions::default() })?;
/// // Later, when the files have changed; connections that exist go on.
/// tls.reload()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TlsServer {
    options: TlsOptions,
    /// Protocols to agree on; empty to leave it open.
    protocols: Vec<Vec<u8>>,
    state: RwLock<State>,
}

/// What the files of a [`TlsServer`] held when they were read again, until it [takes it over](TlsServer::take_over).
#[derive(Debug)]
pub struct PreparedTls(State);

#[derive(Debug)]
struct State {
    loaded: Loaded,
    /// Of the files as they were looked at last, whether or not they could be used.
    stamp: Stamp,
}

#[derive(Debug, Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    expiries: Vec<CertificateExpiry>,
}

impl TlsServer {
    /// Reads all files. Blocks for as long as that takes.
    ///
    /// # Errors
    /// A file that is missing or wrong, with its path; a cipher suite that is unknown; options that contradict each other.
    pub fn load(options: TlsOptions) -> io::Result<Self> {
        Self::load_for(options, &[])
    }

    /// The same for a transport that agrees on a protocol (ALPN).
    pub(crate) fn load_for(options: TlsOptions, protocols: &[&[u8]]) -> io::Result<Self> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.to_vec()).collect();
        let stamp = Stamp::of(options.files());
        let loaded = Loaded::read(&options, &protocols)?;
        Ok(Self { options, protocols, state: RwLock::new(State { loaded, stamp }) })
    }

    /// Reads all files again. If one is wrong, everything stays as it was. Blocks for as long as that takes.
    ///
    /// # Errors
    /// As [`TlsServer::load`].
    pub fn reload(&self) -> io::Result<Reloaded> {
        self.take_over(self.prepare()?);
        Ok(Reloaded::Renewed)
    }

    /// Reads all files again and changes nothing yet, so that several things can change together or not at all.
    /// Blocks for as long as that takes.
    ///
    /// # Errors
    /// As [`TlsServer::load`].
    pub fn prepare(&self) -> io::Result<PreparedTls> {
        // Looked at before they are read: a change in between is seen the next time.
        let stamp = Stamp::of(self.options.files());
        match Loaded::read(&self.options, &self.protocols) {
            Ok(loaded) => Ok(PreparedTls(State { loaded, stamp })),
            Err(error) => {
                self.state.write().unwrap_or_else(PoisonError::into_inner).stamp = stamp;
                Err(error)
            }
        }
    }

    /// From now on new connections get what was prepared.
    pub fn take_over(&self, prepared: PreparedTls) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = prepared.0;
    }

    /// Reads all files again if one of them looks different than last time. A wrong file is told once.
    ///
    /// # Errors
    /// As [`TlsServer::load`].
    pub fn reload_if_changed(&self) -> io::Result<Reloaded> {
        let stamp = Stamp::of(self.options.files());
        if self.state.read().unwrap_or_else(PoisonError::into_inner).stamp == stamp {
            return Ok(Reloaded::Unchanged);
        }
        self.reload()
    }

    /// When each certificate ends, in the order of the options.
    pub fn expiries(&self) -> Vec<CertificateExpiry> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).loaded.expiries.clone()
    }

    /// What a new connection gets.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).loaded.config.clone()
    }

    /// Brings any stream under TLS, for a server that accepts its clients by itself. Returns whose certificate the client
    /// showed. The time is the caller's to bound.
    ///
    /// # Errors
    /// [`HandshakeError::Tls`] where the client does not keep to TLS or shows no good certificate, [`HandshakeError::Io`]
    /// when the stream fails.
    pub async fn accept<S: Stream>(
        &self,
        stream: S,
    ) -> Result<(impl Stream + use<S>, Option<Arc<Certificate>>), HandshakeError> {
        self.accept_among(stream, &Semaphore::new(1)).await
    }

    /// The same for one of many clients. `handshakes` bounds how many are under way at a time; a client takes part in that only
    /// from its complete first record on, so that one which says nothing is in nobody's way.
    pub(crate) async fn accept_among<S: Stream>(
        &self,
        mut stream: S,
        handshakes: &Semaphore,
    ) -> Result<(impl Stream + use<S>, Option<Arc<Certificate>>), HandshakeError> {
        let first = first_record(&mut stream).await?;
        let _permit = handshakes.acquire().await.map_err(io::Error::other)?;
        let stream = TlsStream::accept(stream, self.config(), first).await.map_err(HandshakeError::of_tls)?;
        let certificate = stream.peer_certificates().and_then(certificate_of);
        Ok((stream, certificate))
    }
}

/// The names in the first certificate of a chain.
pub(crate) fn certificate_of(chain: &[rustls::pki_types::CertificateDer<'_>]) -> Option<Arc<Certificate>> {
    chain.first().map(|certificate| Arc::new(names::read(certificate).0))
}

impl TlsOptions {
    /// All files it names.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.certificates.iter().flat_map(|files| [&*files.certificate, &*files.key]);
        pairs.chain(self.client_ca_file.as_deref()).chain(self.crl_files.iter().map(|path| &**path))
    }
}

impl Loaded {
    fn read(options: &TlsOptions, protocols: &[Vec<u8>]) -> io::Result<Self> {
        let provider = files::provider(&options.cipher_suites)?;
        let (offered, expiries) = certificates(options, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let versions = files::versions(options.version_min, options.version_max)?;
        let builder = builder.with_protocol_versions(versions).map_err(unusable)?;
        let builder = match verifier(options, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Certificates(offered)));
        config.alpn_protocols = protocols.to_vec();
        // Tickets instead of a store: no memory per client. Their key ends with this configuration, so that whoever was
        // revoked by the next one cannot resume.
        config.ticketer = Ticketer::new().map_err(unusable)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), expiries })
    }
}

fn certificates(
    options: &TlsOptions,
    provider: &CryptoProvider,
) -> io::Result<(Vec<Offered>, Vec<CertificateExpiry>)> {
    if options.certificates.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS needs a certificate and its key"));
    }
    let read = options.certificates.iter().map(|pair| {
        let key = files::certified_key(pair, provider)?;
        let (names, _) = names::read(&key.cert[0]);
        let names = names.alternative_names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let expiry = expiry::of(pair, &key);
        Ok((Offered { names, key: Arc::new(key) }, expiry))
    });
    Ok(read.collect::<io::Result<Vec<_>>>()?.into_iter().unzip())
}

/// What judges clients' certificates; `None` if they show none.
fn verifier(
    options: &TlsOptions,
    provider: Arc<CryptoProvider>,
) -> io::Result<Option<Arc<dyn ClientCertVerifier>>> {
    if options.client_certificates == ClientCertificates::NotAsked {
        return Ok(None);
    }
    let no_authority =
        || io::Error::new(io::ErrorKind::InvalidInput, "client certificates need a file of authorities");
    let roots = files::authorities(options.client_ca_file.as_deref().ok_or_else(no_authority)?)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    for path in &options.crl_files {
        builder = builder.with_crls(files::revocations(path)?);
    }
    builder = builder.only_check_end_entity_revocation();
    if options.client_certificates == ClientCertificates::Optional {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| match error {
        VerifierBuilderError::InvalidCrl(_) => unusable(format!("{}: {error}", paths(&options.crl_files))),
        error => unusable(error),
    });
    verifier.map(Some)
}

fn paths(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn unusable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
