//! AWS Secrets Manager, played by moto, which verifies every signature with AWS's own implementation.

use std::sync::Arc;

use gibbon_testkit::moto::{Moto, moto};
use serde_json::{Value, json};

use crate::rig::rig;

fn entity(aws: &Moto, more: Value) -> Arc<Value> {
    let endpoint = format!("http://{}", aws.server.address());
    let mut config = json!({"region": "eu-west-1", "endpoint_url": endpoint, "sts_endpoint_url": endpoint});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(json!({"name": "aws", "prefix": "mine", "config": config}))
}

#[test]
fn secrets_are_read_with_the_keys_of_the_environment_or_as_a_role() {
    let aws = moto().unwrap();
    let keys = [("AWS_ACCESS_KEY_ID", aws.key.as_str()), ("AWS_SECRET_ACCESS_KEY", aws.secret.as_str())];
    let rig_of_user = rig(&keys);
    let ask = |reference: &str, more: Value| rig_of_user.secret(reference, &entity(&aws, more));
    assert_eq!(ask("{vault://mine/team/db/password}", json!({})), "second", "{}", aws.server.output());
    assert_eq!(ask("{vault://mine/team/db/password#1}", json!({})), "second");
    assert_eq!(ask("{vault://mine/team/db/password#2}", json!({})), "first");
    assert_eq!(ask("{vault://mine/team/db/port}", json!({})), "5432");
    assert_eq!(ask("{vault://mine/plain}", json!({})), "p@ss");
    assert_eq!(ask("{vault://mine/binary}", json!({})), "of bytes");
    assert_eq!(ask("{vault://mine/encoded}", json!({"base64_decode": true})), "s3cret");
    assert_eq!(ask("{vault://mine/absent}", json!({})), "");
    assert_eq!(ask("{vault://mine/plain}", json!({"assume_role_arn": aws.role})), "p@ss", "{}", aws.server.output());
    assert_eq!(ask("{vault://mine/plain}", json!({"assume_role_arn": "arn:aws:iam::123456789012:role/nobody"})), "");

    // Real verification: another secret key opens nothing.
    let stranger = rig(&[keys[0], ("AWS_SECRET_ACCESS_KEY", "not it")]);
    assert_eq!(stranger.secret("{vault://mine/plain}", &entity(&aws, json!({}))), "");
}
