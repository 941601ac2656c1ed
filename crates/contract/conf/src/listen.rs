//! Listeners: an address and its flags, in Kong's grammar and with Kong's error text. Nothing is bound here.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::units::{digits_only, parse_time};

/// Which flags a listener may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsystem {
    /// HTTP listeners: proxy, admin, status, console, cluster.
    Http,
    /// TCP and UDP listeners.
    Stream,
}

impl Subsystem {
    /// Flag patterns in the order Kong prints them.
    #[must_use]
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Http => &[
                "ssl",
                "http2",
                "proxy_protocol",
                "deferred",
                "bind",
                "reuseport",
                "backlog=%d+",
                "ipv6only=on",
                "ipv6only=off",
                "so_keepalive=on",
                "so_keepalive=off",
                "so_keepalive=%w*:%w*:%d*",
            ],
            Self::Stream => &[
                "udp",
                "ssl",
                "proxy_protocol",
                "bind",
                "reuseport",
                "backlog=%d+",
                "ipv6only=on",
                "ipv6only=off",
                "so_keepalive=on",
                "so_keepalive=off",
                "so_keepalive=%w*:%w*:%d*",
            ],
        }
    }
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A host name to be resolved when the listener is bound.
    Name {
        /// Host name.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// TCP keep-alive of accepted connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SoKeepalive {
    /// As the system has it.
    #[default]
    System,
    /// On with the system's timing.
    On,
    /// Off.
    Off,
    /// On with this timing; what is unset stays the system's.
    Tuned {
        /// Idle time before the first probe.
        idle: Option<Duration>,
        /// Time between probes.
        interval: Option<Duration>,
        /// Probes before the connection is given up.
        count: Option<u32>,
    },
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub addr: Address,
    /// TLS is spoken.
    pub ssl: bool,
    /// HTTP/2 is offered (over TLS by ALPN, else by prior knowledge).
    pub http2: bool,
    /// Connections open with a PROXY protocol head.
    pub proxy_protocol: bool,
    /// Each worker has a socket of its own.
    pub reuseport: bool,
    /// Accept only when data has arrived.
    pub deferred: bool,
    /// Bind this address by itself even if a wildcard listener covers it.
    pub bind: bool,
    /// `IPV6_V6ONLY`, when given.
    pub ipv6only: Option<bool>,
    /// TCP keep-alive.
    pub so_keepalive: SoKeepalive,
    /// Length of the accept queue, when given.
    pub backlog: Option<u32>,
    /// UDP instead of TCP.
    pub udp: bool,
    subsystem: Subsystem,
    /// The flags as given, in Kong's order.
    given: Vec<String>,
}

impl Listener {
    /// A plain listener, for tests and programs that need no file.
    #[must_use]
    pub fn plain(addr: SocketAddr) -> Self {
        Self::new(Address::Tcp(addr), Subsystem::Http)
    }

    fn new(addr: Address, subsystem: Subsystem) -> Self {
        Self {
            addr,
            ssl: false,
            http2: false,
            proxy_protocol: false,
            reuseport: false,
            deferred: false,
            bind: false,
            ipv6only: None,
            so_keepalive: SoKeepalive::System,
            backlog: None,
            udp: false,
            subsystem,
            given: Vec::new(),
        }
    }

    /// The host part as the Admin API shows it: IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.addr {
            Address::Tcp(SocketAddr::V4(addr)) => addr.ip().to_string(),
            Address::Tcp(SocketAddr::V6(addr)) => format!("[{}]", addr.ip()),
            Address::Name { host, .. } => host.clone(),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// The port, 0 for a Unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        match &self.addr {
            Address::Tcp(addr) => addr.port(),
            Address::Name { port, .. } => *port,
            Address::Unix(_) => 0,
        }
    }

    /// Address and flags in Kong's order, such as `0.0.0.0:8443 ssl http2 reuseport backlog=16384`.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = match &self.addr {
            Address::Unix(_) => self.host(),
            _ => format!("{}:{}", self.host(), self.port()),
        };
        for flag in &self.given {
            let _ = write!(text, " {flag}");
        }
        text
    }

    /// Every flag with whether it was given, named as the Admin API names them (`backlog=16384` when given, the bare pattern
    /// `backlog=%d+` when not).
    pub fn flags(&self) -> impl Iterator<Item = (&str, bool)> {
        self.subsystem.flags().iter().map(|pattern| match self.given.iter().find(|flag| matches(pattern, flag)) {
            Some(flag) => (flag.as_str(), true),
            None => (*pattern, false),
        })
    }

    fn set(&mut self, flag: &str) -> Option<()> {
        match flag {
            "ssl" => self.ssl = true,
            "http2" => self.http2 = true,
            "proxy_protocol" => self.proxy_protocol = true,
            "deferred" => self.deferred = true,
            "bind" => self.bind = true,
            "reuseport" => self.reuseport = true,
            "udp" => self.udp = true,
            "ipv6only=on" => self.ipv6only = Some(true),
            "ipv6only=off" => self.ipv6only = Some(false),
            "so_keepalive=on" => self.so_keepalive = SoKeepalive::On,
            "so_keepalive=off" => self.so_keepalive = SoKeepalive::Off,
            _ => return self.set_valued(flag),
        }
        Some(())
    }

    fn set_valued(&mut self, flag: &str) -> Option<()> {
        match flag.split_once('=')? {
            ("backlog", value) => self.backlog = Some(u32::try_from(digits_only(value)?).ok()?),
            ("so_keepalive", value) => self.so_keepalive = tuned_keepalive(value)?,
            _ => return None,
        }
        Some(())
    }
}

fn tuned_keepalive(value: &str) -> Option<SoKeepalive> {
    let mut parts = value.split(':');
    let (idle, interval, count) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let time = |text: &str| if text.is_empty() { Some(None) } else { parse_time(text).map(Some) };
    let count = if count.is_empty() { None } else { Some(u32::try_from(digits_only(count)?).ok()?) };
    Some(SoKeepalive::Tuned { idle: time(idle)?, interval: time(interval)?, count })
}

/// Whether a flag fits one of Kong's flag patterns.
fn matches(pattern: &str, flag: &str) -> bool {
    match pattern {
        "backlog=%d+" => flag.strip_prefix("backlog=").is_some_and(|value| digits_only(value).is_some()),
        "so_keepalive=%w*:%w*:%d*" => {
            flag.strip_prefix("so_keepalive=").is_some_and(|value| tuned_keepalive(value).is_some())
        }
        exact => exact == flag,
    }
}

/// Parses the entries of a `*_listen` setting. `off` in first place gives none.
///
/// # Errors
/// Kong's usage line, without the name of the setting.
pub fn parse(entries: &[String], subsystem: Subsystem) -> Result<Vec<Listener>, String> {
    let usage =
        || format!("must be of form: [off] | <ip>:<port> [{}], [... next entry ...]", subsystem.flags().join("] ["));
    match entries.first().map(String::as_str) {
        None | Some("") => return Err(usage()),
        Some("off") => return Ok(Vec::new()),
        Some(_) => {}
    }
    entries.iter().map(|entry| parse_one(entry, subsystem).ok_or_else(usage)).collect()
}

fn parse_one(entry: &str, subsystem: Subsystem) -> Option<Listener> {
    let mut address = None;
    let mut flags = Vec::new();
    for word in entry.split_ascii_whitespace() {
        if subsystem.flags().iter().any(|pattern| matches(pattern, word)) {
            flags.push(word);
        } else if address.replace(word).is_some() {
            return None;
        }
    }
    let mut listener = Listener::new(parse_address(address?)?, subsystem);
    for pattern in subsystem.flags() {
        for flag in flags.iter().filter(|flag| matches(pattern, flag)).take(1) {
            listener.set(flag)?;
            listener.given.push((*flag).to_owned());
        }
    }
    Some(listener)
}

fn parse_address(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return (!path.is_empty()).then(|| Address::Unix(PathBuf::from(path)));
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Some(Address::Tcp(addr));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = u16::try_from(digits_only(port)?).ok()?;
    if host == "*" {
        return Some(Address::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)));
    }
    let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let is_numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (is_name && !is_numeric && !host.is_empty()).then(|| Address::Name { host: host.to_owned(), port })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn http(text: &str) -> Result<Vec<Listener>, String> {
        parse(&entries(text), Subsystem::Http)
    }

    fn entries(text: &str) -> Vec<String> {
        text.split(',').map(|entry| entry.trim().to_owned()).collect()
    }

    #[test]
    fn the_default_proxy_listeners_are_read_with_their_flags() {
        let listeners =
            http("0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384").unwrap();
        assert_eq!(listeners[0].canonical(), "0.0.0.0:8000 reuseport backlog=16384");
        assert_eq!(listeners[1].canonical(), "0.0.0.0:8443 ssl http2 reuseport backlog=16384");
        assert!(listeners[1].ssl && listeners[1].http2 && listeners[1].reuseport);
        assert_eq!(listeners[1].backlog, Some(16384));
        assert_eq!(listeners[1].port(), 8443);
    }

    #[test]
    fn off_in_first_place_gives_no_listener() {
        assert_eq!(http("off"), Ok(Vec::new()));
        assert_eq!(http("off, 127.0.0.1:8000"), Ok(Vec::new()));
    }

    #[test]
    fn an_address_without_a_port_gives_kongs_usage_line() {
        let usage = "must be of form: [off] | <ip>:<port> [ssl] [http2] [proxy_protocol] [deferred] [bind] [reuseport] \
                     [backlog=%d+] [ipv6only=on] [ipv6only=off] [so_keepalive=on] [so_keepalive=off] \
                     [so_keepalive=%w*:%w*:%d*], [... next entry ...]";
        assert_eq!(http("127.0.0.1").unwrap_err(), usage);
        assert_eq!(http("").unwrap_err(), usage);
    }

    #[test]
    fn stream_listeners_know_udp_and_not_http2() {
        let udp = parse(&entries("127.0.0.1:53 udp reuseport"), Subsystem::Stream).unwrap();
        assert!(udp[0].udp);
        let refused = parse(&entries("127.0.0.1:53 http2"), Subsystem::Stream).unwrap_err();
        assert!(refused.starts_with("must be of form: [off] | <ip>:<port> [udp] [ssl]"), "{refused}");
    }

    #[test]
    fn ipv6_unix_wildcard_and_named_addresses_are_listeners_too() {
        let listeners = http("[::1]:8000 ipv6only=on, unix:/tmp/kong.sock ssl, *:80, localhost:8001").unwrap();
        assert_eq!(listeners[0].canonical(), "[::1]:8000 ipv6only=on");
        assert_eq!(listeners[0].ipv6only, Some(true));
        assert_eq!(listeners[1].addr, Address::Unix("/tmp/kong.sock".into()));
        assert_eq!(listeners[1].canonical(), "unix:/tmp/kong.sock ssl");
        assert_eq!(listeners[2].addr, Address::Tcp("0.0.0.0:80".parse().unwrap()));
        assert_eq!(listeners[3].addr, Address::Name { host: "localhost".into(), port: 8001 });
    }

    #[test]
    fn keepalive_timing_may_leave_parts_to_the_system() {
        let tuned = http("127.0.0.1:1 so_keepalive=30m::10").unwrap();
        assert_eq!(
            tuned[0].so_keepalive,
            SoKeepalive::Tuned { idle: Some(Duration::from_secs(1800)), interval: None, count: Some(10) }
        );
    }

    #[test]
    fn what_is_no_address_or_no_flag_is_refused() {
        for bad in [
            "300.0.0.1:80",
            "127.0.0.1:70000",
            "127.0.0.1:80 tls",
            "127.0.0.1:80 127.0.0.1:81",
            "127.0.0.1:80 backlog=",
            "unix:",
            "::1:80",
            ":80",
            "reuseport",
        ] {
            assert!(http(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_are_listed_with_their_state_as_the_admin_api_shows_them() {
        let listener = &http("127.0.0.1:8001 reuseport backlog=16384").unwrap()[0];
        let flags: Vec<_> = listener.flags().collect();
        assert!(flags.contains(&("reuseport", true)));
        assert!(flags.contains(&("backlog=16384", true)));
        assert!(flags.contains(&("ssl", false)));
        assert!(!flags.iter().any(|(name, _)| *name == "backlog=%d+"));
    }

    proptest::proptest! {
        #[test]
        fn any_entry_is_read_or_refused_and_what_is_read_reads_the_same_again(entry in "[ -~]{0,40}") {
            if let Ok(listeners) = parse(std::slice::from_ref(&entry), Subsystem::Http) {
                for listener in listeners {
                    proptest::prop_assert_eq!(parse(&[listener.canonical()], Subsystem::Http).unwrap(), vec![listener]);
                }
            }
        }
    }
}
