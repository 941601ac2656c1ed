//! One conversation with the directory: connect, change to TLS if asked for, bind, part.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use gibbon_pdk::{Clock, DialTarget, Duplex, Host, OutcallTls};

use super::message::{self, Answer, Kind, MAX_MESSAGE, Malformed};

/// How to reach the directory.
#[derive(Clone, Debug)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub ldaps: bool,
    pub start_tls: bool,
    pub verify: bool,
    pub timeout: Duration,
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
        let tls = OutcallTls { verify: self.verify, server_name: Some(self.host.clone()) };
        let target = DialTarget::Tcp { host: self.host.clone(), port: self.port };
        let from_the_start = self.ldaps.then(|| tls.clone());
        let connected = host.dial.connect(target, from_the_start, self.timeout).await;
        let mut line = connected.map_err(LdapError::Connect)?;
        if self.start_tls {
            line.write(&message::start_tls(1)).await?;
            let answer = read(&mut *line, 1, Kind::Extended).await?;
            if answer.result_code != message::SUCCESS {
                return Err(LdapError::StartTls(answer.result_code));
            }
            line = line.start_tls(tls, self.timeout).await.map_err(LdapError::Tls)?;
        }
        line.write(&message::bind(2, dn, password)).await?;
        let answer = read(&mut *line, 2, Kind::Bind).await?;
        // The directory has said what we wanted to know; whether it hears our goodbye does not matter.
        let _ = line.write(&message::UNBIND).await;
        line.close().await;
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
