//! Where logs go and in which form.

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
