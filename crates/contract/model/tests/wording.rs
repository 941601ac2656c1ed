//! What is said about entities at fault: the words and the shape of answers of a recorded gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use gibbon_model::{PluginSchema, PluginSchemas, PluginScopes, Registry, RegistryOptions, RouterFlavor, Write};
use gibbon_schema::{Compat, Faults, Field, Record, Sources, checks, typedefs};
use serde_json::{Map, Value, json};

struct Fixed;

impl Sources for Fixed {
    fn now(&mut self) -> f64 {
        1_700_000_000.5
    }

    fn uuid(&mut self) -> String {
        "00000000-0000-4000-8000-000000000001".to_owned()
    }

    fn secret(&mut self) -> String {
        "s".repeat(32)
    }
}

/// Two plugins, enough to see what the `plugins` entity does with them.
struct Plugins(Vec<PluginSchema>);

impl Plugins {
    fn new() -> Self {
        let limits = Record::new()
            .field("minute", Field::number().gt(0))
            .field("hour", Field::number().gt(0))
            .plugin_check(checks::at_least_one_of(&["config.minute", "config.hour"]));
        let no_consumer = PluginScopes { consumer: false, ..PluginScopes::default() };
        Plugins(vec![
            PluginSchema::new("limits", limits, typedefs::protocols_http(), PluginScopes::default()),
            PluginSchema::new("auth", Record::new(), typedefs::protocols_http(), no_consumer),
        ])
    }
}

impl PluginSchemas for Plugins {
    fn schema(&self, name: &str) -> Option<&PluginSchema> {
        self.0.iter().find(|schema| schema.name == name)
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|schema| schema.name.to_string()).collect()
    }
}

fn registry() -> Registry {
    Registry::new(&RegistryOptions { plugins: Arc::new(Plugins::new()), ..RegistryOptions::default() })
}

fn object(document: Value) -> Map<String, Value> {
    match document {
        Value::Object(fields) => fields,
        _ => panic!("documents are objects"),
    }
}

fn insert_into(registry: &Registry, entity: &str, document: Value) -> Result<Value, Faults> {
    let mut write = Write { compat: Compat::V3_10, sources: &mut Fixed, transform: true };
    registry.get(entity).unwrap().insert(object(document), &mut write).map(Value::Object)
}

fn insert(entity: &str, document: Value) -> Value {
    insert_into(&registry(), entity, document).unwrap()
}

fn faults(entity: &str, document: Value) -> Value {
    insert_into(&registry(), entity, document).unwrap_err().to_json()
}

fn message(entity: &str, document: Value) -> String {
    insert_into(&registry(), entity, document).unwrap_err().message()
}

const ID: &str = "11111111-1111-4111-8111-111111111111";

mod services {
    use super::*;

    #[test]
    fn a_url_is_enough() {
        let service = insert("services", json!({"name": "s", "url": "https://c.test"}));
        assert_eq!(
            service,
            json!({
                "id": "00000000-0000-4000-8000-000000000001", "created_at": 1_700_000_000, "updated_at": 1_700_000_000,
                "name": "s", "retries": 5, "protocol": "https", "host": "c.test", "port": 443, "path": null,
                "connect_timeout": 60000, "write_timeout": 60000, "read_timeout": 60000, "tags": null,
                "client_certificate": null, "tls_verify": null, "tls_verify_depth": null, "ca_certificates": null,
                "enabled": true,
            })
        );
    }

    #[test]
    fn tls_settings_need_tls() {
        assert_eq!(
            message("services", json!({"url": "http://c.test", "ca_certificates": [ID]})),
            "2 schema violations (failed conditional validation given value of field 'protocol'; \
             ca_certificates: value must be null)"
        );
    }

    #[test]
    fn what_is_missing_wrong_and_unknown_is_said_at_once() {
        assert_eq!(message("services", json!({})), "schema violation (host: required field missing)");
        assert_eq!(
            faults("services", json!({"host": 5, "port": "x", "nope": 1})),
            json!({"host": "expected a string", "port": "expected an integer", "nope": "unknown field"})
        );
    }
}

mod routes {
    use super::*;

    fn route(document: Value) -> Value {
        faults("routes", document)
    }

    #[test]
    fn something_must_be_matched() {
        let expected = "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'";
        for document in [json!({}), json!({"name": "r"}), json!({"paths": []})] {
            assert_eq!(route(document), json!({"@entity": [expected]}));
        }
        assert_eq!(
            message("routes", json!({"protocols": ["tcp"], "paths": ["/"]})),
            "2 schema violations (must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', \
             'tls' or 'udp'; paths: cannot set 'paths' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp')"
        );
    }

    #[test]
    fn protocols_choose_the_rules() {
        assert_eq!(route(json!({"protocols": []})), json!({"protocols": "unknown type: nil"}));
        assert_eq!(route(json!({"protocols": ["ftp"], "paths": ["/"]})), json!({"protocols": "unknown type: ftp"}));
        assert_eq!(
            route(json!({"protocols": ["http", "tcp"], "paths": ["/"]})),
            json!({"protocols": "these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp')"})
        );
        assert_eq!(
            route(json!({"protocols": ["grpc"], "paths": ["/"], "strip_path": true})),
            json!({"strip_path": "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'"})
        );
        let grpc = insert("routes", json!({"protocols": ["grpc"], "paths": ["/"]}));
        assert_eq!(grpc["strip_path"], false);
    }

    #[test]
    fn server_names_need_tls() {
        assert_eq!(
            message("routes", json!({"protocols": ["http"], "snis": ["a.test"]})),
            "3 schema violations ('snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or \
             'tls_passthrough'; must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'; \
             snis: length must be 0)"
        );
    }

    #[test]
    fn paths() {
        let path = |path: &str| route(json!({"paths": [path]}))["paths"][0].clone();
        assert_eq!(path("a"), "should start with: / (fixed path) or ~/ (regex path)");
        assert_eq!(path("/a//b"), "must not have empty segments");
        assert_eq!(path("/%zz"), "invalid url-encoded value: '%zz'");
        assert_eq!(path("/sp%20ace"), "non-normalized path, consider use '/sp ace' instead");
        assert_eq!(path("/a%2fb"), "non-normalized path, consider use '/a%2Fb' instead");
        assert_eq!(path("/a/../b"), "non-normalized path, consider use '/b' instead");
        assert_eq!(path("/%7Ex"), "non-normalized path, consider use '/~x' instead");
        assert_eq!(path(""), "length must be at least 1");
        assert_eq!(
            path("~/(unclosed"),
            "invalid regex: '/(unclosed' (PCRE returned: pcre2_compile() failed: missing closing parenthesis in \
             \"/(unclosed\")"
        );
        insert("routes", json!({"paths": ["/a b", "/a?x=1", "/reg\\d+", "~/x\\d"]}));
    }

    #[test]
    fn hosts_methods_headers() {
        let host = |host: &str| route(json!({"hosts": [host]}))["hosts"][0].clone();
        assert_eq!(host("a b"), "invalid hostname: a b");
        assert_eq!(host("*.*.test"), "invalid wildcard: must have at most one wildcard");
        assert_eq!(host("*a.test"), "invalid wildcard: must be placed at leftmost or rightmost label");
        assert_eq!(host("*"), "invalid wildcard: must be placed at leftmost or rightmost label");
        assert_eq!(host("a.test:99999"), "invalid port number");
        assert_eq!(route(json!({"methods": ["G ET"]})), json!({"methods": ["invalid value: G ET"]}));
        assert_eq!(
            route(json!({"paths": ["/"], "headers": {"host": ["one"]}})),
            json!({"headers": "cannot contain 'host' header, which must be specified in the 'hosts' attribute"})
        );
    }

    #[test]
    fn addresses_of_streams() {
        let tcp = |key: &str, value: Value| message("routes", json!({"protocols": ["tcp"], key: [value]}));
        assert_eq!(
            tcp("sources", json!({})),
            "schema violation (sources.1: {\n  [\"@entity\"] = {\n    \"at least one of these fields must be \
             non-empty: 'ip', 'port'\"\n  }\n})"
        );
        assert_eq!(
            tcp("destinations", json!({"port": 70000})),
            "schema violation (destinations.1: {\n  port = \"value should be between 0 and 65535\"\n})"
        );
    }

    #[test]
    fn references() {
        let service = |value: Value| route(json!({"paths": ["/"], "service": value}))["service"].clone();
        assert_eq!(service(json!("text")), json!({"id": "missing primary key"}));
        assert_eq!(service(json!({})), json!({"id": "missing primary key"}));
        assert_eq!(service(json!({"id": "x"})), json!({"id": "expected a valid UUID"}));
    }

    #[test]
    fn expressions_are_fields_only_where_the_router_reads_them() {
        assert_eq!(route(json!({"paths": ["/"], "expression": "x"})), json!({"expression": "unknown field"}));
        let registry =
            Registry::new(&RegistryOptions { router_flavor: RouterFlavor::Expressions, ..RegistryOptions::default() });
        let route = |document: Value| insert_into(&registry, "routes", document);
        assert_eq!(
            route(json!({"expression": "", "priority": -1})).unwrap_err().to_json(),
            json!({
                "@entity": ["must set one of 'methods', 'hosts', 'headers', 'paths', 'snis', 'expression' when \
                             'protocols' is 'https'"],
                "expression": "length must be at least 1",
                "priority": "value should be between 0 and 70368744177663",
            })
        );
        assert_eq!(route(json!({"expression": "http.path == \"/\""})).unwrap()["priority"], 0);
    }

    #[test]
    fn the_router_has_a_say() {
        let registry = Registry::new(&RegistryOptions {
            expression_check: Some(Arc::new(|_| Err("Router Expression failed validation: no".to_owned()))),
            ..RegistryOptions::default()
        });
        let faults = insert_into(&registry, "routes", json!({"paths": ["/"]})).unwrap_err();
        assert_eq!(faults.entity, ["Router Expression failed validation: no"]);
        let faults = insert_into(&registry, "routes", json!({"paths": ["x"]})).unwrap_err();
        assert!(faults.entity.is_empty(), "not on fields at fault");
    }
}

mod upstreams {
    use super::*;

    fn upstream(mut document: Value) -> Value {
        document["name"] = json!("u");
        faults("upstreams", document)
    }

    #[test]
    fn names_are_host_names() {
        assert_eq!(
            faults("upstreams", json!({"name": "a b"})),
            json!({"name": "Invalid name ('a b'); must be a valid hostname"})
        );
        assert_eq!(
            faults("upstreams", json!({"name": "10.0.0.1"})),
            json!({"name": "Invalid name ('10.0.0.1'); no ip addresses allowed"})
        );
    }

    #[test]
    fn hash_sources_need_their_fields() {
        let failed = "failed conditional validation given value of field 'hash_on'";
        assert_eq!(
            upstream(json!({"hash_on": "header"})),
            json!({"@entity": [failed], "hash_on_header": "required field missing"})
        );
        assert_eq!(
            upstream(json!({"hash_on": "query_arg", "hash_on_query_arg": ""})),
            json!({"@entity": [failed], "hash_on_query_arg": "length must be at least 1"})
        );
        assert_eq!(
            upstream(json!({"hash_on": "path", "hash_fallback": "path"})),
            json!({"@entity": [failed],
                   "hash_fallback": "expected one of: none, consumer, header, cookie, query_arg, ip, uri_capture"})
        );
        assert_eq!(
            upstream(json!({"hash_on": "header", "hash_on_header": "a", "hash_fallback": "header",
                            "hash_fallback_header": "a"})),
            json!({"@entity": ["values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header'"]})
        );
    }

    #[test]
    fn algorithm_and_hash_source_decide_each_other() {
        let given = |document: Value| {
            let u = insert("upstreams", document);
            (u["algorithm"].as_str().unwrap().to_owned(), u["hash_on"].as_str().unwrap().to_owned())
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(given(json!({"name": "u", "hash_on": "ip"})), pair("consistent-hashing", "ip"));
        assert_eq!(
            given(json!({"name": "u", "hash_on": "none", "algorithm": "consistent-hashing"})),
            pair("round-robin", "none")
        );
        assert_eq!(
            given(json!({"name": "u", "hash_on": "ip", "algorithm": "least-connections"})),
            pair("least-connections", "none")
        );
        assert_eq!(given(json!({"name": "u", "algorithm": "sticky-sessions"})), pair("sticky-sessions", "none"));
        assert_eq!(
            given(json!({"name": "u", "algorithm": "sticky-sessions", "hash_on": "none"})),
            pair("sticky-sessions", "none")
        );
    }

    #[test]
    fn health_checks_are_filled_in_deeply() {
        let u = insert("upstreams", json!({"name": "u", "healthchecks": {"active": {"healthy": {"interval": 5}}}}));
        assert_eq!(
            u["healthchecks"]["active"]["healthy"],
            json!({"http_statuses": [200, 302], "interval": 5, "successes": 0})
        );
        assert_eq!(u["healthchecks"]["passive"]["unhealthy"]["http_statuses"], json!([429, 500, 503]));
        assert_eq!(u["healthchecks"]["threshold"], 0);
        assert_eq!(u["healthchecks"]["active"]["headers"], Value::Null);
        assert_eq!(u.get("sticky_sessions_cookie"), None, "what 3.10 does not have is absent while unset");
    }

    #[test]
    fn faults_deep_inside_are_written_as_tables() {
        let document = json!({"name": "u", "healthchecks": {"passive": {"unhealthy": {"timeouts": "x", "nope": 1}}}});
        assert_eq!(
            message("upstreams", document),
            "schema violation (healthchecks.passive: {\n  unhealthy = {\n    nope = \"unknown field\",\n    \
             timeouts = \"expected an integer\"\n  }\n})"
        );
    }

    #[test]
    fn targets_are_stored_in_one_form() {
        let target = insert("targets", json!({"upstream": {"id": ID}, "target": "a.test"}));
        assert_eq!(target["target"], "a.test:8000");
        assert_eq!(target["created_at"], 1_700_000_000.5);
        assert_eq!(
            faults("targets", json!({"target": "a b"})),
            json!({"target": "Invalid target ('a b'); not a valid hostname or ip address",
                   "upstream": "required field missing"})
        );
    }
}

mod plugins {
    use super::*;

    #[test]
    fn are_filled_in_by_their_own_schema() {
        let plugin = insert("plugins", json!({"name": "limits", "config": {"minute": 5}}));
        assert_eq!(plugin["config"], json!({"minute": 5, "hour": null}));
        assert_eq!(plugin["protocols"], json!(["grpc", "grpcs", "http", "https"]));
        assert_eq!(plugin["route"], Value::Null);
        assert_eq!(plugin.get("consumer_group"), None);
        assert_eq!(plugin.get("ordering"), None);
    }

    #[test]
    fn unknown_ones_are_not_looked_into() {
        assert_eq!(
            faults("plugins", json!({"name": "nope", "bogus": 1})),
            json!({"name": "plugin 'nope' not enabled; add it to the 'plugins' configuration property"})
        );
        assert_eq!(faults("plugins", json!({})), json!({"name": "required field missing"}));
    }

    #[test]
    fn checks_of_the_configuration_are_reported_at_the_plugin() {
        assert_eq!(
            faults("plugins", json!({"name": "limits"})),
            json!({"@entity": ["at least one of these fields must be non-empty: 'config.minute', 'config.hour'"]})
        );
        assert_eq!(
            faults("plugins", json!({"name": "limits", "config": {"minute": 0, "nope": 1}})),
            json!({"config": {"minute": "value must be greater than 0", "nope": "unknown field"}})
        );
    }

    #[test]
    fn scopes_and_protocols_are_those_the_plugin_knows() {
        assert_eq!(
            faults("plugins", json!({"name": "auth", "consumer": {"id": ID}})),
            json!({"consumer": "value must be null"})
        );
        assert_eq!(
            faults("plugins", json!({"name": "auth", "protocols": ["http", "tls"]})),
            json!({"protocols": [null, "expected one of: grpc, grpcs, http, https"]})
        );
    }

    #[test]
    fn changes_need_not_repeat_the_name() {
        let registry = registry();
        let plugins = registry.get("plugins").unwrap();
        let base = object(insert("plugins", json!({"name": "limits", "config": {"minute": 5}})));
        let mut write = Write { compat: Compat::V3_10, sources: &mut Fixed, transform: true };
        let changed = plugins.update(&base, object(json!({"config": {"hour": 7}})), &mut write).unwrap();
        assert_eq!(changed["config"], json!({"minute": 5, "hour": 7}));
        let refused = plugins.update(&base, object(json!({"config": {"minute": null}})), &mut write).unwrap_err();
        assert_eq!(
            refused.entity,
            ["when updating, at least one of these fields must be non-empty: 'config.minute', 'config.hour'"]
        );
    }
}

mod others {
    use super::*;

    #[test]
    fn vaults() {
        let vault = insert("vaults", json!({"name": "env", "prefix": "my-env"}));
        assert_eq!(vault["config"], json!({"prefix": null}));
        assert_eq!(
            faults("vaults", json!({"name": "env", "prefix": "env"})),
            json!({"prefix": "must not be one of: env"})
        );
        assert_eq!(
            faults("vaults", json!({"name": "env", "prefix": "Bad Prefix"})),
            json!({"prefix": "invalid value: Bad Prefix"})
        );
        assert_eq!(
            faults("vaults", json!({"name": "nope", "prefix": "nope1"})),
            json!({"name": "vault 'nope' is not installed"})
        );
        assert_eq!(
            faults("vaults", json!({"name": "env", "prefix": "c1", "config": {"nope": 1}})),
            json!({"config": {"nope": "unknown field"}})
        );
    }

    #[test]
    fn consumers_and_names() {
        assert_eq!(
            message("consumers", json!({})),
            "schema violation (at least one of these fields must be non-empty: 'custom_id', 'username')"
        );
        assert_eq!(
            faults("services", json!({"host": "h", "name": "a/b"}))["name"],
            "invalid value 'a/b': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
        );
    }

    #[test]
    fn jwt_secrets_need_a_public_key_for_some_algorithms() {
        let consumer = json!({"id": ID});
        let failed = "failed conditional validation given value of field 'algorithm'";
        assert_eq!(
            faults("jwt_secrets", json!({"consumer": consumer, "algorithm": "RS256"})),
            json!({"@entity": [failed], "rsa_public_key": "required field missing"})
        );
        assert_eq!(
            faults("jwt_secrets", json!({"consumer": consumer, "algorithm": "RS256", "rsa_public_key": "nonsense"})),
            json!({"@entity": [failed], "rsa_public_key": "invalid key"})
        );
        let secret = insert("jwt_secrets", json!({"consumer": consumer}));
        assert_eq!(secret["key"], "s".repeat(32));
    }

    #[test]
    fn immutable_fields_and_times_to_live() {
        let record = Record::new().field("name", Field::string().immutable()).ttl();
        let def = gibbon_model::EntityDef::new("things", record);
        let mut write = Write { compat: Compat::V3_10, sources: &mut Fixed, transform: true };
        let base = object(json!({"name": "a"}));
        assert!(def.update(&base, object(json!({"name": "a", "ttl": 5})), &mut write).is_ok());
        let refused = def.update(&base, object(json!({"name": "b"})), &mut write).unwrap_err();
        assert_eq!(refused.to_json(), json!({"name": "immutable field cannot be updated"}));
        let refused = def.update(&base, object(json!({"ttl": -1})), &mut write).unwrap_err();
        assert_eq!(refused.to_json(), json!({"ttl": "value should be between 0 and 100000000"}));
    }

    #[test]
    fn redirect_uris() {
        let uri = |uri: &str| {
            faults("oauth2_credentials", json!({"consumer": {"id": ID}, "name": "a", "redirect_uris": [uri]}))
                ["redirect_uris"][0]
                .clone()
        };
        assert_eq!(uri("not a uri"), "cannot parse 'not a uri'");
        assert_eq!(uri("http://a.test/cb#frag"), "fragment not allowed in 'http://a.test/cb#frag'");
    }

    #[test]
    fn secrets_are_stored_as_hashes() {
        let basic = insert("basicauth_credentials", json!({"consumer": {"id": ID}, "username": "u", "password": "p"}));
        // SHA-1 of the password followed by the consumer's id.
        assert_eq!(basic["password"].as_str().unwrap().len(), 40);
        let client = insert("oauth2_credentials", json!({"consumer": {"id": ID}, "name": "a", "hash_secret": true}));
        assert!(client["client_secret"].as_str().unwrap().starts_with("$pbkdf2-sha512$i=10000,l=32$"));
        let client = insert("oauth2_credentials", json!({"consumer": {"id": ID}, "name": "a", "client_secret": "sec"}));
        assert_eq!(client["client_secret"], "sec");
    }

    #[test]
    fn certificates_that_are_none() {
        let found = faults("certificates", json!({"cert": "a", "key": "b"}));
        assert!(found["cert"].as_str().unwrap().starts_with("invalid certificate: "));
        assert!(found["key"].as_str().unwrap().starts_with("invalid key: "));
        assert_eq!(found.get("@entity"), None);
    }
}
