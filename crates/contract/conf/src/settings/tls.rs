//! TLS: versions, ciphers, sessions and certificates towards clients; trust for the gateway's own connections. Ciphers are
//! kept as the names given; which of them can be spoken is decided by whoever speaks TLS.

use std::path::PathBuf;
use std::time::Duration;

use crate::origin::{Notice, NoticeKind};
use crate::settings::material::{KeyPairSource, Material};
use crate::settings::{Builder, Listeners};
use crate::units::{digits_only, parse_time};
use crate::values::parse_flag;

/// A named set of versions and ciphers, after Mozilla's recommendations (version 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CipherSuite {
    /// TLS 1.3 only.
    Modern,
    /// TLS 1.2 and 1.3 with forward secrecy.
    Intermediate,
    /// Everything old clients need.
    Old,
    /// TLS 1.2 with approved ciphers.
    Fips,
    /// As `ssl_protocols` and `ssl_ciphers` say.
    Custom,
}

const INTERMEDIATE: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
    ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
    DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305";
const OLD_ONLY: &str = "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:\
    ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:\
    DHE-RSA-AES128-SHA256:DHE-RSA-AES256-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA256:AES256-SHA256:\
    AES128-SHA:AES256-SHA:DES-CBC3-SHA";
const FIPS: &str = "TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL";

impl CipherSuite {
    /// Ciphers in OpenSSL's names; `None` where TLS 1.3 leaves no choice or the settings say.
    #[must_use]
    pub fn ciphers(self) -> Option<String> {
        match self {
            Self::Modern | Self::Custom => None,
            Self::Intermediate => Some(INTERMEDIATE.to_owned()),
            Self::Old => Some(format!("{INTERMEDIATE}:{OLD_ONLY}")),
            Self::Fips => Some(FIPS.to_owned()),
        }
    }

    /// Versions, in the form of `ssl_protocols`.
    #[must_use]
    pub fn protocols(self) -> Option<&'static str> {
        match self {
            Self::Modern => Some("TLSv1.3"),
            Self::Intermediate => Some("TLSv1.2 TLSv1.3"),
            Self::Old => Some("TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"),
            Self::Fips => Some("TLSv1.2"),
            Self::Custom => None,
        }
    }

    /// Whether the server's order of ciphers decides.
    #[must_use]
    pub fn prefers_server_order(self) -> Option<bool> {
        match self {
            Self::Modern | Self::Intermediate => Some(false),
            Self::Old | Self::Fips => Some(true),
            Self::Custom => None,
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "modern" => Self::Modern,
            "old" => Self::Old,
            "fips" => Self::Fips,
            "custom" => Self::Custom,
            _ => Self::Intermediate,
        }
    }
}

/// TLS versions that can be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsVersions {
    /// TLS 1.2.
    pub tls12: bool,
    /// TLS 1.3.
    pub tls13: bool,
}

impl TlsVersions {
    /// Reads a list such as `TLSv1.2 TLSv1.3`. Versions before 1.2 are broken (RFC 8996) and not spoken; asking for them is
    /// told, and asking for nothing else is a fault.
    fn read(b: &mut Builder<'_>, name: &str, text: &str) -> Self {
        let mut versions = Self { tls12: false, tls13: false };
        for version in text.split_ascii_whitespace() {
            match version {
                "TLSv1.2" => versions.tls12 = true,
                "TLSv1.3" => versions.tls13 = true,
                "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => {
                    let notice = Notice {
                        kind: NoticeKind::NoEffect,
                        text: format!("{name}: {version} is not spoken, because it is broken (RFC 8996)"),
                        origin: b.values.origin(name),
                    };
                    b.notices.push(notice);
                }
                other => {
                    let message = format!("{name} has an invalid value: '{other}' (TLSv1.2, TLSv1.3)");
                    b.fault(name, message);
                }
            }
        }
        if !versions.tls12 && !versions.tls13 {
            b.fault(name, format!("{name} leaves no TLS version to speak (TLSv1.2, TLSv1.3)"));
        }
        versions
    }
}

/// Whether clients must show a certificate, when injected directives ask for it on every connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyClient {
    /// They must, and it must verify.
    Required,
    /// If they do, it must verify.
    Optional,
    /// They may; it must be sound, but may come from any authority.
    OptionalNoCa,
}

/// Client certificates asked for on every connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientVerification {
    /// How strictly.
    pub mode: VerifyClient,
    /// Authorities, also named to clients.
    pub authorities: Option<PathBuf>,
    /// Intermediate certificates allowed.
    pub depth: u32,
}

/// Client certificates by kind of listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientVerifications {
    pub proxy: Option<ClientVerification>,
    pub stream: Option<ClientVerification>,
    pub admin: Option<ClientVerification>,
    pub status: Option<ClientVerification>,
}

/// TLS settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The named set.
    pub suite: CipherSuite,
    /// Versions towards clients.
    pub versions: TlsVersions,
    /// Ciphers in OpenSSL's form; `None` leaves them to the version.
    pub ciphers: Option<String>,
    /// Whether the server's order of ciphers decides.
    pub prefer_server_ciphers: bool,
    /// Resume by ticket.
    pub session_tickets: bool,
    /// How long a session may be resumed.
    pub session_timeout: Duration,
    /// Bytes for resumable sessions.
    pub session_cache_size: u64,
    /// Default certificates of the proxy; empty means the self-signed pair of the prefix.
    pub proxy: Vec<KeyPairSource>,
    /// Certificates of the Admin API; empty likewise.
    pub admin: Vec<KeyPairSource>,
    /// Certificates of the Status API; empty likewise.
    pub status: Vec<KeyPairSource>,
    /// Certificates of the console; empty likewise.
    pub admin_gui: Vec<KeyPairSource>,
    /// TLS versions of the console.
    pub admin_gui_versions: TlsVersions,
    /// Client certificate presented to upstreams.
    pub upstream_client: Option<KeyPairSource>,
    /// Client certificates asked for on every connection.
    pub client_verification: ClientVerifications,
    /// Trust the system's authorities.
    pub trust_system: bool,
    /// Further trusted authorities.
    pub trusted: Vec<Material>,
    /// Intermediate certificates allowed in chains of servers.
    pub verify_depth: u32,
    /// Versions of the gateway's own connections.
    pub outgoing_versions: TlsVersions,
}

impl Tls {
    pub(crate) fn build(b: &mut Builder<'_>, listeners: &Listeners) -> Self {
        let suite = CipherSuite::parse(b.values.text("ssl_cipher_suite").unwrap_or("intermediate"));
        let (version_setting, protocols) = match (injected(b, "ssl_protocols"), suite.protocols()) {
            (Some(given), _) => given,
            (None, Some(named)) => ("ssl_cipher_suite".to_owned(), named.to_owned()),
            (None, None) => ("ssl_protocols".to_owned(), custom(b, "ssl_protocols")),
        };
        let ciphers = match (injected(b, "ssl_ciphers"), suite) {
            (Some((_, given)), _) => Some(given),
            (None, CipherSuite::Custom) => Some(custom(b, "ssl_ciphers")),
            (None, named) => named.ciphers(),
        };
        let ciphers = ciphers.filter(|ciphers| !ciphers.is_empty());
        let prefers_server_order = match injected(b, "ssl_prefer_server_ciphers") {
            Some((_, given)) => parse_flag(&given),
            None => suite.prefers_server_order(),
        };
        let (outgoing_setting, outgoing) = injected(b, "lua_ssl_protocols").unwrap_or_else(|| {
            let text = b.values.text("lua_ssl_protocols").unwrap_or("TLSv1.2 TLSv1.3");
            ("lua_ssl_protocols".to_owned(), text.to_owned())
        });
        let console = b.values.text("admin_gui_ssl_protocols").unwrap_or("TLSv1.2 TLSv1.3").to_owned();
        let pairs = |b: &mut Builder<'_>, prefix: &str, any_tls: bool| {
            if any_tls { KeyPairSource::pairs(b, prefix) } else { Vec::new() }
        };
        let proxy_tls = Listeners::any_tls(&listeners.proxy) || Listeners::any_tls(&listeners.stream);
        let (trust_system, trusted) = trust(b);
        Self {
            suite,
            versions: TlsVersions::read(b, &version_setting, &protocols),
            ciphers,
            prefer_server_ciphers: prefers_server_order.unwrap_or_else(|| b.values.flag("ssl_prefer_server_ciphers")),
            session_tickets: injected(b, "ssl_session_tickets")
                .and_then(|(_, given)| parse_flag(&given))
                .unwrap_or_else(|| b.values.flag("ssl_session_tickets")),
            session_timeout: injected(b, "ssl_session_timeout")
                .and_then(|(_, given)| parse_time(&given))
                .or_else(|| b.values.time("ssl_session_timeout"))
                .unwrap_or(Duration::from_secs(86_400)),
            session_cache_size: b.values.size("ssl_session_cache_size").unwrap_or(10 << 20),
            proxy: pairs(b, "", proxy_tls),
            admin: pairs(b, "admin_", Listeners::any_tls(&listeners.admin)),
            status: pairs(b, "status_", Listeners::any_tls(&listeners.status)),
            admin_gui: pairs(b, "admin_gui_", Listeners::any_tls(&listeners.admin_gui)),
            admin_gui_versions: TlsVersions::read(b, "admin_gui_ssl_protocols", &console),
            upstream_client: upstream_client(b),
            client_verification: ClientVerifications {
                proxy: client_verification(b, &["proxy", "http"]),
                stream: client_verification(b, &["sproxy", "stream"]),
                admin: client_verification(b, &["admin", "http"]),
                status: client_verification(b, &["status", "http"]),
            },
            trust_system,
            trusted,
            verify_depth: b.values.whole("lua_ssl_verify_depth").unwrap_or(1),
            outgoing_versions: TlsVersions::read(b, &outgoing_setting, &outgoing),
        }
    }
}

/// A directive for the proxy's listeners, with the name it was given under. It wins over the named suite and over the
/// setting, as in Kong, where both only fill in directives that were not given.
fn injected(b: &Builder<'_>, name: &str) -> Option<(String, String)> {
    let directive = b.injected.nearest(&["proxy", "http"], name)?;
    Some((format!("nginx_{}_{name}", directive.context), directive.value.clone()))
}

/// A setting that counts for the custom suite.
fn custom(b: &Builder<'_>, name: &str) -> String {
    b.values.text(name).unwrap_or_default().to_owned()
}

fn upstream_client(b: &mut Builder<'_>) -> Option<KeyPairSource> {
    if !b.values.flag("client_ssl") {
        return None;
    }
    let (cert, key) = (b.values.text("client_ssl_cert"), b.values.text("client_ssl_cert_key"));
    match (cert.is_some(), key.is_some()) {
        (true, false) => b.fault("client_ssl_cert", "client_ssl_cert_key must be specified"),
        (false, true) => b.fault("client_ssl_cert_key", "client_ssl_cert must be specified"),
        _ => {}
    }
    let cert = b.material("client_ssl_cert", "certificate");
    let key = b.material("client_ssl_cert_key", "key");
    cert.zip(key).map(|(cert, key)| KeyPairSource { cert, key })
}

fn client_verification(b: &mut Builder<'_>, contexts: &[&str]) -> Option<ClientVerification> {
    let directive = b.injected.nearest(contexts, "ssl_verify_client")?.clone();
    let mode = match directive.value.as_str() {
        "on" => VerifyClient::Required,
        "optional" => VerifyClient::Optional,
        "optional_no_ca" => VerifyClient::OptionalNoCa,
        "off" => return None,
        other => {
            b.faults.push(
                crate::origin::Fault::new(format!(
                    "nginx_{}_ssl_verify_client has an invalid value: '{other}' (on, off, optional, optional_no_ca)",
                    directive.context
                ))
                .at(&directive.origin),
            );
            return None;
        }
    };
    let authorities = b.directive(contexts, "ssl_client_certificate").map(PathBuf::from);
    if authorities.is_none() && mode != VerifyClient::OptionalNoCa {
        b.faults.push(
            crate::origin::Fault::new(format!(
                "nginx_{}_ssl_verify_client needs ssl_client_certificate, the authorities client certificates must come \
                 from",
                directive.context
            ))
            .at(&directive.origin),
        );
    }
    let depth = b.directive(contexts, "ssl_verify_depth").and_then(digits_only);
    Some(ClientVerification {
        mode,
        authorities,
        depth: depth.and_then(|depth| u32::try_from(depth).ok()).unwrap_or(1),
    })
}

fn trust(b: &mut Builder<'_>) -> (bool, Vec<Material>) {
    let name = "lua_ssl_trusted_certificate";
    let mut trusted = Vec::new();
    let mut system = false;
    for entry in b.values.list(name).iter().filter(|entry| !entry.is_empty()) {
        if entry == "system" {
            system = true;
        } else if let Some(material) = Material::parse(entry, b.surroundings) {
            trusted.push(material);
        } else {
            b.fault(name, format!("{name}: failed loading certificate from {entry}"));
        }
    }
    (system, trusted)
}
