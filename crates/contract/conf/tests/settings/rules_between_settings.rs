//! What one setting demands of another.

use super::*;

const PEM: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCngKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";

fn plane(role: &str, more: &str) -> String {
    format!("role = {role}\ncluster_cert = {PEM}\ncluster_cert_key = {PEM}\n{more}")
}

#[test]
fn hybrid_roles_need_a_certificate_and_key() {
    assert_eq!(
        faults("role = data_plane\ndatabase = off"),
        ["cluster certificate and key must be provided to use Hybrid mode"]
    );
}

#[test]
fn a_data_plane_keeps_no_database_and_proxies() {
    assert_eq!(
        faults(&plane("data_plane", "database = postgres")),
        ["only in-memory storage can be used when role = \"data_plane\"\nHint: set database = off in your kong.conf"]
    );
    assert_eq!(
        faults(&plane("data_plane", "database = off\nproxy_listen = off")),
        ["proxy_listen must be specified when role = \"data_plane\""]
    );
    assert_eq!(
        faults(&plane("data_plane", "database = off\ncluster_use_proxy = on")),
        ["cluster_use_proxy is turned on but no proxy_server is configured"]
    );
    assert_eq!(settings(&plane("data_plane", "database = off")).node.role, Role::DataPlane);
}

#[test]
fn a_control_plane_has_a_database_and_listens_for_data_planes() {
    for (more, message) in [
        ("database = off", "in-memory storage can not be used when role = \"control_plane\""),
        ("admin_listen = off", "admin_listen must be specified when role = \"control_plane\""),
        ("cluster_listen = off", "cluster_listen must be specified when role = \"control_plane\""),
        ("cluster_mtls = pki", "cluster_ca_cert must be specified when cluster_mtls = \"pki\""),
        ("cluster_use_proxy = on", "cluster_use_proxy can not be used when role = \"control_plane\""),
        ("cluster_dp_labels = a:b", "cluster_dp_labels can not be used when role = \"control_plane\""),
    ] {
        assert_eq!(faults(&plane("control_plane", more)), [message]);
    }
}

#[test]
fn labels_follow_their_syntax() {
    let good = plane("data_plane", "database = off\ncluster_dp_labels = region:eu-1, Tier:x");
    assert_eq!(settings(&good).cluster.labels, [("region".into(), "eu-1".into()), ("Tier".into(), "x".into())]);
    let bad = |labels: &str| faults(&plane("data_plane", &format!("database = off\ncluster_dp_labels = {labels}")));
    assert!(bad("kong-x:1")[0].starts_with("label key validation failed: kong-x is invalid. Must match pattern:"));
    assert!(bad("a:")[0].starts_with("label value validation failed:  must have between 1 and 63 characters"));
    assert!(bad("a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1,j:1,k:1")[0].contains("count exceeded 10 max elements"));
    assert_eq!(faults("cluster_dp_labels = a:b"), ["cluster_dp_labels can only be used when role = \"data_plane\""]);
}

#[test]
fn numbers_have_their_lower_bounds() {
    for (text, message) in [
        ("cluster_data_plane_purge_delay = 59", "cluster_data_plane_purge_delay must be 60 or greater"),
        ("cluster_max_payload = 1", "cluster_max_payload must be 4194304 (4MB) or greater"),
        ("worker_state_update_frequency = 0", "worker_state_update_frequency must be greater than 0"),
        ("pg_pool_size = -1", "pg_pool_size must be greater than 0"),
        ("pg_backlog = 1.5", "pg_backlog must be an integer greater than 0"),
        ("node_id = 7", "node_id must be a valid UUID"),
        ("tracing_sampling_rate = 2", "tracing_sampling_rate must be between 0 and 1"),
        ("tracing_instrumentations = everything", "invalid tracing type: everything"),
        ("tracing_instrumentations = off, all", "invalid tracing types: off, other types are mutually exclusive"),
        ("admin_gui_path = x", "admin_gui_path must start with a slash ('/')"),
        ("admin_gui_path = /x/", "admin_gui_path must not end with a slash ('/')"),
        ("wasm = on\nwasm_filters_path = /no", "wasm_filters_path '/no' is not a valid directory"),
    ] {
        assert_eq!(faults(text), [message], "{text}");
    }
}

#[test]
fn an_unknown_database_lists_the_known_and_cassandra_gets_its_own_answer() {
    assert_eq!(faults("database = mysql"), ["database has an invalid value: 'mysql' (postgres, sqlite, off)"]);
    assert!(faults("database = cassandra")[0].starts_with("Cassandra as a datastore for Kong is not supported"));
}
