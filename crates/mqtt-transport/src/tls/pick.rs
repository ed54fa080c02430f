//! Which of several certificates a client gets.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates with the names they are for.
#[derive(Debug)]
pub(super) struct Certificates(pub(super) Vec<Offered>);

#[derive(Debug)]
pub(super) struct Offered {
    /// In lower case; the first label may be `*`.
    pub(super) names: Vec<String>,
    pub(super) key: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let name = hello.server_name();
        let usable = || self.0.iter().filter(|offered| offered.key.key.choose_scheme(schemes).is_some());
        let named = name.and_then(|name| usable().find(|offered| offered.is_for(name)));
        named.or_else(|| usable().next()).map(|offered| offered.key.clone())
    }
}

impl Offered {
    fn is_for(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|ours| match ours.strip_prefix("*.") {
            Some(ours) => parent == Some(ours),
            None => *ours == name,
        })
    }
}
