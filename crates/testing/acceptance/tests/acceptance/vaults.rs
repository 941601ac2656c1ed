//! References to secrets in entities: the gateway uses the secret, shows the reference, and follows the vault.

use std::path::Path;
use std::time::{Duration, Instant};

use gibbon_testkit::gateway::Settings;
use gibbon_testkit::upstream::{self, Upstream};
use gibbon_testkit::{Client, Gateway};

/// The Authorization header of the next report that the collector gets for a request that is made now.
fn reported(gateway: &Gateway, collector: &Upstream) -> String {
    assert_eq!(gateway.get("h", "/").unwrap().status(), 200);
    collector.next_request().unwrap().header("authorization").unwrap_or_default().to_owned()
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn logs(directory: &Path) -> String {
    let texts =
        std::fs::read_dir(directory).unwrap().filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    texts.collect()
}

#[test]
fn a_declarative_file_refers_to_the_environment_and_the_secret_is_shown_nowhere() {
    let (target, collector) = (upstream::echo().unwrap(), upstream::echo().unwrap());
    let gateway = Settings::new()
        .set("LOG_TOKEN", r#"{"bearer":"Bearer s3cr3t-7"}"#)
        .config(format!(
            "_format_version: '3.0'\n\
             services: [{{name: s, url: 'http://{}', routes: [{{name: r, paths: [/]}}]}}]\n\
             vaults: [{{name: env, prefix: mine, config: {{prefix: kong_}}}}]\n\
             plugins:\n\
             - name: http-log\n  config:\n    http_endpoint: 'http://{}/'\n    queue: {{max_coalescing_delay: 0}}\n    \
             headers: {{authorization: '{{vault://mine/log-token/bearer}}', x-text: plain}}\n",
            target.address(),
            collector.address()
        ))
        .start()
        .unwrap();

    assert_eq!(reported(&gateway, &collector), "Bearer s3cr3t-7");
    let shown = gateway.admin("GET", "/plugins", "").unwrap().text();
    assert!(shown.contains("{vault://mine/log-token/bearer}") && !shown.contains("s3cr3t-7"), "{shown}");
    let shown = gateway.admin("GET", "/config", "").unwrap().text();
    assert!(!shown.contains("s3cr3t-7"), "{shown}");
    assert!(!logs(&gateway.prefix().join("logs")).contains("s3cr3t-7"));
}

#[test]
fn secrets_in_files_are_followed_when_they_are_replaced() {
    let (target, collector) = (upstream::echo().unwrap(), upstream::echo().unwrap());
    let secrets = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(secrets.path().join(name), text).unwrap();
    write("token", "first\n");
    let gateway = Settings::new().set("database", "sqlite").start().unwrap();
    let post = |path: &str, body: String| {
        let answer = gateway.admin("POST", path, &body).unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text());
    };
    let directory = secrets.path().display();
    post(
        "/vaults",
        format!(r#"{{"name": "fs", "prefix": "mounted", "config": {{"prefix": "{directory}", "ttl": 1}}}}"#),
    );
    post("/services", format!(r#"{{"name": "s", "url": "http://{}"}}"#, target.address()));
    post("/services/s/routes", r#"{"name": "r", "paths": ["/"]}"#.into());
    post(
        "/plugins",
        format!(
            r#"{{"name": "http-log", "config": {{"http_endpoint": "http://{}/", "queue": {{"max_coalescing_delay": 0}},
                "headers": {{"authorization": "{{vault://mounted/token}}"}}}}}}"#,
            collector.address()
        ),
    );
    eventually("the change reaches the worker", || reported(&gateway, &collector) == "first");

    write("token", "second\n");
    eventually("the new token is used", || reported(&gateway, &collector) == "second");

    std::fs::remove_file(secrets.path().join("token")).unwrap();
    eventually("the loss is told", || logs(&gateway.prefix().join("logs")).contains("unable to resolve reference"));
    assert_eq!(reported(&gateway, &collector), "second", "a secret that is lost stays in use");
}

#[test]
fn a_certificate_may_lie_in_a_vault() {
    let secrets = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["vault.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pair = serde_json::json!({"cert": certificate.pem(), "key": key.serialize_pem()});
    std::fs::write(secrets.path().join("pair"), pair.to_string()).unwrap();
    let gateway = Settings::new()
        .set("vault_fs_prefix", secrets.path().display().to_string())
        .config(
            "_format_version: '3.0'\n\
             certificates: [{cert: '{vault://fs/pair/cert}', key: '{vault://fs/pair/key}', snis: [{name: vault.test}]}]\n",
        )
        .start()
        .unwrap();
    let client = Client::connect_tls(gateway.addresses().proxy_tls, "vault.test", &["http/1.1"]).unwrap();
    assert_eq!(client.peer_certificate().unwrap(), certificate.der().to_vec());
}
