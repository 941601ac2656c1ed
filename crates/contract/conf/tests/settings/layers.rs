//! Which of file, environment and command line wins, and what is said about names nobody knows.

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
    for (text, on) in [("on", true), ("true", true), ("yes", true), ("off", false), ("false", false), ("no", false)] {
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
