//! Passes listening sockets from a running process to its successor over a unix socket, so that no waiting
//! connection is lost when the binary is replaced; and a locked file, so that its lock is never free in between.
//!
//! The descriptors travel by SCM_RIGHTS in batches, each with the names under which the successor will look for
//! them. Calls block and are meant for the control thread; a stuck peer ends with an error after some seconds.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, getsockopt, recvmsg, sendmsg, sockopt};

use crate::bind::{BoundSocket, ListenAddress, SocketKind};

/// The kernel takes 253 descriptors with one message at most.
const BATCH: usize = 64;
/// More sockets than any configuration has: a peer that claims more is not a predecessor of ours.
const MOST_SOCKETS: usize = 16_384;
const LONGEST_NAME: usize = 256;
const PATIENCE: Duration = Duration::from_secs(10);
/// What a message holds: sockets with their names behind them, or a file of the predecessor's.
const SOCKETS: &[u8; 4] = b"LSN1";
const FILE: &[u8; 4] = b"FIL1";

/// Why a hand-over failed.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    #[error("listener hand-over: {0}")]
    Io(#[from] io::Error),
    #[error("listener hand-over: the other process runs as user {other}, not as user {own}")]
    Stranger { own: u32, other: u32 },
    #[error("listener hand-over: the other process speaks another protocol ({0})")]
    Protocol(&'static str),
}

impl From<nix::errno::Errno> for HandOverError {
    fn from(error: nix::errno::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Sockets received from a predecessor and not yet claimed. Dropping it closes what nobody claimed, and with it
/// the addresses that are no longer configured.
#[derive(Debug, Default)]
pub struct Inherited(Vec<BoundSocket>);

impl Inherited {
    /// Nothing inherited: a first start.
    pub fn none() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the sockets that were opened for this address.
    pub(crate) fn claim(&mut self, address: &ListenAddress, kind: SocketKind) -> Vec<BoundSocket> {
        let (claimed, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|socket| socket.requested() == address && socket.kind() == kind);
        self.0 = rest;
        claimed
    }
}

/// Collects second handles of a running process's own sockets: a reload claims from them.
impl FromIterator<BoundSocket> for Inherited {
    fn from_iter<I: IntoIterator<Item = BoundSocket>>(sockets: I) -> Self {
        Self(sockets.into_iter().collect())
    }
}

/// Sends sockets to a successor that connected. The peer must run as the same user.
pub fn send(peer: &mut UnixStream, sockets: &[BoundSocket]) -> Result<(), HandOverError> {
    prepare(peer)?;
    for batch in sockets.chunks(BATCH) {
        send_batch(peer, batch)?;
    }
    send_batch(peer, &[])
}

/// Receives the sockets a predecessor sends.
pub fn receive(peer: &mut UnixStream) -> Result<Inherited, HandOverError> {
    prepare(peer)?;
    let mut sockets = Vec::new();
    loop {
        let batch = receive_batch(peer)?;
        if batch.is_empty() {
            return Ok(Inherited(sockets));
        }
        sockets.extend(batch);
        if sockets.len() > MOST_SOCKETS {
            return Err(HandOverError::Protocol("too many sockets"));
        }
    }
}

/// Sends an open file, and with it whatever lock is held on it: a lock taken by flock(2) belongs to the open file, which
/// both processes then have.
pub fn send_file(peer: &mut UnixStream, file: &impl AsFd) -> Result<(), HandOverError> {
    prepare(peer)?;
    send_head(peer, FILE, &[file.as_fd().as_raw_fd()])
}

/// Receives a file that a predecessor sends.
pub fn receive_file(peer: &mut UnixStream) -> Result<OwnedFd, HandOverError> {
    prepare(peer)?;
    let mut files = receive_head(peer, FILE)?;
    files.pop().ok_or(HandOverError::Protocol("no file"))
}

fn prepare(peer: &UnixStream) -> Result<(), HandOverError> {
    peer.set_read_timeout(Some(PATIENCE))?;
    peer.set_write_timeout(Some(PATIENCE))?;
    let own = nix::unistd::geteuid().as_raw();
    let other = getsockopt(peer, sockopt::PeerCredentials)?.uid();
    if own == other { Ok(()) } else { Err(HandOverError::Stranger { own, other }) }
}

/// A head with the descriptors attached; then each name behind its length.
fn send_batch(peer: &mut UnixStream, batch: &[BoundSocket]) -> Result<(), HandOverError> {
    let descriptors: Vec<RawFd> = batch.iter().map(|socket| socket.socket.as_raw_fd()).collect();
    send_head(peer, SOCKETS, &descriptors)?;
    for socket in batch {
        let name = name(socket);
        let length = u16::try_from(name.len()).map_err(|_| HandOverError::Protocol("name too long"))?;
        peer.write_all(&length.to_be_bytes())?;
        peer.write_all(name.as_bytes())?;
    }
    Ok(())
}

/// What the message holds and how many of them, with their descriptors attached.
fn send_head(peer: &mut UnixStream, what: &[u8; 4], descriptors: &[RawFd]) -> Result<(), HandOverError> {
    let mut head = what.to_vec();
    head.extend_from_slice(&u32::try_from(descriptors.len()).unwrap_or(0).to_be_bytes());
    let rights = [ControlMessage::ScmRights(descriptors)];
    let attached = if descriptors.is_empty() { [].as_slice() } else { rights.as_slice() };
    let sent = sendmsg::<()>(peer.as_raw_fd(), &[IoSlice::new(&head)], attached, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(peer.write_all(head.get(sent..).unwrap_or_default())?)
}

fn receive_batch(peer: &mut UnixStream) -> Result<Vec<BoundSocket>, HandOverError> {
    receive_head(peer, SOCKETS)?
        .into_iter()
        .map(|descriptor| {
            let (address, kind) = read_name(peer)?;
            Ok(BoundSocket::adopted(descriptor.into(), kind, address))
        })
        .collect()
}

/// The descriptors of the next message, which must hold what is expected.
fn receive_head(peer: &mut UnixStream, what: &[u8; 4]) -> Result<Vec<OwnedFd>, HandOverError> {
    let mut head = [0; 8];
    let (read, descriptors) = receive_descriptors(peer, &mut head)?;
    peer.read_exact(head.get_mut(read..).unwrap_or_default())?;
    let [m0, m1, m2, m3, count @ ..] = head;
    if [m0, m1, m2, m3] != *what {
        return Err(HandOverError::Protocol("wrong first bytes"));
    }
    if usize::try_from(u32::from_be_bytes(count)).ok() != Some(descriptors.len()) {
        return Err(HandOverError::Protocol("a descriptor is missing: is the limit of open files too low?"));
    }
    Ok(descriptors)
}

/// Reads some of the head and the descriptors that came with its first byte.
#[allow(unsafe_code)]
fn receive_descriptors(peer: &UnixStream, head: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), HandOverError> {
    let mut space = nix::cmsg_space!([RawFd; BATCH]);
    let mut slices = [IoSliceMut::new(head)];
    let message = recvmsg::<()>(peer.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just opened these descriptors for this message; nobody else knows them.
            descriptors.extend(raw.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    match message.bytes {
        0 => Err(HandOverError::Protocol("closed early")),
        read => Ok((read, descriptors)),
    }
}

fn name(socket: &BoundSocket) -> String {
    let kind = match socket.kind() {
        SocketKind::Stream => "stream",
        SocketKind::Datagram => "datagram",
    };
    format!("{kind} {}", socket.requested())
}

fn read_name(peer: &mut UnixStream) -> Result<(ListenAddress, SocketKind), HandOverError> {
    let mut length = [0; 2];
    peer.read_exact(&mut length)?;
    let mut name = vec![0; usize::from(u16::from_be_bytes(length)).min(LONGEST_NAME)];
    peer.read_exact(&mut name)?;
    let name = String::from_utf8(name).map_err(|_| HandOverError::Protocol("a name is not UTF-8"))?;
    parse_name(&name).ok_or(HandOverError::Protocol("a name is no address"))
}

fn parse_name(name: &str) -> Option<(ListenAddress, SocketKind)> {
    let (kind, address) = name.split_once(' ')?;
    let kind = match kind {
        "stream" => SocketKind::Stream,
        "datagram" => SocketKind::Datagram,
        _ => return None,
    };
    let address = match address.strip_prefix("unix:") {
        Some(path) => ListenAddress::Unix(path.into()),
        None => ListenAddress::Ip(address.parse().ok()?),
    };
    Some((address, kind))
}
