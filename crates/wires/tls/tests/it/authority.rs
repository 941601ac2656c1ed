//! Certificates for tests, made afresh.

use gibbon_tls::{Certificate, TrustStore};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    PKCS_RSA_SHA256, RsaKeySize,
};

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The intermediates from this authority up to, not including, the root.
    chain: String,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Authority {
    pub fn root(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap();
        Self { issuer, chain: String::new() }
    }

    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(authority_params(name), key, &self.issuer).unwrap();
        let chain = issuer.pem() + &self.chain;
        Self { issuer, chain }
    }

    pub fn trust(&self) -> TrustStore {
        TrustStore::from_pem([("test", self.pem().as_bytes())]).unwrap()
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn issue(&self, names: &[&str]) -> Certificate {
        self.issue_by(names, KeyPair::generate().unwrap())
    }

    pub fn issue_rsa(&self, names: &[&str]) -> Certificate {
        self.issue_by(names, KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap())
    }

    pub fn issue_ed25519(&self, names: &[&str]) -> Certificate {
        self.issue_by(names, KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    fn issue_by(&self, names: &[&str], key: KeyPair) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names).unwrap(), key)
    }

    pub fn sign(&self, params: CertificateParams, key: KeyPair) -> Certificate {
        let (chain, key) = self.sign_pem(params, key);
        Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }

    pub fn sign_pem(&self, params: CertificateParams, key: KeyPair) -> (String, String) {
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.pem() + &self.chain, key.serialize_pem())
    }
}
