//! Socket options the socket libraries do not name.

use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

sockopt_impl!(
    /// Wake the listener only once data has arrived; the value is in seconds.
    DeferAccept, Both, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, i32
);
sockopt_impl!(
    /// The length of the queue of connections whose first packet carried data (RFC 7413).
    FastOpen, Both, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, i32
);
sockopt_impl!(
    /// Choose the local port at connect and not at bind, so that many connections may share one.
    BindAddressNoPort, Both, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, bool
);
