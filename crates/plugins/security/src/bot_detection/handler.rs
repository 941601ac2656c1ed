//! Own lists first, then the known robots.

use gibbon_pdk::{BuildError, Exchange, Handler, Host, Reply, Step};

use super::config::Config;
use super::robots;
use crate::pattern::Pattern;

pub struct BotDetection {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
}

impl BotDetection {
    /// # Errors
    /// A pattern that cannot be compiled.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let compile = |texts: &[String]| -> Result<Vec<Pattern>, BuildError> {
            texts.iter().map(|text| Pattern::new(super::PART.name, text)).collect()
        };
        Ok(BotDetection { allow: compile(&config.allow)?, deny: compile(&config.deny)? })
    }

    fn passes(&self, agent: &[u8]) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(agent));
        any(&self.allow) || !(any(&self.deny) || robots::is_robot(agent))
    }
}

impl Handler for BotDetection {
    fn access<'a>(&'a self, x: &'a mut Exchange, _: &'a Host) -> Step<'a> {
        let mut agents = x.request.headers.get_all("user-agent");
        let Some(agent) = agents.next() else { return Step::NEXT };
        if agents.next().is_some() {
            return Step::reply(Reply::error_with(400, "Only one User-Agent header allowed"));
        }
        if self.passes(agent.trim_ascii()) { Step::NEXT } else { Step::reply(Reply::error(403)) }
    }
}
