//! When a certificate of ours ends.

use super::{CertificateExpiry, CertificateFiles, names};
use rustls::sign::CertifiedKey;

pub(super) fn of(files: &CertificateFiles, key: &CertifiedKey) -> CertificateExpiry {
    // The chain is as good as its first member to end.
    let ends = key.cert.iter().map(|certificate| names::read(certificate).1);
    let at = ends.reduce(|first, other| first.zip(other).map(|(first, other)| first.min(other))).flatten();
    CertificateExpiry { file: files.certificate.clone(), at }
}
