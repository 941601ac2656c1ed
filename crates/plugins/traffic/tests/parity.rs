//! The published schemas are Kong's.

#[test]
fn schemas_are_kongs_and_additions_are_listed() {
    let additions = gibbon_rig::parity::compare(gibbon_traffic::PARTS, include_str!("parity.json"));
    println!("additions:\n  {}", additions.join("\n  "));
    let expected = [
        "rate-limiting: config.redis.cloud_authentication (Kong 3.15)",
        "rate-limiting: config.redis.sentinel_nodes (ours)",
        "rate-limiting: config.redis.sentinel_master (ours)",
        "rate-limiting: config.redis.cluster_nodes (ours)",
        "rate-limiting: config.on_limit (ours)",
        "rate-limiting: config.max_delay (ours)",
        "rate-limiting: config.max_delayed (ours)",
        "response-ratelimiting: config.redis.cloud_authentication (Kong 3.15)",
        "response-ratelimiting: config.redis.sentinel_nodes (ours)",
        "response-ratelimiting: config.redis.sentinel_master (ours)",
        "response-ratelimiting: config.redis.cluster_nodes (ours)",
    ];
    assert_eq!(additions, expected);
}
