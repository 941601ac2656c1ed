//! Listeners, headers, trusted peers and error pages.

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
        ["trusted_ips must be a comma separated list in the form of IPv4 or IPv6 address or CIDR block or 'unix:', \
          got 'nobody'"]
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
        faults("admin_listen = 127.0.0.1")[0].starts_with("admin_listen must be of form: [off] | <ip>:<port> [ssl]")
    );
    assert!(
        faults("stream_listen = 127.0.0.1")[0].starts_with("stream_listen must be of form: [off] | <ip>:<port> [udp]")
    );
    assert_eq!(settings("proxy_listen = unix:/s").listeners.proxy[0].addr, Address::Unix("/s".into()));
}

#[test]
fn zero_means_without_limit_for_upstream_connections() {
    let kept = settings("upstream_keepalive_max_requests = 0\nupstream_keepalive_idle_timeout = 0").upstream_keepalive;
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
