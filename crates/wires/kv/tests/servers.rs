//! Real Redis servers: alone, with passwords, restarted, watched by a sentinel, as a cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_kv::{Error, Settings, Store, Value};
use gibbon_outcall::{Reach, Tls};

struct Redis {
    child: Child,
    port: u16,
    bus: u16,
    folder: std::path::PathBuf,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts a server and waits until it answers.
async fn redis_on(port: u16, options: &[&str]) -> Redis {
    let folder = std::env::temp_dir().join(format!("gibbon-kv-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new("redis-server");
    if options.contains(&"--sentinel") {
        let config = folder.join("sentinel.conf");
        std::fs::write(&config, options[0]).unwrap();
        command.arg(config).arg("--sentinel").args(["--port", &port.to_string()]);
    } else {
        command.args(["--save", "", "--port", &port.to_string()]).args(options);
    }
    let child = command.current_dir(&folder).stdout(Stdio::null()).spawn().unwrap();
    let redis = Redis { child, port, bus: 0, folder };
    let probe = store(&Settings { port, ..settings() });
    for _ in 0..200 {
        if !matches!(probe.command(&words("PING")).await, Err(Error::Unavailable(_))) {
            return redis;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("redis does not start");
}

async fn redis(options: &[&str]) -> Redis {
    redis_on(gibbon_testkit::ports::free_tcp().unwrap(), options).await
}

async fn cluster_node() -> Redis {
    let bus = gibbon_testkit::ports::free_tcp().unwrap();
    let mut node = redis(&["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()]).await;
    node.bus = bus;
    node
}

fn settings() -> Settings {
    Settings { host: "127.0.0.1".into(), timeout: Duration::from_secs(2), ..Settings::default() }
}

fn store(settings: &Settings) -> Store {
    let resolver =
        gibbon_dns::Resolver::new(gibbon_dns::Settings::default(), Arc::new(gibbon_dns::SystemClock::default()));
    Store::new(settings, Arc::new(Reach::new(resolver, None)), tokio::runtime::Handle::current())
}

fn direct(port: u16) -> Store {
    store(&Settings { port, ..settings() })
}

/// Asks until it is so. The limit is generous: elections of sentinels take seconds, and machines are busy.
async fn until(is_so: impl AsyncFn() -> bool) {
    for _ in 0..1500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never became so");
}

fn words(text: &str) -> Vec<Bytes> {
    text.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn text(text: &'static str) -> Value {
    Value::Text(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn commands_and_pipelines_are_answered_in_order() {
    let server = redis(&[]).await;
    let store = store(&Settings { port: server.port, database: 3, ..settings() });
    assert_eq!(store.command(&words("SET a 1")).await.unwrap(), text("OK"));
    assert_eq!(store.command(&words("GET b")).await.unwrap(), Value::Nil);
    let answers = store.pipeline(&[words("INCRBY a 41"), words("GET a"), words("MGET a b")]).await.unwrap();
    assert_eq!(answers, [Value::Int(42), text("42"), Value::List(vec![text("42"), Value::Nil])]);
    let script = [words("EVAL"), vec![Bytes::from_static(b"return redis.call('get', KEYS[1])")], words("1 a")].concat();
    assert_eq!(store.command(&script).await.unwrap(), text("42"));
    let refused = store.command(&words("LPUSH a x")).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(text) if text.starts_with("WRONGTYPE ")), "{refused:?}");
    let refused = store.pipeline(&[words("LPUSH a x"), words("INCR a")]).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)));
    assert_eq!(store.command(&words("GET a")).await.unwrap(), text("43"), "the rest of the pipeline was carried out");
}

#[tokio::test]
async fn passwords_open_the_door_and_wrong_ones_do_not() {
    let server = redis(&["--requirepass", "secret", "--user", "ada", "on", ">lovelace", "~*", "+@all"]).await;
    let with = |username: Option<&str>, password: Option<&str>| {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        store(&Settings { port: server.port, username: owned(username), password: owned(password), ..settings() })
    };
    assert_eq!(with(None, Some("secret")).command(&words("PING")).await.unwrap(), text("PONG"));
    assert_eq!(with(Some("ada"), Some("lovelace")).command(&words("PING")).await.unwrap(), text("PONG"));
    let wrong = with(None, Some("guess")).command(&words("PING")).await.unwrap_err();
    assert!(!wrong.to_string().contains("guess"), "{wrong}");
    let none = with(None, None).command(&words("PING")).await.unwrap_err();
    assert_eq!(none.to_string(), "NOAUTH Authentication required.");
}

#[tokio::test]
async fn tls_hides_the_password_and_verifies_the_server_if_told_to() {
    let made = rcgen::generate_simple_self_signed(vec!["redis.test".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (cert, key) = (file("cert.pem", made.cert.pem()), file("key.pem", made.signing_key.serialize_pem()));
    let port = gibbon_testkit::ports::free_tcp().unwrap().to_string();
    let mut options = vec!["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key];
    options.extend(["--tls-auth-clients", "no", "--user", "ada", "on", ">lovelace", "~*", "+@all"]);
    let _server = redis(&options).await;
    let secure = Settings {
        port: port.parse().unwrap(),
        username: Some("ada".to_owned()),
        password: Some("lovelace".to_owned()),
        tls: Some(Tls { verify: false, server_name: Some("redis.test".to_owned()), identity: None }),
        ..settings()
    };
    assert_eq!(store(&secure).command(&words("SET a 1")).await.unwrap(), text("OK"));
    // Nobody vouches for that certificate.
    let verified = Settings { tls: secure.tls.clone().map(|tls| Tls { verify: true, ..tls }), ..secure.clone() };
    let refused = store(&verified).command(&words("PING")).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    assert!(!refused.to_string().contains("lovelace"), "{refused}");
    // And who does not speak TLS is not understood.
    let plain = Settings { tls: None, ..secure };
    assert!(store(&plain).command(&words("PING")).await.is_err());
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let server = redis(&[]).await;
    let port = server.port;
    let store = store(&Settings { port, ..settings() });
    store.command(&words("PING")).await.unwrap();
    drop(server);
    assert!(matches!(store.command(&words("PING")).await, Err(Error::Unavailable(_))));
    let _server = redis_on(port, &[]).await;
    assert_eq!(store.command(&words("PING")).await.unwrap(), text("PONG"));
}

#[tokio::test]
async fn sentinels_name_the_master() {
    let server = redis(&[]).await;
    let config = format!("sentinel monitor mymaster 127.0.0.1 {} 1\n", server.port);
    let sentinel = redis(&[&config, "--sentinel"]).await;
    let node = format!("127.0.0.1:{}", sentinel.port);
    let with = |name: &str| Settings {
        sentinel_nodes: vec![node.clone()],
        sentinel_master: Some(name.to_owned()),
        ..settings()
    };
    assert_eq!(store(&with("mymaster")).command(&words("SET a 1")).await.unwrap(), text("OK"));
    assert_eq!(store(&Settings { port: server.port, ..settings() }).command(&words("GET a")).await.unwrap(), text("1"));
    let unknown = store(&with("other")).command(&words("GET a")).await.unwrap_err();
    assert!(unknown.to_string().contains("'other'"), "{unknown}");
}

#[tokio::test]
async fn when_the_master_is_gone_the_sentinels_new_one_is_used() {
    let master = redis(&[]).await;
    let replica = redis(&["--replicaof", "127.0.0.1", &master.port.to_string()]).await;
    let config = format!(
        "sentinel monitor mymaster 127.0.0.1 {} 1\nsentinel down-after-milliseconds mymaster 200\n\
         sentinel failover-timeout mymaster 2000\n",
        master.port
    );
    let sentinel = redis(&[&config, "--sentinel"]).await;
    let store = store(&Settings {
        sentinel_nodes: vec![format!("127.0.0.1:{}", sentinel.port)],
        sentinel_master: Some("mymaster".to_owned()),
        ..settings()
    });
    assert_eq!(store.command(&words("SET a 1")).await.unwrap(), text("OK"));
    // The sentinel must know of the replica before it can choose it.
    let watcher = direct(sentinel.port);
    until(async || matches!(watcher.command(&words("SENTINEL replicas mymaster")).await, Ok(Value::List(all)) if all.len() == 1)).await;
    let copy = direct(replica.port);
    until(async || copy.command(&words("GET a")).await.ok() == Some(text("1"))).await;
    drop(master);
    until(async || store.command(&words("SET b 2")).await.is_ok()).await;
    assert_eq!(direct(replica.port).command(&words("GET b")).await.unwrap(), text("2"));
    assert_eq!(store.command(&words("GET a")).await.unwrap(), text("1"));
}

#[tokio::test]
async fn a_clusters_keys_are_asked_of_the_node_that_has_them() {
    let (one, two) = (cluster_node().await, cluster_node().await);
    let direct = |server: &Redis| store(&Settings { port: server.port, ..settings() });
    direct(&one).command(&words("CLUSTER ADDSLOTSRANGE 0 8000")).await.unwrap();
    direct(&two).command(&words("CLUSTER ADDSLOTSRANGE 8001 16383")).await.unwrap();
    let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", two.port, two.bus);
    direct(&one).command(&words(&meet)).await.unwrap();
    let store = store(&Settings { cluster_nodes: vec![format!("127.0.0.1:{}", one.port)], ..settings() });
    let mut last = None;
    for _ in 0..400 {
        // `bar` lies in slot 5061, `foo` in 12182.
        last = Some(store.pipeline(&[words("SET bar 1"), words("SET foo 2"), words("GET foo")]).await);
        if matches!(last, Some(Ok(_))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(last.unwrap().unwrap(), [text("OK"), text("OK"), text("2")]);
    assert_eq!(direct(&two).command(&words("GET foo")).await.unwrap(), text("2"));
    let moved = direct(&one).command(&words("GET foo")).await.unwrap_err();
    assert!(matches!(moved, Error::Elsewhere { .. }), "{moved:?}");
}
