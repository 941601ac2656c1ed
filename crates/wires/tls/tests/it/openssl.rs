//! Handshakes with OpenSSL's programs, so that we do not only understand ourselves. Skipped, and said so, where
//! the `openssl` program is not installed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use gibbon_tls::{
    Accepted, Certificate, CertificatePair, ClientCertificates, ClientTlsSettings, HandshakeFailure, IpSubject,
    KeyType, ServerTls, ServerTlsSettings, TrustStore, Verify, describe, generate_default,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::{Source, client, name};

fn installed() -> bool {
    let found =
        std::process::Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: no openssl program");
    }
    found
}

fn generated(host: &str, kind: KeyType) -> Certificate {
    let (pem, key) = generate_default(host, kind).unwrap();
    Certificate::from_pem(pem.as_bytes(), key.as_bytes()).unwrap()
}

/// Runs `openssl` to its end in a folder.
fn openssl(folder: &Path, arguments: &str) {
    let output = std::process::Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `openssl s_client` against our listener: what it printed, and our side's outcome.
async fn s_client(tls: &ServerTls, arguments: &[&str]) -> (String, Result<Seen, HandshakeFailure>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let seen = match tls.accept(socket).await {
        Ok(Accepted::Tls(mut stream)) => {
            let info = stream.info();
            let seen = Seen {
                version: info.version,
                cipher: info.cipher,
                client: info.peer_certificates().next().and_then(describe).and_then(|found| found.common_name),
            };
            stream.write_all(b"hello from here\n").await.unwrap();
            stream.shutdown().await.unwrap();
            Ok(seen)
        }
        Ok(Accepted::Plain { .. }) => panic!("that was TLS"),
        Err(error) => Err(error.failure),
    };
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).await.unwrap();
    child.wait().await.unwrap();
    (printed, seen)
}

#[derive(Debug, PartialEq)]
struct Seen {
    version: &'static str,
    cipher: &'static str,
    client: Option<String>,
}

#[tokio::test]
async fn openssl_clients_get_the_kind_of_certificate_they_can_verify() {
    if !installed() {
        return;
    }
    let pair = CertificatePair::new(generated("a.test", KeyType::Rsa), Some(generated("a.test", KeyType::Ecdsa)));
    let source = Source::new(move |hello| Some(pair.choose(hello).clone()));
    let tls = ServerTls::new(&ServerTlsSettings::default(), source).unwrap();

    let (printed, seen) = s_client(&tls, &["-servername", "a.test"]).await;
    assert!(printed.contains("Peer signature type: ECDSA") && printed.contains("hello from here"), "{printed}");
    assert_eq!(seen.unwrap().version, "TLSv1.3");

    let (printed, seen) = s_client(&tls, &["-sigalgs", "RSA-PSS+SHA256"]).await;
    assert!(printed.contains("Peer signature type: RSA-PSS"), "{printed}");
    assert_eq!(seen.unwrap().version, "TLSv1.3");

    let (printed, seen) = s_client(&tls, &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"]).await;
    assert!(printed.contains("hello from here"), "{printed}");
    let expected = Seen { version: "TLSv1.2", cipher: "ECDHE-RSA-AES256-GCM-SHA384", client: None };
    assert_eq!(seen.unwrap(), expected);
}

#[tokio::test]
async fn openssl_clients_without_a_suite_in_common_are_refused() {
    if !installed() {
        return;
    }
    let certificate = generated("a.test", KeyType::Rsa);
    let tls = crate::server(&certificate);
    let (printed, seen) = s_client(&tls, &["-tls1_2", "-cipher", "AES128-SHA"]).await;
    assert!(!printed.contains("hello from here"));
    assert_eq!(seen.unwrap_err(), HandshakeFailure::NothingShared);
}

/// Certificates of X.509 version 1, as `openssl x509 -req` long made them by default.
#[tokio::test]
async fn an_old_client_certificate_is_kept_like_any_other() {
    if !installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    openssl(folder.path(), "req -newkey rsa:2048 -nodes -subj /CN=old-client -keyout key.pem -out req.pem");
    openssl(folder.path(), "x509 -req -in req.pem -signkey key.pem -days 30 -out cert.pem");
    let client_certificates = ClientCertificates::Request { authorities: TrustStore::empty() };
    let settings = ServerTlsSettings { client_certificates, ..ServerTlsSettings::default() };
    let tls = ServerTls::new(&settings, crate::always(&generated("a.test", KeyType::Ecdsa))).unwrap();
    let path = |file: &str| folder.path().join(file).display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let (_, seen) = s_client(&tls, &[version, "-cert", &path("cert.pem"), "-key", &path("key.pem")]).await;
        assert_eq!(seen.unwrap().client.as_deref(), Some("old-client"));
    }
}

/// `openssl s_server` with a certificate from `folder`, and where it listens.
async fn s_server(folder: &Path, arguments: &str) -> (Child, SocketAddr) {
    let mut child = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("s_server says where it listens");
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            break address.parse().unwrap();
        }
    };
    // Its output must be read, or it stops when the pipe is full.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

async fn status_page(address: SocketAddr, settings: ClientTlsSettings) -> Result<String, HandshakeFailure> {
    let socket = TcpStream::connect(address).await.unwrap();
    let mut stream = client(settings).connect(&name("upstream.test"), socket).await.map_err(|error| error.failure)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut page = Vec::new();
    let _ = stream.read_to_end(&mut page).await;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[tokio::test]
async fn openssl_servers_are_verified_and_shown_our_certificate() {
    if !installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    openssl(folder.path(), "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.crt");
    openssl(folder.path(), "req -newkey rsa:2048 -nodes -subj /CN=upstream.test -keyout a.key -out a.csr");
    std::fs::write(folder.path().join("a.ext"), "subjectAltName=DNS:upstream.test\n").unwrap();
    openssl(
        folder.path(),
        "x509 -req -in a.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile a.ext -out a.crt",
    );
    let ca = std::fs::read(folder.path().join("ca.crt")).unwrap();
    let trust = TrustStore::from_pem([("ca", ca.as_slice())]).unwrap();
    let verifying = |trust| ClientTlsSettings {
        verify: Verify::On { trust, depth: 1, ip_subject: IpSubject::AsDnsName },
        identity: Some(generated("me.test", KeyType::Rsa)),
        ..ClientTlsSettings::default()
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let (_server, address) =
            s_server(folder.path(), &format!("-cert a.crt -key a.key -Verify 3 {version} -servername_fatal")).await;
        let page = status_page(address, verifying(trust.clone())).await.unwrap();
        assert!(page.contains("Client certificate") && page.contains("me.test"), "{page}");
        let refused = status_page(address, verifying(TrustStore::empty())).await.unwrap_err();
        assert_eq!(refused, HandshakeFailure::Verification);
    }
}

/// What `openssl x509 -req` makes without extensions: version 1, and a common name only.
#[tokio::test]
async fn a_hand_made_version_1_certificate_is_verified_by_its_issuer_and_common_name() {
    if !installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    openssl(folder.path(), "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.crt");
    for host in ["upstream.test", "other.test"] {
        openssl(folder.path(), &format!("req -newkey rsa:2048 -nodes -subj /CN={host} -keyout {host}.key -out csr"));
        openssl(
            folder.path(),
            &format!("x509 -req -in csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out {host}.crt"),
        );
    }
    let verifying = |ca: Vec<u8>| ClientTlsSettings {
        verify: Verify::On {
            trust: TrustStore::from_pem([("ca", ca.as_slice())]).unwrap(),
            depth: 1,
            ip_subject: IpSubject::AsDnsName,
        },
        ..ClientTlsSettings::default()
    };
    let ca = std::fs::read(folder.path().join("ca.crt")).unwrap();
    let (stranger, _) = generate_default("authority", KeyType::Rsa).unwrap();
    let (_server, address) = s_server(folder.path(), "-cert upstream.test.crt -key upstream.test.key").await;
    status_page(address, verifying(ca.clone())).await.unwrap();
    let refused = status_page(address, verifying(stranger.into_bytes())).await.unwrap_err();
    assert_eq!(refused, HandshakeFailure::Verification);
    let (_other, address) = s_server(folder.path(), "-cert other.test.crt -key other.test.key").await;
    assert_eq!(status_page(address, verifying(ca)).await.unwrap_err(), HandshakeFailure::Verification);
}

#[tokio::test]
async fn an_unverified_openssl_server_may_have_an_old_certificate() {
    if !installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    openssl(folder.path(), "req -newkey rsa:2048 -nodes -subj /CN=old -keyout key.pem -out req.pem");
    openssl(folder.path(), "x509 -req -in req.pem -signkey key.pem -days 30 -out cert.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        let (_server, address) = s_server(folder.path(), &format!("-cert cert.pem -key key.pem {version}")).await;
        status_page(address, ClientTlsSettings::default()).await.unwrap();
    }
}
