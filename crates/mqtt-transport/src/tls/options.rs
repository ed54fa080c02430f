use std::path::PathBuf;
use std::time::SystemTime;

/// What a TLS listener shows, and what it asks of its clients. Files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// One or more certificates. A client gets the first one that has the name it asks for and a key it can check, else
    /// the first with such a key.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients show a certificate, too.
    pub client_certificates: ClientCertificates,
    /// The authorities that may have signed clients' certificates; needed as soon as clients may show one.
    pub client_ca_file: Option<PathBuf>,
    /// Lists of client certificates that their authorities revoked. If there is one, every client certificate must come
    /// from an authority whose list is among them.
    pub crl_files: Vec<PathBuf>,
    /// Lowest version.
    pub version_min: TlsVersion,
    /// Highest version.
    pub version_max: TlsVersion,
    /// Names of the cipher suites to offer, in the order of preference, such as `TLS13_AES_256_GCM_SHA384`. Empty for
    /// all that are considered safe.
    pub cipher_suites: Vec<String>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            client_certificates: ClientCertificates::NotAsked,
            client_ca_file: None,
            crl_files: Vec::new(),
            version_min: TlsVersion::V1_2,
            version_max: TlsVersion::V1_3,
            cipher_suites: Vec::new(),
        }
    }
}

/// A certificate and the key that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientCertificates {
    /// They are not asked.
    NotAsked,
    /// They are asked and may have none; one that they show must be good.
    Optional,
    /// Without a good one they are refused.
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// How a client checks its server, and what it shows. Files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsClientOptions {
    /// The authorities that may have signed the server's certificate; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show when asked.
    pub certificate: Option<CertificateFiles>,
    /// Accepts a certificate for another name. It must still come from an authority, so this is for tests and for servers
    /// that are reached through an address that their certificate does not have.
    pub any_name: bool,
    /// The name that the certificate must have, if it is not that of the address.
    pub server_name: Option<String>,
    /// Lowest version.
    pub version_min: TlsVersion,
    /// Highest version.
    pub version_max: TlsVersion,
}

impl Default for TlsClientOptions {
    fn default() -> Self {
        Self {
            ca_file: None,
            certificate: None,
            any_name: false,
            server_name: None,
            version_min: TlsVersion::V1_2,
            version_max: TlsVersion::V1_3,
        }
    }
}

/// How long a certificate of ours is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// Where it came from.
    pub file: PathBuf,
    /// From this moment on clients refuse it; `None` if it cannot be told.
    pub at: Option<SystemTime>,
}

/// What looking for changed files led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// No file has changed since the last look.
    Unchanged,
    /// New connections get what the files hold now.
    Renewed,
}
