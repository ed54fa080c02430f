//! Certificates for tests, made on the spot.

use std::{fs, path::Path, time::SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

/// An authority that signs certificates and revokes them.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, both as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    serial: u64,
}

const WHY: &str = "rcgen makes what it is asked for";

impl Authority {
    /// A new one, which nobody trusts yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect(WHY);
        let pem = params.self_signed(&key).expect(WHY).pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate, to be trusted.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate with a common name and alternative names, good for many years.
    #[must_use]
    pub fn issue(&self, common_name: &str, names: &[&str], serial: u64) -> Issued {
        self.sign(params(common_name, names), serial)
    }

    /// The same for a time in days of the year 2001 to 2099, such as one that is over.
    #[must_use]
    pub fn issue_until(&self, common_name: &str, names: &[&str], serial: u64, year: i32) -> Issued {
        let mut params = params(common_name, names);
        params.not_after = date_time_ymd(year, 1, 1);
        self.sign(params, serial)
    }

    /// The same up to a moment.
    #[must_use]
    pub fn issue_ending(&self, common_name: &str, names: &[&str], serial: u64, at: SystemTime) -> Issued {
        let mut params = params(common_name, names);
        params.not_after = at.into();
        self.sign(params, serial)
    }

    fn sign(&self, mut params: CertificateParams, serial: u64) -> Issued {
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().expect(WHY);
        let certificate = params.signed_by(&key, &self.issuer).expect(WHY).pem();
        Issued { certificate, key: key.serialize_pem(), serial }
    }

    /// The list of those it has revoked.
    #[must_use]
    pub fn revoke(&self, revoked: &[&Issued]) -> String {
        let entry = |issued: &&Issued| RevokedCertParams {
            serial_number: SerialNumber::from(issued.serial),
            revocation_time: date_time_ymd(2001, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2001, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect(WHY).pem().expect(WHY)
    }
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key` into a folder.
    ///
    /// # Panics
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(name).with_extension("pem"), &self.certificate).expect("a folder of the test");
        fs::write(folder.join(name).with_extension("key"), &self.key).expect("a folder of the test");
    }
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut params = CertificateParams::new(names).expect("names of a test");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.distinguished_name.push(DnType::OrganizationName, "Martlet tests");
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2099, 1, 1));
    params
}
