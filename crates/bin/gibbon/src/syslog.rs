//! Lines sent to a syslog server, in nginx's notation `server=HOST[:PORT]|unix:PATH[,facility=…][,severity=…][,tag=…]`.

use std::io;
use std::net::{ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;

use gibbon_journal::Destination;
use jiff::Zoned;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];
/// Longest datagram; syslog servers need not take more (RFC 5426 section 3.2).
const LONGEST: usize = 2048;

enum Server {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// A syslog server.
pub struct Syslog {
    server: Server,
    priority: usize,
    /// Host and tag, as they stand in every datagram.
    header: String,
}

impl Syslog {
    /// Connects, which for datagrams only fixes the address.
    pub fn open(options: &str, hostname: &str) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let (mut server, mut facility, mut severity, mut tag, mut with_host) = (None, 23, 6, "kong", true);
        for option in options.split(',') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let index = |names: &[&str]| {
                names
                    .iter()
                    .position(|known| *known == value)
                    .ok_or_else(|| invalid(format!("syslog: unknown {option}")))
            };
            match name {
                "server" => server = Some(value),
                "facility" => facility = index(&FACILITIES)?,
                "severity" => severity = index(&SEVERITIES)?,
                "tag" => tag = value,
                "nohostname" => with_host = false,
                _ => return Err(invalid(format!("syslog: unknown option {option}"))),
            }
        }
        let server = server.ok_or_else(|| invalid("syslog: no server= given".to_owned()))?;
        let host = if with_host { format!("{hostname} ") } else { String::new() };
        Ok(Self { server: connect(server)?, priority: facility * 8 + severity, header: format!("{host}{tag}: ") })
    }
}

fn connect(server: &str) -> io::Result<Server> {
    if let Some(path) = server.strip_prefix("unix:") {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        return Ok(Server::Unix(socket));
    }
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { server.to_owned() } else { format!("{server}:514") };
    let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(address)?;
    Ok(Server::Udp(socket))
}

impl Destination for Syslog {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let time = Zoned::now().strftime("%b %e %H:%M:%S").to_string();
        let head = format!("<{}>{time} {}", self.priority, self.header);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut datagram = head.clone().into_bytes();
            datagram.extend_from_slice(line);
            datagram.truncate(LONGEST);
            match &self.server {
                Server::Udp(socket) => socket.send(&datagram)?,
                Server::Unix(socket) => socket.send(&datagram)?,
            };
        }
        Ok(())
    }
}
