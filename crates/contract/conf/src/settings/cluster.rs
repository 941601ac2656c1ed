//! Control planes and data planes.

use std::time::Duration;

use crate::settings::Builder;
use crate::settings::material::Material;

/// How the two sides prove themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterTls {
    /// Both show the same certificate.
    Shared,
    /// Certificates of one authority.
    Pki,
    /// The same, and the common name must be one of these (or share the control plane's domain if none is given).
    PkiCheckCn(Vec<String>),
}

/// Whether revocation of data planes' certificates is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ocsp {
    /// It must be proven that a certificate is good.
    On,
    /// It is not asked.
    Off,
    /// A failure to ask is forgiven.
    Optional,
}

/// Control planes and data planes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// How the sides prove themselves.
    pub tls: ClusterTls,
    /// Certificate.
    pub cert: Option<Material>,
    /// Its key.
    pub cert_key: Option<Material>,
    /// Authority in pki mode.
    pub ca_cert: Option<Material>,
    /// Server name a data plane asks for.
    pub server_name: Option<String>,
    /// `host:port` of the control plane.
    pub control_plane: Option<String>,
    /// Labels of a data plane.
    pub labels: Vec<(String, String)>,
    /// Time after which a silent data plane is forgotten.
    pub purge_delay: Duration,
    /// Revocation checks.
    pub ocsp: Ocsp,
    /// Reach the control plane through the outgoing proxy.
    pub use_proxy: bool,
    /// Largest configuration message in bytes.
    pub max_payload: u64,
    /// Speak the second version of the protocol.
    pub rpc: bool,
    /// Send differences.
    pub incremental_sync: bool,
}

impl Cluster {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let is_cluster = !matches!(b.values.text("role"), Some("traditional") | None);
        let mut material = |name: &str, what: &str| if is_cluster { b.material(name, what) } else { None };
        let cert = material("cluster_cert", "certificate");
        let cert_key = material("cluster_cert_key", "key");
        let ca_cert = material("cluster_ca_cert", "certificate");
        let text = |name: &str| b.values.text(name).map(str::to_owned);
        let (server_name, control_plane) = (text("cluster_server_name"), text("cluster_control_plane"));
        Self {
            tls: match b.values.text("cluster_mtls") {
                Some("pki") => ClusterTls::Pki,
                Some("pki_check_cn") => ClusterTls::PkiCheckCn(b.values.list("cluster_allowed_common_names")),
                _ => ClusterTls::Shared,
            },
            cert,
            cert_key,
            ca_cert,
            server_name,
            control_plane,
            labels: labels(b),
            purge_delay: b.seconds("cluster_data_plane_purge_delay").unwrap_or(Duration::from_secs(1_209_600)),
            ocsp: match b.values.text("cluster_ocsp") {
                Some("on") => Ocsp::On,
                Some("optional") => Ocsp::Optional,
                _ => Ocsp::Off,
            },
            use_proxy: b.values.flag("cluster_use_proxy"),
            max_payload: b.values.whole("cluster_max_payload").unwrap_or(16 << 20),
            rpc: b.values.flag("cluster_rpc"),
            incremental_sync: b.values.flag("cluster_rpc_sync") || b.values.flag("incremental_sync"),
        }
    }
}

const MOST_LABELS: usize = 10;
const LONGEST_LABEL_PART: usize = 63;
const VALUE_PATTERN: &str = "[a-z0-9]([\\w\\.:-]*[a-z0-9]|)$";
const RESERVED: &[&str] = &["kong", "konnect", "insomnia", "mesh", "kic"];

fn labels(b: &mut Builder<'_>) -> Vec<(String, String)> {
    let name = "cluster_dp_labels";
    let given: Vec<String> = b.values.list(name).into_iter().filter(|label| !label.is_empty()).collect();
    if given.len() > MOST_LABELS {
        b.fault(name, format!("labels validation failed: count exceeded {MOST_LABELS} max elements"));
    }
    let mut labels = Vec::new();
    for label in &given {
        let (key, value) = label.split_once(':').unwrap_or(("", ""));
        let key_pattern: String = RESERVED.iter().map(|word| format!("(?!{word})")).collect();
        let problem = label_problem(key, &format!("{key_pattern}{VALUE_PATTERN}"), true)
            .map(|problem| format!("label key validation failed: {problem}"))
            .or_else(|| {
                label_problem(value, VALUE_PATTERN, false)
                    .map(|problem| format!("label value validation failed: {problem}"))
            });
        match problem {
            Some(problem) => b.fault(name, problem),
            None => labels.push((key.to_owned(), value.to_owned())),
        }
    }
    labels
}

fn label_problem(text: &str, pattern: &str, is_key: bool) -> Option<String> {
    if text.is_empty() || text.len() > LONGEST_LABEL_PART {
        return Some(format!("{text} must have between 1 and {LONGEST_LABEL_PART} characters"));
    }
    let lower = text.to_ascii_lowercase();
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    let fits = lower.starts_with(|c: char| c.is_ascii_alphanumeric())
        && lower.ends_with(|c: char| c.is_ascii_alphanumeric())
        && lower.chars().all(inside)
        && !(is_key && RESERVED.iter().any(|word| lower.starts_with(word)));
    (!fits).then(|| format!("{text} is invalid. Must match pattern: {pattern}"))
}
