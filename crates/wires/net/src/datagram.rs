//! A bound datagram socket that knows to which of the machine's addresses a datagram came, so that the answer
//! leaves from the same one: clients drop answers from elsewhere.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::bind::BoundSocket;

#[derive(Debug)]
pub(crate) struct DatagramSocket {
    socket: UdpSocket,
    bound: SocketAddr,
}

/// Where a datagram came from, and at which of our addresses it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    pub client: SocketAddr,
    pub local: SocketAddr,
}

impl DatagramSocket {
    pub(crate) fn new(bound: BoundSocket) -> io::Result<Self> {
        let socket = UdpSocket::from_std(bound.into_udp())?;
        let bound = socket.local_addr()?;
        if bound.ip().is_unspecified() {
            match bound {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            }
        }
        Ok(Self { socket, bound })
    }

    pub(crate) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Receives one datagram; a longer one than the buffer is cut.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Path)> {
        self.socket.async_io(Interest::READABLE, || self.try_receive(buffer)).await
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Path)> {
        let mut space = nix::cmsg_space!(libc::in6_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let received =
            recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::empty())?;
        let client = received.address.as_ref().and_then(ip_address).ok_or(io::ErrorKind::InvalidData)?;
        let arrived = received.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr))))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr))),
            _ => None,
        });
        let local = SocketAddr::new(arrived.unwrap_or(self.bound.ip()), self.bound.port());
        Ok((received.bytes, Path { client, local }))
    }

    /// Sends an answer back the way the question came. If the system's buffer is full it is lost, as it could
    /// be anywhere on its way.
    pub(crate) fn answer(&self, datagram: &[u8], path: Path) {
        let _ = self.socket.try_io(Interest::WRITABLE, || self.try_answer(datagram, path));
    }

    fn try_answer(&self, datagram: &[u8], path: Path) -> io::Result<usize> {
        let to = SockaddrStorage::from(path.client);
        let slices = [IoSlice::new(datagram)];
        let descriptor = self.socket.as_raw_fd();
        if !self.bound.ip().is_unspecified() {
            return Ok(sendmsg(descriptor, &slices, &[], MsgFlags::empty(), Some(&to))?);
        }
        let sent = match path.local.ip() {
            IpAddr::V4(v4) => {
                let from = libc::in_addr { s_addr: v4.to_bits().to_be() };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: from };
                sendmsg(descriptor, &slices, &[ControlMessage::Ipv4PacketInfo(&info)], MsgFlags::empty(), Some(&to))
            }
            IpAddr::V6(v6) => {
                let from = libc::in6_addr { s6_addr: v6.octets() };
                let info = libc::in6_pktinfo { ipi6_addr: from, ipi6_ifindex: 0 };
                sendmsg(descriptor, &slices, &[ControlMessage::Ipv6PacketInfo(&info)], MsgFlags::empty(), Some(&to))
            }
        };
        Ok(sent?)
    }
}

fn ip_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()))
}
