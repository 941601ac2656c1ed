//! The database of a Kong gateway: recognised, left alone, and taken over when asked to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

use gibbon_testkit::gateway::Settings;
use gibbon_testkit::servers::{self, Server};
use gibbon_testkit::upstream;
use serde_json::{Value, json};

fn psql(server: &Server, sql: &str) -> String {
    let mut command = Command::new(servers::tool("psql").unwrap());
    command.args(["-h", "127.0.0.1", "-U", "gibbon", "-d", "gibbon", "-v", "ON_ERROR_STOP=1", "-qAt", "-c", sql]);
    let output = command.args(["-p", &server.address().port().to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn settings(server: &Server) -> Settings {
    Settings::new().on_postgres(server.address())
}

#[test]
fn its_tables_are_left_alone_until_it_is_taken_over_and_after() {
    let server = servers::postgres().unwrap();
    let upstream = upstream::echo().unwrap();
    psql(&server, TABLES);
    psql(&server, &rows(upstream.address().port()));
    let before = psql(&server, "SELECT count(*) FROM services; SELECT md5(string_agg(r::text, ',')) FROM routes r");

    // Given only Kong's tables, then a node does not start, and says what to do.
    let refused = settings(&server).start().err().unwrap().to_string();
    assert!(refused.contains("gibbon migrations bootstrap --from-kong"), "{refused}");
    let refused = settings(&server).command_line(&["migrations", "bootstrap"]).unwrap();
    assert!(!refused.status.success() && said(&refused).contains("--from-kong"), "{}", said(&refused));

    // When it is taken over, then everything is there and serves.
    let taken = settings(&server).command_line(&["migrations", "bootstrap", "--from-kong"]).unwrap();
    assert!(taken.status.success(), "{}", said(&taken));
    assert!(said(&taken).contains("8 entities taken over"), "{}", said(&taken));
    let gateway = settings(&server).start().unwrap();
    let get = |path: &str| -> Value { gateway.admin("GET", path, "").unwrap().json().unwrap() };
    let service = get("/services/s");
    assert_eq!((&service["created_at"], &service["tags"]), (&json!(1_700_000_000), &json!(["old"])));
    assert_eq!(get("/consumers/bob/key-auth")["data"][0]["key"], "k1");
    assert_eq!(get("/upstreams/u.test/targets")["data"][0]["target"], "10.0.0.1:80");
    assert_eq!(gateway.get("a.test", "/old").unwrap().status(), 401, "its plugin is in force");

    // And Kong's own tables are as they were.
    assert_eq!(
        psql(&server, "SELECT count(*) FROM services; SELECT md5(string_agg(r::text, ',')) FROM routes r"),
        before
    );
}

const TABLES: &str = "
CREATE TABLE schema_meta (key TEXT, subsystem TEXT, last_executed TEXT);
CREATE TABLE workspaces (id UUID PRIMARY KEY, name TEXT UNIQUE, comment TEXT, created_at TIMESTAMPTZ, meta JSONB, config JSONB, updated_at TIMESTAMPTZ);
CREATE TABLE services (id UUID PRIMARY KEY, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, name TEXT, retries BIGINT, protocol TEXT, host TEXT,
  port BIGINT, path TEXT, connect_timeout BIGINT, write_timeout BIGINT, read_timeout BIGINT, tags TEXT[], client_certificate_id UUID,
  tls_verify BOOLEAN, tls_verify_depth SMALLINT, ca_certificates UUID[], ws_id UUID, enabled BOOLEAN);
CREATE TABLE routes (id UUID PRIMARY KEY, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, name TEXT, service_id UUID, protocols TEXT[],
  methods TEXT[], hosts TEXT[], paths TEXT[], snis TEXT[], sources JSONB[], destinations JSONB[], regex_priority BIGINT, strip_path BOOLEAN,
  preserve_host BOOLEAN, tags TEXT[], https_redirect_status_code INTEGER, headers JSONB, path_handling TEXT, ws_id UUID,
  request_buffering BOOLEAN, response_buffering BOOLEAN, expression TEXT, priority BIGINT);
CREATE TABLE consumers (id UUID PRIMARY KEY, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, username TEXT, custom_id TEXT, tags TEXT[], ws_id UUID);
CREATE TABLE keyauth_credentials (id UUID PRIMARY KEY, created_at TIMESTAMPTZ, consumer_id UUID, key TEXT, tags TEXT[], ttl TIMESTAMPTZ, ws_id UUID);
CREATE TABLE plugins (id UUID PRIMARY KEY, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, name TEXT, consumer_id UUID, service_id UUID,
  route_id UUID, config JSONB, enabled BOOLEAN, cache_key TEXT, protocols TEXT[], tags TEXT[], ws_id UUID, instance_name TEXT);
CREATE TABLE upstreams (id UUID PRIMARY KEY, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, name TEXT, algorithm TEXT, hash_on TEXT,
  slots INTEGER, healthchecks JSONB, tags TEXT[], ws_id UUID);
CREATE TABLE targets (id UUID PRIMARY KEY, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, upstream_id UUID, target TEXT, weight INTEGER,
  tags TEXT[], cache_key TEXT, ws_id UUID);
";

fn rows(port: u16) -> String {
    let id = |n: u8| format!("'{}'", format!("{n:02}").repeat(16).parse::<Id>().unwrap().0);
    let (ws, service, route, consumer, key, plugin, upstream, target) =
        (id(11), id(12), id(13), id(14), id(15), id(16), id(17), id(18));
    let at = "to_timestamp(1700000000)";
    format!(
        "INSERT INTO workspaces VALUES ({ws}, 'default', NULL, {at}, NULL, NULL, {at});
INSERT INTO services VALUES ({service}, {at}, {at}, 's', 5, 'http', '127.0.0.1', {port}, NULL, 60000, 60000, 60000, '{{old}}', NULL, NULL, NULL, NULL, {ws}, true);
INSERT INTO routes VALUES ({route}, {at}, {at}, 'r', {service}, '{{http,https}}', NULL, NULL, '{{/old}}', NULL, NULL, NULL, 0, true, false, NULL, 426, NULL, 'v0', {ws}, true, true, NULL, NULL);
INSERT INTO consumers VALUES ({consumer}, {at}, {at}, 'bob', NULL, NULL, {ws});
INSERT INTO keyauth_credentials VALUES ({key}, {at}, {consumer}, 'k1', NULL, NULL, {ws});
INSERT INTO plugins VALUES ({plugin}, {at}, {at}, 'key-auth', NULL, {service}, NULL, '{{\"key_names\": [\"apikey\"], \"key_in_header\": true, \"key_in_query\": true, \"key_in_body\": false, \"hide_credentials\": false, \"run_on_preflight\": true}}', true, 'x', '{{http,https,grpc,grpcs}}', NULL, {ws}, NULL);
INSERT INTO upstreams VALUES ({upstream}, {at}, {at}, 'u.test', 'round-robin', 'none', 10000, NULL, NULL, {ws});
INSERT INTO targets VALUES ({target}, to_timestamp(1700000000.123), to_timestamp(1700000000.123), {upstream}, '10.0.0.1:80', 100, NULL, 'y', {ws});"
    )
}

/// Digits as an identifier.
struct Id(String);

impl std::str::FromStr for Id {
    type Err = ();

    fn from_str(digits: &str) -> Result<Self, ()> {
        let part = |range: std::ops::Range<usize>| digits.get(range).ok_or(());
        Ok(Id(format!("{}-{}-{}-{}-{}", part(0..8)?, part(8..12)?, part(12..16)?, part(16..20)?, part(20..32)?)))
    }
}
