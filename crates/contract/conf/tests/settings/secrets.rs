//! References to vaults, and that a secret is printed nowhere.

use super::*;

#[test]
fn a_reference_is_resolved_before_the_value_is_read() {
    let loaded = from_environment(&[
        ("KONG_PG_PORT", "{vault://env/db/port}"),
        ("KONG_VAULT_ENV_PREFIX", "my_"),
        ("MY_DB", r#"{"port":6000}"#),
    ])
    .unwrap();
    assert_eq!(loaded.settings.datastore.postgres.port, 6000);
    assert_eq!(loaded.values.given("pg_port").unwrap().reference.as_deref(), Some("{vault://env/db/port}"));
}

#[test]
fn other_vaults_are_asked_with_their_own_settings_whose_references_were_resolved_before() {
    let loaded = from_environment(&[
        ("KONG_PG_PASSWORD", "{vault://hcv/db/k}"),
        ("KONG_VAULT_HCV_TOKEN", "{vault://env/token}"),
        ("TOKEN", "of-the-vault"),
    ])
    .unwrap();
    assert_eq!(loaded.settings.datastore.postgres.password.as_deref(), Some("from-hcv"));
    assert!(!format!("{:?}", loaded.settings.vault_options).contains("of-the-vault"));
}

#[test]
fn a_reference_that_cannot_be_resolved_stops_the_start() {
    assert_eq!(
        faults("pg_password = {vault://env/absent}"),
        ["failed to dereference '{vault://env/absent}': unable to load value (absent) from vault (env): not found \
          for config option 'pg_password'"]
    );
    assert!(faults("pg_password = {vault://aws/x}")[0].contains("vault not found (aws)"));
}
