//! Ranges are parsed once per configuration; a look-up compares numbers.

use std::net::IpAddr;

use gibbon_pdk::{BuildError, Exchange, Handler, Host, Reply, Step};
use ipnet::IpNet;

use super::config::Config;

pub struct Restriction {
    allow: Option<Vec<IpNet>>,
    deny: Vec<IpNet>,
    status: u16,
    message: Option<String>,
}

impl Restriction {
    /// # Errors
    /// What is neither an address nor a range.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        Ok(Restriction {
            allow: config.allow.filter(|list| !list.is_empty()).map(|list| ranges(&list)).transpose()?,
            deny: ranges(&config.deny.unwrap_or_default())?,
            status: config.status.map_or(403, |status| status.clamp(100.0, 999.0) as u16),
            message: config.message,
        })
    }

    fn judge(&self, x: &Exchange) -> Step<'static> {
        let address = x.client.ip.to_canonical();
        if address.is_unspecified() {
            let message = "Cannot identify the client IP address, unix domain sockets are not supported.";
            return Step::reply(Reply::error_with(403, message));
        }
        let within = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
        let denied = within(&self.deny) || self.allow.as_ref().is_some_and(|allow| !within(allow));
        if denied { self.refuse(address) } else { Step::NEXT }
    }

    fn refuse(&self, address: IpAddr) -> Step<'static> {
        let message = self.message.clone().unwrap_or_else(|| format!("IP address not allowed: {address}"));
        tracing::warn!(%address, "{message}");
        Step::reply(Reply::error_with(self.status, message))
    }
}

impl Handler for Restriction {
    fn access<'a>(&'a self, x: &'a mut Exchange, _: &'a Host) -> Step<'a> {
        self.judge(x)
    }

    fn preread<'a>(&'a self, x: &'a mut Exchange, _: &'a Host) -> Step<'a> {
        self.judge(x)
    }
}

fn ranges(texts: &[String]) -> Result<Vec<IpNet>, BuildError> {
    let parse = |text: &String| {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| address()).map_err(|_| BuildError {
            plugin: super::PART.name.to_owned(),
            cause: format!("'{text}' is neither an address nor a range"),
        })
    };
    texts.iter().map(parse).collect()
}
