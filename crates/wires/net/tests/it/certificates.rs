//! A self-signed certificate for listeners under test.

use std::sync::Arc;

use gibbon_tls::{
    Certificate, CertificateSource, ClientHello, ClientTls, ClientTlsSettings, IpSubject, KeyType, ServerTls,
    ServerTlsSettings, TrustStore, Verify, generate_default,
};

pub struct SelfSigned {
    pub pem: String,
    pub certificate: Certificate,
}

struct One(Certificate);

impl CertificateSource for One {
    fn certificate(&self, _hello: &ClientHello) -> Option<Certificate> {
        Some(self.0.clone())
    }
}

impl SelfSigned {
    pub fn new(host: &str) -> Self {
        let (pem, key) = generate_default(host, KeyType::Ecdsa).unwrap();
        let certificate = Certificate::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
        Self { pem, certificate }
    }

    pub fn server(&self) -> ServerTls {
        self.server_with(&ServerTlsSettings::default())
    }

    pub fn server_with(&self, settings: &ServerTlsSettings) -> ServerTls {
        ServerTls::new(settings, Arc::new(One(self.certificate.clone()))).unwrap()
    }

    /// A client that trusts this certificate and no other.
    pub fn trusting_client(&self) -> ClientTls {
        let trust = TrustStore::from_pem([("own", self.pem.as_bytes())]).unwrap();
        let verify = Verify::On { trust, depth: 1, ip_subject: IpSubject::ByAddress };
        ClientTls::new(&ClientTlsSettings { verify, ..ClientTlsSettings::default() }).unwrap()
    }
}
