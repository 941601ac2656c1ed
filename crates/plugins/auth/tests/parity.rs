//! The published schemas are Kong's.

#[test]
fn schemas_are_kongs_and_additions_are_listed() {
    let additions = gibbon_rig::parity::compare(gibbon_auth::PARTS, include_str!("parity.json"));
    println!("additions:\n  {}", additions.join("\n  "));
    let expected = [
        "acl: config.include_consumer_groups (Kong 3.15)",
        "basic-auth: config.brute_force_protection (Kong 3.15)",
        "basic-auth: config.brute_force_protection.redis.cloud_authentication (Kong 3.15)",
        "basic-auth: config.brute_force_protection.redis.sentinel_nodes (ours)",
        "basic-auth: config.brute_force_protection.redis.sentinel_master (ours)",
        "basic-auth: config.brute_force_protection.redis.cluster_nodes (ours)",
        "basic-auth: config.principals (Kong 3.15)",
        "hmac-auth: config.algorithms may also be \"hmac-sha224\"",
        "key-auth: config.identity_realms (Kong 3.15)",
        "key-auth: config.principals (Kong 3.15)",
        "oauth2: config.persistent_refresh_token (Kong 3.15)",
        "session: config.bind (Kong 3.15)",
    ];
    assert_eq!(additions, expected);
}
