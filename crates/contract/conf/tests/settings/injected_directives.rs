//! Directives of nginx: which are read, which have no effect, how they are given.

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
fn values_of_more_than_one_form_are_checked_too() {
    for (line, valid) in [
        ("nginx_http_keepalive_timeout = soon", "one or two durations, such as 75s or 75s 60s"),
        ("nginx_proxy_keepalive_timeout = 1s 2s 3s", "one or two durations, such as 75s or 75s 60s"),
        ("nginx_main_worker_rlimit_nofile = lots", "auto or a whole number"),
        ("nginx_events_worker_connections = -1", "auto or a whole number"),
    ] {
        let told = from_file(line).unwrap_err().to_string();
        assert!(told.ends_with(&format!("[kong.conf:1; valid: {valid}]")), "{told}");
    }
    assert_eq!(settings("nginx_http_keepalive_timeout = 0").client.keepalive_timeout, Duration::ZERO);
    assert_eq!(settings("nginx_events_worker_connections = auto").node.connections_per_worker, None);
}

#[test]
fn the_header_of_the_client_s_address_is_read_from_both_blocks() {
    for context in ["http", "proxy"] {
        let real_ip = settings(&format!("nginx_{context}_real_ip_header = X-Client")).real_ip;
        assert_eq!(real_ip.source, RealIpSource::Header("x-client".to_owned()));
    }
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
