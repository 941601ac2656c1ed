//! The published schemas are Kong's.

#[test]
fn schemas_are_kongs_and_additions_are_listed() {
    let additions = gibbon_rig::parity::compare(gibbon_transform::PARTS, include_str!("parity.json"));
    println!("additions:\n  {}", additions.join("\n  "));
    let expected = [
        "aws-lambda: config.awsgateway_compatible_payload_version (Kong 3.15)",
        "aws-lambda: config.preserve_lambda_api_error_code (Kong 3.15)",
        "aws-lambda: config.ssl_verify (Kong 3.15)",
    ];
    assert_eq!(additions, expected);
}
