//! Several nodes on one PostgreSQL, and its tables.

use gibbon_store::{Address, MigrationState, Migrations, listen_to_postgres};
use serde_json::json;

use crate::rig::{Rig, postgres};

#[tokio::test]
async fn a_change_by_one_node_is_announced_to_the_other() {
    let settings = postgres::fresh();
    let (one, two) = (Rig::postgres(&settings), Rig::postgres(&settings));
    postgres::RUNTIME.spawn(listen_to_postgres(settings, two.documents.conductor.clone()));
    let service = one.insert("services", json!({"name": "s", "host": "a.test"})).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while two.plan().service(service.id).is_none() {
        assert!(std::time::Instant::now() < deadline, "not announced");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_announcements_looking_now_and_then_is_enough() {
    let settings = postgres::fresh();
    let (one, two) = (Rig::postgres(&settings), Rig::postgres(&settings));
    let service = one.insert("services", json!({"name": "s", "host": "a.test"})).await.unwrap();
    two.documents.conductor.keep_up().await;
    assert!(two.plan().service(service.id).is_some());

    // Writes of both, none having seen the other's last.
    one.update("services", &Address::Id(service.id), json!({"host": "b.test"})).await.unwrap();
    two.update("services", &Address::Id(service.id), json!({"port": 81})).await.unwrap();
    one.insert("consumers", json!({"username": "bob"})).await.unwrap();
    for rig in [&one, &two] {
        rig.documents.conductor.keep_up().await;
        let plan = rig.plan();
        let service = plan.service(service.id).unwrap();
        assert_eq!((&*service.host, service.port), ("b.test", 81));
    }
    assert_eq!(one.plan().fingerprint(), two.plan().fingerprint());
}

#[tokio::test]
async fn a_node_that_missed_too_much_reads_everything_again() {
    let settings = postgres::fresh();
    let (one, two) = (Rig::postgres(&settings), Rig::postgres(&settings));
    one.insert("services", json!({"name": "a", "host": "a.test"})).await.unwrap();
    one.insert("services", json!({"name": "b", "host": "b.test"})).await.unwrap();
    forget_changes(&settings).await;
    two.documents.conductor.keep_up().await;
    assert_eq!(one.plan().fingerprint(), two.plan().fingerprint());
}

/// All but the last, as after a long time.
async fn forget_changes(settings: &gibbon_store::PostgresSettings) {
    let (client, connection) = connect(settings).await;
    tokio::spawn(connection);
    let schema = settings.own_schema();
    client.batch_execute(&format!("DELETE FROM {schema}.changes WHERE sequence < 2")).await.unwrap();
}

async fn connect(
    settings: &gibbon_store::PostgresSettings,
) -> (tokio_postgres::Client, tokio_postgres::Connection<tokio_postgres::Socket, tokio_postgres::tls::NoTlsStream>) {
    let mut config = tokio_postgres::Config::new();
    config.host(&settings.host).port(settings.port).user(&settings.user).dbname(&settings.database);
    config.connect(tokio_postgres::NoTls).await.unwrap()
}

#[test]
fn tables_are_absent_then_present_then_absent_again() {
    let settings = postgres::fresh();
    let migrations = Migrations::open(&settings, postgres::RUNTIME.handle()).unwrap();
    assert_eq!(migrations.state().unwrap(), MigrationState::Absent);
    assert_eq!(migrations.migrate().unwrap(), ["000_base"]);
    assert_eq!(migrations.state().unwrap(), MigrationState::Present { pending: vec![] });
    assert!(migrations.migrate().unwrap().is_empty());
    migrations.reset().unwrap();
    assert_eq!(migrations.state().unwrap(), MigrationState::Absent);
}

#[test]
fn tables_of_a_kong_gateway_are_recognised_and_left_alone() {
    let settings = postgres::fresh();
    let schema = settings.schema.clone().unwrap();
    postgres::RUNTIME.block_on(async {
        let (client, connection) = connect(&settings).await;
        tokio::spawn(connection);
        client
            .batch_execute(&format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.schema_meta (key TEXT)"))
            .await
            .unwrap();
    });
    let migrations = Migrations::open(&settings, postgres::RUNTIME.handle()).unwrap();
    assert_eq!(migrations.state().unwrap(), MigrationState::ForeignOnly);
}

#[tokio::test]
async fn a_server_that_is_gone_and_back_is_used_again() {
    let settings = postgres::fresh();
    let rig = Rig::postgres(&settings);
    rig.insert("services", json!({"name": "a", "host": "a.test"})).await.unwrap();
    let (client, connection) = connect(&settings).await;
    tokio::spawn(connection);
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%' || $1 || '%'";
    let _ = client.execute(sql, &[&settings.own_schema()]).await;
    // Whether its own sessions were hit or not, in the end a write succeeds and both rows are there.
    let mut tries = 0;
    while rig.insert("services", json!({"name": "b", "host": "b.test"})).await.is_err() {
        tries += 1;
        assert!(tries < 10, "never again");
    }
    rig.documents.conductor.keep_up().await;
    assert!(rig.documents.conductor.read(|rows| rows.sequence()).await.is_ok_and(|last| last == 2));
}
