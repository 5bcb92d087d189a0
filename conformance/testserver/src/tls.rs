//! A certification authority for servers that speak TLS; no key outlives its directory.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// A certification authority in a directory of its own.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate in PEM.
    pub cert: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new authority.
    pub fn new() -> Self {
        let dir = super::create_dir();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{}", dir.display()));
        let issuer =
            made(KeyPair::generate().and_then(|key| CertifiedIssuer::self_signed(params, key)));
        write(&dir.join("ca.pem"), &issuer.pem());
        Self { dir, issuer }
    }

    /// Its own certificate, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A certificate for these host names and addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.sign(names, &made(CertificateParams::new(owned(names))))
    }

    /// A certificate that has expired.
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        let mut params = made(CertificateParams::new(owned(names)));
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(names, &params)
    }

    fn sign(&self, names: &[&str], params: &CertificateParams) -> Issued {
        let key = made(KeyPair::generate());
        let cert = made(params.signed_by(&key, &self.issuer));
        let stem = format!("{}-{}", names.concat(), super::next_number());
        let issued = Issued {
            cert: self.dir.join(format!("{stem}.pem")),
            key: self.dir.join(format!("{stem}.key")),
        };
        write(&issued.cert, &cert.pem());
        write(&issued.key, &key.serialize_pem());
        issued
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn made<T>(result: Result<T, rcgen::Error>) -> T {
    match result {
        Ok(made) => made,
        Err(error) => panic!("no certificate: {error}"),
    }
}

fn write(path: &Path, text: &str) {
    if let Err(error) = fs::write(path, text) {
        panic!("{} can't be written: {error}", path.display())
    }
}
