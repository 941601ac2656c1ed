//! The published schemas are Kong's.

#[test]
fn schemas_are_kongs_and_additions_are_listed() {
    let additions = gibbon_rig::parity::compare(gibbon_observe::PARTS, include_str!("parity.json"));
    println!("additions:\n  {}", additions.join("\n  "));
    assert_eq!(additions, ["opentelemetry: config.sampling_strategy (Kong 3.15)"]);
}
