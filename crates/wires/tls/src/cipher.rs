//! Which protocol versions and cipher suites are spoken: OpenSSL's names and the well-known profiles mapped
//! to the suites there are, with a notice for every name that has no counterpart.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::error::SettingsError;

/// A setting that is recognised but has no effect here, in words for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Notice {
    #[error("cipher suite {0:?} is not available: only AEAD suites with ephemeral elliptic-curve keys are")]
    CipherUnavailable(String),
    #[error("protocol version {0:?} is not available: TLSv1.2 and TLSv1.3 are")]
    ProtocolUnavailable(String),
}

/// A protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tls12,
    Tls13,
}

impl Protocol {
    /// The version as OpenSSL writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

/// The enabled protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocols {
    pub tls12: bool,
    pub tls13: bool,
}

impl Default for Protocols {
    fn default() -> Self {
        Self { tls12: true, tls13: true }
    }
}

impl Protocols {
    /// Reads a list such as `TLSv1.2 TLSv1.3`; versions that are not available give a notice.
    pub fn parse(text: &str) -> (Self, Vec<Notice>) {
        let mut protocols = Self { tls12: false, tls13: false };
        let mut notices = Vec::new();
        for word in text.split([' ', ',', ':']).filter(|word| !word.is_empty()) {
            match word {
                "TLSv1.2" => protocols.tls12 = true,
                "TLSv1.3" => protocols.tls13 = true,
                other => notices.push(Notice::ProtocolUnavailable(other.to_owned())),
            }
        }
        (protocols, notices)
    }

    pub(crate) fn versions(self) -> Result<Vec<&'static SupportedProtocolVersion>, SettingsError> {
        let mut versions = Vec::with_capacity(2);
        if self.tls13 {
            versions.push(&rustls::version::TLS13);
        }
        if self.tls12 {
            versions.push(&rustls::version::TLS12);
        }
        if versions.is_empty() { Err(SettingsError::NoProtocol) } else { Ok(versions) }
    }
}

/// The profiles Mozilla's server-side TLS guide names, and FIPS 140's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CipherProfile {
    Modern,
    Intermediate,
    Old,
    Fips,
}

/// The suites that may be negotiated, in order of preference.
#[derive(Debug, Clone, PartialEq)]
pub struct Ciphers {
    tls12: Vec<SupportedCipherSuite>,
    tls13: Vec<SupportedCipherSuite>,
}

impl Default for Ciphers {
    fn default() -> Self {
        Self::profile(CipherProfile::Intermediate).0
    }
}

impl Ciphers {
    /// The suites of a profile, and the protocol versions that belong to it.
    pub fn profile(profile: CipherProfile) -> (Self, Protocols) {
        let both = Protocols::default();
        match profile {
            CipherProfile::Modern => {
                (Self { tls12: Vec::new(), tls13: tls13_suites() }, Protocols { tls12: false, tls13: true })
            }
            CipherProfile::Intermediate | CipherProfile::Old => {
                let (ciphers, _) = Self::parse(INTERMEDIATE);
                (ciphers, both)
            }
            CipherProfile::Fips => (Self::parse(FIPS).0.without_chacha(), both),
        }
    }

    /// Reads an OpenSSL cipher list: names, classes such as `HIGH` and `EECDH+AESGCM`, and exclusions. What has no
    /// counterpart gives a notice. TLS 1.3 suites are all enabled unless the list names some, as in OpenSSL.
    pub fn parse(list: &str) -> (Self, Vec<Notice>) {
        let mut ciphers = Self { tls12: Vec::new(), tls13: Vec::new() };
        let mut notices = Vec::new();
        let mut banned = Vec::new();
        for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
            if let Some(out) = word.strip_prefix(['!', '-']) {
                // An exclusion of what we do not have anyway is fulfilled.
                let out = tls12_of(out);
                ciphers.tls12.retain(|suite| !out.contains(suite));
                banned.extend(out.into_iter().filter(|_| word.starts_with('!')));
                continue;
            }
            if let Some(suite) = by_name(word).filter(|suite| suite.tls13().is_some()) {
                push_once(&mut ciphers.tls13, suite);
                continue;
            }
            let named = tls12_of(word);
            if named.is_empty() {
                notices.push(Notice::CipherUnavailable(word.to_owned()));
            }
            for suite in named.into_iter().filter(|suite| !banned.contains(suite)) {
                push_once(&mut ciphers.tls12, suite);
            }
        }
        if ciphers.tls13.is_empty() {
            ciphers.tls13 = tls13_suites();
        }
        (ciphers, notices)
    }

    fn without_chacha(mut self) -> Self {
        for suites in [&mut self.tls12, &mut self.tls13] {
            suites.retain(|suite| !openssl_name(suite.suite()).is_some_and(|name| name.contains("CHACHA20")));
        }
        self
    }

    /// A crypto provider with these suites only. TLS 1.2 suites are left out when that version is off.
    pub(crate) fn provider(&self, protocols: Protocols) -> Result<Arc<CryptoProvider>, SettingsError> {
        let mut suites = Vec::new();
        if protocols.tls13 {
            suites.extend_from_slice(&self.tls13);
        }
        if protocols.tls12 {
            suites.extend_from_slice(&self.tls12);
        }
        if suites.is_empty() {
            return Err(SettingsError::NoCipher { given: self.to_string() });
        }
        let base = provider();
        Ok(Arc::new(CryptoProvider { cipher_suites: suites, ..(*base).clone() }))
    }
}

impl Eq for Ciphers {}

impl std::hash::Hash for Ciphers {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for suite in self.tls13.iter().chain(&self.tls12) {
            u16::from(suite.suite()).hash(state);
        }
    }
}

impl std::fmt::Display for Ciphers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, suite) in self.tls13.iter().chain(&self.tls12).enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{}", openssl_name(suite.suite()).unwrap_or("?"))?;
        }
        Ok(())
    }
}

/// The one crypto provider of the process; never installed globally, so that no other crate's choice matters.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

const INTERMEDIATE: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
const FIPS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";

/// Each suite there is, under OpenSSL's name.
static NAMES: LazyLock<Vec<(&'static str, SupportedCipherSuite)>> = LazyLock::new(|| {
    use rustls::crypto::aws_lc_rs::cipher_suite as s;
    vec![
        ("TLS_AES_256_GCM_SHA384", s::TLS13_AES_256_GCM_SHA384),
        ("TLS_AES_128_GCM_SHA256", s::TLS13_AES_128_GCM_SHA256),
        ("TLS_CHACHA20_POLY1305_SHA256", s::TLS13_CHACHA20_POLY1305_SHA256),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", s::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", s::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", s::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ("ECDHE-RSA-AES256-GCM-SHA384", s::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-RSA-AES128-GCM-SHA256", s::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ("ECDHE-RSA-CHACHA20-POLY1305", s::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ]
});

fn by_name(name: &str) -> Option<SupportedCipherSuite> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite)
}

/// The TLS 1.2 suites that one word of a cipher list stands for: a name, or classes that must all hold, joined by `+`.
fn tls12_of(word: &str) -> Vec<SupportedCipherSuite> {
    let known = INTERMEDIATE.split(':').filter_map(|name| Some((name, by_name(name)?)));
    known.filter(|(name, _)| *name == word || word.split('+').all(|class| is_in(name, class))).map(|(_, s)| s).collect()
}

/// Whether a suite, by its name, belongs to one of OpenSSL's classes. All that there are have ephemeral keys and strong
/// ciphers.
fn is_in(name: &str, class: &str) -> bool {
    match class {
        "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" | "ECDH" | "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" => true,
        "AES" => name.contains("AES"),
        "AESGCM" => name.contains("GCM"),
        "AES128" | "AES256" | "CHACHA20" => name.contains(class),
        "ECDSA" | "aECDSA" => name.contains("ECDSA"),
        "aRSA" => name.contains("-RSA-"),
        _ => false,
    }
}

/// OpenSSL's name of a suite, as access logs and plugins show it.
pub(crate) fn openssl_name(suite: rustls::CipherSuite) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| known.suite() == suite).map(|(name, _)| *name)
}

fn tls13_suites() -> Vec<SupportedCipherSuite> {
    NAMES.iter().map(|(_, suite)| *suite).filter(|suite| suite.tls13().is_some()).collect()
}

fn push_once(suites: &mut Vec<SupportedCipherSuite>, suite: SupportedCipherSuite) {
    if !suites.contains(&suite) {
        suites.push(suite);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn openssl_names_are_kept_in_their_order_and_the_rest_noticed() {
        let (ciphers, notices) =
            Ciphers::parse("ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:!aNULL:ECDHE-RSA-AES128-GCM-SHA256");
        let tls12: Vec<_> = ciphers.tls12.iter().filter_map(|suite| openssl_name(suite.suite())).collect();
        assert_eq!(tls12, ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]);
        assert_eq!(ciphers.tls13.len(), 3, "TLS 1.3 suites are on unless the list names some");
        assert_eq!(notices, [Notice::CipherUnavailable("DHE-RSA-AES128-GCM-SHA256".to_owned())]);
    }

    #[test]
    fn classes_of_openssl_stand_for_their_suites() {
        let all = Ciphers::parse(INTERMEDIATE).0.tls12;
        let names = |list: &str| {
            let (ciphers, notices) = Ciphers::parse(list);
            assert_eq!(notices, [], "{list}");
            ciphers.tls12.iter().filter_map(|suite| openssl_name(suite.suite())).collect::<Vec<_>>()
        };
        for list in ["HIGH:!aNULL:!MD5", "DEFAULT", "EECDH+AESGCM:EECDH+CHACHA20", "ECDHE+aRSA:ECDHE+aECDSA:!DSS"] {
            assert_eq!(names(list).len(), all.len(), "{list}");
        }
        assert_eq!(names("EECDH+AES256"), ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"]);
        let banned = "!ECDHE-RSA-AES128-GCM-SHA256:!CHACHA20:HIGH";
        assert!(names(banned).iter().all(|name| *name != "ECDHE-RSA-AES128-GCM-SHA256" && !name.contains("CHACHA20")));
        assert_eq!(names("HIGH:-AES").len(), 2);
    }

    #[test]
    fn profiles_are_what_their_names_say() {
        let (modern, protocols) = Ciphers::profile(CipherProfile::Modern);
        assert!(modern.tls12.is_empty() && !protocols.tls12 && protocols.tls13);
        let (intermediate, protocols) = Ciphers::profile(CipherProfile::Intermediate);
        assert_eq!((intermediate.tls12.len(), protocols), (6, Protocols::default()));
        let (fips, _) = Ciphers::profile(CipherProfile::Fips);
        assert!(!fips.to_string().contains("CHACHA20"));
        assert_eq!((fips.tls12.len(), fips.tls13.len()), (4, 2));
    }

    #[test]
    fn a_list_that_leaves_nothing_is_an_error() {
        let (only_old, notices) = Ciphers::parse("AES128-SHA");
        assert_eq!(notices.len(), 1);
        assert!(matches!(
            only_old.provider(Protocols { tls12: true, tls13: false }),
            Err(SettingsError::NoCipher { .. })
        ));
        assert!(matches!(Protocols { tls12: false, tls13: false }.versions(), Err(SettingsError::NoProtocol)));
    }

    #[test]
    fn old_protocol_versions_give_a_notice() {
        let (protocols, notices) = Protocols::parse("TLSv1 TLSv1.1 TLSv1.2");
        assert_eq!(protocols, Protocols { tls12: true, tls13: false });
        let old = ["TLSv1", "TLSv1.1"].map(|name| Notice::ProtocolUnavailable(name.to_owned()));
        assert_eq!(notices, old);
    }
}
