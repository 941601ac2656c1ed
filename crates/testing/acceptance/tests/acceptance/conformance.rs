//! Is its HTTP/2 what RFC 9113 says? h2spec asks, over TLS and without.

use std::process::Command;

use gibbon_testkit::{Gateway, servers, upstream};

fn h2spec(arguments: &[&str]) {
    // An answer with a body: some questions are about its DATA frames.
    let upstream = upstream::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    let gateway = Gateway::with_config(format!(
        "_format_version: '3.0'\nservices: [{{name: s, url: 'http://{}', routes: [{{name: r, paths: [/]}}]}}]\n",
        upstream.address()
    ))
    .unwrap();
    let address = if arguments.contains(&"-t") { gateway.addresses().proxy_tls } else { gateway.addresses().proxy };
    let port = address.port().to_string();
    let output = Command::new(servers::tool("h2spec").unwrap())
        .args(["-h", "127.0.0.1", "-p", &port, "-o", "5"])
        .args(arguments)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let summary = report.lines().rev().find(|line| line.contains("tests,")).unwrap_or("no summary");
    println!("h2spec {arguments:?}: {summary}");
    assert!(summary.contains(" 0 failed"), "{report}");
}

#[test]
fn h2spec_finds_no_failure_over_tls() {
    h2spec(&["-t", "-k"]);
}

#[test]
fn h2spec_finds_no_failure_without_tls() {
    // All but http2/3.5/2: a listener that speaks both versions takes what is no preface for HTTP/1.1 and answers 400.
    let sections = ["generic", "hpack", "http2/3.5/1", "http2/4", "http2/5", "http2/6", "http2/7", "http2/8"];
    h2spec(&sections);
}
