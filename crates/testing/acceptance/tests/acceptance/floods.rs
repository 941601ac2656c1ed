//! Does it stay calm when somebody floods it? HTTP/2 frames that cost the sender little and a careless server much.
//!
//! Each flood must end in a closed connection, or in silence because nobody reads; meanwhile others are served, and
//! memory stays where it was.

use std::time::Duration;

use gibbon_acceptance::frames::{self, PREFACE, flag, frame, kind};
use gibbon_testkit::upstream::{self, Upstream};
use gibbon_testkit::{Client, Gateway};

/// Frames of a flood. Any limit worth having is far below.
const FLOOD: u32 = 50_000;
/// What a flood may leave behind in memory, in MiB.
const GROWTH: u64 = 48;

struct Scene {
    gateway: Gateway,
    _upstream: Upstream,
    before: u64,
}

fn scene() -> Scene {
    let upstream = upstream::echo().unwrap();
    let gateway = Gateway::with_config(format!(
        "_format_version: '3.0'\nservices: [{{name: s, url: 'http://{}', routes: [{{name: r, paths: [/]}}]}}]\n",
        upstream.address()
    ))
    .unwrap();
    assert_eq!(gateway.get("h", "/").unwrap().status(), 200);
    let before = resident(gateway.pid());
    Scene { gateway, _upstream: upstream, before }
}

impl Scene {
    fn connection(&self) -> Client {
        let mut client = self.gateway.connect().unwrap();
        client.send(PREFACE).unwrap();
        client.send(frame(kind::SETTINGS, flag::NONE, 0, &[])).unwrap();
        client
    }

    /// Sends until the gateway has had enough or the flood is over; whether it closed the connection by then.
    fn flood(&self, mut client: Client, piece: impl Fn(u32) -> Vec<u8>) -> bool {
        client.set_patience(Duration::from_secs(5)).unwrap();
        for number in 0..FLOOD {
            if client.send(piece(number)).is_err() {
                return true;
            }
        }
        client.read_to_end().is_ok()
    }

    fn assert_calm(&self) {
        assert_eq!(self.gateway.get("h", "/after").unwrap().status(), 200, "others are served");
        let grown = resident(self.gateway.pid()).saturating_sub(self.before);
        assert!(grown < GROWTH, "memory grew by {grown} MiB");
    }
}

/// Resident memory of a process in MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Odd numbers are the client's.
fn stream(number: u32) -> u32 {
    2 * number + 1
}

#[test]
fn rapid_reset_is_cut_off() {
    // CVE-2023-44487.
    let scene = scene();
    let request = |number| {
        let head = frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream(number), &frames::get("/"));
        [head, frame(kind::RST_STREAM, flag::NONE, stream(number), &8_u32.to_be_bytes())].concat()
    };
    assert!(scene.flood(scene.connection(), request), "the connection is closed");
    scene.assert_calm();
}

#[test]
fn endless_continuation_is_cut_off() {
    // CVE-2024-27316 and its kin.
    let scene = scene();
    let mut client = scene.connection();
    client.send(frame(kind::HEADERS, flag::END_STREAM, 1, &frames::get("/"))).unwrap();
    let more = frames::headers(&[("x-more", &"y".repeat(1000))]);
    assert!(scene.flood(client, |_| frame(kind::CONTINUATION, flag::NONE, 1, &more)), "the connection is closed");
    scene.assert_calm();
}

#[test]
fn a_header_bomb_is_refused() {
    // One long field in the table, then one byte for each repetition of it.
    let scene = scene();
    let mut client = scene.connection();
    let mut block = [frames::get("/"), frames::indexed("x-bomb", &"b".repeat(3000))].concat();
    block.extend(std::iter::repeat_n(0xBE, 12_000));
    client.send(frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block)).unwrap();
    client.set_patience(Duration::from_secs(5)).unwrap();
    // Refused with an answer or a closed connection: both are fine, 36 MB of fields to the upstream are not.
    let _ = client.read_to_end();
    scene.assert_calm();
}

#[test]
fn settings_pings_and_window_updates_do_not_pile_up() {
    let scene = scene();
    let settings = frame(kind::SETTINGS, flag::NONE, 0, &[0, 4, 0, 1, 0, 0]);
    scene.flood(scene.connection(), |_| settings.clone());
    scene.assert_calm();
    let ping = frame(kind::PING, flag::NONE, 0, b"12345678");
    scene.flood(scene.connection(), |_| ping.clone());
    scene.assert_calm();
    let update = frame(kind::WINDOW_UPDATE, flag::NONE, 0, &1_u32.to_be_bytes());
    scene.flood(scene.connection(), |_| update.clone());
    scene.assert_calm();
}

#[test]
fn empty_data_frames_do_not_pile_up() {
    // CVE-2019-9518.
    let scene = scene();
    let mut client = scene.connection();
    let head = frames::headers(&[(":method", "POST"), (":scheme", "http"), (":authority", "f.test"), (":path", "/")]);
    client.send(frame(kind::HEADERS, flag::END_HEADERS, 1, &head)).unwrap();
    scene.flood(client, |_| frame(kind::DATA, flag::NONE, 1, &[]));
    scene.assert_calm();
}

#[test]
fn thousands_of_connections_that_never_speak_leave_room_for_others() {
    let scene = scene();
    let silent: Vec<Client> = (0..2000).map(|_| scene.gateway.connect().unwrap()).collect();
    scene.assert_calm();
    drop(silent);
}
