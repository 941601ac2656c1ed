//! What a configuration means: the table, the layers, the typed form, the rules between settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::time::Duration;

use gibbon_conf::listen::Address;
use gibbon_conf::vault::{Reference, VaultError};
use gibbon_conf::*;

/// A machine on which only some paths exist.
#[derive(Default)]
struct Machine {
    paths: Vec<&'static str>,
}

impl Surroundings for Machine {
    fn exists(&self, path: &Path) -> bool {
        self.paths.iter().any(|known| Path::new(known) == path)
    }

    fn secret(&self, reference: &Reference) -> Result<String, VaultError> {
        if reference.vault == "hcv" {
            Ok(r#"{"k":"from-hcv"}"#.into())
        } else {
            Err(VaultError::NoVault(reference.vault.clone()))
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_file(text: &str) -> Result<Loaded, Refused> {
    load(&Input { file: Some(("kong.conf".into(), text.into())), ..Input::default() }, &Machine::default())
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Loaded, Refused> {
    load(&Input { environment: pairs(variables), ..Input::default() }, &Machine::default())
}

fn settings(text: &str) -> Settings {
    from_file(text).unwrap().settings
}

fn faults(text: &str) -> Vec<String> {
    from_file(text).unwrap_err().faults.iter().map(|fault| fault.message.clone()).collect()
}

fn notices(text: &str, kind: NoticeKind) -> Vec<String> {
    from_file(text).unwrap().notices.iter().filter(|n| n.kind == kind).map(ToString::to_string).collect()
}

mod the_table {
    use super::*;

    fn reference_defaults() -> Vec<(&'static str, &'static str, &'static str)> {
        include_str!("defaults-3.15.tsv")
            .lines()
            .map(|line| {
                let mut cells = line.split('\t');
                (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap())
            })
            .collect()
    }

    #[test]
    fn knows_all_401_settings_in_their_sections() {
        assert_eq!(reference_defaults().len(), 401);
        for (name, section, _) in reference_defaults() {
            let setting = table::find(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!((setting.name, setting.section), (name, section));
        }
    }

    #[test]
    fn has_the_defaults_of_3_15_when_asked_for_them() {
        for (name, _, default) in reference_defaults() {
            let setting = table::find(name).unwrap();
            let ours = match setting.default {
                table::Default::Derived(from) => from.to_owned(),
                table::Default::Follows(other) => format!("<{other}>"),
                _ => setting.default_for(Compat::V3_15).unwrap_or_default().to_owned(),
            };
            assert_eq!(ours, default, "{name}");
        }
    }

    #[test]
    fn differs_between_the_two_versions_in_four_settings_only() {
        let moved: Vec<_> = table::all()
            .filter(|s| s.default_for(Compat::V3_10) != s.default_for(Compat::V3_15))
            .map(|s| (s.name, s.default_for(Compat::V3_10).unwrap()))
            .collect();
        assert_eq!(
            moved,
            [
                ("proxy_server_ssl_verify", "off"),
                ("tls_certificate_verify", "off"),
                ("pg_ssl_verify", "off"),
                ("untrusted_lua", "sandbox"),
            ]
        );
    }

    #[test]
    fn names_every_setting_once_with_a_meaning_and_a_reason_where_it_has_no_effect() {
        let mut names: Vec<_> = table::all().map(|s| s.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for setting in table::all() {
            assert!(setting.meaning.ends_with('.'), "{}", setting.name);
            if let table::Effect::NoEffect(reason) = setting.effect {
                assert!(reason.len() > 10 && !reason.ends_with('.'), "{}", setting.name);
            }
        }
    }

    #[test]
    fn has_defaults_that_fit_their_own_kind() {
        let everything: String = table::all()
            .filter_map(|s| Some(format!("{} = {}\n", s.name, s.default_for(Compat::V3_10)?.replace('#', "\\#"))))
            .collect();
        let input = Input { file: Some(("kong.conf".into(), everything)), ..Input::default() };
        let loaded = load(&input, &Machine { paths: vec!["/etc/hosts"] }).unwrap_or_else(|refused| panic!("{refused}"));
        assert!(loaded.notices.iter().all(|n| n.kind != NoticeKind::NoEffect && n.kind != NoticeKind::Unknown));
    }

    #[test]
    fn hides_secrets_and_nothing_else() {
        for secret in
            ["pg_password", "pg_ro_password", "ssl_cert_key", "cluster_cert_key", "proxy_server", "vault_hcv_token"]
        {
            assert!(table::is_secret(secret), "{secret}");
        }
        for open in ["pg_host", "ssl_cert", "prefix", "admin_gui_auth_header"] {
            assert!(!table::is_secret(open), "{open}");
        }
    }

    #[test]
    fn is_the_source_of_the_reference_page() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/settings.md");
        let rendered = reference::render();
        if std::env::var_os("GIBBON_WRITE_DOCS").is_some() {
            std::fs::write(path, &rendered).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == rendered, "docs/settings.md is old: run this test with GIBBON_WRITE_DOCS=1");
    }
}

mod layers {
    use super::*;

    #[test]
    fn gibbon_variables_win_over_kong_variables_over_the_file_and_arguments_over_all() {
        let mut input = Input {
            file: Some(("kong.conf".into(), "log_level = info".into())),
            environment: Vec::new(),
            arguments: Vec::new(),
        };
        let level = |input: &Input| load(input, &Machine::default()).unwrap().settings.logs.level;
        assert_eq!(level(&input), LogLevel::Info);
        input.environment = pairs(&[("GIBBON_LOG_LEVEL", "error"), ("KONG_LOG_LEVEL", "warn")]);
        assert_eq!(level(&input), LogLevel::Error);
        input.environment.remove(0);
        assert_eq!(level(&input), LogLevel::Warn);
        input.arguments = pairs(&[("log_level", "debug")]);
        assert_eq!(level(&input), LogLevel::Debug);
    }

    #[test]
    fn booleans_are_on_off_true_false_yes_no() {
        for (text, on) in [("on", true), ("true", true), ("yes", true), ("off", false), ("false", false), ("no", false)]
        {
            assert_eq!(settings(&format!("allow_debug_header = {text}")).allow_debug_header, on, "{text}");
        }
        assert_eq!(faults("allow_debug_header = maybe"), ["allow_debug_header is not a boolean: 'maybe'"]);
    }

    #[test]
    fn lists_are_separated_by_commas_and_trimmed() {
        assert_eq!(
            settings("plugins = bundled ,  mine,other").plugins,
            Selection { bundled: true, names: vec!["mine".into(), "other".into()] }
        );
        assert_eq!(settings("plugins = off").plugins, Selection::default());
    }

    #[test]
    fn a_bad_value_names_the_line_and_what_would_be_valid() {
        let refused = from_file("\n# x\nlog_level = loud\npg_port = many\n").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "log_level has an invalid value: 'loud' (debug, info, notice, warn, error, crit, alert, emerg) [kong.conf:3]\n\
             pg_port is not a number: 'many' [kong.conf:4; valid: a number]"
        );
        let refused = from_environment(&[("KONG_SSL_SESSION_TIMEOUT", "long")]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "ssl_session_timeout is not a duration: 'long' \
             [environment variable KONG_SSL_SESSION_TIMEOUT; valid: a duration such as 60s or 1d]"
        );
    }

    #[test]
    fn a_bad_secret_is_not_repeated() {
        let refused = from_file("ssl_cert = x\nssl_cert_key = not-a-key").unwrap_err().to_string();
        assert!(refused.contains("ssl_cert_key: failed loading key from ******"), "{refused}");
    }

    #[test]
    fn an_unknown_name_is_a_warning_with_the_nearest_known_one() {
        assert_eq!(
            notices("proxy_lisen = off\nqwertyuiop = 1", NoticeKind::Unknown),
            [
                "unknown setting 'proxy_lisen', ignored; did you mean 'proxy_listen'? [kong.conf:1]",
                "unknown setting 'qwertyuiop', ignored [kong.conf:2]"
            ]
        );
    }

    #[test]
    fn variables_that_orchestrators_and_images_set_are_no_unknown_settings() {
        let loaded = from_environment(&[
            ("KONG_PROXY_SERVICE_HOST", "10.0.0.1"),
            ("KONG_PROXY_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("KONG_PORT", "tcp://10.0.0.1:80"),
            ("KONG_VERSION", "3.10.0"),
        ])
        .unwrap();
        assert!(loaded.notices.iter().all(|n| n.kind != NoticeKind::Unknown), "{:?}", loaded.notices);
    }

    #[test]
    fn a_setting_without_effect_says_so_and_why_unless_it_is_at_its_default() {
        assert_eq!(
            notices("anonymous_reports = off\nmem_cache_size = 128m", NoticeKind::NoEffect),
            ["anonymous_reports has no effect: no usage report is ever sent [kong.conf:1]"]
        );
    }

    #[test]
    fn former_names_count_for_the_newer_ones_and_are_told() {
        let loaded = from_file("opentelemetry_tracing = all\nopentelemetry_tracing_sampling_rate = 1").unwrap();
        assert_eq!(loaded.settings.tracing, Tracing { instrumentations: vec!["all".into()], sampling_rate: 1.0 });
        assert_eq!(loaded.notices.iter().filter(|n| n.kind == NoticeKind::Deprecated).count(), 2);
    }

    #[test]
    fn an_empty_value_unsets_a_default() {
        assert!(from_file("lua_ssl_trusted_certificate =").unwrap().settings.tls.trusted.is_empty());
    }

    #[test]
    fn values_are_shown_typed_and_secrets_masked() {
        let shown = from_file("pg_password = hidden\nplugins = bundled").unwrap().values.shown(true);
        assert_eq!(shown["pg_password"], Typed::Text(MASK.into()));
        assert_eq!(shown["pg_port"], Typed::Number(5432.0));
        assert_eq!(shown["plugins"], Typed::List(vec!["bundled".into()]));
        assert_eq!(serde_json::Value::from(shown["pg_port"].clone()), serde_json::json!(5432));
        assert_eq!(serde_json::Value::from(shown["tracing_sampling_rate"].clone()), serde_json::json!(0.01));
    }

    #[test]
    fn the_typed_form_never_prints_the_database_password() {
        assert!(!format!("{:?}", settings("pg_password = hidden").datastore).contains("hidden"));
    }
}

mod secrets {
    use super::*;

    #[test]
    fn a_reference_is_resolved_before_the_value_is_read() {
        let loaded = from_environment(&[
            ("KONG_PG_PORT", "{vault://env/db/port}"),
            ("KONG_VAULT_ENV_PREFIX", "my_"),
            ("MY_DB", r#"{"port":6000}"#),
        ])
        .unwrap();
        assert_eq!(loaded.settings.datastore.postgres.port, 6000);
        assert_eq!(loaded.values.given("pg_port").unwrap().reference.as_deref(), Some("{vault://env/db/port}"));
    }

    #[test]
    fn other_vaults_are_asked_through_the_surroundings() {
        let loaded = from_environment(&[("KONG_PG_PASSWORD", "{vault://hcv/db/k}")]).unwrap();
        assert_eq!(loaded.settings.datastore.postgres.password.as_deref(), Some("from-hcv"));
    }

    #[test]
    fn a_reference_that_cannot_be_resolved_stops_the_start() {
        assert_eq!(
            faults("pg_password = {vault://env/absent}"),
            [
                "failed to dereference '{vault://env/absent}': unable to load value (absent) from vault (env): not found \
              for config option 'pg_password'"
            ]
        );
        assert!(faults("pg_password = {vault://aws/x}")[0].contains("vault not found (aws)"));
    }
}

mod defaults {
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
}

mod injected_directives {
    use super::*;

    #[test]
    fn a_directive_in_the_proxy_block_wins_over_the_http_block() {
        let client = settings("nginx_http_client_max_body_size = 1k\nnginx_proxy_client_max_body_size = 2k").client;
        assert_eq!(client.max_body_size, Some(2048));
    }

    #[test]
    fn timeouts_and_buffers_are_read() {
        let settings = settings(
            "nginx_http_keepalive_timeout = 10s 20s\nnginx_http_client_body_timeout = 500ms\n\
             nginx_http_large_client_header_buffers = 2 16k\nnginx_proxy_proxy_buffer_size = 32k\n\
             nginx_proxy_send_timeout = 5",
        );
        assert_eq!(settings.client.keepalive_timeout, Duration::from_secs(10));
        assert_eq!(settings.client.keepalive_header, Some(Duration::from_secs(20)));
        assert_eq!(settings.client.body_timeout, Duration::from_millis(500));
        assert_eq!(settings.client.large_header_buffers, HeaderBuffers { number: 2, size: 16_384 });
        assert_eq!(settings.client.send_timeout, Duration::from_secs(5));
        assert_eq!(settings.proxy_buffer_size, 32_768);
    }

    #[test]
    fn several_may_hide_in_one_value_behind_semicolons() {
        let settings = settings("nginx_http_lua_shared_dict = one 1m; lua_shared_dict two 2m;");
        let dicts: Vec<_> = settings.lua.shared_dicts.iter().map(|d| (d.name.as_str(), d.size)).collect();
        assert_eq!(dicts, [("one", 1 << 20), ("two", 2 << 20)]);
    }

    #[test]
    fn none_unsets_a_default() {
        assert_eq!(settings("nginx_http_client_max_body_size = NONE").client.max_body_size, Some(1 << 20));
    }

    #[test]
    fn a_bad_value_is_a_fault() {
        let refused = from_file("nginx_http_client_max_body_size = huge").unwrap_err();
        assert_eq!(refused.faults[0].message, "nginx_http_client_max_body_size is not a size: 'huge'");
        let refused = from_file("nginx_proxy_client_max_body_size = huge").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "nginx_proxy_client_max_body_size has an invalid value: 'huge' [kong.conf:1; valid: a size such as 8k or 10m]"
        );
    }

    #[test]
    fn a_directive_without_meaning_here_is_told() {
        assert_eq!(
            notices("nginx_http_gzip = on", NoticeKind::NoEffect),
            ["nginx_http_gzip has no effect: it is a directive of nginx, which is not underneath [kong.conf:1]"]
        );
    }

    #[test]
    fn worker_processes_user_and_daemon_are_known_under_both_names() {
        let node = settings("nginx_main_worker_processes = 3\nnginx_main_daemon = off\nnginx_user = nobody").node;
        assert_eq!(node.workers, Workers::Exactly(3));
        assert!(!node.daemon);
        assert_eq!(node.user, None);
        assert_eq!(settings("").node.workers, Workers::Auto);
        assert!(faults("nginx_worker_processes = 0")[0].starts_with("nginx_worker_processes has an invalid value"));
    }
}

mod traffic {
    use super::*;

    #[test]
    fn header_tokens_are_groups_or_names_and_off_silences_all() {
        let on = settings("headers = server_tokens, X-Kong-Upstream-Status").headers;
        assert!(on.via && on.server && on.upstream_status && !on.proxy_latency && !on.request_id);
        assert_eq!(settings("headers = off").headers, HeaderTokens::default());
        assert_eq!(faults("headers = server_tokens, X-Nope"), ["headers: invalid entry 'X-Nope'"]);
        assert!(settings("").request_id_upstream);
        assert!(!settings("headers_upstream = off").request_id_upstream);
        assert_eq!(faults("headers_upstream = Via"), ["headers_upstream: invalid entry 'Via'"]);
    }

    #[test]
    fn trusted_peers_are_addresses_blocks_and_unix() {
        let real_ip = settings("trusted_ips = 10.0.0.0/8, ::1, unix:\nreal_ip_header = X-Forwarded-For").real_ip;
        assert!(real_ip.trusted.contains("10.1.2.3".parse().unwrap()));
        assert!(real_ip.trusted.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!real_ip.trusted.contains("11.0.0.1".parse().unwrap()));
        assert!(real_ip.trusted.unix);
        assert_eq!(real_ip.source, RealIpSource::Header("x-forwarded-for".into()));
        assert_eq!(
            faults("trusted_ips = nobody"),
            [
                "trusted_ips must be a comma separated list in the form of IPv4 or IPv6 address or CIDR block or 'unix:', \
              got 'nobody'"
            ]
        );
    }

    #[test]
    fn set_real_ip_from_names_clients_without_trusting_forwarded_headers() {
        let real_ip = settings("nginx_http_set_real_ip_from = 10.0.0.0/8; set_real_ip_from 192.0.2.1").real_ip;
        assert!(real_ip.naming.contains("192.0.2.1".parse().unwrap()));
        assert!(real_ip.trusted.is_empty());
    }

    #[test]
    fn port_maps_lead_from_listening_to_published_port() {
        let maps = settings("port_maps = 80:8000, 443:8443").port_maps;
        assert_eq!(maps.published(8443), 443);
        assert_eq!(maps.published(9000), 9000);
        assert_eq!(faults("port_maps = 80"), ["invalid port mapping (`port_maps`): 80"]);
        assert_eq!(faults("port_maps = 0:8000"), ["invalid port mapping (`port_maps`): 0:8000"]);
    }

    #[test]
    fn listen_errors_name_the_setting() {
        assert!(
            faults("admin_listen = 127.0.0.1")[0]
                .starts_with("admin_listen must be of form: [off] | <ip>:<port> [ssl]")
        );
        assert!(
            faults("stream_listen = 127.0.0.1")[0]
                .starts_with("stream_listen must be of form: [off] | <ip>:<port> [udp]")
        );
        assert_eq!(settings("proxy_listen = unix:/s").listeners.proxy[0].addr, Address::Unix("/s".into()));
    }

    #[test]
    fn zero_means_without_limit_for_upstream_connections() {
        let kept =
            settings("upstream_keepalive_max_requests = 0\nupstream_keepalive_idle_timeout = 0").upstream_keepalive;
        assert_eq!(kept, UpstreamKeepalive { pool_size: 512, max_requests: None, idle_timeout: None });
        assert_eq!(faults("upstream_keepalive_pool_size = -1"), ["upstream_keepalive_pool_size must be 0 or greater"]);
    }

    #[test]
    fn lua_limits_lie_between_1_and_1000() {
        assert_eq!(settings("lua_max_req_headers = 1000").lua.max_req_headers, 1000);
        for bad in ["0", "1001", "1.5", "-1"] {
            assert_eq!(
                faults(&format!("lua_max_uri_args = {bad}")),
                ["lua_max_uri_args must be an integer between 1 and 1000"]
            );
        }
    }

    #[test]
    fn upstream_proxies_are_http_urls() {
        assert_eq!(settings("proxy_server = http://u:p@h:3128").outgoing_proxy.unwrap().url, "http://u:p@h:3128");
        for (bad, message) in [
            ("h:3128", "proxy_server missing scheme"),
            ("ftp://h", "proxy_server only supports \"http\" and \"https\", got ftp"),
            ("http://", "proxy_server missing host"),
            ("http://h/?a", "fragments, query strings or parameters are meaningless in proxy configuration"),
        ] {
            assert_eq!(faults(&format!("proxy_server = {bad}")), [message]);
        }
    }
}

mod logs {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_prefix_and_formats_known() {
        let logs = settings("prefix = /p\nproxy_access_log = /dev/stdout\nadmin_access_log = off").logs;
        assert_eq!(logs.proxy_access.sink, Sink::File("/dev/stdout".into()));
        assert_eq!(logs.proxy_error, Sink::File("/p/logs/error.log".into()));
        assert_eq!(logs.admin_access.sink, Sink::Off);
        assert_eq!(logs.stream_access.format, "basic");
        assert!(logs.formats[&logs.proxy_access.format].text.ends_with("kong_request_id: \"$kong_request_id\""));
    }

    #[test]
    fn a_custom_format_is_defined_and_used() {
        let logs =
            settings("nginx_http_log_format = mine escape=json '{\"s\": $status}'\nproxy_access_log = logs/a.log mine")
                .logs;
        assert_eq!(logs.formats["mine"], LogFormat { text: "{\"s\": $status}".into(), escape: Escape::Json });
        assert_eq!(logs.proxy_access.format, "mine");
    }

    #[test]
    fn an_unknown_format_is_a_fault_that_lists_the_known_ones() {
        let refused = from_file("proxy_access_log = logs/a.log nope").unwrap_err().to_string();
        assert_eq!(
            refused,
            "proxy_access_log: unknown log format \"nope\" [kong.conf:1; valid: combined, json, kong_log_format]"
        );
    }
}

mod tls {
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
        let asked =
            settings("nginx_proxy_ssl_verify_client = optional\nnginx_proxy_ssl_client_certificate = /ca.pem").tls;
        assert_eq!(
            asked.client_verification,
            Some(ClientVerification { mode: VerifyClient::Optional, authorities: Some("/ca.pem".into()), depth: 1 })
        );
        assert_eq!(faults("nginx_proxy_ssl_verify_client = on").len(), 1);
    }
}

mod names {
    use super::*;

    #[test]
    fn servers_have_port_53_unless_they_say_otherwise() {
        let dns = settings("dns_resolver = 10.0.0.1, [::1]:5353\ndns_order = A,aaaa").dns;
        assert_eq!(dns.servers, ["10.0.0.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
        assert_eq!(dns.order, [RecordType::A, RecordType::Aaaa]);
        assert_eq!(
            faults("dns_resolver = dns.test"),
            ["dns_resolver must be a comma separated list in the form of IPv4/6 or IPv4/6:port, got 'dns.test'"]
        );
        assert_eq!(faults("dns_order = A, MX"), ["dns_order: invalid entry 'MX'"]);
        assert_eq!(faults("dns_hostsfile = /no"), ["dns_hostsfile: file does not exist"]);
    }

    #[test]
    fn the_new_client_reads_the_newer_names() {
        let dns = settings(
            "new_dns_client = on\nresolver_address = 10.0.0.2\nresolver_valid_ttl = 7\ndns_resolver = 10.0.0.1",
        )
        .dns;
        assert_eq!(dns.servers, ["10.0.0.2:53".parse().unwrap()]);
        assert_eq!(dns.valid_ttl, Some(Duration::from_secs(7)));
        assert_eq!(dns.order, [RecordType::A, RecordType::Srv]);
    }
}

mod rules_between_settings {
    use super::*;

    const PEM: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCngKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";

    fn plane(role: &str, more: &str) -> String {
        format!("role = {role}\ncluster_cert = {PEM}\ncluster_cert_key = {PEM}\n{more}")
    }

    #[test]
    fn hybrid_roles_need_a_certificate_and_key() {
        assert_eq!(
            faults("role = data_plane\ndatabase = off"),
            ["cluster certificate and key must be provided to use Hybrid mode"]
        );
    }

    #[test]
    fn a_data_plane_keeps_no_database_and_proxies() {
        assert_eq!(
            faults(&plane("data_plane", "database = postgres")),
            [
                "only in-memory storage can be used when role = \"data_plane\"\nHint: set database = off in your kong.conf"
            ]
        );
        assert_eq!(
            faults(&plane("data_plane", "database = off\nproxy_listen = off")),
            ["proxy_listen must be specified when role = \"data_plane\""]
        );
        assert_eq!(
            faults(&plane("data_plane", "database = off\ncluster_use_proxy = on")),
            ["cluster_use_proxy is turned on but no proxy_server is configured"]
        );
        assert_eq!(settings(&plane("data_plane", "database = off")).node.role, Role::DataPlane);
    }

    #[test]
    fn a_control_plane_has_a_database_and_listens_for_data_planes() {
        for (more, message) in [
            ("database = off", "in-memory storage can not be used when role = \"control_plane\""),
            ("admin_listen = off", "admin_listen must be specified when role = \"control_plane\""),
            ("cluster_listen = off", "cluster_listen must be specified when role = \"control_plane\""),
            ("cluster_mtls = pki", "cluster_ca_cert must be specified when cluster_mtls = \"pki\""),
            ("cluster_use_proxy = on", "cluster_use_proxy can not be used when role = \"control_plane\""),
            ("cluster_dp_labels = a:b", "cluster_dp_labels can not be used when role = \"control_plane\""),
        ] {
            assert_eq!(faults(&plane("control_plane", more)), [message]);
        }
    }

    #[test]
    fn labels_follow_their_syntax() {
        let good = plane("data_plane", "database = off\ncluster_dp_labels = region:eu-1, Tier:x");
        assert_eq!(settings(&good).cluster.labels, [("region".into(), "eu-1".into()), ("Tier".into(), "x".into())]);
        let bad = |labels: &str| faults(&plane("data_plane", &format!("database = off\ncluster_dp_labels = {labels}")));
        assert!(bad("kong-x:1")[0].starts_with("label key validation failed: kong-x is invalid. Must match pattern:"));
        assert!(bad("a:")[0].starts_with("label value validation failed:  must have between 1 and 63 characters"));
        assert!(bad("a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1,j:1,k:1")[0].contains("count exceeded 10 max elements"));
        assert_eq!(
            faults("cluster_dp_labels = a:b"),
            ["cluster_dp_labels can only be used when role = \"data_plane\""]
        );
    }

    #[test]
    fn numbers_have_their_lower_bounds() {
        for (text, message) in [
            ("cluster_data_plane_purge_delay = 59", "cluster_data_plane_purge_delay must be 60 or greater"),
            ("cluster_max_payload = 1", "cluster_max_payload must be 4194304 (4MB) or greater"),
            ("worker_state_update_frequency = 0", "worker_state_update_frequency must be greater than 0"),
            ("pg_pool_size = -1", "pg_pool_size must be greater than 0"),
            ("pg_backlog = 1.5", "pg_backlog must be an integer greater than 0"),
            ("node_id = 7", "node_id must be a valid UUID"),
            ("tracing_sampling_rate = 2", "tracing_sampling_rate must be between 0 and 1"),
            ("tracing_instrumentations = everything", "invalid tracing type: everything"),
            ("tracing_instrumentations = off, all", "invalid tracing types: off, other types are mutually exclusive"),
            ("admin_gui_path = x", "admin_gui_path must start with a slash ('/')"),
            ("admin_gui_path = /x/", "admin_gui_path must not end with a slash ('/')"),
            ("wasm = on\nwasm_filters_path = /no", "wasm_filters_path '/no' is not a valid directory"),
        ] {
            assert_eq!(faults(text), [message], "{text}");
        }
    }

    #[test]
    fn an_unknown_database_lists_the_known_and_cassandra_gets_its_own_answer() {
        assert_eq!(faults("database = mysql"), ["database has an invalid value: 'mysql' (postgres, sqlite, off)"]);
        assert!(faults("database = cassandra")[0].starts_with("Cassandra as a datastore for Kong is not supported"));
    }
}

mod unsafe_choices {
    use super::*;

    #[test]
    fn an_admin_api_that_others_can_reach_is_told() {
        let told = notices("admin_listen = 0.0.0.0:8001", NoticeKind::Unsafe);
        assert!(told[0].starts_with("unsafe: the Admin API listens on 0.0.0.0:8001"), "{told:?}");
        assert!(!notices("", NoticeKind::Unsafe).iter().any(|text| text.contains("Admin API")));
    }

    #[test]
    fn trusting_everybody_and_unlimited_bodies_are_told() {
        let told = notices("trusted_ips = 0.0.0.0/0,::/0", NoticeKind::Unsafe);
        assert!(told.iter().any(|text| text.contains("trusts every peer")));
        assert!(told.iter().any(|text| text.contains("request bodies are unlimited")));
    }

    #[test]
    fn an_unencrypted_way_to_a_distant_database_is_told() {
        let told = |text| notices(text, NoticeKind::Unsafe).iter().any(|text| text.contains("PostgreSQL"));
        assert!(told("pg_host = db.test"));
        assert!(!told("pg_host = db.test\npg_ssl = on"));
        assert!(!told("pg_host = 127.0.0.1"));
    }
}
