//! Control planes and data planes.

use super::Default::{Is, Unset};
use super::Effect::Pending;
use super::Kind::{Choice, Text};
use super::reason;

pub(crate) const ROLES: &[&str] = &["data_plane", "control_plane", "traditional"];
const NO_TELEMETRY: &str = "no telemetry is collected over a separate connection";

super::settings! { "HYBRID MODE":
    role: Choice(ROLES), Is("traditional"), Pending("anything but traditional is refused"), "Part this node plays in a cluster.";
    cluster_mtls: Choice(&["shared", "pki", "pki_check_cn"]), Is("shared"), Pending(reason::HYBRID), "How the two sides prove themselves: one shared certificate, or certificates of one authority.";
    cluster_cert: Text, Unset, Pending(reason::HYBRID), "Certificate for the link between planes: path, PEM or base64.";
    cluster_cert_key: Text, Unset, Pending(reason::HYBRID), "Its private key: path, PEM or base64.";
    cluster_ca_cert: Text, Unset, Pending(reason::HYBRID), "Authority that signed the planes' certificates, in pki mode.";
    cluster_allowed_common_names: super::Kind::List, Unset, Pending(reason::HYBRID), "Common names a control plane accepts in pki_check_cn mode.";
    incremental_sync: super::Kind::Flag, Is("off"), Pending(reason::HYBRID), "Send differences instead of the whole configuration.";
}

pub(super) mod data_plane {
    //! What a data plane needs to find its control plane.
    use super::super::Default::Unset;
    use super::super::Effect::{NoEffect, Pending};
    use super::super::Kind::{List, Text};
    use super::super::reason;
    super::super::settings! { "HYBRID MODE DATA PLANE":
        cluster_server_name: Text, Unset, Pending(reason::HYBRID), "Server name a data plane asks for in the TLS handshake.";
        cluster_control_plane: Text, Unset, Pending(reason::HYBRID), "host:port of the control plane.";
        cluster_telemetry_endpoint: Text, Unset, NoEffect(super::NO_TELEMETRY), "host:port telemetry is sent to.";
        cluster_telemetry_server_name: Text, Unset, NoEffect(super::NO_TELEMETRY), "Server name for that connection.";
        cluster_dp_labels: List, Unset, Pending(reason::HYBRID), "key:value labels of this data plane, shown by the control plane.";
    }
}

pub(super) mod control_plane {
    //! What a control plane offers its data planes.
    use super::super::Default::Is;
    use super::super::Effect::{NoEffect, Pending};
    use super::super::Kind::{Choice, Flag, List, Number};
    use super::super::reason;
    super::super::settings! { "HYBRID MODE CONTROL PLANE":
        cluster_listen: List, Is("0.0.0.0:8005"), Pending(reason::HYBRID), "Listeners for data planes.";
        cluster_telemetry_listen: List, Is("0.0.0.0:8006"), NoEffect(super::NO_TELEMETRY), "Listeners for telemetry of data planes.";
        cluster_data_plane_purge_delay: Number, Is("1209600"), Pending(reason::HYBRID), "Seconds after which a silent data plane is forgotten, at least 60.";
        cluster_ocsp: Choice(&["on", "off", "optional"]), Is("off"), Pending(reason::HYBRID), "Check revocation of data planes' certificates.";
        cluster_use_proxy: Flag, Is("off"), Pending(reason::HYBRID), "Reach the control plane through proxy_server.";
        cluster_max_payload: Number, Is("16777216"), Pending(reason::HYBRID), "Largest configuration message in bytes, at least 4194304.";
    }
}

pub(super) mod fallback {
    //! Copies of the configuration in an object store.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::NoEffect;
    use super::super::Kind::{Flag, Number, Text};
    const KEPT_LOCALLY: &str = "object stores are not used";
    super::super::settings! { "CLUSTER FALLBACK CONFIGURATION":
        cluster_fallback_config_import: Flag, Is("off"), NoEffect(KEPT_LOCALLY), "Start from a configuration kept in an object store.";
        cluster_fallback_config_storage: Text, Unset, NoEffect(KEPT_LOCALLY), "URL of that store.";
        cluster_fallback_export_s3_config: Text, Unset, NoEffect(KEPT_LOCALLY), "Options for writing to it.";
        cluster_fallback_config_export: Flag, Is("off"), NoEffect(KEPT_LOCALLY), "Write the configuration there.";
        cluster_fallback_config_export_delay: Number, Is("60"), NoEffect(KEPT_LOCALLY), "Seconds between writes.";
    }
}
