//! Look-ups of routes with hosts and prefixes take nothing from the heap, whether they hit or miss.
//!
//! A file of its own, as it counts in the allocator of the whole binary.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};

use gibbon_message::Headers;
use gibbon_router::{Flavor, Protocol, Query, RouteSpec, Router, Scratch, Subsystem};
use uuid::Uuid;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// Sound: it only counts and hands everything on to the system's allocator.
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

fn route(number: usize) -> RouteSpec {
    RouteSpec {
        id: Uuid::from_u128(number as u128),
        protocols: [Protocol::Http, Protocol::Https].into_iter().collect(),
        hosts: vec![format!("host-{}.test", number / 50), format!("*.wild-{}.test", number / 50)],
        paths: vec![format!("/service-{number}"), "/".into()],
        methods: if number.is_multiple_of(7) { vec!["GET".into()] } else { Vec::new() },
        ..RouteSpec::default()
    }
}

#[test]
fn look_ups_of_hosts_and_prefixes_do_not_allocate() {
    for flavor in [Flavor::TraditionalCompatible, Flavor::Traditional] {
        let routes = (0..1000).map(|number| (route(number), number));
        let router = Router::build(flavor, Subsystem::Http, routes).unwrap();
        let headers = Headers::new();
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut scratch = Scratch::default();
        let mut ask = |host: &str, path: &str| {
            let query = Query {
                protocol: Protocol::Http,
                method: "GET",
                host: host.as_bytes(),
                path: path.as_bytes(),
                raw_query: None,
                headers: &headers,
                sni: None,
                source: (local, 1),
                destination: (local, 80),
            };
            router.find(&query, &mut scratch).map(|found| *found.value)
        };
        // The first look-up sizes the scratch memory.
        assert!(ask("a-rather-long-name.of-a-host.wild-7.test", "/").is_some());
        ALLOCATIONS.with(|count| count.set(0));
        for number in 0..1000 {
            let answers = [
                ask(HOSTS[number % 4], "/service-1/x"),
                ask("host-3.test:8000", "/service-170/a/b/c/d/e"),
                ask("x.y.wild-3.test", "/none"),
                ask("nobody.test", "/"),
            ];
            assert!(answers[1].is_some() && answers[2].is_some() && answers[3].is_none());
        }
        assert_eq!(ALLOCATIONS.with(Cell::get), 0, "{flavor:?}");
    }
}

const HOSTS: [&str; 4] = ["host-0.test", "host-1.test", "x.wild-2.test", ""];
