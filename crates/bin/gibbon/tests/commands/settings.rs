//! Settings as `check` and the start judge them.

use super::*;

#[test]
fn check_finds_a_good_file_valid() {
    let place = Place::new();
    let conf = place.write("kong.conf", "log_level = warn\nnginx_http_client_max_body_size = 1m\n");
    let said = place.run(&["check", conf.to_str().unwrap()]);
    said.well(&format!("configuration at {} is valid\n", conf.display()));
}

#[test]
fn check_lists_every_fault_with_file_line_and_what_would_be_valid() {
    let place = Place::new();
    let conf = place.write("kong.conf", "database = mysql\npg_port = x\nproxy_listen = 127.0.0.1\n");
    let said = place.run(&["check", conf.to_str().unwrap()]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    let path = conf.display();
    assert!(
        said.err
            .contains(&format!("[error] database has an invalid value: 'mysql' (postgres, sqlite, off) [{path}:1]\n"))
    );
    assert!(said.err.contains(&format!("[error] pg_port is not a number: 'x' [{path}:2; valid: a number]\n")));
    // The environment gives another proxy_listen, which wins.
    assert!(!said.err.contains("proxy_listen"));
}

#[test]
fn check_tells_what_has_no_effect_is_unknown_or_unsafe_and_still_succeeds() {
    let place = Place::new();
    let conf = place.write("kong.conf", "anonymous_reports = off\nloglevel = debug\nadmin_listen = 0.0.0.0:8001\n");
    let mut command = place.command(&["check", conf.to_str().unwrap()]);
    let said = Said::from(command.env_remove("KONG_ADMIN_LISTEN").output().unwrap());
    assert_eq!(said.code, 0);
    for part in [
        "[warn] anonymous_reports has no effect: no usage report is ever sent",
        "[warn] unknown setting 'loglevel', ignored; did you mean 'log_level'?",
        "[warn] unsafe: the Admin API listens on 0.0.0.0:8001",
    ] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
}

#[test]
fn check_opens_what_the_settings_name_and_the_start_refuses_the_same() {
    let place = Place::new();
    let rubbish = place.write("rubbish.pem", "rubbish").display().to_string();
    let declared = place.write("kong.yml", "_format_version: '3.0'\nservices:\n- name: s\n").display().to_string();
    let rubbish_pair = format!("ssl_cert = {rubbish}\nssl_cert_key = {rubbish}");
    let cases = [
        ("vaults = env,nosuch", "vaults: nosuch vault is enabled but not installed"),
        ("plugins = bundled,nosuch", "nosuch plugin is enabled but not installed"),
        ("real_ip_header = a b", "real_ip_header has an invalid value: 'a b' (a header's name, proxy_protocol)"),
        ("nginx_proxy_real_ip_header = a b", "real_ip_header has an invalid value: 'a b'"),
        ("error_template_json = /no/such", "error_template_json: file does not exist"),
        ("lua_ssl_trusted_certificate = /no/such", "lua_ssl_trusted_certificate: failed loading certificate from"),
        (&format!("lua_ssl_trusted_certificate = {rubbish}"), "rubbish.pem"),
        (&rubbish_pair, "rubbish.pem"),
        ("ssl_cipher_suite = custom\nssl_ciphers = nosuch", "ssl_ciphers: no cipher of 'nosuch' is known"),
        ("database = off\ndeclarative_config = /no/such.yml", "cannot read '/no/such.yml'"),
        (
            &format!("database = off\ndeclarative_config = {declared}"),
            "kong.yml: declarative config is invalid: {services={{host=\"required field missing\"}}}",
        ),
        ("nginx_proxy_ssl_verify_client = on\nnginx_proxy_ssl_client_certificate = /no/such", "/no/such"),
    ];
    for (lines, told) in cases {
        let conf = place.write("kong.conf", &format!("{lines}\n"));
        let conf = conf.to_str().unwrap();
        let said = place.run(&["check", conf]);
        assert!(said.code == 1 && said.out.is_empty() && said.err.contains(told), "check: {lines}: {}", said.err);
        let said = place.at(&["start", "-c", conf]);
        assert!(said.code == 1 && said.err.contains(told), "start: {lines}: {}", said.err);
    }
    let whole = "_format_version: '3.0'\nservices:\n- {name: s, host: a.test}\n";
    let declared = place.write("kong.yml", whole).display().to_string();
    let conf = place.write("kong.conf", &format!("database = off\ndeclarative_config = {declared}\n"));
    place.run(&["check", conf.to_str().unwrap()]).well(&format!("configuration at {} is valid\n", conf.display()));
}

#[test]
fn check_refuses_a_log_format_that_cannot_be_written() {
    let place = Place::new();
    let conf = place.write("kong.conf", "nginx_http_log_format = mine '$nope'\n");
    let said = place.run(&["check", conf.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("log format mine: unknown \"nope\" variable in log format"), "{}", said.err);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let place = Place::new();
    place.at(&["start", "-c", "/no/such.conf"]).failed("no file at: /no/such.conf");
    let said = place.run(&["check", "/no/such.conf"]);
    assert!(said.code == 1 && said.err.ends_with("[error] no file at: /no/such.conf\n"));
}

#[test]
fn nothing_is_written_when_settings_are_refused() {
    let place = Place::new().with("KONG_LOG_LEVEL", "loud");
    assert_eq!(place.at(&["start"]).code, 1);
    assert!(!place.prefix().exists());
}

#[test]
fn flags_for_nginx_are_taken_and_told_to_do_nothing() {
    let place = Place::new();
    let said =
        place.at(&["start", "--nginx-conf", "x", "--nginx-conf-flags", "y", "--db-timeout", "5", "--run-migrations"]);
    assert_eq!(said.code, 0);
    assert!(said.err.contains("--nginx-conf and --nginx-conf-flags have no effect"));
}
