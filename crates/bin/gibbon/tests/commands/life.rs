//! Starting, reloading, stopping: what becomes of the process.

use super::*;

#[test]
fn a_node_is_started_found_healthy_reloaded_and_stopped() {
    let place = Place::new();
    let prefix = place.prefix().display().to_string();
    place.at(&["start"]).well(&format!("prefix directory {prefix} not found, trying to create it\nGibbon started\n"));
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
    place.command(&["start", "-p", place.prefix().to_str().unwrap()]).env("KONG_LOG_LEVEL", "debug").output().unwrap();
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
