//! Names and dates inside certificates.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::certificate::Certificate;

/// What a certificate says; nothing at all if it cannot be read.
pub(super) fn read(der: &CertificateDer<'_>) -> (Certificate, Option<SystemTime>) {
    let Ok(certificate) = x509_cert::Certificate::from_der(der) else {
        return (Certificate::default(), None);
    };
    let certificate = certificate.tbs_certificate();
    let alternative = certificate.get_extension::<SubjectAltName>().ok().flatten();
    let alternative = alternative.map_or_else(Vec::new, |(_, names)| names.0);
    let subject = certificate.subject();
    let read = Certificate {
        distinguished_name: subject.to_string().into(),
        common_name: common_name(subject),
        alternative_names: alternative.iter().filter_map(text_of).collect(),
    };
    let ends = certificate.validity().not_after.to_unix_duration();
    (read, Some(SystemTime::UNIX_EPOCH + ends))
}

fn common_name(subject: &x509_cert::name::Name) -> Option<Box<str>> {
    const COMMON_NAME: &str = "2.5.4.3";
    let last = subject.iter().filter(|part| part.oid.to_string() == COMMON_NAME).last()?;
    // Every text type that is in use is ASCII or UTF-8.
    std::str::from_utf8(last.value.value()).ok().map(Into::into)
}

fn text_of(name: &GeneralName) -> Option<Box<str>> {
    match name {
        GeneralName::DnsName(name)
        | GeneralName::Rfc822Name(name)
        | GeneralName::UniformResourceIdentifier(name) => Some(name.as_str().into()),
        GeneralName::IpAddress(bytes) => address_of(bytes.as_bytes()),
        _ => None,
    }
}

fn address_of(bytes: &[u8]) -> Option<Box<str>> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).to_string());
    let address =
        v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| Ipv6Addr::from(octets).to_string()));
    address.ok().map(Into::into)
}
