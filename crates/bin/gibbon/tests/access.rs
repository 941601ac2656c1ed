//! Access control of the Admin API: who is let in, and what they may do there. Every test asks a real node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::gateway::{Gateway, Settings};
use serde_json::{Value, json};

const VERBS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Makes users on a node that asks nothing of anybody, and starts it anew with access control.
struct Node {
    prefix: tempfile::TempDir,
    gateway: Option<Gateway>,
}

impl Node {
    fn prepared(enforce: &str, prepare: impl FnOnce(&Node)) -> Node {
        let mut node = Node { prefix: tempfile::tempdir().unwrap(), gateway: None };
        node.start("off");
        node.user("root", &["super-admin"]);
        prepare(&node);
        node.start(enforce);
        node
    }

    fn start(&mut self, enforce: &str) {
        self.gateway = None;
        let prefix = self.prefix.path().display().to_string();
        let settings = Settings::new().set("database", "sqlite").set("prefix", prefix).set("enforce_rbac", enforce);
        self.gateway = Some(settings.start().unwrap());
    }

    fn call(&self, token: Option<&str>, method: &str, path: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let token = token.map(|token| format!("Kong-Admin-Token: {token}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{token}Content-Type: application/json\r\nContent-Length: {}",
            body.len()
        );
        client::once(self.gateway.as_ref().unwrap().addresses().admin, format!("{head}\r\n\r\n{body}")).unwrap()
    }

    fn status(&self, token: &str, method: &str, path: &str, body: &Value) -> u16 {
        self.call(Some(token), method, path, body).status()
    }

    fn json(&self, token: &str, path: &str) -> Value {
        self.call(Some(token), "GET", path, &Value::Null).json().unwrap()
    }

    /// A user whose token is their name.
    fn user(&self, name: &str, roles: &[&str]) {
        let made = self.call(None, "POST", "/rbac/users", &json!({"name": name, "user_token": name}));
        assert_eq!(made.status(), 201, "{}", made.text());
        if !roles.is_empty() {
            let path = format!("/rbac/users/{name}/roles");
            let given = self.call(None, "POST", &path, &json!({"roles": roles.join(",")}));
            assert_eq!(given.status(), 201, "{}", given.text());
        }
    }

    fn make(&self, path: &str, body: &Value) -> Value {
        let made = self.call(None, "POST", path, body);
        assert_eq!(made.status(), 201, "{path}: {}", made.text());
        made.json().unwrap()
    }
}

#[test]
fn nobody_gets_anything_from_any_path_without_a_token() {
    let node = Node::prepared("on", |_| {});
    let paths = node.json("root", "/endpoints");
    let paths: Vec<&str> = paths["data"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(paths.len() > 150, "{}", paths.len());
    for path in paths.iter().chain(&["/nothing", "/proxy-cache", "/default/services", "/nobody/services"]) {
        let path = path.replace("{log_level}", "info").replace(['{', '}'], "");
        for verb in VERBS {
            let stranger = node.call(None, verb, &path, &json!({"name": "x"}));
            assert_eq!(stranger.status(), 401, "{verb} {path}: {}", stranger.text());
            let liar = node.status("guess", verb, &path, &json!({"name": "x"}));
            assert_eq!(liar, 401, "{verb} {path}");
        }
        let asked = node.call(None, "OPTIONS", &path, &Value::Null);
        assert_eq!((asked.status(), asked.text().as_str()), (204, ""), "{path}");
    }
    assert_eq!(node.json("root", "/workspaces")["data"].as_array().unwrap().len(), 1, "nothing was made");
}

#[test]
fn a_token_is_one_header_of_an_enabled_user_and_is_never_shown() {
    let node = Node::prepared("on", |node| {
        node.user("ada", &["read-only"]);
    });
    assert_eq!(node.status("ada", "GET", "/services", &Value::Null), 200);
    for both in ["ada\r\nKong-Admin-Token: ada", "", "adA", "ada "] {
        let expected = if both == "ada " { 200 } else { 401 };
        assert_eq!(node.status(both, "GET", "/services", &Value::Null), expected, "{both:?}");
    }
    let shown = node.json("root", "/rbac/users/ada");
    assert!(shown.get("user_token").is_none() && shown["user_token_ident"].is_string(), "{shown}");
    assert_eq!(node.status("root", "PATCH", "/rbac/users/ada", &json!({"enabled": false})), 200);
    assert_eq!(node.status("ada", "GET", "/services", &Value::Null), 401, "from the next call");
    assert_eq!(node.status("root", "PATCH", "/rbac/users/ada", &json!({"enabled": true, "user_token": "new"})), 200);
    assert_eq!(node.status("ada", "GET", "/services", &Value::Null), 401);
    assert_eq!(node.status("new", "GET", "/services", &Value::Null), 200);
}

#[test]
fn the_roles_from_the_start_are_what_they_are_called() {
    let node = Node::prepared("on", |node| {
        node.user("reader", &["read-only"]);
        node.user("keeper", &["admin"]);
        node.user("nobody", &[]);
    });
    let service = json!({"name": "s", "host": "a.test"});
    assert_eq!(node.status("nobody", "GET", "/services", &Value::Null), 403);
    let roles = json!({"roles": "read-only"});
    assert_eq!(node.status("root", "POST", "/rbac/users/nobody/roles", &roles), 201);
    assert_eq!(node.status("nobody", "GET", "/services", &Value::Null), 200);
    assert_eq!(node.status("root", "DELETE", "/rbac/users/nobody/roles", &roles), 204);
    assert_eq!(node.status("nobody", "GET", "/services", &Value::Null), 403);
    assert_eq!(node.status("reader", "GET", "/services", &Value::Null), 200);
    let refused = node.call(Some("reader"), "POST", "/services", &service);
    assert_eq!(refused.status(), 403);
    let message = "reader, you do not have permissions to create this resource";
    assert_eq!(refused.json().unwrap()["message"], message);
    assert_eq!(node.status("keeper", "POST", "/services", &service), 201);
    for path in ["/rbac/users", "/rbac_users", "/rbac_role_endpoints", "/groups", "/admins", "/group_rbac_roles"] {
        assert_eq!(node.status("keeper", "GET", path, &Value::Null), 403, "{path}");
        assert_eq!(node.status("root", "GET", path, &Value::Null), 200, "{path}");
    }
}

#[test]
fn rights_in_one_workspace_are_none_in_another_and_none_over_what_belongs_to_all() {
    let node = Node::prepared("on", |node| {
        node.make("/workspaces", &json!({"name": "team"}));
        node.make("/rbac/roles", &json!({"name": "of-team"}));
        node.make("/rbac/roles/of-team/endpoints", &json!({"workspace": "team", "endpoint": "*", "actions": "*"}));
        node.user("ann", &["of-team"]);
        // A role of a workspace cannot reach beyond it, whatever it says.
        node.make("/team/rbac/roles", &json!({"name": "greedy"}));
        node.make(
            "/team/rbac/roles/greedy/endpoints",
            &json!({"workspace": "default", "endpoint": "*", "actions": "*"}),
        );
        node.make("/team/rbac/users", &json!({"name": "eve", "user_token": "eve"}));
        node.make("/team/rbac/users/eve/roles", &json!({"roles": "greedy"}));
    });
    let service = json!({"name": "s", "host": "a.test"});
    assert_eq!(node.status("ann", "POST", "/team/services", &service), 201);
    assert_eq!(node.status("ann", "GET", "/services", &Value::Null), 403);
    assert_eq!(node.status("ann", "GET", "/default/services", &Value::Null), 403);
    assert_eq!(node.status("ann", "GET", "/team/workspaces/team", &Value::Null), 200);
    for (verb, path) in [
        ("PATCH", "/team/workspaces/team"),
        ("GET", "/team/workspaces/default"),
        ("POST", "/team/workspaces"),
        ("GET", "/team/acme_storage"),
        ("DELETE", "/team/cache"),
        ("GET", "/team/audit/requests"),
        ("GET", "/team/event-hooks"),
    ] {
        assert_eq!(node.status("ann", verb, path, &json!({})), 403, "{verb} {path}");
    }
    assert_eq!(node.status("eve", "GET", "/services", &Value::Null), 403);
}

#[test]
fn the_more_specific_permission_decides_and_permissions_go_by_what_they_are_about() {
    let node = Node::prepared("on", |node| {
        node.make("/services", &json!({"name": "s", "host": "a.test"}));
        node.make("/rbac/roles", &json!({"name": "r"}));
        let rules = "/rbac/roles/r/endpoints";
        node.make(rules, &json!({"endpoint": "*", "actions": ["read"]}));
        let made = node.make(rules, &json!({"endpoint": "/services/*", "actions": "read", "negative": true}));
        assert!(made.get("id").is_none() && made["actions"] == json!(["read"]), "{made}");
        node.user("bob", &["r"]);
    });
    assert_eq!(node.status("bob", "GET", "/services", &Value::Null), 200);
    assert_eq!(node.status("bob", "GET", "/services/s", &Value::Null), 403);
    let rule = "/rbac/roles/r/endpoints/default/services/*";
    assert_eq!(node.json("root", rule)["negative"], true);
    assert_eq!(node.status("root", "PATCH", rule, &json!({"negative": false})), 200);
    assert_eq!(node.status("bob", "GET", "/services/s", &Value::Null), 200);
    assert_eq!(node.status("root", "DELETE", "/rbac/roles/r/endpoints/default/*", &Value::Null), 204);
    assert_eq!(node.status("bob", "GET", "/services", &Value::Null), 403);
    let permissions = node.json("root", "/rbac/users/bob/permissions");
    assert_eq!(permissions["endpoints"]["default"]["/default/services/*"]["actions"], json!(["read"]), "{permissions}");
}

#[test]
fn permissions_on_entities_show_and_change_only_those() {
    let node = Node::prepared("entity", |node| {
        let mine = node.make("/services", &json!({"name": "mine", "host": "a.test"}));
        node.make("/services", &json!({"name": "theirs", "host": "a.test"}));
        node.make("/rbac/roles", &json!({"name": "r"}));
        let rule = json!({"entity_id": mine["id"], "entity_type": "services", "actions": "read"});
        node.make("/rbac/roles/r/entities", &rule);
        node.user("cat", &["r"]);
    });
    let names = |token| {
        let list = node.json(token, "/services");
        let names: Vec<String> =
            list["data"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect();
        names
    };
    assert_eq!(names("cat"), ["mine"]);
    assert_eq!(names("root").len(), 2);
    assert_eq!(node.status("cat", "GET", "/services/theirs", &Value::Null), 403);
    assert_eq!(node.status("cat", "GET", "/services/theirs/routes", &Value::Null), 403);
    assert_eq!(node.status("cat", "PATCH", "/services/mine", &json!({"retries": 1})), 403);
    assert_eq!(node.status("cat", "DELETE", "/services/mine", &Value::Null), 403);
    // What one makes is one's own.
    assert_eq!(node.status("cat", "POST", "/services", &json!({"name": "new", "host": "a.test"})), 201);
    assert_eq!(node.status("cat", "PATCH", "/services/new", &json!({"retries": 1})), 200);
    assert_eq!(node.status("cat", "DELETE", "/services/new", &Value::Null), 204);
}

#[test]
fn an_administrator_registers_with_an_invitation_once() {
    let node = Node::prepared("on", |_| {});
    let made = node.call(Some("root"), "POST", "/admins", &json!({"username": "dan", "email": "dan@a.test"}));
    assert_eq!((made.status(), &made.json().unwrap()["admin"]["status"]), (200, &json!(4)), "{}", made.text());
    assert_eq!(node.status("root", "POST", "/admins", &json!({"username": "dan"})), 409);
    assert_eq!(node.status("root", "POST", "/admins/dan/roles", &json!({"roles": "read-only"})), 201);
    let invitation = node.json("root", "/admins/dan?generate_register_url=true");
    let register = |token: &Value| {
        let body = json!({"username": "dan", "email": "dan@a.test", "token": token, "password": "mine"});
        node.call(None, "POST", "/admins/register", &body).status()
    };
    assert_eq!(register(&json!("guess")), 401);
    assert_eq!(register(&invitation["token"]), 201);
    assert_eq!(register(&invitation["token"]), 401, "an invitation is good for one time");
    assert_eq!(node.status("mine", "GET", "/services", &Value::Null), 200);
    assert_eq!(node.status("mine", "GET", "/admins/dan?generate_register_url=true", &Value::Null), 403);
    assert_eq!(node.json("root", "/admins/dan/workspaces")["data"][0]["name"], "default");
    assert_eq!(node.status("root", "POST", "/workspaces", &json!({"name": "team"})), 201);
    assert_eq!(node.status("root", "POST", "/admins", &json!({"username": "eve"})), 200);
    let moved = node.call(Some("root"), "PATCH", "/admins/eve/workspaces/team", &Value::Null);
    assert_eq!((moved.status(), &moved.json().unwrap()["username"]), (200, &json!("eve")), "{}", moved.text());
    assert_eq!(node.status("root", "PATCH", "/admins/eve/workspaces/nowhere", &Value::Null), 404);
    let named = |list: Value| list["data"].as_array().unwrap().iter().map(|w| w["name"].clone()).collect::<Vec<_>>();
    assert_eq!(named(node.json("root", "/admins/eve/workspaces")), ["team"]);
    assert_eq!(node.status("root", "DELETE", "/admins/dan", &Value::Null), 204);
    assert_eq!(node.status("mine", "GET", "/services", &Value::Null), 401);
}

#[test]
fn a_group_carries_its_roles_to_its_users() {
    let node = Node::prepared("on", |node| {
        node.user("gil", &[]);
        let group = node.make("/groups", &json!({"name": "ops"}));
        node.make("/workspaces", &json!({"name": "team"}));
        let role = node.make("/rbac/roles", &json!({"name": "r"}));
        node.make("/rbac/roles/r/endpoints", &json!({"workspace": "*", "endpoint": "/services", "actions": "read"}));
        let workspace = json!({"name": "team"});
        node.make("/groups/ops/roles", &json!({"rbac_role": {"id": role["id"]}, "workspace": workspace}));
        node.make("/rbac/users/gil/groups", &json!({"group": {"id": group["id"]}}));
    });
    assert_eq!(node.status("gil", "GET", "/team/services", &Value::Null), 200);
    assert_eq!(node.status("gil", "GET", "/routes", &Value::Null), 403);
    assert_eq!(node.status("gil", "GET", "/services", &Value::Null), 403, "it is carried for one workspace");
    let roles = node.json("root", "/groups/ops/roles");
    let link = json!({"rbac_role_id": roles["data"][0]["rbac_role"]["id"], "workspace_id": "team"});
    assert_eq!(node.status("root", "DELETE", "/groups/ops/roles", &link), 204);
    assert_eq!(node.status("gil", "GET", "/team/services", &Value::Null), 403);
    let link = json!({"rbac_role_id": "r", "workspace_id": "default"});
    assert_eq!(node.status("root", "POST", "/groups/ops/roles", &link), 201);
    assert_eq!(node.status("gil", "GET", "/services", &Value::Null), 200);
}

#[test]
fn a_node_without_a_datastore_does_not_start_with_guards_it_cannot_hold() {
    for name in ["enforce_rbac", "audit_log"] {
        let started = Settings::new().config("{_format_version: '3.0'}").set(name, "on").start();
        assert!(started.is_err(), "{name}");
    }
}

#[test]
fn a_workspace_is_counted_and_goes_with_all_that_is_in_it() {
    let node = Node::prepared("off", |_| {});
    assert_eq!(
        node.call(None, "POST", "/workspaces", &json!({"name": "key-auths"})).status(),
        400,
        "a path is no name"
    );
    node.make("/workspaces", &json!({"name": "team"}));
    node.make("/team/services", &json!({"name": "s", "host": "a.test"}));
    node.make("/team/services/s/routes", &json!({"paths": ["/a"]}));
    node.make("/services", &json!({"name": "s", "host": "a.test"}));
    let counts = node.call(None, "GET", "/workspaces/team/meta", &Value::Null).json().unwrap();
    assert_eq!(counts, json!({"counts": {"services": 1, "routes": 1}}));
    assert_eq!(node.call(None, "DELETE", "/workspaces/team", &Value::Null).status(), 400);
    assert_eq!(node.call(None, "DELETE", "/workspaces/team?cascade=true", &Value::Null).status(), 204);
    assert_eq!(node.call(None, "GET", "/team/services", &Value::Null).status(), 404);
    assert_eq!(node.call(None, "GET", "/services/s", &Value::Null).status(), 200);
}
