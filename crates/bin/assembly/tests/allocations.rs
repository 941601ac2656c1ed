//! What a request costs in allocations, on the whole node. Unlike a time it is the same on every machine and in every build,
//! so a step that begins to allocate per request is seen by the next run of the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unsafe_code)] // A counting allocator cannot be written without.

#[path = "it/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rig::Rig;

/// Requests between two looks at the counter.
const BATCH: u64 = 200;
/// The cheapest of so many batches counts: what else the node does now and then can only add.
const BATCHES: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

struct Counting;

/// Of all threads: the peers in this file do not allocate while a batch is under way.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers every head with 200 bytes.
fn upstream() -> SocketAddr {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let answer = [ANSWER, &[b'x'; 200]].concat();
                let mut buffer = [0; 4096];
                while read_head(&mut stream, &mut buffer).is_some_and(|length| length > 0) {
                    stream.write_all(&answer).unwrap();
                }
            });
        }
    });
    address
}

/// Reads until the bytes end with an empty line; their number, 0 at the end of the stream.
fn read_head(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    let mut length = 0;
    while !buffer[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer[length..]) {
            Ok(0) | Err(_) => return (length == 0).then_some(0),
            Ok(read) => length += read,
        }
    }
    Some(length)
}

fn ask(client: &mut TcpStream, request: &[u8], buffer: &mut [u8]) {
    client.write_all(request).unwrap();
    let mut length = 0;
    loop {
        let read = client.read(&mut buffer[length..]).unwrap();
        assert!(read > 0, "closed within an answer");
        length += read;
        let got = &buffer[..length];
        assert!(got.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(got));
        if got.ends_with(&[b'x'; 200]) {
            return;
        }
    }
}

/// Allocations per request behind the first few hundred, which fill what is kept and reused.
fn allocations_per_request(plugins: &str, header: &str) -> u64 {
    let settings = [("nginx_worker_processes", "1".to_owned()), ("proxy_access_log", "off".to_owned())];
    let config = format!(
        "_format_version: '3.0'\nservices:\n- {{name: s, url: 'http://{}', routes: [{{name: r, paths: [/]}}]}}\n\
         consumers:\n- {{username: c, keyauth_credentials: [{{key: k}}], acls: [{{group: everyone}}]}}\n{plugins}",
        upstream()
    );
    let rig = Rig::start(&settings, &config);
    let mut client = TcpStream::connect(rig.proxy).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_nodelay(true).unwrap();
    let request = format!("GET /a HTTP/1.1\r\nHost: api.test\r\n{header}\r\n");
    let mut buffer = [0; 4096];
    let mut batch = || {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..BATCH {
            ask(&mut client, request.as_bytes(), &mut buffer);
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    batch();
    let cheapest = (0..BATCHES).map(|_| batch()).min().unwrap();
    cheapest / BATCH
}

/// One test, because the counter is the process's.
#[test]
fn a_request_allocates_no_more_than_it_did() {
    let auth = "plugins:\n- {name: key-auth}\n";
    let limit = "- {name: rate-limiting, config: {minute: 1000000000, policy: local, limit_by: service}}\n";
    let rest = "- {name: correlation-id, config: {header_name: X-Correlation, generator: 'uuid#counter'}}\n\
         - {name: request-transformer, config: {add: {headers: ['X-Added: 1']}}}\n\
         - {name: response-transformer, config: {add: {headers: ['X-Answered: 1']}}}\n\
         - {name: cors, config: {origins: ['https://bench.test']}}\n\
         - {name: ip-restriction, config: {allow: [127.0.0.0/8]}}\n\
         - {name: bot-detection}\n- {name: acl, config: {allow: [everyone]}}\n- {name: prometheus}\n";
    let cases = [
        ("plain", String::new(), 1000),
        ("key-auth", auth.to_owned(), 1000),
        ("key-auth and rate-limiting", format!("{auth}{limit}"), 1000),
        ("ten plugins", format!("{auth}{limit}{rest}"), 1000),
    ];
    for (name, plugins, most) in cases {
        let counted = allocations_per_request(&plugins, "apikey: k\r\n");
        println!("{name}: {counted} allocations per request");
        assert!(
            counted <= most,
            "{name}: {counted} allocations per request, which were {most}; if that is meant, say why"
        );
    }
}
