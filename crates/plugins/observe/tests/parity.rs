//! The published schemas are Kong's.

#[test]
fn schemas_are_kongs_and_additions_are_listed() {
    let additions = gibbon_rig::parity::compare(gibbon_observe::PARTS, include_str!("parity.json"));
    println!("additions:\n  {}", additions.join("\n  "));
    let expected = [
        "datadog: config.route_name_tag (Kong 3.15)",
        "http-log: config.ssl_verify (Kong 3.15)",
        "http-log: config.client_certificate (Kong 3.15)",
        "opentelemetry: config.sampling_strategy (Kong 3.15)",
        "opentelemetry: config.metrics (Kong 3.15)",
        "opentelemetry: config.access_logs (Kong 3.15)",
        "tcp-log: config.ssl_verify (Kong 3.15)",
    ];
    assert_eq!(additions, expected);
}
