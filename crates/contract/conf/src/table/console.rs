//! The browser console, and what the enterprise edition builds around the Admin API.

use super::Default::{Is, Unset};
use super::Effect::{Honoured, NoEffect, Pending};
use super::Kind::{Flag, List, Number, Text};
use super::reason;

const NO_LOGIN: &str = "the console has no sign-in of its own; it sees what the Admin API allows";
const NO_BANNER: &str = "the console has no banners";

super::settings! { "KONG MANAGER":
    admin_gui_listen: List, Is("0.0.0.0:8002, 0.0.0.0:8445 ssl"), Pending(reason::CONSOLE), "Listeners of the console, or off.";
    admin_gui_url: Text, Unset, Honoured, "Addresses of the console; they decide which origins the Admin API allows.";
    admin_gui_path: Text, Is("/"), Pending(reason::CONSOLE), "Path the console is served under.";
    admin_gui_api_url: Text, Unset, Pending(reason::CONSOLE), "Address of the Admin API as browsers reach it.";
    admin_gui_csp_header: Flag, Is("off"), Pending(reason::CONSOLE), "Send a content security policy with the console.";
    admin_gui_csp_header_value: Text, Unset, Pending(reason::CONSOLE), "That policy, instead of the built-in one.";
    admin_gui_ssl_protocols: Text, Is("TLSv1.2 TLSv1.3"), Pending(reason::CONSOLE), "TLS versions of the console.";
    admin_gui_ssl_cert: List, Unset, Pending(reason::CONSOLE), "Certificates of the console.";
    admin_gui_ssl_cert_key: List, Unset, Pending(reason::CONSOLE), "Their private keys.";
    admin_gui_flags: Text, Is("{}"), NoEffect("the console has no optional features"), "Features of the console to switch.";
    admin_gui_access_log: Text, Is("logs/admin_gui_access.log"), Pending(reason::CONSOLE), "Access log of the console, or off.";
    admin_gui_error_log: Text, Is("logs/admin_gui_error.log"), Pending(reason::CONSOLE), "Error log of the console.";
    admin_gui_auth: Text, Unset, NoEffect(NO_LOGIN), "How users sign in to the console.";
    admin_gui_auth_conf: Text, Unset, NoEffect(NO_LOGIN), "Options of that sign-in.";
    admin_gui_auth_password_complexity: Text, Unset, NoEffect(NO_LOGIN), "What a password must contain.";
    admin_gui_session_conf: Text, Unset, NoEffect(NO_LOGIN), "Options of the session cookie.";
    admin_gui_auth_header: Text, Is("Kong-Admin-User"), NoEffect(NO_LOGIN), "Header that names the user.";
    admin_gui_auth_login_attempts: Number, Is("0"), NoEffect(NO_LOGIN), "Failed sign-ins before a user is locked out.";
    admin_gui_auth_login_attempts_ttl: Number, Is("604800"), NoEffect(NO_LOGIN), "Seconds failed sign-ins are remembered.";
    admin_gui_auth_change_password_attempts: Number, Is("0"), NoEffect(NO_LOGIN), "Failed password changes before a user is locked out.";
    admin_gui_auth_change_password_ttl: Number, Is("86400"), NoEffect(NO_LOGIN), "Seconds they are remembered.";
    admin_gui_header_txt: Text, Unset, NoEffect(NO_BANNER), "Text above the console.";
    admin_gui_header_bg_color: Text, Unset, NoEffect(NO_BANNER), "Its background colour.";
    admin_gui_header_txt_color: Text, Unset, NoEffect(NO_BANNER), "Its colour.";
    admin_gui_footer_txt: Text, Unset, NoEffect(NO_BANNER), "Text below the console.";
    admin_gui_footer_bg_color: Text, Unset, NoEffect(NO_BANNER), "Its background colour.";
    admin_gui_footer_txt_color: Text, Unset, NoEffect(NO_BANNER), "Its colour.";
    admin_gui_login_banner_title: Text, Unset, NoEffect(NO_BANNER), "Title of the sign-in banner.";
    admin_gui_login_banner_body: Text, Unset, NoEffect(NO_BANNER), "Text of the sign-in banner.";
    admin_gui_hide_konnect_cta: Flag, Is("off"), NoEffect("the console advertises nothing"), "Hide the link to the hosted service.";
}

pub(super) mod konnect {
    //! The hosted control plane.
    use super::super::Default::Is;
    use super::super::Effect::NoEffect;
    use super::super::Kind::Flag;
    super::super::settings! { "Konnect":
        konnect_mode: Flag, Is("off"), NoEffect("the node does not speak to the hosted service"), "Work as a data plane of the hosted service.";
    }
}

pub(super) mod analytics {
    //! Reports to the hosted control plane.
    use super::super::Default::Is;
    use super::super::Effect::NoEffect;
    use super::super::Kind::{Flag, Number};
    const NO_ANALYTICS: &str = "no analytics are sent to the hosted service";
    super::super::settings! { "Analytics for Konnect":
        analytics_flush_interval: Number, Is("1"), NoEffect(NO_ANALYTICS), "Seconds between reports.";
        analytics_buffer_size_limit: Number, Is("10000"), NoEffect(NO_ANALYTICS), "Requests kept for the next report.";
        analytics_debug: Flag, Is("off"), NoEffect(NO_ANALYTICS), "Print reports to the log.";
    }
}

const NO_MAIL: &str = "no mail is sent";

pub(super) mod admin_smtp {
    //! Mail to administrators.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::NoEffect;
    use super::super::Kind::{Number, Text};
    use super::NO_MAIL;
    super::super::settings! { "ADMIN SMTP CONFIGURATION":
        admin_emails_from: Text, Is("\"\""), NoEffect(NO_MAIL), "Sender of invitations.";
        admin_emails_reply_to: Text, Unset, NoEffect(NO_MAIL), "Reply address of invitations.";
        admin_invitation_expiry: Number, Is("259200"), NoEffect(NO_MAIL), "Seconds an invitation is valid.";
    }
}

pub(super) mod smtp {
    //! The mail server.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::NoEffect;
    use super::super::Kind::{Flag, List, Number, Text};
    use super::NO_MAIL;
    super::super::settings! { "GENERAL SMTP CONFIGURATION":
        smtp_mock: Flag, Is("on"), NoEffect(NO_MAIL), "Only pretend to send mail.";
        smtp_host: Text, Is("localhost"), NoEffect(NO_MAIL), "Mail server.";
        smtp_port: Number, Is("25"), NoEffect(NO_MAIL), "Its port.";
        smtp_starttls: Flag, Is("off"), NoEffect(NO_MAIL), "Change to TLS after connecting.";
        smtp_username: Text, Unset, NoEffect(NO_MAIL), "User name.";
        smtp_password: Text, Unset, NoEffect(NO_MAIL), "Password.";
        smtp_ssl: Flag, Is("off"), NoEffect(NO_MAIL), "Connect with TLS.";
        smtp_auth_type: Text, Unset, NoEffect(NO_MAIL), "How to sign in.";
        smtp_domain: Text, Is("localhost.localdomain"), NoEffect(NO_MAIL), "Name given in the greeting.";
        smtp_timeout_connect: Number, Is("60000"), NoEffect(NO_MAIL), "Milliseconds for connecting.";
        smtp_timeout_send: Number, Is("60000"), NoEffect(NO_MAIL), "Milliseconds for sending.";
        smtp_timeout_read: Number, Is("60000"), NoEffect(NO_MAIL), "Milliseconds for an answer.";
        smtp_admin_emails: List, Unset, NoEffect(NO_MAIL), "Addresses of administrators.";
    }
}

pub(super) mod audit {
    //! A record of Admin API calls.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::Honoured;
    use super::super::Kind::{Flag, List, Number, Text};
    super::super::settings! { "DATA & ADMIN AUDIT":
        audit_log: Flag, Is("off"), Honoured, "Record Admin API calls and changes.";
        audit_log_ignore_methods: List, Unset, Honoured, "Methods whose calls are left out.";
        audit_log_ignore_paths: List, Unset, Honoured, "Regular expressions; calls whose path fits one are left out.";
        audit_log_ignore_tables: List, Unset, Honoured, "Kinds of entities whose changes are left out.";
        audit_log_payload_exclude: List, Is("token, secret, password"), Honoured, "Fields left out of bodies and entities; token also stands for user_token.";
        audit_log_record_ttl: Number, Is("2592000"), Honoured, "Seconds records are kept.";
        audit_log_signing_key: Text, Unset, Honoured, "RSA key that signs records: a path, PEM, or PEM in base64.";
    }
}

pub(super) mod collisions {
    //! Routes of different workspaces that match the same requests.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::NoEffect;
    use super::super::Kind::Text;
    const COLLISIONS_ALLOWED: &str = "colliding routes are accepted, as in open-source Kong; the priority decides";
    super::super::settings! { "ROUTE COLLISION DETECTION/PREVENTION":
        route_validation_strategy: Text, Is("smart"), NoEffect(COLLISIONS_ALLOWED), "How collisions are found.";
        enforce_route_path_pattern: Text, Unset, NoEffect(COLLISIONS_ALLOWED), "Pattern every path must follow.";
    }
}

pub(super) mod keyring {
    //! Encrypted fields in the database, and the settings the reference lists after them.
    use super::super::Default::{Is, Moved, Unset};
    use super::super::Effect::{Honoured, NoEffect};
    use super::super::Kind::{Choice, Flag, List, Text};
    const ONLY_CLUSTER: &str = "keys are kept in the database, encrypted for keyring_public_key; no other strategy yet";
    const NO_BLOB: &str = "keys are kept in the database, encrypted, and nowhere else";
    super::super::settings! { "DATABASE ENCRYPTION & KEYRING MANAGEMENT":
        keyring_enabled: Flag, Is("off"), Honoured, "Encrypt fields marked encrypted in the database.";
        keyring_strategy: Text, Is("cluster"), Honoured, "Where keys are kept; only cluster.";
        keyring_public_key: Text, Unset, Honoured, "RSA public key (PEM) that the stored and exported keys are encrypted for.";
        keyring_private_key: Text, Unset, Honoured, "RSA private key (PEM) that opens them.";
        keyring_recovery_public_key: Text, Unset, Honoured, "RSA public key (PEM) of whoever may recover the keys; its private key is sent to /keyring/recover.";
        keyring_blob_path: Text, Unset, NoEffect(NO_BLOB), "File with the keys.";
        keyring_vault_host: Text, Unset, NoEffect(ONLY_CLUSTER), "Secret manager with the keys.";
        keyring_vault_mount: Text, Unset, NoEffect(ONLY_CLUSTER), "Its mount point.";
        keyring_vault_path: Text, Unset, NoEffect(ONLY_CLUSTER), "Path of the keys.";
        keyring_vault_auth_method: Text, Is("token"), NoEffect(ONLY_CLUSTER), "How to sign in to it.";
        keyring_vault_token: Text, Unset, NoEffect(ONLY_CLUSTER), "Its token.";
        keyring_vault_kube_role: Text, Is("default"), NoEffect(ONLY_CLUSTER), "Kubernetes role.";
        keyring_vault_kube_api_token_file: Text, Is("/run/secrets/kubernetes.io/serviceaccount/token"), NoEffect(ONLY_CLUSTER), "File with the service account token.";
        keyring_encrypt_license: Flag, Is("off"), NoEffect("there is no licence"), "Encrypt the licence.";
        untrusted_lua: Choice(&["on", "off", "sandbox", "strict"]), Moved { v3_10: "sandbox", v3_15: "strict" }, Honoured, "What Lua given in plugin configuration may do.";
        untrusted_lua_sandbox_requires: List, Unset, Honoured, "Modules such Lua may require.";
        untrusted_lua_sandbox_environment: List, Unset, Honoured, "Globals such Lua may see.";
        openresty_path: Text, Unset, NoEffect("OpenResty is not used"), "Directory of OpenResty.";
        node_id: Text, Unset, Honoured, "UUID of this node; kept in the prefix if unset.";
    }
}
