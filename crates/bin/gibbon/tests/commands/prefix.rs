//! What the prefix directory holds, and whose it is.

use super::*;

#[test]
fn prepare_makes_everything_a_node_needs() {
    let place = Place::new();
    assert_eq!(place.at(&["prepare"]).code, 0);
    let prefix = place.prefix();
    for path in
        ["pids", "logs/access.log", "logs/error.log", "ssl/kong-default.crt", "ssl/kong-default-ecdsa.crt", "sockets"]
    {
        assert!(prefix.join(path).exists(), "{path}");
    }
    let mode = |path: &str| fs::metadata(prefix.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ssl/kong-default.key"), 0o600);
    assert_eq!(mode(".kong_env"), 0o640);
    let id = fs::read_to_string(prefix.join("kong.id")).unwrap();
    assert_eq!(place.at(&["prepare"]).code, 0);
    assert_eq!(fs::read_to_string(prefix.join("kong.id")).unwrap(), id);
    assert!(!prefix.join("ssl/admin-kong-default.crt").exists(), "no listener of the Admin API speaks TLS");
}

#[test]
fn the_default_certificates_are_self_signed_for_localhost() {
    let place = Place::new();
    place.at(&["prepare"]);
    for (name, algorithm) in [("kong-default", "1.2.840.113549.1.1.1"), ("kong-default-ecdsa", "1.2.840.10045.2.1")] {
        let pem = fs::read(place.prefix().join(format!("ssl/{name}.crt"))).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let certificate = pem.parse_x509().unwrap();
        assert_eq!(certificate.public_key().algorithm.algorithm.to_id_string(), algorithm);
        assert_eq!(certificate.subject().to_string(), "O=Gibbon, CN=localhost");
        assert_eq!(certificate.issuer(), certificate.subject());
    }
}

#[test]
fn secrets_that_were_references_are_written_as_references() {
    let place = Place::new()
        .with("KONG_PG_PASSWORD", "{vault://env/the-secret}")
        .with("THE_SECRET", "hidden")
        .with("KONG_DATABASE", "off");
    assert_eq!(place.at(&["prepare"]).code, 0);
    let written = fs::read_to_string(place.prefix().join(".kong_env")).unwrap();
    assert!(written.contains("pg_password = {vault://env/the-secret}") && !written.contains("hidden"));
}

#[test]
fn values_of_several_lines_survive_being_written_down() {
    let yaml = "_format_version: \"3.0\"\nservices: # none\n- name: a\n  host: a.test";
    let place = Place::new().with("KONG_DECLARATIVE_CONFIG_STRING", yaml);
    assert_eq!(place.at(&["start"]).code, 0);
    place.at(&["restart"]).well("Gibbon stopped\nGibbon started\n");
    let written = fs::read_to_string(place.prefix().join(".kong_env")).unwrap();
    assert!(written.contains("|services: # none\n|- name: a\n"), "{written}");
}

#[test]
fn an_unwritable_default_prefix_becomes_one_at_home_and_is_said_once() {
    if nix::unistd::geteuid().is_root() && !Path::new("/usr/local/kong").exists() {
        // Root may write anywhere; as another user the same binary finds it cannot.
        let place = Place::new();
        fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let copy = place.dir.path().join("gibbon-copy");
        fs::copy(BINARY, &copy).unwrap();
        let mut command = Command::new(&copy);
        command.args(["start"]).env_clear().env("HOME", place.dir.path()).uid(1).gid(1).envs(place.environment.clone());
        let said = Said::from(command.current_dir(place.dir.path()).output().unwrap());
        let home = place.dir.path().join(".gibbon");
        let line = format!("[warn] /usr/local/kong cannot be written; using {} instead\n", home.display());
        assert_eq!(said.code, 0, "{}", said.err);
        assert_eq!(said.err.matches(&line).count(), 1, "{}", said.err);
        let stop = place.run(&["stop", "-p", home.to_str().unwrap()]);
        stop.well("Gibbon stopped\n");
    }
}
