//! Conversations with the directory: connect, change to TLS if asked for, bind; and bind again on the same connection,
//! which waits for that as long as it is told to.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use gibbon_pdk::{Clock, DialTarget, Duplex, Host, OutcallTls};

use super::config::Config;
use super::message::{self, Answer, Kind, MAX_MESSAGE, Malformed};

/// Connections that wait at once. More come about under load, and end with their bind.
const MOST_IDLE: usize = 32;
/// Message ids of binds; 1 is that of STARTTLS. They go round, so that an answer to an earlier bind is never taken for
/// that to a later one.
const FIRST_ID: u8 = 2;
const LAST_ID: u8 = 127;

/// A connection that is ready for a bind.
struct Line {
    duplex: Box<dyn Duplex>,
    id: u8,
}

/// Connections without work, the one used last at the end, with when they began to wait (monotonic nanoseconds).
#[derive(Default)]
struct Idle(Mutex<Vec<(u64, Line)>>);

impl Idle {
    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Line)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that waited for longer than they should are closed on this occasion.
    fn take(&self, now: u64, longest: Duration) -> Option<Line> {
        let mut lines = self.locked();
        lines.retain(|(since, _)| u128::from(now.saturating_sub(*since)) < longest.as_nanos());
        lines.pop().map(|(_, line)| line)
    }

    fn put(&self, line: Line, now: u64) {
        let mut lines = self.locked();
        if lines.len() < MOST_IDLE {
            lines.push((now, line));
        }
    }
}

/// How to reach the directory.
pub struct Server {
    pub host: String,
    pub port: u16,
    pub ldaps: bool,
    pub start_tls: bool,
    pub verify: bool,
    pub timeout: Duration,
    /// How long a connection may wait for its next bind; none waits if it is zero.
    pub keepalive: Duration,
    idle: Idle,
}

/// What the directory thinks of a name and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// It cannot say now.
    Unknown(u32),
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("cannot talk: {0}")]
    Talk(#[from] io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("no answer in time")]
    Timeout,
    #[error("it sends {0}")]
    Malformed(#[from] Malformed),
    #[error("it refuses STARTTLS with code {0}")]
    StartTls(u32),
    #[error("cannot change to TLS: {0}")]
    Tls(io::Error),
}

impl Server {
    pub fn new(config: &Config) -> Self {
        let milliseconds = |value: Option<f64>, usual: f64| {
            Duration::try_from_secs_f64(value.unwrap_or(usual) / 1000.0).unwrap_or_default()
        };
        Server {
            host: config.ldap_host.clone(),
            port: config.ldap_port,
            ldaps: config.ldaps,
            start_tls: config.start_tls,
            verify: config.verify_ldap_host,
            timeout: milliseconds(config.timeout, 10_000.0),
            keepalive: milliseconds(config.keepalive, 60_000.0),
            idle: Idle::default(),
        }
    }

    /// Binds as `dn`. The password must not be empty: directories take that for an anonymous bind and say yes
    /// (RFC 4513 5.1.2).
    ///
    /// # Errors
    /// Whatever keeps the directory from saying yes or no.
    pub async fn check(&self, host: &Host, dn: &str, password: &[u8]) -> Result<Verdict, LdapError> {
        let talk = self.talk(host, dn, password);
        within(&*host.clock, self.timeout, talk).await.unwrap_or(Err(LdapError::Timeout))
    }

    async fn talk(&self, host: &Host, dn: &str, password: &[u8]) -> Result<Verdict, LdapError> {
        if let Some(line) = self.idle.take(host.clock.monotonic_ns(), self.keepalive) {
            // The directory may have closed it meanwhile; then a fresh one is asked.
            if let Ok(verdict) = self.bind(host, line, dn, password).await {
                return Ok(verdict);
            }
        }
        let line = self.connect(host).await?;
        self.bind(host, line, dn, password).await
    }

    async fn connect(&self, host: &Host) -> Result<Line, LdapError> {
        let tls = OutcallTls { verify: self.verify, server_name: Some(self.host.clone()), identity: None };
        let target = DialTarget::Tcp { host: self.host.clone(), port: self.port };
        let from_the_start = self.ldaps.then(|| tls.clone());
        let connected = host.dial.connect(target, from_the_start, self.timeout).await;
        let mut duplex = connected.map_err(LdapError::Connect)?;
        if self.start_tls {
            duplex.write(&message::start_tls(1)).await?;
            let answer = read(&mut *duplex, 1, Kind::Extended).await?;
            if answer.result_code != message::SUCCESS {
                return Err(LdapError::StartTls(answer.result_code));
            }
            duplex = duplex.start_tls(tls, self.timeout).await.map_err(LdapError::Tls)?;
        }
        Ok(Line { duplex, id: FIRST_ID })
    }

    /// A bind, after which the connection waits for the next one. Whatever goes wrong closes it.
    async fn bind(&self, host: &Host, mut line: Line, dn: &str, password: &[u8]) -> Result<Verdict, LdapError> {
        line.duplex.write(&message::bind(line.id, dn, password)).await?;
        let answer = read(&mut *line.duplex, line.id.into(), Kind::Bind).await?;
        if self.keepalive.is_zero() {
            // The directory has said what we wanted to know; whether it hears our goodbye does not matter.
            let _ = line.duplex.write(&message::UNBIND).await;
            line.duplex.close().await;
        } else {
            line.id = if line.id < LAST_ID { line.id + 1 } else { FIRST_ID };
            self.idle.put(line, host.clock.monotonic_ns());
        }
        Ok(match answer.result_code {
            message::SUCCESS => Verdict::Right,
            code if message::PASSING.contains(&code) => Verdict::Unknown(code),
            _ => Verdict::Wrong,
        })
    }
}

/// Reads one answer and no byte more: what came in plain behind an answer to STARTTLS would be an attacker's.
async fn read(line: &mut dyn Duplex, id: u32, kind: Kind) -> Result<Answer, LdapError> {
    let mut bytes = Vec::new();
    loop {
        if let Some(length) = message::message_length(&bytes)?
            && bytes.len() >= length
        {
            // Nobody asked for more: what came behind the answer would be taken for that to the next question.
            if bytes.len() > length {
                return Err(Malformed::Unexpected.into());
            }
            let answer = message::answer(&bytes)?;
            let is_it = answer.id == id && answer.kind == kind;
            return if is_it { Ok(answer) } else { Err(Malformed::Unexpected.into()) };
        }
        if bytes.len() >= MAX_MESSAGE {
            return Err(Malformed::TooLarge.into());
        }
        let more = line.read(MAX_MESSAGE - bytes.len()).await?;
        if more.is_empty() {
            return Err(LdapError::Closed);
        }
        bytes.extend_from_slice(&more);
    }
}

/// The future's output, unless it takes longer.
async fn within<T>(clock: &dyn Clock, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut over = None;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => over.get_or_insert_with(|| clock.sleep(limit)).as_mut().poll(context).map(|()| None),
    })
    .await
}
