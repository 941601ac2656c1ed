//! Rendering a line allocates nothing once its buffer has grown.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gibbon_conf::{Escape, LogFormat};
use gibbon_journal::*;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Request([Try; 1]);

impl Variables for Request {
    fn ended_at(&self) -> u64 {
        1_700_000_000_000
    }

    fn value(&self, _: &Variable) -> Value<'_> {
        Value::Text(b"a \"value\"")
    }

    fn request_header(&self, _: &str, each: &mut dyn FnMut(&[u8])) {
        each(b"one; a=2");
    }

    fn response_header(&self, _: &str, each: &mut dyn FnMut(&[u8])) {
        each(b"one");
    }

    fn tries(&self) -> &[Try] {
        &self.0
    }
}

#[test]
fn rendering_allocates_nothing_once_warm() {
    let text = "$remote_addr $time_local $msec $status $http_a $sent_http_b $arg_c $cookie_a $upstream_addr $pid";
    let log = AccessLog::compile(&LogFormat { text: text.into(), escape: Escape::Default }, "h").unwrap();
    let request = Request([Try {
        address: TryAddress::Ip(([127, 0, 0, 1], 80).into()),
        status: Some(200),
        connect_ms: None,
        header_ms: None,
        response_ms: None,
        response_length: None,
        bytes_sent: None,
        bytes_received: None,
    }]);
    let (mut clock, mut line) = (LineClock::default(), Vec::new());
    log.render(&request, &mut clock, &mut line);
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..100 {
        line.clear();
        log.render(&request, &mut clock, &mut line);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}
