//! Sockets against real peers: this process, `curl`, and a second run of this program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod accepting;
mod arriving;
mod binding;
mod certificates;
mod connecting;
mod handing_over;
mod proxy_header;
mod relaying;
mod udp;

use std::net::SocketAddr;
use std::sync::Arc;

use gibbon_net::{BoundSocket, Counters, Inherited, ListenAddress, ListenSpec, Listener, bind};

/// Any free port of the loopback interface.
pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn bind_one(spec: &ListenSpec) -> BoundSocket {
    bind(spec, 1, &mut Inherited::none()).unwrap().remove(0)
}

pub fn ip(address: &ListenAddress) -> SocketAddr {
    match address {
        ListenAddress::Ip(address) => *address,
        ListenAddress::Unix(path) => panic!("{} is no IP address", path.display()),
    }
}

/// A TCP listener of one worker, without limits.
pub fn listener() -> (Listener, SocketAddr, Arc<Counters>) {
    let bound = bind_one(&ListenSpec::tcp(loopback()));
    let address = ip(bound.address());
    let counters = Arc::new(Counters::default());
    (Listener::new(bound, None, counters.clone()).unwrap(), address, counters)
}

/// Whether a program is installed; says so if not.
pub fn installed(program: &str) -> bool {
    let found = std::process::Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: no {program} program");
    }
    found
}
