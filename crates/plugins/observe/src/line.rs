//! A raw connection that is kept between deliveries: to a syslog server, a StatsD daemon, a log collector.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gibbon_pdk::{Clock, Dial, DialTarget, Duplex, OutcallTls};

/// A peer and the connection to it.
pub struct Line {
    pub dial: Arc<dyn Dial>,
    pub clock: Arc<dyn Clock>,
    pub target: DialTarget,
    pub tls: Option<OutcallTls>,
    pub timeout: Duration,
    /// How long an idle connection is used again; names are resolved anew after it.
    pub keepalive: Duration,
    idle: Mutex<Option<(Box<dyn Duplex>, u64)>>,
}

impl Line {
    pub fn new(dial: Arc<dyn Dial>, clock: Arc<dyn Clock>, target: DialTarget, timeout: Duration) -> Self {
        let keepalive = Duration::from_secs(60);
        Line { dial, clock, target, tls: None, timeout, keepalive, idle: Mutex::default() }
    }

    /// Writes the parts one after the other (over UDP each is a datagram). A kept connection that has
    /// gone bad is replaced once.
    pub async fn send(&self, parts: &[&[u8]]) -> Result<(), String> {
        if let Some(mut kept) = self.kept()
            && write(&mut *kept, parts).await.is_ok()
        {
            self.keep(kept);
            return Ok(());
        }
        let connected = self.dial.connect(self.target.clone(), self.tls.clone(), self.timeout).await;
        let mut fresh = connected.map_err(|error| format!("failed to connect: {error}"))?;
        write(&mut *fresh, parts).await.map_err(|error| format!("failed to send: {error}"))?;
        self.keep(fresh);
        Ok(())
    }

    fn kept(&self) -> Option<Box<dyn Duplex>> {
        let (line, since) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let idle = Duration::from_nanos(self.clock.monotonic_ns().saturating_sub(since));
        (idle < self.keepalive).then_some(line)
    }

    fn keep(&self, line: Box<dyn Duplex>) {
        let now = self.clock.monotonic_ns();
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some((line, now));
    }
}

async fn write(line: &mut dyn Duplex, parts: &[&[u8]]) -> std::io::Result<()> {
    for part in parts {
        line.write(part).await?;
    }
    Ok(())
}
