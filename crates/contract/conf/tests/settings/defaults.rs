//! What holds when nothing is given.

use super::*;

#[test]
fn listeners_are_kongs() {
    let listeners = settings("").listeners;
    let all = |list: &[Listener]| list.iter().map(Listener::canonical).collect::<Vec<_>>();
    assert_eq!(
        all(&listeners.proxy),
        ["0.0.0.0:8000 reuseport backlog=16384", "0.0.0.0:8443 ssl http2 reuseport backlog=16384"]
    );
    assert_eq!(all(&listeners.status), ["127.0.0.1:8007 reuseport backlog=16384"]);
    assert_eq!(all(&listeners.admin_gui), ["0.0.0.0:8002", "0.0.0.0:8445 ssl"]);
    assert!(listeners.stream.is_empty());
}

#[test]
fn limits_are_kongs_and_else_nginxs() {
    let client = settings("").client;
    assert_eq!(client.header_buffer_size, 1024);
    assert_eq!(client.large_header_buffers, HeaderBuffers { number: 4, size: 8192 });
    assert_eq!(client.max_body_size, None);
    assert_eq!(client.body_buffer_size, 8192);
    assert_eq!(client.keepalive_timeout, Duration::from_secs(75));
    assert_eq!(client.keepalive_requests, 10_000);
    assert_eq!(client.header_timeout, Duration::from_secs(60));
    assert_eq!(settings("").admin_client.max_body_size, Some(10 << 20));
}

#[test]
fn with_compat_version_3_15_the_newer_defaults_count() {
    assert_eq!(settings("").lua.untrusted, UntrustedLua::Sandbox);
    let newer = settings("compat_version = 3.15");
    assert_eq!(newer.lua.untrusted, UntrustedLua::Strict);
    assert!(newer.datastore.postgres.tls_verify);
    assert_eq!(newer.compat.version(), "3.15.0");
}

#[test]
fn the_datastore_follows_from_what_else_is_set() {
    let database = |text: &str| settings(text).datastore.database;
    assert_eq!(database(""), Database::Sqlite);
    assert_eq!(database("pg_host = db"), Database::Postgres);
    assert_eq!(database("declarative_config = kong.yml"), Database::Off);
    assert_eq!(database("database = postgres"), Database::Postgres);
    assert_eq!(database("database = off\npg_host = db"), Database::Off);
    assert_eq!(settings("prefix = /p").datastore.sqlite_path, Path::new("/p/gibbon.sqlite"));
}

#[test]
fn the_replica_follows_the_primary() {
    let replica =
        settings("pg_ro_host = r\npg_port = 7\npg_user = u\npg_ro_user = v").datastore.postgres_replica.unwrap();
    assert_eq!((replica.host.as_str(), replica.port, replica.user.as_str()), ("r", 7, "v"));
    assert_eq!(settings("").datastore.postgres_replica, None);
}
