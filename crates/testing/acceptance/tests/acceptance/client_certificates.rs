//! Who is let in by a certificate? nginx's `ssl_verify_client` on every kind of listener, and the certificate phase.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gibbon_testkit::Gateway;
use gibbon_testkit::gateway::Settings;
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::upstream::{Upstream, echo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;

const IN_FORCE: Range<i32> = 2020..2200;

/// An authority, and what it has issued, in files.
struct Papers {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Papers {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();
        Papers { folder, authority }
    }

    fn authorities(&self) -> String {
        self.folder.path().join("authority.pem").display().to_string()
    }

    /// A client's certificate and key in one file.
    fn issue(&self, name: &str, years: Range<i32>) -> PathBuf {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let path = self.folder.path().join(name);
        std::fs::write(&path, certificate.pem() + &key.serialize_pem()).unwrap();
        path
    }
}

/// What curl gets: status and body; no status when the connection was closed on it.
fn curl(address: SocketAddr, certificate: Option<&Path>) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["-sk", "--max-time", "30", "-w", "\n%{http_code}"]).arg(format!("https://{address}/"));
    if let Some(file) = certificate {
        command.arg("--cert").arg(file);
    }
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let (body, status) = output.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// Logs are written in the background.
fn logged(gateway: &Gateway, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !gateway.logs().contains(text) {
        assert!(Instant::now() < deadline, "'{text}' is not in the logs: {}", gateway.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn refused(message: &str) -> impl Fn((String, String)) + '_ {
    move |(status, body)| {
        assert_eq!(status, "400", "{body}");
        assert!(body.contains(message), "{body}");
    }
}

fn admitted((status, body): (String, String)) -> String {
    assert_eq!(status, "200", "{body}");
    body
}

/// What a request that reached the upstream says of its client's certificate.
fn verified(upstream: &Upstream, answer: (String, String)) -> String {
    admitted(answer);
    upstream.next_request().unwrap().header("x-verify").unwrap().to_owned()
}

fn routed() -> (Upstream, String) {
    let upstream = echo().unwrap();
    let config = format!(
        "_format_version: '3.0'\n\
         services: [{{name: s, url: 'http://{}', routes: [{{name: r, paths: [/]}}]}}]\n\
         plugins: [{{name: pre-function, config: {{access: ['kong.service.request.set_header(\"x-verify\", ngx.var.ssl_client_verify or \"in the clear\")']}}}}]\n",
        upstream.address()
    );
    (upstream, config)
}

#[test]
fn required_a_certificate_must_be_shown_and_verify() {
    let (papers, strangers) = (Papers::new(), Papers::new());
    let (upstream, config) = routed();
    let gateway = Settings::new()
        .config(config)
        .set("nginx_proxy_ssl_verify_client", "on")
        .set("nginx_proxy_ssl_client_certificate", papers.authorities())
        .start()
        .unwrap();
    let address = gateway.addresses().proxy_tls;
    refused("No required SSL certificate was sent")(curl(address, None));
    refused("The SSL certificate error")(curl(address, Some(&strangers.issue("stranger", IN_FORCE))));
    refused("The SSL certificate error")(curl(address, Some(&papers.issue("former", 2001..2002))));
    assert_eq!(verified(&upstream, curl(address, Some(&papers.issue("member", IN_FORCE)))), "SUCCESS");
    assert_eq!(gateway.get("any.test", "/").unwrap().status(), 200, "in the clear nobody is asked");
}

#[test]
fn optional_a_certificate_that_is_shown_must_verify() {
    let (papers, strangers) = (Papers::new(), Papers::new());
    let (upstream, config) = routed();
    let gateway = Settings::new()
        .config(config)
        .set("nginx_http_ssl_verify_client", "optional")
        .set("nginx_http_ssl_client_certificate", papers.authorities())
        .start()
        .unwrap();
    let address = gateway.addresses().proxy_tls;
    assert_eq!(verified(&upstream, curl(address, None)), "NONE");
    refused("The SSL certificate error")(curl(address, Some(&strangers.issue("stranger", IN_FORCE))));
    assert_eq!(verified(&upstream, curl(address, Some(&papers.issue("member", IN_FORCE)))), "SUCCESS");
}

#[test]
fn without_authorities_any_sound_certificate_passes_and_is_told_apart() {
    let papers = Papers::new();
    let (upstream, config) = routed();
    let gateway =
        Settings::new().config(config).set("nginx_proxy_ssl_verify_client", "optional_no_ca").start().unwrap();
    let address = gateway.addresses().proxy_tls;
    assert_eq!(verified(&upstream, curl(address, None)), "NONE");
    let stranger = verified(&upstream, curl(address, Some(&papers.issue("stranger", IN_FORCE))));
    assert_eq!(stranger, "FAILED:unable to verify the first certificate");
}

#[test]
fn the_admin_api_is_closed_to_whoever_has_no_certificate() {
    let papers = Papers::new();
    let admin = free_tcp_address().unwrap();
    let gateway = Settings::new()
        .set("admin_listen", format!("{admin} ssl"))
        .set("nginx_admin_ssl_verify_client", "on")
        .set("nginx_admin_ssl_client_certificate", papers.authorities())
        .start()
        .unwrap();
    refused("No required SSL certificate was sent")(curl(admin, None));
    assert!(admitted(curl(admin, Some(&papers.issue("operator", IN_FORCE)))).contains("Welcome to kong"));
    drop(gateway);
}

#[test]
fn a_stream_listener_closes_on_whoever_has_no_certificate() {
    let papers = Papers::new();
    let upstream = echo().unwrap();
    let stream = free_tcp_address().unwrap();
    let gateway = Settings::new()
        .config(format!(
            "_format_version: '3.0'\n\
             services: [{{name: s, url: 'tcp://{}', routes: [{{name: r, protocols: [tls], destinations: [{{port: {}}}]}}]}}]\n",
            upstream.address(),
            stream.port()
        ))
        .set("stream_listen", format!("{stream} ssl"))
        .set("nginx_sproxy_ssl_verify_client", "on")
        .set("nginx_sproxy_ssl_client_certificate", papers.authorities())
        .start()
        .unwrap();
    assert_eq!(curl(stream, None).0, "000");
    admitted(curl(stream, Some(&papers.issue("member", IN_FORCE))));
    logged(&gateway, "the client's certificate is not accepted: NONE");
}

#[test]
fn the_certificate_phase_runs_in_the_handshake_and_once_per_connection() {
    let upstream = echo().unwrap();
    let gateway = Settings::new()
        .config(format!(
            "_format_version: '3.0'\n\
             services: [{{name: s, url: 'http://{}', routes: [{{name: r, paths: [/]}}]}}]\n\
             plugins:\n\
             - name: pre-function\n\
             \x20 config:\n\
             \x20   certificate: ['ngx.shared.kong:incr(\"handshakes \" .. kong.client.get_ip(), 1, 0)']\n\
             \x20   access: ['kong.service.request.set_header(\"x-count\", ngx.shared.kong:get(\"handshakes \" .. kong.client.get_ip()))']\n",
            upstream.address()
        ))
        .set("untrusted_lua", "on").start()
        .unwrap();
    for connection in 1..=2 {
        let mut client = gateway.connect_tls("any.test", &["http/1.1"]).unwrap();
        for _ in 0..2 {
            let answer = client.exchange("GET / HTTP/1.1\r\nHost: any.test\r\n\r\n").unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(upstream.next_request().unwrap().header("x-count"), Some(connection.to_string().as_str()));
        }
    }
}

#[test]
fn an_error_in_the_certificate_phase_ends_the_handshake_and_the_log_says_why() {
    let gateway = Settings::new()
        .config(
            "_format_version: '3.0'\n\
             plugins: [{name: pre-function, config: {certificate: ['error(\"no entry\")']}}]\n",
        )
        .start()
        .unwrap();
    assert!(
        gateway
            .connect_tls("any.test", &["http/1.1"])
            .and_then(|mut c| c.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
            .is_err()
    );
    logged(&gateway, "no entry");
}

#[test]
fn a_certificate_that_a_plugin_asked_for_is_handed_on_and_not_called_verified() {
    let papers = Papers::new();
    let upstream = echo().unwrap();
    let gateway = Settings::new()
        .config(format!(
            "_format_version: '3.0'\n\
             services: [{{name: s, url: 'http://{}', routes: [{{name: r, paths: [/]}}]}}]\n\
             plugins:\n\
             - name: pre-function\n\
             \x20 config:\n\
             \x20   certificate: ['assert(kong.client.tls.request_client_certificate())']\n\
             \x20   access:\n\
             \x20   - kong.service.request.set_header(\"x-verify\", ngx.var.ssl_client_verify)\n\
             \x20   - kong.service.request.set_header(\"x-chain\", (kong.client.tls.get_full_client_certificate_chain() or \"none\"):sub(1, 27))\n",
            upstream.address()
        ))
        .start()
        .unwrap();
    let address = gateway.addresses().proxy_tls;
    let shown = |certificate: Option<&Path>| {
        admitted(curl(address, certificate));
        let request = upstream.next_request().unwrap();
        (request.header("x-verify").unwrap().to_owned(), request.header("x-chain").unwrap().to_owned())
    };
    assert_eq!(shown(None), ("NONE".into(), "none".into()));
    let certificate = papers.issue("stranger", IN_FORCE);
    let verdict = "FAILED:unable to verify the first certificate";
    assert_eq!(shown(Some(&certificate)), (verdict.into(), "-----BEGIN CERTIFICATE-----".into()));
}
