//! PEM files, and whether they have changed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{CertificateFiles, TlsVersion};

/// What a file looked like; another one may be another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(i64, i64, u64, u64)>>);

impl Stamp {
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        let look = |path: &Path| {
            let data = fs::metadata(path).ok()?;
            Some((data.mtime(), data.mtime_nsec(), data.size(), data.ino()))
        };
        Self(paths.map(look).collect())
    }
}

/// Certificates of a file, at least one.
pub(super) fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(path, &error))?;
    if certificates.is_empty() {
        return Err(wrong(path, "it holds no certificate"));
    }
    Ok(certificates)
}

/// Revocation lists; at least one, since a file without any would revoke nobody.
pub(super) fn revocations(path: &PathBuf) -> io::Result<Vec<CertificateRevocationListDer<'static>>> {
    let read =
        CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let lists = read.map_err(|error| unreadable(path, &error))?;
    if lists.is_empty() { Err(wrong(path, "it holds no revocation list")) } else { Ok(lists) }
}

/// A certificate and its key, which belong together.
pub(super) fn certified_key(files: &CertificateFiles, provider: &CryptoProvider) -> io::Result<CertifiedKey> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unreadable(&files.key, &error))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            wrong(&files.key, format_args!("this is not the key of {}", files.certificate.display()))
        }
        error => wrong(&files.key, error),
    })
}

pub(super) fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, &error))
}

/// The certificates of a file as authorities.
pub(super) fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| wrong(path, error))?;
    }
    Ok(roots)
}

/// aws-lc-rs, with these cipher suites if any are named.
pub(super) fn provider(cipher_suites: &[String]) -> io::Result<Arc<CryptoProvider>> {
    let mut provider = aws_lc_rs::default_provider();
    if !cipher_suites.is_empty() {
        let chosen = cipher_suites.iter().map(|name| cipher_suite(name)).collect::<io::Result<_>>();
        provider.cipher_suites = chosen?;
    }
    Ok(Arc::new(provider))
}

fn cipher_suite(name: &str) -> io::Result<rustls::SupportedCipherSuite> {
    let name_of =
        |suite: &rustls::SupportedCipherSuite| suite.suite().as_str().unwrap_or_default().to_owned();
    let known = aws_lc_rs::ALL_CIPHER_SUITES;
    known.iter().find(|suite| name_of(suite) == name).copied().ok_or_else(|| {
        let names: Vec<String> = known.iter().map(name_of).collect();
        let message = format!("{name:?} is no cipher suite; there are {}", names.join(", "));
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

pub(super) fn versions(
    min: TlsVersion,
    max: TlsVersion,
) -> io::Result<&'static [&'static rustls::SupportedProtocolVersion]> {
    use TlsVersion::{V1_2, V1_3};
    use rustls::version::{TLS12, TLS13};
    static BOTH: [&rustls::SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match (min, max) {
        (V1_2, V1_3) => Ok(&BOTH),
        (V1_2, V1_2) => Ok(&BOTH[1..]),
        (V1_3, V1_3) => Ok(&BOTH[..1]),
        (V1_3, V1_2) => Err(io::Error::new(io::ErrorKind::InvalidInput, "no version of TLS is left")),
    }
}

fn unreadable(path: &Path, error: &pem::Error) -> io::Error {
    let kind = if let pem::Error::Io(error) = error { error.kind() } else { io::ErrorKind::InvalidData };
    match error {
        pem::Error::Io(error) => io::Error::new(kind, format!("{}: {error}", path.display())),
        pem::Error::NoItemsFound => wrong(path, "there is nothing in it that is expected here"),
        error => wrong(path, error),
    }
}

pub(super) fn wrong(path: &Path, problem: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {problem}", path.display()))
}
