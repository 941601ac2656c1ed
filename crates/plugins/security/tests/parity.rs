//! The published schemas are Kong's.

#[test]
fn schemas_are_kongs_and_additions_are_listed() {
    let additions = gibbon_rig::parity::compare(gibbon_security::PARTS, include_str!("parity.json"));
    println!("additions:\n  {}", additions.join("\n  "));
    let expected = ["acme: config.storage_config.redis.cloud_authentication (Kong 3.15)"];
    assert_eq!(additions, expected);
}
