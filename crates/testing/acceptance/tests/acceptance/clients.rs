//! Does it serve the clients that people have? curl and grpcurl, with the demo's own configuration.

use std::process::Command;

use gibbon_acceptance::backends::Backends;
use gibbon_testkit::{Gateway, servers};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(servers::tool(program).unwrap()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn demo() -> (Backends, Gateway) {
    let backends = Backends::start().unwrap();
    let gateway = Gateway::with_config(gibbon_demo::declarative(&backends.addresses(), "/dev/null")).unwrap();
    (backends, gateway)
}

#[test]
fn curl_over_http_1_and_2_plain_and_encrypted() {
    let (_backends, gateway) = demo();
    let (plain, tls) = (gateway.addresses().proxy, gateway.addresses().proxy_tls);
    for (flags, url) in [
        (&["--http1.0"][..], format!("http://{plain}/rest/a")),
        (&["--http1.1"], format!("http://{plain}/rest/a")),
        (&["--http2-prior-knowledge"], format!("http://{plain}/rest/a")),
        (&["-k", "--http1.1"], format!("https://{tls}/rest/a")),
        (&["-k", "--http2"], format!("https://{tls}/rest/a")),
    ] {
        let body = run("curl", &[flags, &["-sS", "--fail", "--max-time", "20", &url]].concat());
        assert!(body.contains("\"path\": \"/a\""), "{flags:?}: {body}");
    }
}

#[test]
fn curl_sends_a_large_body_and_asks_before() {
    let (_backends, gateway) = demo();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 500_000]).unwrap();
    let (url, data) = (format!("http://{}/rest/", gateway.addresses().proxy), format!("@{}", file.path().display()));
    let body =
        run("curl", &["-sS", "--fail", "--max-time", "20", "-H", "Expect: 100-continue", "--data-binary", &data, &url]);
    assert!(body.len() > 500_000, "{} bytes came back", body.len());
}

#[test]
fn curl_sees_events_as_they_are_sent() {
    let (_backends, gateway) = demo();
    let url = format!("http://{}/sse?every=20&count=5", gateway.addresses().proxy);
    let events = run("curl", &["-sSN", "--fail", "--max-time", "20", &url]);
    assert_eq!(events.matches("event: tick").count(), 5, "{events}");
}

#[test]
fn a_websocket_conversation_goes_both_ways() {
    let (_backends, gateway) = demo();
    let mut client = gateway.connect().unwrap();
    let answer = client
        .exchange(
            "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    assert_eq!((answer.status(), answer.header("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    for word in ["first", "secnd"] {
        client.send([&[0x81, 0x85, 0, 0, 0, 0], word.as_bytes()].concat()).unwrap();
        assert_eq!(client.read_exact(7).unwrap(), [&[0x81, 5], word.as_bytes()].concat());
    }
}

#[test]
fn grpcurl_calls_through_it() {
    let (_backends, gateway) = demo();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("echo.proto"), gibbon_demo::PROTO).unwrap();
    let import = folder.path().display().to_string();
    let (plain, tls) = (gateway.addresses().proxy.to_string(), gateway.addresses().proxy_tls.to_string());
    for (flag, address) in [("-plaintext", plain.as_str()), ("-insecure", tls.as_str())] {
        let shared = ["-max-time", "20", "-import-path", &import, "-proto", "echo.proto"];
        let call = ["-d", "{\"text\": \"hello\"}", address, "gibbon.demo.Echo/Say"];
        let said = run("grpcurl", &[&[flag][..], &shared, &call].concat());
        assert!(said.contains("\"text\": \"hello\""), "{said}");
    }
}
