//! What stands in the logs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io;
use std::sync::{Arc, Mutex};

use gibbon_conf::{Escape, LogFormat, LogLevel};
use gibbon_journal::*;
use jiff::tz::TimeZone;
use tracing_subscriber::layer::SubscriberExt as _;

/// A request as a proxy would tell it.
struct Request {
    headers: Vec<(&'static str, &'static [u8])>,
    sent: Vec<(&'static str, &'static [u8])>,
    tries: Vec<Try>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            headers: vec![("host", b"example.test"), ("user-agent", b"curl/8\"\n"), ("cookie", b"a=1; session=xyz")],
            sent: vec![("content-type", b"text/plain"), ("x-a", b"1"), ("x-a", b"2")],
            tries: Vec::new(),
        }
    }
}

impl Variables for Request {
    fn ended_at(&self) -> u64 {
        1_700_000_000_042
    }

    fn value(&self, variable: &Variable) -> Value<'_> {
        match variable {
            Variable::RemoteAddr => Value::Address("192.0.2.7".parse().unwrap()),
            Variable::Request => Value::Text(b"GET /x?q=1&R=2 HTTP/1.1"),
            Variable::Args => Value::Text(b"q=1&R=2"),
            Variable::Status => Value::Number(200),
            Variable::BodyBytesSent => Value::Number(1234),
            Variable::RequestTime => Value::Milliseconds(5),
            Variable::KongRequestId => Value::Text(b"0123456789abcdef0123456789abcdef"),
            Variable::Connection => Value::Number(7),
            _ => Value::Unset,
        }
    }

    fn request_header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.headers.iter().filter(|(known, _)| *known == name).for_each(|(_, value)| each(value));
    }

    fn response_header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.sent.iter().filter(|(known, _)| *known == name).for_each(|(_, value)| each(value));
    }

    fn tries(&self) -> &[Try] {
        &self.tries
    }
}

fn line_of(format: &str, escape: Escape, request: &Request) -> String {
    let log = AccessLog::compile(&LogFormat { text: format.to_owned(), escape }, "gateway-1").unwrap();
    let mut line = Vec::new();
    log.render(request, &mut LineClock::new(TimeZone::UTC), &mut line);
    String::from_utf8(line).unwrap()
}

fn line(format: &str) -> String {
    line_of(format, Escape::Default, &Request::default())
}

#[test]
fn kongs_format_gives_kongs_line() {
    let kong = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \
                \"$http_user_agent\" kong_request_id: \"$kong_request_id\"";
    assert_eq!(
        line(kong),
        "192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] \"GET /x?q=1&R=2 HTTP/1.1\" 200 1234 \"-\" \"curl/8\\x22\\x0A\" \
         kong_request_id: \"0123456789abcdef0123456789abcdef\"\n"
    );
}

#[test]
fn times_are_seconds_with_three_decimals() {
    assert_eq!(line("$request_time $msec"), "0.005 1700000000.042\n");
}

#[test]
fn headers_arguments_and_cookies_are_found_by_name() {
    assert_eq!(
        line("$http_user_agent|$sent_http_x_a|$cookie_session|$arg_q|$arg_r|$arg_z|$cookie_z"),
        "curl/8\\x22\\x0A|1, 2|xyz|1|2|-|-\n"
    );
}

#[test]
fn names_may_stand_in_braces_and_literals_are_kept() {
    assert_eq!(line("a${status}b-$hostname"), "a200b-gateway-1\n");
}

#[test]
fn json_escapes_for_json_and_leaves_unset_values_empty() {
    assert_eq!(
        line_of("{\"ua\":\"$http_user_agent\",\"ref\":\"$http_referer\"}", Escape::Json, &Request::default()),
        "{\"ua\":\"curl/8\\\"\\n\",\"ref\":\"\"}\n"
    );
}

#[test]
fn every_upstream_try_is_listed() {
    let t = |port: u16, status| Try {
        address: TryAddress::Ip(([127, 0, 0, 1], port).into()),
        status: Some(status),
        connect_ms: Some(1),
        header_ms: None,
        response_ms: Some(1500),
        response_length: Some(10),
        bytes_sent: None,
        bytes_received: None,
    };
    let request = Request { tries: vec![t(81, 502), t(82, 200)], ..Request::default() };
    let format = "$upstream_addr $upstream_status $upstream_response_time $upstream_header_time";
    assert_eq!(line_of(format, Escape::Default, &request), "127.0.0.1:81, 127.0.0.1:82 502, 200 1.500, 1.500 -, -\n");
    assert_eq!(line("$upstream_addr"), "-\n");
}

#[test]
fn a_format_with_an_unknown_variable_or_a_lone_dollar_is_refused() {
    let compile =
        |text: &str| AccessLog::compile(&LogFormat { text: text.into(), escape: Escape::Default }, "h").map(|_| ());
    assert_eq!(compile("$nope"), Err(FormatError::UnknownVariable("nope".into())));
    assert_eq!(compile("cost: $ 5"), Err(FormatError::NoName(6)));
    assert_eq!(compile("${status"), Err(FormatError::NoName(0)));
}

#[test]
fn lines_of_all_handles_reach_the_file_and_closing_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let journal = Journal::start().unwrap();
    let first = journal.file(&path).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let own = first.own();
            std::thread::spawn(move || (0..100).for_each(|n| own.write(format!("line {n}\n").as_bytes())))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    journal.close();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 400);
    assert!(text.lines().all(|line| line.starts_with("line ")));
    assert_eq!(first.dropped(), 0);
}

#[test]
fn after_a_file_was_moved_away_reopening_makes_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("a.log"), dir.path().join("a.log.1"));
    let journal = Journal::start().unwrap();
    let handle = journal.file(&path).unwrap();
    handle.write(b"before\n");
    std::fs::rename(&path, &moved).unwrap();
    journal.reopen();
    until(|| path.exists());
    handle.write(b"after\n");
    journal.close();
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "before\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
}

#[test]
fn two_logs_with_the_same_path_share_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let journal = Journal::start().unwrap();
    journal.file(&path).unwrap().write(b"one\n");
    journal.file(&path).unwrap().write(b"two\n");
    journal.close();
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
}

/// A destination that waits until it is let go, as a disk does that hangs.
struct Stuck(Arc<Mutex<()>>);

impl Destination for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        drop(self.0.lock());
        Ok(())
    }
}

#[test]
fn a_disk_that_hangs_costs_lines_and_never_makes_a_worker_wait() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let journal = Journal::start().unwrap();
    let stuck = Arc::clone(&gate);
    let handle = journal.handle("stuck", move || Ok(Box::new(Stuck(stuck)))).unwrap();
    let line = vec![b'x'; 64 * 1024];
    for _ in 0..64 {
        handle.write(&line);
    }
    assert!(handle.dropped() > 0);
    drop(held);
    journal.close();
}

fn until(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    panic!("the condition did not come true in time");
}

fn error_lines(level: LogLevel, json: bool, events: impl FnOnce(&LevelControl)) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let journal = Journal::start().unwrap();
    let control = LevelControl::new(level);
    let layer = ErrorLog::new(control.clone(), Some(journal.file(&path).unwrap()), json)
        .route("admin", Some(journal.file(&dir.path().join("admin.log")).unwrap()));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || events(&control));
    journal.close();
    std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn an_error_line_has_nginxs_layout_with_context_in_nginxs_order() {
    let lines = error_lines(LogLevel::Notice, false, |_| {
        tracing::error!(
            host = "h",
            client = "192.0.2.7",
            request = "GET / HTTP/1.1",
            connection = 9,
            "upstream failed"
        );
    });
    let (time, rest) = lines[0].split_at("2025/11/24 07:31:02".len());
    assert!(time.bytes().all(|b| b.is_ascii_digit() || b"/: ".contains(&b)), "{time}");
    let pid = std::process::id();
    assert_eq!(
        rest,
        format!(" [error] {pid}#0: *9 upstream failed, client: 192.0.2.7, request: \"GET / HTTP/1.1\", host: \"h\"")
    );
}

#[test]
fn severities_between_tracings_levels_are_named() {
    let lines = error_lines(LogLevel::Notice, false, |_| {
        tracing::info!(severity = "notice", "shown");
        tracing::info!("hidden");
        tracing::error!(severity = "crit", "very bad");
        tracing::debug!("hidden too");
    });
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(" [notice] ") && lines[0].ends_with(": shown"), "{lines:?}");
    assert!(lines[1].contains(" [crit] "));
}

#[test]
fn the_level_may_change_while_running() {
    let lines = error_lines(LogLevel::Error, false, |control| {
        for level in [LogLevel::Error, LogLevel::Debug, LogLevel::Emerg] {
            control.set(level);
            tracing::debug!("at {}", level.as_str());
        }
    });
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("at debug"));
}

#[test]
fn a_message_cannot_forge_a_line() {
    let lines = error_lines(LogLevel::Notice, false, |_| tracing::error!(client = "1\n2", "one\r\n2025/01/01 fake"));
    assert_eq!(lines.len(), 1);
}

#[test]
fn events_go_where_their_target_leads() {
    let lines = error_lines(LogLevel::Notice, false, |_| tracing::error!(target: "admin::x", "elsewhere"));
    assert!(lines.is_empty());
}

#[test]
fn lines_may_be_json() {
    let lines = error_lines(LogLevel::Notice, true, |_| tracing::warn!(client = "c", "say \"hi\""));
    assert!(
        lines[0].contains(",\"level\":\"warn\",")
            && lines[0].contains("\"message\":\"say \\\"hi\\\"\",\"client\":\"c\"}"),
        "{}",
        lines[0]
    );
}

#[test]
fn lines_are_offered_to_plugins_that_export_the_log_but_not_those_of_deliveries() {
    let request = gibbon_pdk::RequestId([3; 16]);
    let interest = gibbon_pdk::LogInterest::default();
    error_lines(LogLevel::Notice, false, |_| {
        tracing::error!(request_id = %request, "upstream broke off");
        tracing::info!(request_id = %request, "below the level");
        tracing::error!(target: "gibbon_ports::queue", request_id = %request, "not delivered");
    });
    let lines: Vec<_> = interest.lines(request).into_iter().filter(|line| line.request == Some(request)).collect();
    assert_eq!(lines.len(), 1);
    assert_eq!((&*lines[0].message, lines[0].level), ("upstream broke off", "error"));
}
