//! The program as people and scripts use it: the real binary, its texts, its exit codes, its files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_gibbon");

/// A place for one node. Whatever runs there is stopped at the end.
struct Place {
    dir: TempDir,
    called: &'static str,
    environment: Vec<(String, String)>,
}

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let listeners = ["PROXY", "ADMIN", "STATUS"];
        let mut environment: Vec<_> =
            listeners.iter().map(|name| (format!("KONG_{name}_LISTEN"), "127.0.0.1:0".to_owned())).collect();
        environment.push(("KONG_PROXY_LISTEN".into(), "127.0.0.1:0, 127.0.0.1:0 ssl".into()));
        Self { dir: tempfile::tempdir().unwrap(), called: "gibbon", environment }
    }

    fn called(mut self, name: &'static str) -> Self {
        self.called = name;
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn prefix(&self) -> PathBuf {
        self.dir.path().join("prefix")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        let inherited = std::env::vars().filter(|(name, _)| name.starts_with("KONG_") || name.starts_with("GIBBON_"));
        for (name, _) in inherited {
            command.env_remove(name);
        }
        command.arg0(self.called).args(words).envs(self.environment.iter().cloned());
        command.current_dir(self.dir.path()).env("HOME", self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Said {
        Said::from(self.command(words).output().unwrap())
    }

    /// Runs a command that works at the prefix.
    fn at(&self, words: &[&str]) -> Said {
        let prefix = self.prefix();
        self.run(&[words, &["-p", prefix.to_str().unwrap()]].concat())
    }

    fn pid(&self) -> i32 {
        fs::read_to_string(self.prefix().join("pids/nginx.pid")).unwrap().trim().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap().success());
    }

    fn error_log(&self) -> String {
        fs::read_to_string(self.prefix().join("logs/error.log")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.prefix().join("pids/nginx.pid").exists() {
            self.at(&["stop"]);
        }
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// The command succeeded and said this.
    fn well(&self, out: &str) {
        assert_eq!((self.code, self.out.as_str()), (0, out), "stderr: {}", self.err);
    }

    /// The command failed with this message in Kong's form.
    fn failed(&self, message: &str) {
        let expected = format!("Error: {message}\n\n  Run with --v (verbose) or --vv (debug) for more details\n");
        assert_eq!((self.code, self.err.as_str()), (1, expected.as_str()), "stdout: {}", self.out);
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "{what} did not happen in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

mod life {
    use super::*;

    #[test]
    fn a_node_is_started_found_healthy_reloaded_and_stopped() {
        let place = Place::new();
        let prefix = place.prefix().display().to_string();
        place
            .at(&["start"])
            .well(&format!("prefix directory {prefix} not found, trying to create it\nGibbon started\n"));
        place.at(&["health"]).well(&format!("gibbon......running\n\nGibbon is healthy at {prefix}\n"));
        place.at(&["reload"]).well("Gibbon reloaded\n");
        until("reading the settings again", || place.error_log().contains("settings read again"));
        place.at(&["stop"]).well("Gibbon stopped\n");
        let health = place.at(&["health"]);
        assert_eq!((health.code, health.out.as_str()), (1, "gibbon......not running\n\n"));
        health.failed(&format!("Gibbon is not running at {prefix}"));
    }

    #[test]
    fn called_as_kong_it_speaks_of_itself_as_kong() {
        let place = Place::new().called("kong");
        let prefix = place.prefix().display().to_string();
        fs::create_dir(place.prefix()).unwrap();
        place.at(&["start"]).well("Kong started\n");
        place.at(&["start"]).failed(&format!("Kong is already running in {prefix}"));
        place.at(&["health"]).well(&format!("nginx.......running\n\nKong is healthy at {prefix}\n"));
        place.at(&["reload"]).well("Kong reloaded\n");
        place.at(&["quit"]).well("Kong stopped (gracefully)\n");
        place.at(&["stop"]).failed(&format!("nginx not running in prefix: {prefix}"));
        place.run(&["version"]).well("3.10.0\n");
    }

    #[test]
    fn restart_stops_what_runs_and_keeps_the_settings_it_was_started_with() {
        let place = Place::new();
        place
            .command(&["start", "-p", place.prefix().to_str().unwrap()])
            .env("KONG_LOG_LEVEL", "debug")
            .output()
            .unwrap();
        let before = place.pid();
        place.at(&["restart"]).well("Gibbon stopped\nGibbon started\n");
        assert_ne!(place.pid(), before);
        assert!(fs::read_to_string(place.prefix().join(".kong_env")).unwrap().contains("log_level = debug"));
        place.at(&["stop"]).well("Gibbon stopped\n");
        place.at(&["restart"]).well("Gibbon started\n");
    }

    #[test]
    fn commands_for_a_node_that_never_was_say_so() {
        let place = Place::new();
        let prefix = place.prefix().display().to_string();
        for command in ["stop", "quit", "health", "reload"] {
            place.at(&[command]).failed(&format!("no such prefix: {prefix}"));
        }
        fs::create_dir(place.prefix()).unwrap();
        place.at(&["health"]).failed(&format!("Gibbon is not running at {prefix}"));
        place.at(&["stop"]).failed(&format!("gibbon not running in prefix: {prefix}"));
    }

    #[test]
    fn an_id_left_behind_by_a_node_that_was_killed_counts_for_nothing() {
        let place = Place::new();
        place.at(&["start"]);
        let file = place.prefix().join("pids/nginx.pid");
        place.signal("KILL");
        until("the end of the node", || place.at(&["health"]).code == 1);
        // The number now belongs to a process that is no node.
        fs::write(&file, std::process::id().to_string()).unwrap();
        place.at(&["stop"]).failed(&format!("gibbon not running in prefix: {}", place.prefix().display()));
        assert_eq!(place.at(&["start"]).code, 0);
    }

    #[test]
    fn run_stays_in_the_foreground_and_ends_on_a_signal() {
        let place = Place::new();
        let prefix = place.prefix();
        let mut child = place.command(&["run", "-p", prefix.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
        until("the start", || place.error_log().contains("node started"));
        assert_eq!(place.pid(), i32::try_from(child.id()).unwrap());
        place.signal("QUIT");
        assert!(child.wait().unwrap().success());
        assert!(!prefix.join("pids/nginx.pid").exists());
        assert!(place.error_log().contains("node stopped"));
    }

    #[test]
    fn start_stays_in_the_foreground_when_the_daemon_is_off() {
        let place = Place::new().with("KONG_NGINX_DAEMON", "off");
        let mut child =
            place.command(&["start", "-p", place.prefix().to_str().unwrap()]).stdout(Stdio::null()).spawn().unwrap();
        until("the start", || place.error_log().contains("node started"));
        place.signal("TERM");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn usr1_opens_logs_again_after_they_were_moved_away() {
        let place = Place::new();
        place.at(&["start"]);
        let (log, moved) = (place.prefix().join("logs/error.log"), place.prefix().join("logs/error.log.1"));
        until("the first line", || place.error_log().contains("node started"));
        fs::rename(&log, &moved).unwrap();
        place.signal("USR1");
        until("a new file", || log.exists());
        place.at(&["stop"]);
        assert!(place.error_log().contains("node stopped"));
        assert!(!fs::read_to_string(&moved).unwrap().contains("node stopped"));
    }

    #[test]
    fn a_reload_with_bad_settings_is_refused_and_the_node_goes_on() {
        let place = Place::new();
        place.at(&["start"]);
        let bad = place.write("bad.conf", "\nlog_level = loud\n");
        let reload = place.at(&["reload", "-c", bad.to_str().unwrap()]);
        reload.failed(&format!(
            "log_level has an invalid value: 'loud' (debug, info, notice, warn, error, crit, alert, emerg) [{}:2]",
            bad.display()
        ));
        assert_eq!(place.at(&["health"]).code, 0);
    }

    #[test]
    fn a_reload_takes_new_settings() {
        let place = Place::new();
        place.at(&["start"]);
        let conf = place.write("new.conf", "log_level = info\n");
        place.at(&["reload", "-c", conf.to_str().unwrap()]).well("Gibbon reloaded\n");
        assert!(fs::read_to_string(place.prefix().join(".kong_env")).unwrap().contains("log_level = info"));
        until("reading the settings again", || place.error_log().contains("settings read again"));
    }

    #[test]
    fn what_keeps_the_background_process_from_starting_is_said_by_start() {
        let place = Place::new().with("KONG_NGINX_USER", "no-such-user");
        let start = place.at(&["start"]);
        // Only root changes its user, so only root finds the user missing.
        if nix::unistd::geteuid().is_root() {
            start.failed("nginx_user: there is no user 'no-such-user' (valid: a user, or a user and a group)");
        }
    }

    #[test]
    fn a_node_started_as_root_goes_on_as_the_user_it_was_told() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let place = Place::new().with("KONG_NGINX_USER", "daemon daemon");
        fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(place.at(&["start"]).code, 0);
        let status = fs::read_to_string(format!("/proc/{}/status", place.pid())).unwrap();
        assert!(status.lines().any(|line| line.starts_with("Uid:\t1\t1\t1\t1")), "{status}");
        assert!(status.lines().any(|line| line.trim_end() == "Groups:\t1"), "{status}");
    }
}

mod prefix {
    use super::*;

    #[test]
    fn prepare_makes_everything_a_node_needs() {
        let place = Place::new();
        assert_eq!(place.at(&["prepare"]).code, 0);
        let prefix = place.prefix();
        for path in [
            "pids",
            "logs/access.log",
            "logs/error.log",
            "ssl/kong-default.crt",
            "ssl/kong-default-ecdsa.crt",
            "sockets",
        ] {
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
        for (name, algorithm) in [("kong-default", "1.2.840.113549.1.1.1"), ("kong-default-ecdsa", "1.2.840.10045.2.1")]
        {
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
            command
                .args(["start"])
                .env_clear()
                .env("HOME", place.dir.path())
                .uid(1)
                .gid(1)
                .envs(place.environment.clone());
            let said = Said::from(command.current_dir(place.dir.path()).output().unwrap());
            let home = place.dir.path().join(".gibbon");
            let line = format!("[warn] /usr/local/kong cannot be written; using {} instead\n", home.display());
            assert_eq!(said.code, 0, "{}", said.err);
            assert_eq!(said.err.matches(&line).count(), 1, "{}", said.err);
            let stop = place.run(&["stop", "-p", home.to_str().unwrap()]);
            stop.well("Gibbon stopped\n");
        }
    }
}

mod settings {
    use super::*;

    #[test]
    fn check_finds_a_good_file_valid() {
        let place = Place::new();
        let conf = place.write("kong.conf", "log_level = warn\nnginx_http_client_max_body_size = 1m\n");
        let said = place.run(&["check", conf.to_str().unwrap()]);
        said.well(&format!("configuration at {} is valid\n", conf.display()));
    }

    #[test]
    fn check_lists_every_fault_with_file_line_and_what_would_be_valid() {
        let place = Place::new();
        let conf = place.write("kong.conf", "database = mysql\npg_port = x\nproxy_listen = 127.0.0.1\n");
        let said = place.run(&["check", conf.to_str().unwrap()]);
        assert_eq!((said.code, said.out.as_str()), (1, ""));
        let path = conf.display();
        assert!(
            said.err.contains(&format!(
                "[error] database has an invalid value: 'mysql' (postgres, sqlite, off) [{path}:1]\n"
            ))
        );
        assert!(said.err.contains(&format!("[error] pg_port is not a number: 'x' [{path}:2; valid: a number]\n")));
        // The environment gives another proxy_listen, which wins.
        assert!(!said.err.contains("proxy_listen"));
    }

    #[test]
    fn check_tells_what_has_no_effect_is_unknown_or_unsafe_and_still_succeeds() {
        let place = Place::new();
        let conf = place.write("kong.conf", "anonymous_reports = off\nloglevel = debug\nadmin_listen = 0.0.0.0:8001\n");
        let mut command = place.command(&["check", conf.to_str().unwrap()]);
        let said = Said::from(command.env_remove("KONG_ADMIN_LISTEN").output().unwrap());
        assert_eq!(said.code, 0);
        for part in [
            "[warn] anonymous_reports has no effect: no usage report is ever sent",
            "[warn] unknown setting 'loglevel', ignored; did you mean 'log_level'?",
            "[warn] unsafe: the Admin API listens on 0.0.0.0:8001",
        ] {
            assert!(said.err.contains(part), "{part}: {}", said.err);
        }
    }

    #[test]
    fn check_opens_what_the_settings_name_and_the_start_refuses_the_same() {
        let place = Place::new();
        let rubbish = place.write("rubbish.pem", "rubbish").display().to_string();
        let declared = place.write("kong.yml", "_format_version: '3.0'\nservices:\n- name: s\n").display().to_string();
        let rubbish_pair = format!("ssl_cert = {rubbish}\nssl_cert_key = {rubbish}");
        let cases = [
            ("vaults = env,nosuch", "vaults: nosuch vault is enabled but not installed"),
            ("plugins = bundled,nosuch", "nosuch plugin is enabled but not installed"),
            ("real_ip_header = a b", "real_ip_header has an invalid value: 'a b' (a header's name, proxy_protocol)"),
            ("nginx_proxy_real_ip_header = a b", "real_ip_header has an invalid value: 'a b'"),
            ("error_template_json = /no/such", "error_template_json: file does not exist"),
            ("lua_ssl_trusted_certificate = /no/such", "lua_ssl_trusted_certificate: failed loading certificate from"),
            (&format!("lua_ssl_trusted_certificate = {rubbish}"), "rubbish.pem"),
            (&rubbish_pair, "rubbish.pem"),
            ("ssl_cipher_suite = custom\nssl_ciphers = nosuch", "ssl_ciphers: no cipher of 'nosuch' is known"),
            ("database = off\ndeclarative_config = /no/such.yml", "cannot read '/no/such.yml'"),
            (
                &format!("database = off\ndeclarative_config = {declared}"),
                "kong.yml: declarative config is invalid: {services={{host=\"required field missing\"}}}",
            ),
            ("nginx_proxy_ssl_verify_client = on\nnginx_proxy_ssl_client_certificate = /no/such", "/no/such"),
        ];
        for (lines, told) in cases {
            let conf = place.write("kong.conf", &format!("{lines}\n"));
            let conf = conf.to_str().unwrap();
            let said = place.run(&["check", conf]);
            assert!(said.code == 1 && said.out.is_empty() && said.err.contains(told), "check: {lines}: {}", said.err);
            let said = place.at(&["start", "-c", conf]);
            assert!(said.code == 1 && said.err.contains(told), "start: {lines}: {}", said.err);
        }
        let whole = "_format_version: '3.0'\nservices:\n- {name: s, host: a.test}\n";
        let declared = place.write("kong.yml", whole).display().to_string();
        let conf = place.write("kong.conf", &format!("database = off\ndeclarative_config = {declared}\n"));
        place.run(&["check", conf.to_str().unwrap()]).well(&format!("configuration at {} is valid\n", conf.display()));
    }

    #[test]
    fn check_refuses_a_log_format_that_cannot_be_written() {
        let place = Place::new();
        let conf = place.write("kong.conf", "nginx_http_log_format = mine '$nope'\n");
        let said = place.run(&["check", conf.to_str().unwrap()]);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("log format mine: unknown \"nope\" variable in log format"), "{}", said.err);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let place = Place::new();
        place.at(&["start", "-c", "/no/such.conf"]).failed("no file at: /no/such.conf");
        let said = place.run(&["check", "/no/such.conf"]);
        assert!(said.code == 1 && said.err.ends_with("[error] no file at: /no/such.conf\n"));
    }

    #[test]
    fn nothing_is_written_when_settings_are_refused() {
        let place = Place::new().with("KONG_LOG_LEVEL", "loud");
        assert_eq!(place.at(&["start"]).code, 1);
        assert!(!place.prefix().exists());
    }

    #[test]
    fn flags_for_nginx_are_taken_and_told_to_do_nothing() {
        let place = Place::new();
        let said = place.at(&[
            "start",
            "--nginx-conf",
            "x",
            "--nginx-conf-flags",
            "y",
            "--db-timeout",
            "5",
            "--run-migrations",
        ]);
        assert_eq!(said.code, 0);
        assert!(said.err.contains("--nginx-conf and --nginx-conf-flags have no effect"));
    }
}

mod tools {
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
        let priorities: Vec<i64> =
            rows.as_array().unwrap().iter().map(|row| row["priority"].as_i64().unwrap()).collect();
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
        place
            .run(&["hybrid", "gen_cert"])
            .failed(&format!("{} already exists.\nWill not overwrite it.", cert.display()));
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
        place
            .run(&["config", "init"])
            .failed("kong.yml already exists in the current directory.\nWill not overwrite it.");
        place.run(&["config", "parse", "kong.yml"]).well("parse successful\n");
        place.write("bad.yml", "services: []\n");
        let bad = place.run(&["config", "parse", "bad.yml"]);
        assert!(
            bad.err.starts_with("Error: Failed parsing:\nin '_format_version': required field missing"),
            "{}",
            bad.err
        );
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
            let service =
                format!("id: {id}1, name: same, host: {name}.test, routes: [{{id: {id}2, name: r, paths: [/]}}]");
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
}
