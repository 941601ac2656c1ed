//! Free TCP and UDP ports on loopback for servers that a test starts as a child process.
//!
//! Asking the system for a port and closing it again is a race: the next outgoing connection of any test may be given
//! the same one. A port whose last connection was closed by our side rests in TIME_WAIT for a minute; the system
//! then hands it to nobody, while a server that sets SO_REUSEADDR (every server does) may bind it by name.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

/// A TCP port on 127.0.0.1 that stays reserved for an explicit bind for about a minute.
///
/// # Errors
/// When the system has no port or no descriptor left.
pub fn free_tcp() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let client = TcpStream::connect(address)?;
    let (server, _) = listener.accept()?;
    // The order matters: whoever closes first keeps the TIME_WAIT, and it must be the listener's port.
    drop(server);
    drop(client);
    Ok(address.port())
}

/// A TCP port as a full loopback address.
///
/// # Errors
/// As [`free_tcp`].
pub fn free_tcp_address() -> io::Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_tcp()?)))
}

/// A UDP port on 127.0.0.1, free at the time of asking.
///
/// # Errors
/// When the system has no port left.
pub fn free_udp() -> io::Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_can_be_bound_by_name_and_is_not_given_twice() {
        let ports: std::collections::HashSet<u16> = (0..20).map(|_| free_tcp().unwrap()).collect();
        assert_eq!(ports.len(), 20);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
