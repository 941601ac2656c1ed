//! The commands beside a running node: plugins, secrets, configurations, draining, migrations, help.

use super::*;

#[test]
fn plugins_are_listed_in_the_order_they_run_in() {
    let place = Place::new();
    let said = place.run(&["plugins"]);
    let lines: Vec<Vec<&str>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "PRIORITY", "VERSION", "PHASES"]);
    let line_of = |name: &str| lines.iter().position(|line| line[0] == name).unwrap();
    assert_eq!(lines[line_of("key-auth")], ["key-auth", "1250", "3.10.0", "access"]);
    assert!(line_of("key-auth") < line_of("acl") && line_of("acl") < line_of("rate-limiting"));

    let said = place.run(&["plugins", "--json"]);
    let rows: Value = serde_json::from_str(&said.out).unwrap();
    let priorities: Vec<i64> = rows.as_array().unwrap().iter().map(|row| row["priority"].as_i64().unwrap()).collect();
    assert!(priorities.is_sorted_by(|a, b| a >= b), "{priorities:?}");
    let limit = rows.as_array().unwrap().iter().find(|row| row["name"] == "rate-limiting").unwrap();
    assert_eq!((&limit["priority"], &limit["version"]), (&json!(910), &json!("3.10.0")));
    assert_eq!(limit["protocols"], json!(["http", "https", "grpc", "grpcs"]));
}

#[test]
fn only_plugins_that_the_settings_let_in_are_listed() {
    let place = Place::new();
    let conf = place.dir.path().join("kong.conf");
    fs::write(&conf, "plugins = key-auth, cors\n").unwrap();
    let said = place.run(&["plugins", "--json", "-c", conf.to_str().unwrap()]);
    let rows: Value = serde_json::from_str(&said.out).unwrap();
    let names: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cors", "key-auth"]);
}

#[test]
fn a_pair_for_hybrid_mode_is_made_once() {
    let place = Place::new();
    let dir = fs::canonicalize(place.dir.path()).unwrap();
    let (cert, key) = (dir.join("cluster.crt"), dir.join("cluster.key"));
    place.run(&["hybrid", "gen_cert", "-d", "10"]).well(&format!(
        "Successfully generated certificate/key pairs, they have been written to: '{}' and '{}'.\n",
        cert.display(),
        key.display()
    ));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read(&cert).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&text).unwrap();
    let certificate = pem.parse_x509().unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=kong_clustering");
    let validity = certificate.validity();
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 10 * 86_400);
    place.run(&["hybrid", "gen_cert"]).failed(&format!("{} already exists.\nWill not overwrite it.", cert.display()));
    place.run(&["hybrid", "gen_cert", "one.crt"]).failed("both cert and key path needs to be provided");
}

#[test]
fn secrets_are_printed_by_reference() {
    let place = Place::new().with("MY_SECRET", r#"{"user":"u"}"#);
    place.run(&["vault", "get", "env/my-secret/user"]).well("u\n");
    place.run(&["vault", "get", "{vault://env/my-secret/user}"]).well("u\n");
    place.run(&["vault", "get", "env/none"]).failed("unable to load value (none) from vault (env): not found");
    assert_eq!(place.run(&["vault", "get"]).code, 1);
}

#[test]
fn secrets_of_a_cloud_are_read_as_the_settings_say() {
    let aws = gibbon_testkit::moto::moto().unwrap();
    let place = Place::new().with("AWS_ACCESS_KEY_ID", &aws.key).with("AWS_SECRET_ACCESS_KEY", &aws.secret);
    let place = place.with("KONG_VAULT_AWS_ENDPOINT_URL", &format!("http://{}", aws.server.address()));
    place
        .run(&["vault", "get", "aws/team/db/password"])
        .failed("unable to load value (team/db) from vault (aws): the vault's 'region' is not set");
    let place = place.with("KONG_VAULT_AWS_REGION", "eu-west-1");
    place.run(&["vault", "get", "aws/team/db/password"]).well("second\n");
    place.run(&["vault", "get", "{vault://aws/team/db/password#2}"]).well("first\n");
    place.run(&["vault", "get", "aws/none"]).failed("unable to load value (none) from vault (aws): not found");
    place
        .run(&["vault", "get", "gcp/x"])
        .failed("unable to load value (x) from vault (gcp): the vault's 'project_id' is not set");
    place
        .run(&["vault", "get", "azure/x"])
        .failed("unable to load value (x) from vault (azure): the vault's 'vault_uri' is not set");
}

#[test]
fn an_example_is_written_once_and_passes_the_check() {
    let place = Place::new();
    place.run(&["config", "init"]).well("");
    place.run(&["config", "init"]).failed("kong.yml already exists in the current directory.\nWill not overwrite it.");
    place.run(&["config", "parse", "kong.yml"]).well("parse successful\n");
    place.write("bad.yml", "services: []\n");
    let bad = place.run(&["config", "parse", "bad.yml"]);
    assert!(bad.err.starts_with("Error: Failed parsing:\nin '_format_version': required field missing"), "{}", bad.err);
}

#[test]
fn importing_needs_a_database() {
    let place = Place::new().called("kong").with("KONG_DATABASE", "off");
    place.run(&["config", "db_import", "kong.yml"]).failed(
        "'kong config db_import' only works with a database.\nWhen using database=off, reload your declarative \
             configuration\nusing the /config endpoint.",
    );
}

#[test]
fn each_workspace_is_exported_to_a_file_of_its_own_that_brings_it_back() {
    let file = |workspace: &str, name: &str, id: &str| {
        let service = format!("id: {id}1, name: same, host: {name}.test, routes: [{{id: {id}2, name: r, paths: [/]}}]");
        format!("_format_version: '3.0'\n{workspace}services: [{{{service}}}]\n")
    };
    let place = Place::new();
    place.write("one.yml", &file("", "one", "11111111-1111-4111-8111-11111111111"));
    place.write("two.yml", &file("_workspace: team\n", "two", "22222222-2222-4222-8222-22222222222"));
    for name in ["one.yml", "two.yml"] {
        place.at(&["config", "db_import", name]).well("beginning import\nimport successful\n");
    }
    place
        .at(&["config", "db_export", "one-out.yml"])
        .well("other workspaces are written with --workspace, each to a file of its own: team\n");
    place.at(&["config", "db_export", "two-out.yml", "--workspace", "team"]).well("");
    let none = place.at(&["config", "db_export", "no.yml", "--workspace", "nowhere"]);
    assert!(none.code != 0 && none.err.contains("there is no workspace 'nowhere'"), "{}", none.err);

    let read = |place: &Place, name: &str| fs::read_to_string(place.dir.path().join(name)).unwrap();
    let (one, two) = (read(&place, "one-out.yml"), read(&place, "two-out.yml"));
    assert!(one.contains("one.test") && one.contains("name: team") && !one.contains("two.test"), "{one}");
    assert!(two.contains("_workspace: team") && two.contains("two.test") && !two.contains("one.test"), "{two}");
    let elsewhere = Place::new();
    for (name, text) in [("one-out.yml", &one), ("two-out.yml", &two)] {
        elsewhere.write(name, text);
        elsewhere.at(&["config", "db_import", name]).well("beginning import\nimport successful\n");
    }
    elsewhere.at(&["config", "db_export", "again.yml", "--workspace", "team"]).well("");
    let but_for_times = |text: &str| text.lines().filter(|line| !line.contains("updated_at")).collect::<String>();
    assert_eq!(but_for_times(&read(&elsewhere, "again.yml")), but_for_times(&two));
}

#[test]
fn draining_a_node_that_does_not_listen_says_so_and_ends_well() {
    let place = Place::new().with("GIBBON_STATUS_LISTEN", "off");
    place.at(&["drain"]).well("No status listeners found in configuration.\n");
    let place = Place::new().with("GIBBON_STATUS_LISTEN", "127.0.0.1:1");
    let said = place.at(&["drain"]);
    assert_eq!(said.code, 0);
    assert!(said.out.starts_with("Failed to send request to http://127.0.0.1:1/status/ready: "), "{}", said.out);
}

#[test]
fn draining_posts_to_the_status_api() {
    use std::io::{Read as _, Write as _};
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let place = Place::new().with("GIBBON_STATUS_LISTEN", &address);
    place.at(&["drain"]).well("Gibbon's status successfully changed to 'draining'\n");
    let request = served.join().unwrap();
    assert!(request.starts_with("POST /status/ready HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("{\"status\":\"draining\"}"), "{request}");
}

#[test]
fn migrations_of_the_embedded_database_are_always_done() {
    let place = Place::new();
    for (command, said) in [
        ("bootstrap", "Database already bootstrapped\n"),
        ("up", "Database is already up-to-date\n"),
        ("finish", "No pending migrations to finish\n"),
    ] {
        place.run(&["migrations", command]).well(said);
        place.run(&["migrations", command, "-q"]).well("");
    }
    assert_eq!(place.run(&["migrations", "list"]).code, 0);
    assert!(place.run(&["migrations", "status"]).out.starts_with("{\"needs_bootstrap\":false"));
    place.run(&["migrations", "reset"]).failed("not a tty: invoke 'reset' non-interactively with the --yes flag");
}

#[test]
fn versions_pictures_completions_and_the_manual_are_printed() {
    let place = Place::new();
    place.run(&["version"]).well(&format!("{} (Kong 3.10.0)\n", env!("CARGO_PKG_VERSION")));
    assert!(place.run(&["version", "-a"]).out.contains("Kong: 3.10.0\n"));
    assert!(place.run(&["roar"]).out.contains("whoop!"));
    assert!(place.run(&["completions", "bash"]).out.contains("complete -F _gibbon"));
    assert!(place.run(&["man"]).out.contains(".TH gibbon"));
}

#[test]
fn wrong_use_ends_with_code_one_and_help_with_zero() {
    let place = Place::new();
    let unknown = place.run(&["dance"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.starts_with("gibbon: No such command: dance\n"), "{}", unknown.err);
    assert_eq!(place.run(&["start", "--no-such-flag"]).code, 1);
    assert_eq!(place.run(&[]).code, 1);
    assert_eq!(place.run(&["--help"]).code, 0);
    assert_eq!(place.run(&["start", "--help"]).code, 0);
}

#[test]
fn output_in_a_pipe_has_no_colours() {
    let place = Place::new();
    for words in [&["check", "/no"][..], &["version"], &["stop", "-p", "/no"]] {
        let said = place.run(words);
        assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "{words:?}");
    }
}

#[test]
fn debug_prints_all_settings_with_secrets_masked() {
    let place = Place::new().with("KONG_PG_PASSWORD", "hidden").with("KONG_DATABASE", "off");
    let said = place.at(&["prepare", "--vv"]);
    assert!(said.err.contains("[debug] pg_password = \"******\"") && !said.err.contains("hidden"));
    assert!(said.err.contains("[debug] database = \"off\""));
}
