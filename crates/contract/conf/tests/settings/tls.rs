//! Protocols, ciphers and certificates.

use super::*;

const PEM: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCngKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";

#[test]
fn a_named_suite_decides_versions_ciphers_and_order() {
    let intermediate = settings("").tls;
    assert_eq!(intermediate.versions, TlsVersions { tls12: true, tls13: true });
    assert!(intermediate.ciphers.unwrap().starts_with("ECDHE-ECDSA-AES128-GCM-SHA256:"));
    assert!(!intermediate.prefer_server_ciphers);
    let modern = settings("ssl_cipher_suite = modern").tls;
    assert_eq!((modern.versions, modern.ciphers), (TlsVersions { tls12: false, tls13: true }, None));
    let fips = settings("ssl_cipher_suite = fips").tls;
    assert_eq!(fips.versions, TlsVersions { tls12: true, tls13: false });
    assert!(settings("ssl_cipher_suite = old").tls.ciphers.unwrap().ends_with(":DES-CBC3-SHA"));
}

#[test]
fn the_custom_suite_takes_the_single_settings() {
    let custom = settings("ssl_cipher_suite = custom\nssl_ciphers = A:B\nssl_protocols = TLSv1.3").tls;
    assert_eq!(custom.ciphers.as_deref(), Some("A:B"));
    assert_eq!(custom.versions, TlsVersions { tls12: false, tls13: true });
    assert!(custom.prefer_server_ciphers);
}

#[test]
fn an_injected_directive_wins_over_the_named_suite_and_the_setting() {
    let tls = settings(
        "nginx_proxy_ssl_protocols = TLSv1.3\nnginx_http_ssl_protocols = TLSv1.2\nnginx_http_ssl_ciphers = A:B\n\
         nginx_http_ssl_prefer_server_ciphers = on\nnginx_http_ssl_session_tickets = off\n\
         nginx_http_ssl_session_timeout = 5m\nnginx_http_lua_ssl_protocols = TLSv1.2",
    )
    .tls;
    assert_eq!(tls.versions, TlsVersions { tls12: false, tls13: true });
    assert_eq!(tls.ciphers.as_deref(), Some("A:B"));
    assert!(tls.prefer_server_ciphers && !tls.session_tickets);
    assert_eq!(tls.session_timeout, Duration::from_secs(300));
    assert_eq!(tls.outgoing_versions, TlsVersions { tls12: true, tls13: false });
    let told = faults("nginx_http_ssl_protocols = TLSv9 TLSv1.3");
    assert_eq!(told, ["nginx_http_ssl_protocols has an invalid value: 'TLSv9' (TLSv1.2, TLSv1.3)"]);
}

#[test]
fn broken_versions_are_told_and_never_spoken() {
    let told = notices("ssl_cipher_suite = custom\nssl_protocols = TLSv1 TLSv1.2", NoticeKind::NoEffect);
    assert_eq!(told, ["ssl_protocols: TLSv1 is not spoken, because it is broken (RFC 8996) [kong.conf:2]"]);
    assert!(
        faults("ssl_cipher_suite = custom\nssl_protocols = TLSv1.1")[0]
            .starts_with("ssl_protocols leaves no TLS version")
    );
}

#[test]
fn certificates_are_paths_pem_or_base64_and_come_in_pairs() {
    let given = format!("ssl_cert = /c.pem, {PEM}\nssl_cert_key = /k.pem, {PEM}");
    let input = Input { file: Some(("kong.conf".into(), given)), ..Input::default() };
    let machine = Machine { paths: vec!["/c.pem", "/k.pem"] };
    let pairs = load(&input, &machine).unwrap().settings.tls.proxy;
    assert_eq!(pairs[0].cert, Material::Path("/c.pem".into()));
    assert!(matches!(&pairs[1].key, Material::Pem(pem) if pem.starts_with("-----BEGIN")));
    assert_eq!(format!("{:?}", pairs[1].key), "Pem(…)");
}

#[test]
fn an_incomplete_pair_is_a_fault_in_kongs_words() {
    assert_eq!(faults(&format!("ssl_cert = {PEM}")), ["ssl_cert_key must be specified"]);
    assert_eq!(faults(&format!("admin_ssl_cert_key = {PEM}")), ["admin_ssl_cert must be specified"]);
    assert_eq!(
        faults(&format!("ssl_cert = {PEM}, {PEM}\nssl_cert_key = {PEM}"))[0],
        "ssl_cert was specified 2 times while ssl_cert_key was specified 1 times"
    );
    assert_eq!(
        faults("client_ssl = on\nclient_ssl_cert = /no/c.pem"),
        ["client_ssl_cert_key must be specified", "client_ssl_cert: failed loading certificate from /no/c.pem"]
    );
}

#[test]
fn pairs_are_not_asked_for_where_no_listener_speaks_tls() {
    assert!(settings("proxy_listen = 127.0.0.1:8000\nssl_cert = /no/such").tls.proxy.is_empty());
}

#[test]
fn client_verification_needs_authorities() {
    let asked = settings("nginx_proxy_ssl_verify_client = optional\nnginx_proxy_ssl_client_certificate = /ca.pem").tls;
    assert_eq!(
        asked.client_verification.proxy,
        Some(ClientVerification { mode: VerifyClient::Optional, authorities: Some("/ca.pem".into()), depth: 1 })
    );
    assert_eq!(asked.client_verification.stream, None);
    assert_eq!(faults("nginx_proxy_ssl_verify_client = on").len(), 1);
    let everywhere = settings("nginx_http_ssl_verify_client = optional_no_ca\nnginx_admin_ssl_verify_client = off").tls;
    let asked = everywhere.client_verification;
    assert!(asked.proxy.is_some() && asked.status.is_some());
    assert!(asked.admin.is_none() && asked.stream.is_none());
}
