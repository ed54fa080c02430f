/// Whom a certificate speaks of, after its owner proved to have the key that belongs to it.
///
/// Only what MQTT has a use for; the names are those of the certificate, so they are only as good as the authority that
/// signed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The whole subject as RFC 4514 writes it, such as `CN=sensor 7,O=Example`; empty if the certificate has none.
    pub distinguished_name: Box<str>,
    /// The last common name of the subject.
    pub common_name: Option<Box<str>>,
    /// Alternative names that are text (DNS, e-mail, URI) or an IP address, in the order of the certificate.
    pub alternative_names: Box<[Box<str>]>,
}

/// Which name of a certificate stands for its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateField {
    /// The common name (CN).
    CommonName,
    /// The first alternative name (SAN).
    AlternativeName,
    /// The whole subject (DN).
    DistinguishedName,
}

impl Certificate {
    /// The name in this place, if the certificate has one.
    pub fn field(&self, field: CertificateField) -> Option<&str> {
        let name = match field {
            CertificateField::CommonName => self.common_name.as_deref(),
            CertificateField::AlternativeName => self.alternative_names.first().map(|name| &**name),
            CertificateField::DistinguishedName => Some(&*self.distinguished_name),
        };
        name.filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_there_stands_for_nobody() {
        let nameless = Certificate::default();
        let certificate = Certificate {
            distinguished_name: "CN=a,O=b".into(),
            common_name: Some("a".into()),
            alternative_names: ["a.example".into(), "b.example".into()].into(),
        };
        for (field, name) in [
            (CertificateField::CommonName, "a"),
            (CertificateField::AlternativeName, "a.example"),
            (CertificateField::DistinguishedName, "CN=a,O=b"),
        ] {
            assert_eq!(certificate.field(field), Some(name));
            assert_eq!(nameless.field(field), None);
        }
    }
}
